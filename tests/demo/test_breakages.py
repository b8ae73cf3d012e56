"""Breakages break the same rows each time, whole or not at all, and never two the same; that each is found: tests/test_checks."""

from __future__ import annotations

import psycopg
import pytest

from tests.states import state
from workbench.demo.breakages import BREAKAGES, break_club, victims


def test_all_together_break_the_same_rows_each_time(clubs, dialect):
    states = []
    for order in (list(BREAKAGES), list(BREAKAGES), reversed(BREAKAGES)):
        cloned = clubs.clone(dialect, 50)
        with psycopg.connect(cloned.url) as connection:
            truths = break_club(connection, cloned.club, order)
            rows = state(connection)
        files = {path.name: path.read_bytes() for path in cloned.club.imports.iterdir()}
        states.append((truths, rows, files))
        assert {truth.breakage for truth in truths} == set(BREAKAGES)
        assert all(truth.keys and truth.check == BREAKAGES[truth.breakage].checks[0] for truth in truths)
    assert states[0] == states[1]


def test_breakage_fails_whole(club):
    with psycopg.connect(club.url) as connection:
        before = state(connection)
        with pytest.raises(KeyError):
            break_club(connection, club.club, ["null-tiers", "no-such-breakage"])
        assert state(connection) == before


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
