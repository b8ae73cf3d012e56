"""No hidden effects: what triggers and rules of the database's own would do besides is not done, or all is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plans.conftest import OWNER_OF_ALL, Ground, Grounds
from tests.states import differences
from workbench.errors import Drift, Refused, WorkbenchError

MakeRole = Callable[[Ground, list[str]], str]

OWNER = [OWNER_OF_ALL, "CREATE SCHEMA workbench AUTHORIZATION ROLE", "ALTER TABLE farewell OWNER TO ROLE"]

EFFECTS = {
    "writes elsewhere": ('AFTER DELETE ON "Member" FOR EACH ROW', "INSERT INTO farewell VALUES (2); RETURN NULL;"),
    "deletes elsewhere": ('AFTER DELETE ON "Event" FOR EACH STATEMENT', "DELETE FROM farewell; RETURN NULL;"),
    "empties elsewhere": ('AFTER DELETE ON "Event" FOR EACH STATEMENT', "TRUNCATE farewell; RETURN NULL;"),
    "skips rows": ('BEFORE DELETE ON "WaIdMapping" FOR EACH ROW', "RETURN NULL;"),
    "changes the row": (
        'BEFORE UPDATE ON "WaSyncState" FOR EACH ROW', """NEW."updatedAt" := '2099-01-01'; RETURN NEW;"""
    ),
    "changes the value": (
        'BEFORE UPDATE ON "WaSyncState" FOR EACH ROW', """NEW."lastFullSync" := '2099-01-01'; RETURN NEW;"""
    ),
}  # fmt: skip

RULES = {
    "also": 'CREATE RULE more AS ON DELETE TO "Event" DO ALSO INSERT INTO farewell VALUES (2)',
    "instead": 'CREATE RULE less AS ON DELETE TO "Event" DO INSTEAD NOTHING',
}


def prepared(grounds: Grounds) -> Ground:
    ground = grounds.lay("api")
    ground.execute("CREATE TABLE farewell (said int); INSERT INTO farewell VALUES (1)")
    return ground


def attach(ground: Ground, when: str, body: str, more: str = "", name: str = "act") -> None:
    ground.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$;"
        f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}(); {more}"
    )


@pytest.fixture(scope="module")
def expected(grounds: Grounds) -> dict[str, list[str]]:
    """What a club is after the plan was applied, where nothing but the plan acts."""
    ground = prepared(grounds)
    ground.apply(ground.approved())
    return ground.state()


def assert_nothing_hidden(ground: Ground, expected: dict[str, list[str]], url: str | None = None) -> bool:
    """Apply; either nothing but the plan's changes is done, or nothing. Return whether it was applied."""
    plan = ground.approved()
    before = ground.state()
    try:
        ground.apply(plan, url=url)
    except Drift:
        assert differences(before, ground.state()) == {}
        return False
    assert differences(expected, ground.state()) == {}
    return True


def test_row_triggers_are_switched_off_where_the_role_may(
    grounds: Grounds, expected: dict[str, list[str]]
) -> None:
    ground = prepared(grounds)
    for number, effect in enumerate(EFFECTS.values()):
        attach(ground, *effect, name=f"act_{number}")
    assert assert_nothing_hidden(ground, expected)


@pytest.mark.parametrize(
    "effect", ["deletes elsewhere", "empties elsewhere", "skips rows", "changes the value"]
)
def test_where_it_may_not_their_effects_make_it_refuse(
    grounds: Grounds, expected: dict[str, list[str]], role: MakeRole, effect: str
) -> None:
    ground = prepared(grounds)
    attach(ground, *EFFECTS[effect])
    assert_nothing_hidden(ground, expected, role(ground, OWNER))


@pytest.mark.parametrize("effect", ["writes elsewhere", "changes the row"])
def test_a_trigger_that_fires_always_makes_it_refuse(
    grounds: Grounds, expected: dict[str, list[str]], effect: str
) -> None:
    ground = prepared(grounds)
    table = EFFECTS[effect][0].split('"')[1]
    attach(ground, *EFFECTS[effect], f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER act')
    assert_nothing_hidden(ground, expected)


@pytest.mark.parametrize(("rule", "owner"), [("also", True), ("instead", True), ("also", False)])
def test_rules_do_no_more_and_no_less_either(
    grounds: Grounds, expected: dict[str, list[str]], role: MakeRole, rule: str, owner: bool
) -> None:
    ground = prepared(grounds)
    ground.execute(RULES[rule])
    url = role(ground, OWNER) if owner else None
    assert assert_nothing_hidden(ground, expected, url) is not owner


def test_a_trigger_that_changes_what_comes_back_makes_the_undo_refuse(
    grounds: Grounds, role: MakeRole
) -> None:
    ground = prepared(grounds)
    before = ground.state()
    url = role(ground, OWNER)
    plan = ground.approved()
    ground.apply(plan, url=url)
    applied = ground.state()
    attach(ground, 'BEFORE INSERT ON "Member" FOR EACH ROW', "NEW.\"updatedAt\" := '2099-01-01'; RETURN NEW;")
    undo = ground.undo(plan.id)
    try:
        ground.apply(undo, url=url)
    except Refused:
        assert differences(applied, ground.state()) == {}
    else:
        assert differences(before, ground.state()) == {}


def test_a_harmless_trigger_does_not_stand_in_the_way(
    grounds: Grounds, expected: dict[str, list[str]], role: MakeRole
) -> None:
    ground = prepared(grounds)
    attach(
        ground,
        'AFTER DELETE ON "Member" FOR EACH ROW',
        "PERFORM pg_notify('left', OLD.id::text); RETURN NULL;",
    )
    assert_nothing_hidden(ground, expected, role(ground, OWNER))


def test_a_server_that_does_not_count_cannot_prove_it(application: Ground) -> None:
    plan = application.approved()
    application.execute(f"ALTER DATABASE {application.database} SET track_counts = off")
    application.refuses(plan, "does not count rows", WorkbenchError)
