"""A healthy club is healthy, repeatable, and tells the truth about its own imports."""

from __future__ import annotations

import json
from itertools import combinations

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.demo.oracles import ORACLES, ask, contents, reports
from workbench.demo.club import build_club
from workbench.demo.people import booking, event_start, person
from workbench.demo.shape import CAPACITY_LIMIT, Shape

ENTITIES = {"members": "Member", "events": "Event", "registrations": "Registration"}
WIDTHS = {"created": "create", "updated": "update", "existing": "skip"}


# A club is too dear to build for hypothesis to look for a smaller failure.
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(members=st.integers(50, 400), seed=st.integers(0, 2**40))
@pytest.mark.parametrize("dialect", ["guide", "application"])
def test_same_seed_same_bytes(server, tmp_path_factory, dialect, members, seed):
    states = []
    for _ in range(2):
        imports = tmp_path_factory.mktemp("imports")
        with psycopg.connect(server.url(server.create())) as connection:
            club = build_club(connection, dialect=dialect, members=members, seed=seed, imports=imports)
            assert {c: k for c, oracle in ORACLES.items() if (k := oracle(connection, club))} == {}
            states.append((contents(connection), {p.name: p.read_bytes() for p in imports.iterdir()}))
    assert states[0] == states[1]


def test_another_seed_is_another_club(server, clubs, tmp_path, dialect):
    with psycopg.connect(server.url(server.create())) as connection:
        build_club(connection, dialect=dialect, members=200, seed=2, imports=tmp_path)
        other = contents(connection)
    with psycopg.connect(clubs.clone(dialect).url) as connection:
        assert contents(connection)["Member"] != other["Member"]


def test_refuses_a_database_in_use(club, tmp_path):
    with psycopg.connect(club.url) as connection, pytest.raises(ValueError, match="empty database"):
        build_club(connection, dialect="guide", imports=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("members", [0, 49, 1_000_001])
def test_refuses_a_size_out_of_range(members):
    with pytest.raises(ValueError, match="50 to 1,000,000"):
        Shape("guide", members, 1)


@pytest.mark.parametrize("members", [50, 200, 1000])
@pytest.mark.parametrize("dialect", ["guide", "application"])
def test_invariants(clubs, dialect, members):
    cloned = clubs.clone(dialect, members)
    club = cloned.club
    nothing = {
        "one registration per event and member": 'SELECT FROM REG GROUP BY "eventId", "memberId" HAVING count(*) > 1',
        "registered before the start": """
            SELECT FROM REG r JOIN "Event" e ON e.id = r."eventId" WHERE r."registeredAt" >= e."startTime"
        """,
        "registered after joining": """
            SELECT FROM REG r JOIN "Member" m ON m.id = r."memberId" WHERE r."registeredAt" < m."joinedAt"
        """,
        "registered before the import": 'SELECT FROM REG WHERE "registeredAt" >= "createdAt"',
        "changed after made": """
            SELECT FROM "Member" WHERE "updatedAt" < "createdAt"
            UNION ALL SELECT FROM "Event" WHERE "updatedAt" < "createdAt"
            UNION ALL SELECT FROM REG WHERE "updatedAt" < "createdAt"
        """,
        "places taken within capacity": """
            SELECT FROM "Event" e JOIN REG r ON r."eventId" = e.id
            WHERE r.status IN ('CONFIRMED', 'NO_SHOW') GROUP BY e.id HAVING count(*) > e.capacity
        """,
        "one mail address each": 'SELECT FROM "Member" GROUP BY lower(email) HAVING count(*) > 1',
    }
    with psycopg.connect(cloned.url) as connection:
        for rule, statement in nothing.items():
            assert ask(connection, club, statement) == [], rule
        sizes = ask(
            connection,
            club,
            """
            SELECT (SELECT count(*) FROM "Member"), (SELECT count(*) FROM "Event"), (SELECT count(*) FROM REG),
                (SELECT max(capacity) FROM "Event"),
                (SELECT count(*) FROM "Member" WHERE "firstName" = '<script>alert(1)</script>'),
                (SELECT count(*) FROM "Event" WHERE starts_with(title, '=HYPERLINK(')),
                (SELECT count(*) FROM (SELECT FROM "Member" GROUP BY "lastName", phone HAVING count(*) > 1) h)
            """,
        )[0]
    assert sizes[:3] == (members, club.shape.events, club.registrations)
    assert sizes[3] <= CAPACITY_LIMIT
    assert sizes[4:6] == (1, 1)
    assert sizes[6] >= members // 25


@pytest.mark.parametrize("members", [50, 200, 1000])
@pytest.mark.parametrize("dialect", ["guide", "application"])
def test_runs_agree_with_rows_and_reports(clubs, dialect, members):
    cloned = clubs.clone(dialect, members)
    club = cloned.club
    with psycopg.connect(cloned.url) as connection:
        told = {}
        for report in reports(club, "wa_full_sync_report-*.json"):
            told[report["runId"]] = report["stats"]
        for report in reports(club, "migration-*-full.json"):
            for section in ENTITIES:
                actions = [record["_action"] for record in report[section]["records"]]
                counted = {word: actions.count(action) for word, action in WIDTHS.items()}
                counted["skipped"] = counted.pop("existing")
                assert counted.items() <= report[section].items(), "the listing is what it counts"
            told[report["runId"]] = report
        assert set(told) == {run.run for run in club.runs}
        for run in club.runs:
            for section, entity in ENTITIES.items():
                count, report = run.counts[entity], told[run.run][section]
                assert (count["created"], count["updated"]) == (report["created"], report["updated"])
                assert count["existing"] + count["mapped"] == report["skipped"]
            if run.mode == "live":
                created, updated = rows_of(connection, club, run)
                for entity in ENTITIES.values():
                    assert created.get(entity, 0) == run.counts[entity]["created"], (run.importer, entity)
                    if updated is not None:
                        assert updated.get(entity, 0) == run.counts[entity]["updated"], (run.importer, entity)


def rows_of(connection, club, run):
    """Created and updated records of a live run by entity, as the database shows them."""
    if run.importer == "guide":
        created = {
            entity: ask(connection, club, f'SELECT count(*) FROM {t} WHERE "importRunId" = %s', run.run)[0][0]
            for entity, t in (("Member", '"Member"'), ("Event", '"Event"'), ("Registration", "REG"))
        }
        done = ask(
            connection,
            club,
            """
            SELECT metadata->'counts' FROM "AuditLog"
            WHERE action = 'migration:completed' AND metadata->>'run_id' = %s
            """,
            run.run,
        )[0][0]
        return created, {ENTITIES[section]: counts["updated"] for section, counts in done.items()}
    if run.importer == "csv":
        listed = next(r for r in reports(club, "migration-live-*-full.json") if r["runId"] == run.run)
        created = {}
        for section, entity in ENTITIES.items():
            ids = [r["_murmurantId"] for r in listed[section]["records"] if r["_action"] == "create"]
            table = "REG" if entity == "Registration" else f'"{entity}"'
            created[entity] = ask(
                connection, club, f"SELECT count(*) FROM {table} WHERE id = ANY(%s::uuid[])", ids
            )[0][0]
        return created, None
    rows = ask(
        connection,
        club,
        """
        SELECT action::text, replace("resourceType", 'EventRegistration', 'Registration'), count(*)
        FROM "AuditLog" WHERE metadata->>'syncRunId' = %s GROUP BY 1, 2
        """,
        run.run,
    )
    counted = {"CREATE": {}, "UPDATE": {}}
    for action, entity, count in rows:
        counted[action][entity] = count
    return counted["CREATE"], counted["UPDATE"]


def test_dry_runs_precede_live_ones_with_the_same_config(clubs, dialect):
    runs = clubs.clone(dialect).club.runs
    for dry, live in zip(runs[::2], runs[1::2], strict=True):
        assert (dry.mode, live.mode, dry.importer) == ("dry", "live", live.importer)
        assert 0 < (live.started - dry.finished).total_seconds() < 24 * 3600


def test_application_traces(clubs):
    cloned = clubs.clone("application", 1000)
    club = cloned.club
    last = club.last_live_run
    with psycopg.connect(cloned.url) as connection:
        # Every member and event met is freshly mapped; registrations keep their first moment.
        synced = dict(
            ask(
                connection,
                club,
                """SELECT "entityType", count(*) FILTER (WHERE "syncedAt" < %s) FROM "WaIdMapping" GROUP BY 1""",
                last.started,
            )
        )
        assert synced["Member"] == synced["Event"] == 0 < synced["EventRegistration"]
        unmapped = ask(
            connection,
            club,
            """
            SELECT count(*) FROM "Member" m
            WHERE NOT EXISTS (SELECT FROM "WaIdMapping" w WHERE w."clubosId" = m.id)
            """,
        )[0][0]
        imported = next(run for run in club.runs if run.importer == "csv" and run.mode == "live")
        assert unmapped == imported.counts["Member"]["created"] - last.counts["Member"]["mapped"] > 0
        by_hand = ask(
            connection,
            club,
            """
            SELECT m.phone = a.after->>'phone', a."createdAt" = m."updatedAt", a."createdAt" > %s
            FROM "AuditLog" a JOIN "Member" m ON m.id = a."resourceId" WHERE a."memberId" IS NOT NULL
            """,
            last.finished,
        )
        assert len(by_hand) >= 3
        assert set(by_hand) == {(True, True, True)}
        empty = [
            name
            for name in [
                "UserAccount",
                "PaymentMethod",
                "PaymentIntent",
                "Committee",
                "CommitteeRole",
                "Term",
                "RoleAssignment",
                "EventNote",
                "MemberServiceHistory",
                "ActivityGroup",
                "ActivityGroupMember",
                "FileObject",
                "FileAccess",
                "SupportCase",
                "Page",
                "TicketTier",
                "EventPostmortem",
            ]
            if not ask(connection, club, f'SELECT FROM "{name}" LIMIT 1')
        ]
        assert empty == []


def test_report_of_many_records_says_it_is_cut(clubs, monkeypatch, server, tmp_path):
    monkeypatch.setattr("workbench.demo.reports.MOST_RECORDS", 30)
    with psycopg.connect(server.url(server.create())) as connection:
        club = build_club(connection, dialect="guide", members=60, imports=tmp_path)
    for report in reports(club, "migration-live-*-full.json"):
        assert report["truncated"]
        assert len(report["registrations"]["records"]) == 30 < report["registrations"]["totalRows"]


@settings(max_examples=25, deadline=None)
@given(members=st.integers(50, 3000), seed=st.integers(0, 2**63), application=st.booleans())
def test_shape_holds_at_any_size(members, seed, application):
    shape = Shape("application" if application else "guide", members, seed)
    slots = list(shape.slots())
    assert len(slots) == shape.registrations
    assert [slot.number for slot in slots] == list(range(len(slots)))
    assert len({(slot.event, slot.member) for slot in slots}) == len(slots)
    assert all(0 <= slot.member < members for slot in slots)
    for slot in slots[:: max(1, len(slots) // 200)]:
        assert booking(shape, slot).registered < event_start(shape, slot.event)
    assert 6 <= len(slots) / members <= 12


def test_a_million_members_have_distinct_ids_and_phones():
    shape = Shape("application", 1_000_000, 1)
    last = {entity: shape.wa_id(entity, 0) for entity in ENTITIES.values()}
    sizes = {"Member": shape.members, "Event": shape.events, "Registration": 12 * shape.members}
    stretches = [range(last[entity], last[entity] + sizes[entity]) for entity in last]
    assert not any(set(a[:1]) & set(b) or a[-1] in b or b[-1] in a for a, b in combinations(stretches, 2))
    assert max(stretch[-1] for stretch in stretches) < 2**31
    phones = [person(shape, index).phone for index in range(0, 1_000_000, 977)]
    assert len(set(phones)) == len(phones)


def test_membership_yaml_is_what_the_members_have(club):
    text = (club.club.imports / "membership.yaml").read_text()
    assert text.startswith("#")
    lines = text.split("apping:\n")[1].splitlines()
    mapping = dict(line.strip().rsplit(": ", 1) for line in lines)
    with psycopg.connect(club.url) as connection:
        pairs = ask(
            connection,
            club.club,
            """
            SELECT DISTINCT "waMembershipLevelRaw", t.code FROM "Member" m
            LEFT JOIN "MembershipTier" t ON t.id = m."membershipTierId"
            """,
        )
    assert {json.dumps(level): code for level, code in pairs}.items() <= mapping.items()
