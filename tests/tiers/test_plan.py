"""Planning, applying and taking back a correction: exactly the wrong members, nobody's own choice."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import Clubs, Ground
from tests.tiers.conftest import RIGHT, Written, give, mapping_of, rename, some
from workbench.errors import Refused, UsageError
from workbench.plans.plan import Plan


def touched(plan: Plan) -> list[str | None]:
    return [row[0] for section in plan.operations for row in plan.rows(section)]


def break_some(club: Ground) -> list[str]:
    alumni, third = some(club, "Alumni", 4), some(club, "Third Year", 3)
    give(club, alumni, "PROSPECT")
    give(club, third, None)
    return sorted([*alumni, *third])


def person(club: Ground, key: str, code: str, **more: Any) -> None:
    """Let a person set a member's tier, and the application log it."""
    tier = 'SELECT "membershipTierId"::text FROM "Member" WHERE id::text = %s'
    (was,) = club.ask(tier, key)
    give(club, [key], code)
    (now,) = club.ask(tier, key)
    entry = {
        "before": {"membershipTierId": was},
        "after": {"membershipTierId": now},
        "metadata": None,
        **more,
    }
    values = (json.dumps(entry[name]) if entry[name] else None for name in ("before", "after", "metadata"))
    club.execute(
        """INSERT INTO "AuditLog" (id, action, "resourceType", "resourceId", "memberId", before, after, metadata, "createdAt")
        VALUES (gen_random_uuid(), 'UPDATE', 'Member', %s::uuid, (SELECT min(id::text) FROM "Member")::uuid,
        %s::jsonb, %s::jsonb, %s::jsonb, %s::timestamp)""",
        *(key, *values, more.get("at", "2026-05-31 10:00:00")),
    )


def test_plan_apply_and_undo(ground: Ground) -> None:
    healthy, wrong, wb = ground.state("AuditLog"), break_some(ground), ground.wb
    broken = ground.state("AuditLog")
    plan = wb.tiers.plan(reason="The import ran without its mapping.")
    again = wb.tiers.plan(reason="The import ran without its mapping.")
    assert plan.path.read_bytes() == again.path.read_bytes()
    assert ground.state("AuditLog") == broken  # planning writes nothing
    assert plan.changes == {"Member": {"update": 7}}
    assert touched(plan) == wrong == list(wb.tiers.wrong()["key"])
    assert (plan.kept, plan.conflicts, plan.unresolved) == ([], [], [])
    assert plan.reasons[1] == "The import ran without its mapping."
    ground.carry_out(plan)
    assert ground.state("AuditLog") == healthy  # not a column besides, updatedAt among them
    assert set(wb.tiers.review()["tier"].matrix["finding"]) == {"right"}
    assert {finding.status for finding in wb.check(["tiers-wrong", "tiers-missing"]).findings} == {"pass"}
    with pytest.raises(Refused, match="Nothing to correct"):
        wb.tiers.plan()
    (entry,) = wb.audit.entries(action="migration:tiers:corrected")["metadata"]
    assert entry["corrected"] == {"PROSPECT -> ALUMNI": 4, "none -> EXTENDED": 3}
    assert entry["configuration_sha256"] == wb.tiers.review()["tier"].mapping.sha256  # type: ignore[union-attr]
    ground.undo(plan)
    assert ground.state("AuditLog") == broken


def test_levels_that_no_line_names(guide: Ground, written: Written) -> None:
    wrong, wb = break_some(guide), guide.wb
    rename(guide, "Lapsed", "Lapsd")
    lapsed, unknown = some(guide, "Lapsd"), some(guide, "Newcomer", 2)
    with pytest.raises(Refused, match="'Lapsd'"):
        wb.tiers.plan()
    plan = wb.tiers.plan(levels=["Alumni"])
    assert touched(plan) == [key for key in wrong if key in some(guide, "Alumni")]
    assert sorted(str(row["key"]) for row in plan.unresolved) == lapsed
    assert "'Lapsd'" in str(plan.unresolved[0]["resolved_by"])
    assert plan.parameters["levels"] == ["Alumni"]
    with pytest.raises(UsageError, match="Nearest: Alumni"):
        wb.tiers.plan(levels=["alumni"])
    with pytest.raises(Refused, match="Lapsd"):
        wb.tiers.plan(levels=["Alumni", "Lapsd"])
    # A default covers them, and the plan says so.
    policy = {"membership": {"tiers": {"waMapping": RIGHT, "defaultCode": "PROSPECT"}}}
    path = written("policy.json", json.dumps(policy))
    plan = wb.tiers.plan(path)
    assert touched(plan) == sorted([*wrong, *lapsed])
    assert any("'Lapsd'" in note and "PROSPECT" in note for note in plan.notes)
    assert not any("'Lapsd'" in note for note in wb.tiers.plan(path, levels=["Alumni"]).notes)
    # Where the level itself is not known, nobody can tell.
    rename(guide, "Lapsd", "Lapsed")
    guide.execute('UPDATE "Member" SET "waMembershipLevelRaw" = NULL WHERE id::text = ANY(%s)', unknown)
    give(guide, unknown, None)
    plan = wb.tiers.plan()
    assert touched(plan) == wrong
    assert [row["key"] for row in plan.unresolved] == unknown
    guide.carry_out(plan)
    with pytest.raises(Refused, match="Wild Apricot level is not known"):
        wb.tiers.plan()


def test_codes_that_are_not_here_or_here_twice(guide: Ground, written: Written) -> None:
    break_some(guide)
    for code in ("ALUMNUS", "alumni"):
        with pytest.raises(UsageError, match=f"'{code}'"):
            guide.wb.tiers.plan(written("m.yaml", mapping_of({**RIGHT, "Alumni": code})))
    assert not guide.wb.plans.states().shape[0]
    guide.execute('DROP INDEX "MembershipTier_code_key"')
    guide.execute(
        """INSERT INTO "MembershipTier" SELECT gen_random_uuid()::text, code, name, "sortOrder", "createdAt", "updatedAt"
        FROM "MembershipTier" WHERE code = 'ALUMNI'"""
    )
    with pytest.raises(Refused, match="more than one tier 'ALUMNI'"):
        guide.wb.tiers.plan()


def test_what_a_person_set_stays(application: Ground) -> None:
    club, wb = application, application.open()
    chosen, undated, elsewhere, overrun, imported, *rest = some(club, "Alumni", 6)
    person(club, chosen, "EXTENDED")
    person(club, undated, "EXTENDED", after=None)  # the entry does not say what it became
    # A person set it and something unlogged changed it again: that is nobody's choice any more.
    person(club, elsewhere, "EXTENDED")
    give(club, [elsewhere], "PROSPECT")
    # A later import wrote the column again.
    sync = {"syncRunId": "sync_1795367857622_qkvvgm", "source": "wa_import"}
    later = {**sync, "changes": {"membershipTierId": "x"}}
    person(club, overrun, "EXTENDED")
    person(club, overrun, "LAPSED", before=None, after=None, metadata=later, at="2026-05-31 11:00:00")
    person(club, imported, "LAPSED", metadata=sync)
    give(club, rest, "PROSPECT")
    plan = wb.tiers.plan()
    theirs, others = sorted([chosen, undated]), sorted([elsewhere, overrun, imported, *rest])
    assert touched(plan) == others
    assert [row["key"] for row in plan.kept] == [row["key"] for row in plan.conflicts] == theirs
    assert all("on 2026-05-31" in str(row["reason"]) for row in plan.conflicts)
    by_a_person = wb.tiers.wrong().set_index("key")["by_a_person"]
    assert sorted(by_a_person[by_a_person].index) == theirs
    restoring = wb.tiers.plan(on_conflict="restore")
    assert touched(restoring) == sorted([*theirs, *others])
    assert restoring.kept == []
    club.carry_out(plan)
    with pytest.raises(Refused, match="by the audit log"):
        wb.tiers.plan()
    club.carry_out(wb.tiers.plan(on_conflict="restore"))
    assert wb.tiers.wrong().empty


def test_hostile_names_are_text(guide: Ground, written: Written) -> None:
    names = {
        "Alumni": '\'; DROP TABLE "Member"; --',
        "Third Year": "<script>alert(1)</script>",
        "Lapsed": "%s %(x)s {}",
        "Prospect": "a\tb\\n\nc \u202e!",
    }
    keys, codes = [], dict(RIGHT)
    for level, name in names.items():
        rename(guide, level, name)
        guide.execute('UPDATE "MembershipTier" SET code = %s WHERE code = %s', name, RIGHT[level])
        codes = {known: name if code == RIGHT[level] else code for known, code in codes.items()}
        codes[name] = name
        keys += some(guide, name, 1)
    give(guide, keys, "NEWCOMER")
    plan = guide.wb.tiers.plan(written("m.json", json.dumps({"membership.tiers.waMapping": codes})))
    assert touched(plan) == sorted(keys)
    (entry,) = json.loads(plan.path.read_bytes().splitlines()[0])["audit"]
    assert {f"NEWCOMER -> {name}" for name in names.values()} == {*entry["metadata"]["corrected"]}
    guide.proved(plan)


CODES = st.sampled_from(sorted(set(RIGHT.values())))


@settings(
    max_examples=int(os.environ.get("PROPERTY_EXAMPLES", "4")),
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    moves=st.lists(st.tuples(st.integers(0, 59), CODES | st.none()), max_size=12),
    levels=st.dictionaries(st.sampled_from(sorted(RIGHT)), CODES, max_size=3),
)
def test_exactly_the_wrong_members(
    clubs: Clubs, written: Written, moves: list[tuple[int, str | None]], levels: dict[str, str]
) -> None:
    club, codes = clubs.clone("application", 60), {**RIGHT, **levels}
    keys = [str(key) for key in club.ask('SELECT id::text FROM "Member" ORDER BY 1')]
    for number, code in moves:
        give(club, [keys[number]], code)
    path = written("m.yaml", mapping_of(codes))
    query = """SELECT m.id::text, m."waMembershipLevelRaw", t.code FROM "Member" m
        LEFT JOIN "MembershipTier" t ON t.id = m."membershipTierId" ORDER BY 1"""
    before, whole = club.ask(query), club.state("AuditLog")
    wrong = [key for key, level, code in before if codes[str(level)] != code]
    wb = club.open()
    if not wrong:
        with pytest.raises(Refused):
            wb.tiers.plan(path)
        return
    plan = wb.tiers.plan(path)
    assert touched(plan) == wrong
    club.carry_out(plan)
    assert club.ask(query) == [(key, level, codes[str(level)]) for key, level, _ in before]
    club.undo(plan)
    assert club.state("AuditLog") == whole
