"""The healthy club: repeatable, valid, and consistent with the reports of its imports."""

from __future__ import annotations

import json
from itertools import combinations

import psycopg
import pytest

from tests.states import state
from workbench.demo.club import Club, build_club
from workbench.demo.importing import demo_file, staging

ENTITIES = {"members": "Member", "events": "Event", "registrations": "Registration"}
WIDTHS = {"created": "create", "updated": "update", "existing": "skip"}


def ask(connection, club, statement, *values):
    """Return the rows of an answer; REG, TARGET and WORD stand for what each dialect calls them."""
    guide = club.dialect == "guide"
    words = {
        "REG": '"Registration"' if guide else '"EventRegistration"',
        "TARGET": '"murmurantId"' if guide else '"clubosId"',
        "WORD": """replace("entityType", 'EventRegistration', 'Registration')""",
    }
    for word, name in words.items():
        statement = statement.replace(word, name)
    return connection.execute(statement, values).fetchall()


def reports(club, pattern):
    return [json.loads(path.read_text()) for path in sorted(club.imports.glob(pattern))]


@pytest.mark.parametrize(("dialect", "members", "seed"), [("guide", 57, 3), ("application", 131, 2**40)])
def test_same_seed_same_bytes(server, tmp_path_factory, dialect, members, seed):
    states = []
    for _ in range(2):
        imports = tmp_path_factory.mktemp("imports")
        with psycopg.connect(server.url(server.create())) as connection:
            build_club(connection, dialect=dialect, members=members, seed=seed, imports=imports)
            states.append((state(connection), {p.name: p.read_bytes() for p in imports.iterdir()}))
    assert states[0] == states[1]


def test_another_seed_is_another_club(server, guide, tmp_path):
    with psycopg.connect(server.url(server.create())) as connection:
        build_club(connection, dialect="guide", members=60, seed=2, imports=tmp_path)
        other = state(connection)
    with psycopg.connect(guide.url) as connection:
        assert state(connection)["Member"] != other["Member"]


def test_every_name_is_there_as_it_is_spelt(guide):
    listed = [line.split("\t") for line in demo_file("names.tsv").splitlines() if not line.startswith("#")]
    with guide.connect() as connection, staging(connection, guide.club):
        spelt = {name for (name,) in connection.execute("SELECT unnest(names) FROM demo.name")}
        odd = connection.execute(
            "SELECT count(*) FROM demo.name, unnest(names) n WHERE demo.plain(n) ~ '[^ -~]'"
        )
        assert odd.fetchone() == (0,), "an accent that e-mail addresses would lose"
    assert spelt == {name for *_, names in listed for name in names.split()}
    assert "Null" in spelt


def test_refuses_a_database_in_use(club, tmp_path):
    with psycopg.connect(club.url) as connection, pytest.raises(ValueError, match="empty database"):
        build_club(connection, dialect="guide", imports=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("members", [0, 49, 1_000_001])
def test_refuses_a_size_out_of_range(members, tmp_path):
    with pytest.raises(ValueError, match="50 to 1,000,000"):
        Club("guide", members, 1, tmp_path)


@pytest.mark.parametrize(("dialect", "members"), [("guide", 50), ("application", 1500)])
def test_invariants(clubs, dialect, members):
    cloned = clubs.clone(dialect, members)
    club = cloned.club
    assert not {each.status for each in cloned.wb.check().findings} & {"fail", "warn"}
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
    assert sizes[:3] == (members, club.sizes["all_events"], club.registrations)
    assert sizes[3] <= 100
    assert sizes[4:6] == (1, 1)
    assert sizes[6] >= members // 25
    assert 6 <= sizes[2] / members <= 13
    assert members < 1500 or sizes[2] > 10_000, "numbers of five digits, too, are proved"


@pytest.mark.parametrize(("dialect", "members"), [("guide", 50), ("application", 1500)])
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
                assert len({record["_waId"] for record in report[section]["records"]}) == len(actions)
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
    cloned = clubs.clone("application", 1500)
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
        used = """UserAccount PaymentMethod PaymentIntent Committee CommitteeRole Term RoleAssignment EventNote FileObject
            MemberServiceHistory ActivityGroup ActivityGroupMember FileAccess SupportCase Page TicketTier EventPostmortem"""
        for name in used.split():
            assert ask(connection, club, f'SELECT FROM "{name}" LIMIT 1'), name


def test_report_of_many_records_says_it_is_cut(clubs, monkeypatch, server, tmp_path):
    monkeypatch.setattr("workbench.demo.importing.MOST_LISTED", 30)
    with psycopg.connect(server.url(server.create())) as connection:
        club = build_club(connection, dialect="guide", members=60, imports=tmp_path)
    for report in reports(club, "migration-live-*-full.json"):
        assert report["truncated"]
        assert len(report["registrations"]["records"]) == 30 < report["registrations"]["totalRows"]


def test_ids_are_known_without_asking(clubs, dialect):
    cloned = clubs.clone(dialect)
    club = cloned.club
    with psycopg.connect(cloned.url) as connection:
        mapped = ask(connection, club, """SELECT WORD, "waId"::int, TARGET::text FROM "WaIdMapping" """)
    last = {"Member": club.members, "Event": club.sizes["all_events"], "Registration": club.registrations}
    known = {
        (entity, club.wa_id(entity, number), club.id(entity, number))
        for entity, total in last.items()
        for number in range(total)
    }
    assert set(mapped) <= known
    assert len(mapped) >= len(known) * 0.9


def test_a_million_members_have_distinct_wa_ids(tmp_path):
    club = Club("application", 1_000_000, 1, tmp_path)
    sizes = {"Member": club.members, "Event": club.sizes["all_events"], "Registration": 12 * club.members}
    stretches = [range(club.wa_id(each, 0), club.wa_id(each, sizes[each])) for each in sizes]
    assert not any(a[0] in b or a[-1] in b or b[-1] in a for a, b in combinations(stretches, 2))
    assert max(stretch[-1] for stretch in stretches) < 2**31


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
