"""Each breakage breaks what its truth says, alone and with all the others."""

from __future__ import annotations

import psycopg
import pytest

from tests.demo.oracles import ORACLES, contents
from workbench.demo.breakages import BREAKAGES, break_club, victims
from workbench.demo.club import Club


def found(connection: psycopg.Connection, club: Club) -> dict[str, set[str]]:
    return {check: names for check, oracle in ORACLES.items() if (names := oracle(connection, club))}


@pytest.mark.parametrize("members", [50, 1500])
@pytest.mark.parametrize("dialect", ["guide", "application"])
def test_healthy_club_has_nothing_wrong(clubs, dialect, members):
    cloned = clubs.clone(dialect, members)
    with psycopg.connect(cloned.url) as connection:
        assert found(connection, cloned.club) == {}


@pytest.fixture(scope="module")
def shared(clubs):
    """A club of each dialect that every test leaves as it was."""
    return {dialect: clubs.clone(dialect) for dialect in ("guide", "application")}


@pytest.mark.parametrize("name", BREAKAGES)
@pytest.mark.parametrize("dialect", ["guide", "application"])
def test_breakage_alone(shared, dialect, name):
    cloned, breakage = shared[dialect], BREAKAGES[name]
    files = {path: path.read_bytes() for path in cloned.club.imports.iterdir()}
    with psycopg.connect(cloned.url) as connection, connection.transaction(force_rollback=True):
        (truth,) = break_club(connection, cloned.club, [name])
        now = found(connection, cloned.club)
    for path in cloned.club.imports.iterdir():
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)
    assert (truth.breakage, truth.check) == (name, breakage.checks[0])
    assert truth.keys
    if "pairs" in truth.detail and truth.check != "members-duplicate-email":
        now.pop("members-duplicate-email", None)
    if truth.check in ("members-wrong-person", "mappings-shared-target"):
        assert truth.keys <= now.pop(truth.check)
    else:
        assert now.pop(truth.check) == truth.keys
    assert set(now) <= set(breakage.checks), "fires a check that it does not own up to"


def test_all_together_break_the_same_rows_each_time(clubs, dialect):
    states = []
    for order in (list(BREAKAGES), list(BREAKAGES), reversed(BREAKAGES)):
        cloned = clubs.clone(dialect, 50)
        with psycopg.connect(cloned.url) as connection:
            truths = break_club(connection, cloned.club, order)
            now = found(connection, cloned.club)
            rows = contents(connection)
        files = {path.name: path.read_bytes() for path in cloned.club.imports.iterdir()}
        states.append((truths, rows, files))
        assert {truth.breakage for truth in truths} == set(BREAKAGES)
        for truth in truths:
            assert truth.keys <= now[truth.check], truth.breakage
    assert states[0] == states[1]


def test_breakage_fails_whole(club):
    with psycopg.connect(club.url) as connection:
        with pytest.raises(KeyError):
            break_club(connection, club.club, ["null-tiers", "no-such-breakage"])
        assert found(connection, club.club) == {}


def test_victims_are_disjoint(clubs, dialect):
    harmed = victims(clubs.clone(dialect, 50).club)
    ids = [key for _, _, _, _, key, _ in harmed]
    assert len(set(ids)) == len(ids)
    wanted = {(name, "Member") for name, each in BREAKAGES.items() if "members" in each.head}
    wanted |= {(name, "Event") for name, each in BREAKAGES.items() if "events" in each.head}
    assert {(name, entity) for name, entity, *_ in harmed} == wanted


def test_foreign_keys_hold_again(clubs):
    cloned = clubs.clone("application")
    with psycopg.connect(cloned.url) as connection:
        break_club(connection, cloned.club, ["orphaned-registrations"])
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute('UPDATE "EventRegistration" SET "memberId" = gen_random_uuid()')
