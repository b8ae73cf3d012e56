"""Every wrong mapping planted is found and corrected, and no right one is called wrong with certainty."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import database_at
from tests.mappings.conftest import ALL, CHECKS
from tests.recorded import STATES, load
from workbench.mappings.problems import SURE, find_cycles, score
from workbench.murmurant.reports import read_reports
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench


def keys_of(frame):
    return set(frame["entity"] + "/" + frame["wa_id"])


def test_a_healthy_club_has_no_problem(ground):
    club = ground
    with club.open() as wb:
        found = wb.mappings.findings()
        assert not found.not_known
        assert not len(found.problems)
        assert not len(found.registrations)
        # Nor has one in which people changed everything about themselves.
        club.execute(
            """UPDATE "Member" SET "firstName" = 'Zoe', "lastName" = 'Quux', phone = '1', email = 'zoe' || id || '@example.net'
               WHERE id IN (SELECT id FROM "Member" ORDER BY id LIMIT 20)"""
        )
        problems = wb.mappings.findings().problems
    assert not problems["sure"].any()
    assert not problems["problem"].str.startswith("wrong-").any()


def entries(club):
    with club.connect() as connection:
        rows = connection.execute('SELECT metadata FROM "AuditLog"').fetchall()
    return {row[0]["waId"]: row[0] for row in rows if row[0] and "newMurmurantId" in row[0]}


def test_everything_planted_is_found_and_corrected_as_one(broken):
    club, truths = broken(*ALL)
    before = club.state()
    with club.open() as wb:
        found = wb.mappings.findings()
        frame = found.problems
        wrong = frame[frame["problem"].isin(["wrong-person", "wrong-event"])]
        swapped = truths["swapped-mappings"].detail["right"]
        right = {
            **swapped,
            **truths["cycle-of-three"].detail["right"],
            **truths["wrong-person"].detail["right"],
            **truths["registrations-on-wrong-event"].detail["mappings"],
        }
        assert dict(zip(wrong["entity"] + "/" + wrong["wa_id"], wrong["should_be"], strict=True)) == right
        assert wrong["sure"].all()
        assert (wrong["score"] < 1).all()
        assert keys_of(frame[frame["problem"] == "missing-target"]) == truths["orphaned-mappings"].keys
        assert keys_of(frame[frame["problem"] == "wrong-type"]) == truths["wrong-entity"].keys
        assert keys_of(frame[frame["problem"] == "duplicate"]) == truths["duplicate-mappings"].keys
        assert truths["shared-target"].keys <= keys_of(frame[frame["problem"] == "shared-target"])
        # No right mapping is called wrong with certainty: all that is sure is planted.
        assert keys_of(frame[frame["sure"]]) == set(right) | truths["duplicate-mappings"].keys
        sizes = wrong.groupby("cycle").size().to_dict()
        assert sorted(size for cycle, size in sizes.items() if cycle) == [2, 2, 3]
        assert set(found.registrations["registration"]) == truths["registrations-on-wrong-event"].keys
        assert found.registrations["moves"].all()

        # The checks name the same.
        checks = {
            finding.check: finding
            for finding in wb.check([*CHECKS, "mappings-orphaned"], sample=999).findings
        }
        assert {name for name, finding in checks.items() if finding.status == "pass"} == set()
        people = keys_of(frame[frame["problem"] == "wrong-person"])
        assert people == set(checks["members-wrong-person"].rows["key"])
        lost = frame["problem"].isin(["missing-target", "wrong-type"])
        assert keys_of(frame[lost]) == set(checks["mappings-orphaned"].rows["key"])

        # Corrected, the checks fall silent and the audit log says why; undone, everything is as before.
        table = wb.mappings.sure()
        plan = wb.mappings.plan(table, move_records=True)
        assert wb.mappings.plan(table, move_records=True).digest == plan.digest
        club.carry_out(plan)
        assert {finding.check for finding in wb.check(CHECKS).findings if finding.status != "pass"} == set()
        assert not wb.mappings.findings().problems["sure"].any()
        told = entries(club)
        for key, record in swapped.items():
            facts = told[key.split("/")[1]]
            assert facts["newMurmurantId"] == record
            assert facts["oldMurmurantId"] == next(other for other in swapped.values() if other != record)
            assert facts["entityType"] == "Member"
            assert facts["reason"]
        club.undo(plan)
    assert club.changed(before) == {}


@pytest.mark.recordings
@pytest.mark.parametrize("state", STATES)
def test_recordings_give_no_false_alarm(server, recordings, state, tmp_path):
    url = server.url(server.create())
    with psycopg.connect(url) as connection:
        load(connection, STATES[state])
    if state.startswith("api"):
        reports = recordings / "api_sync"
        paths = [reports / "first_run_report.json"]
    else:
        paths = [recordings / "csv_import" / state.removeprefix("csv_") / "reports"]
    wb = Workbench(
        Session(
            database_at(url),
            EnvironmentSettings(kind="development"),
            Settings(home=tmp_path),
            read_reports(paths),
        )
    )
    if state.startswith("csv"):
        exports = [recordings / "csv_import" / state.removeprefix("csv_") / "export"]
        assert not wb.mappings.findings(exports).problems["problem"].str.startswith("wrong-").any()
        return
    frame = wb.mappings.findings().problems
    assert set(frame["problem"]) <= {"shared-target"}
    assert not frame["sure"].any()


def test_two_people_with_one_address_are_not_taken_for_one(recording):
    """The sync gave both contacts one record, and then wrote the second's name into it."""
    rows = recording("incremental").json("mappings", "--problem", "shared-target")["problems"]
    differs = {row["wa_id"]: row["differs"] for row in rows}
    assert "given name" in differs["50050"]
    assert "given name" in differs["50120"]


NAMES = st.sampled_from(["Ann", "Bob", "Carol", "Dave", "Émile", ""])
FACTS = st.fixed_dictionaries({
    "given": NAMES, "family": NAMES, "email": st.sampled_from(["a@x.org", "b@y.org", ""]),
    "phone": st.sampled_from(["8055550000", "8055551111", ""]), "joined": st.sampled_from(["2020-01-01", "2021-01-01", ""]),
})  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(FACTS, FACTS, st.booleans(), st.booleans())
def test_the_record_made_for_an_id_is_never_sure_to_be_wrong(contact, record, another, known):
    def scored(birth, known):
        return score(contact, record, birth=birth, for_another=another, known=known)

    assert scored("here", known)["score"] < SURE
    for birth in ("", "elsewhere"):
        assert (scored(birth, False)["score"] or 0) < SURE
        judged = scored(birth, True)
        same = set(judged.get("agrees", "").split(", "))
        if "given name" in same and same & {"family name", "e-mail", "phone", "joining date"}:
            assert judged["score"] < SURE, "one person with two records"


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(7)))
def test_cycles_are_those_of_the_permutation(order):
    leads = {f"k{n}": f"r{to}" for n, to in enumerate(order) if n != to}
    cycles = find_cycles(leads, {key: f"r{key[1:]}" for key in leads})
    assert sorted(key for cycle in cycles for key in cycle) == sorted(leads)
    for cycle in cycles:
        assert cycle[0] == min(cycle)
        for key, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert leads[key] == f"r{following[1:]}"


def test_what_only_leads_into_a_cycle_is_no_part_of_it():
    leads = {"k0": "r1", "k1": "r2", "k2": "r1", "k3": "r9"}
    assert find_cycles(leads, {key: f"r{key[1:]}" for key in leads}) == [["k1", "k2"]]
