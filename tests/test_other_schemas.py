"""Schemas and rows as other people have them: odd names and values, partitions, tables without keys, later migrations."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground
from tests.states import differences, state

ANSWERED = {0, 1}
LOOKING = ("check", "triage", "duplicates")
"""What asks every table, by every way of asking."""


@pytest.fixture
def club(clubs: Clubs, dialect: str) -> Ground:
    return clubs.clone(dialect, members=60)


def answered(run: Shell, *commands: str) -> None:
    """Prove that each command answers, whatever it finds."""
    for command in commands or LOOKING:
        done = run(*command.split())
        assert done.returncode in ANSWERED, (command, done.stderr)


def execute(club: Ground, *statements: str) -> None:
    """Change something, per cent signs and all."""
    with club.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())


def ask(club: Ground, question: str) -> list[tuple[Any, ...]]:
    with club.connect() as connection:
        return connection.execute(question.encode()).fetchall()


def twins(club: Ground) -> tuple[str, str]:
    """Add two members to whom nothing refers yet."""
    ids = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
    for place, key in enumerate(ids):
        execute(
            club,
            """INSERT INTO "Member" SELECT (jsonb_populate_record(m, jsonb_build_object("""
            f"""'id', '{key}', 'email', 'twin{place}@example.org'))).* FROM "Member" m ORDER BY id LIMIT 1""",
        )
    return ids


def rows(club: Ground) -> dict[str, list[str]]:
    """Every row but the audit log's, to which each change adds."""
    with club.connect() as connection:
        return state(connection, leave_out={"AuditLog", "AuditLog 0", "AuditLog 1"})


def carried_out(run: Shell, *planning: str) -> dict[str, Any]:
    """Plan, approve and apply by commands; return what the planning said."""
    planned = run("plan", *planning, "--json")
    assert planned.returncode in ANSWERED, planned.stderr
    said: dict[str, Any] = json.loads(planned.stdout)
    approved = run("approve", said["plan"], "--digest", said["digest"], "--as", "robin")
    assert approved.returncode == 0, approved.stderr
    applied = run("apply", said["plan"], "--yes")
    assert applied.returncode == 0, applied.stderr
    return said


def undone(run: Shell, plan: str) -> None:
    taken_back = run("undo", plan, "--yes")
    assert taken_back.returncode == 0, taken_back.stderr


def a_run(run: Shell) -> str:
    """Return the last import that was no dry run."""
    known = json.loads(run("runs", "--json").stdout)
    return str([each["run"] for each in known if each["mode"] == "live"][-1])


def findings(run: Shell, *checks: str) -> dict[str, dict[str, Any]]:
    asked = run("check", *checks, "--json")
    assert asked.returncode in ANSWERED, asked.stderr
    return {each["check"]: each for each in json.loads(asked.stdout)["findings"]}


@pytest.mark.parametrize("dialect", ["guide"])
def test_names_are_names(club, at):
    """A per cent sign, a colon or a brace in a column's name is no placeholder."""
    execute(
        club,
        """ALTER TABLE "Member" ADD COLUMN "discount %" text DEFAULT '5 %s', ADD COLUMN "a:b {x} ""q"" %(y)s" text""",
        """CREATE TABLE "%s of :you" AS SELECT id AS "member :id %", '' AS "id %" FROM "Member" LIMIT 0""",
        'ALTER TABLE "%s of :you" ADD PRIMARY KEY ("id %"), ADD FOREIGN KEY ("member :id %") REFERENCES "Member"',
    )
    one, two = twins(club)
    execute(club, f"""INSERT INTO "%s of :you" VALUES ('{two}', 'a%b:c')""")
    run, before = at(club), rows(club)
    answered(run, *LOOKING, "runs", "mappings", "tiers", "policies", "audit")
    plan = carried_out(run, "rollback", a_run(run))["plan"]
    undone(run, plan)
    assert differences(before, rows(club)) == {}
    plan = carried_out(run, "merge", one, two)["plan"]
    assert ask(club, 'SELECT "member :id %"::text FROM "%s of :you"') == [(one,)]
    undone(run, plan)
    assert differences(before, rows(club)) == {}


@pytest.mark.parametrize("dialect", ["application"])
def test_a_date_that_no_calendar_has(club, at):
    """It is named, by its row; and everything else is answered."""
    run, planted = at(club), []
    for table, column in ask(
        club,
        "SELECT table_name, column_name FROM information_schema.columns WHERE data_type LIKE ANY (ARRAY['timestamp%', 'date'])"
        " AND table_name IN ('Member', 'Event', 'AuditLog', 'WaIdMapping', 'Registration', 'EventRegistration') ORDER BY 1, 2",
    ):
        odd = ("20240-01-01", "infinity", "0044-03-15 BC", "-infinity")[len(planted) % 4]
        execute(
            club,
            f"""UPDATE "{table}" SET "{column}" = '{odd}' WHERE ctid = (SELECT max(ctid) FROM "{table}")""",
        )
        planted.append((table, column, odd.split(" ")[0]))
    (found,) = findings(run, "values-odd").values()
    assert (found["status"], found["count"]) == ("warn", len(planted))
    assert [
        (each["table"], each["column"], each["value"].split(" ")[0]) for each in found["rows"]
    ] == planted[:20]
    answered(run)
    assert "20240-01-01" in run("duplicates").stderr


@pytest.mark.parametrize("dialect", ["application"])
def test_json_that_no_database_can_take_apart(club, at):
    """`json` keeps what `jsonb` refuses: a letter nought, half a surrogate pair."""
    execute(club, 'ALTER TABLE "AuditLog" ALTER metadata TYPE json USING metadata::json')
    run = at(club)
    known = json.loads(run("runs", "--json").stdout)
    (key,) = ask(club, 'SELECT min(id::text) FROM "AuditLog"')[0]
    execute(
        club,
        r"""UPDATE "AuditLog" SET metadata = '{"a": "x\u0000y", "b": "\ud83d", "c": "\ud83d\ude00", "d": "\\u0000"}' """
        f"WHERE id::text = '{key}'",
    )
    (found,) = findings(run, "values-odd").values()
    assert (found["status"], found["count"], found["rows"][0]["key"]) == ("warn", 1, key)
    answered(run)
    assert [each["run"] for each in json.loads(run("runs", "--json").stdout)] == [
        each["run"] for each in known
    ]
    undone(run, carried_out(run, "rollback", a_run(run))["plan"])


@pytest.mark.parametrize("dialect", ["guide"])
def test_a_migration_since_the_snapshot(club, server, at):
    """What today's columns cannot hold is unresolved, and all else goes back."""
    execute(
        club,
        "CREATE TYPE mood AS ENUM ('low', 'mid', 'high')",
        'ALTER TABLE "Member" ADD mood mood, ADD gone text, ADD size text, ADD worn text, ADD said text',
        "UPDATE \"Member\" SET mood = 'low', gone = 'b', size = '8', worn = 'x', said = 'is'",
    )
    run = at(club)
    run_id = a_run(run)
    listed = json.loads(run("run", run_id, "--limit", "10000", "--json").stdout)["listed"]
    new = "', '".join(row["record_id"] for row in listed if row["action"] == "created")
    earlier = replace(club, url=server.url(server.create(club.database)))
    execute(
        earlier,
        "SET session_replication_role = replica",
        *(
            f"""DELETE FROM "{table}" WHERE id IN ('{new}')"""
            for table in ("Member", "Event", "Registration")
        ),
        f"""DELETE FROM "WaIdMapping" WHERE "murmurantId" IN ('{new}')""",
        "UPDATE \"Member\" SET mood = 'mid', gone = 'a', size = '7', worn = NULL, said = 'was'",
    )
    snapshot = earlier.dump()
    execute(
        club,
        "ALTER TYPE mood RENAME VALUE 'mid' TO 'middling'",
        'ALTER TABLE "Member" DROP gone, ALTER size TYPE numeric(6, 2) USING size::numeric, ALTER worn SET NOT NULL',
    )
    untouched = rows(club)
    plan = carried_out(run, "rollback", run_id, "--snapshot", str(snapshot))["plan"]
    shown = json.loads(run("show", plan, "--json").stdout)
    ((count, *values),) = ask(
        club,
        "SELECT count(*), min(mood::text), max(mood::text), min(size::text) FROM \"Member\" WHERE said = 'was'",
    )
    assert (count > 0, *values) == (True, "low", "low", "8.00")
    columns = Counter(item["reason"].split(" ")[0] for item in shown["unresolved"])
    assert columns == dict.fromkeys(("mood", "worn"), count)
    assert all(any(f"'{name}'" in note for note in shown["notes"]) for name in ("gone", "size"))
    undone(run, plan)
    assert differences(untouched, rows(club)) == {}


def partition(club: Ground, table: str, by: str, key: str, *parts: str) -> None:
    """Make a table one of partitions, with its rows, its foreign keys and those that lead to it."""
    defined = "SELECT conname, conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
    named = f"""'"{table}"'::regclass"""
    own = ask(club, f"{defined} AND conrelid = {named}")
    leading = ask(club, f"{defined} AND confrelid = {named}")
    execute(
        club,
        *(f'ALTER TABLE {child} DROP CONSTRAINT "{name}"' for name, child, _ in leading),
        f'ALTER TABLE "{table}" RENAME TO "{table} whole"',
        f'CREATE TABLE "{table}" (LIKE "{table} whole" INCLUDING DEFAULTS) PARTITION BY {by}',
        f'ALTER TABLE "{table}" ADD PRIMARY KEY ({key})',
        *(f'CREATE TABLE "{table} {n}" PARTITION OF "{table}" {part}' for n, part in enumerate(parts)),
        f'INSERT INTO "{table}" SELECT * FROM "{table} whole"',
        f'DROP TABLE "{table} whole"',
        *(f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" {what}' for name, _, what in own),
        *(
            f'ALTER TABLE {child} ADD CONSTRAINT "{name}" {what}'
            for name, child, what in leading
            if key == "id"
        ),
    )


HALVES = "FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "FOR VALUES WITH (MODULUS 2, REMAINDER 1)"


@pytest.mark.parametrize("dialect", ["application"])
def test_partitions(club, at, tmp_path):
    """Counters, places and triggers of a partitioned table are its partitions'; what is done is the same."""
    partition(club, "EventRegistration", "HASH (id)", "id", *HALVES)
    years = "FROM (MINVALUE) TO ('2026-06-01')", "FROM ('2026-06-01') TO (MAXVALUE)"
    partition(
        club, "AuditLog", 'RANGE ("createdAt")', 'id, "createdAt"', *(f"FOR VALUES {each}" for each in years)
    )
    run, untouched = at(club), rows(club)
    answered(run)
    undone(run, carried_out(run, "rollback", a_run(run))["plan"])
    assert differences(untouched, rows(club)) == {}
    assert json.loads(run("audit", "--json").stdout)["log"]["state"] == "holds"
    made = run("snapshot", "create")
    assert made.returncode == 0, made.stderr
    answered(run, "snapshot verify latest", "snapshot diff latest", "snapshot losses latest")


@pytest.mark.parametrize("dialect", ["guide"])
def test_a_key_of_two_columns(club, at):
    """Where a partitioned table's key is more than its id, a plan that needs one of its rows is refused when it is asked for."""
    partition(club, "Registration", 'RANGE ("registeredAt")', 'id, "registeredAt"', "DEFAULT")
    run = at(club)
    answered(run)
    refused = run("plan", "rollback", a_run(run))
    assert refused.returncode == 3, refused.stderr
    assert '"Registration"' in refused.stderr
    assert "missing" in [
        each["state"]
        for each in json.loads(run("doctor", "--json").stdout)
        if '"Registration"' in each["detail"]
    ]


@pytest.mark.parametrize("dialect", ["guide"])
def test_merging_in_tables_that_only_join(club, at):
    """Prisma's implicit `_AToB` tables have no primary key, others one of two columns: every reference moves all the same."""
    one, two = twins(club)
    keys = {
        "_CommitteeToMember": 'CREATE UNIQUE INDEX ON "_CommitteeToMember" ("A", "B")',
        "_Newer": 'ALTER TABLE "_Newer" ADD PRIMARY KEY ("A", "B")',
        "_Titled": 'ALTER TABLE "_Titled" ADD UNIQUE ("B")',
    }
    for table, key in keys.items():
        values = f"('board', '{two}', 'x')"
        if table != "_Titled":
            values += f", ('board', '{one}', 'x'), ('choir', '{two}', 'y')"
        execute(
            club,
            f"""CREATE TABLE "{table}" AS SELECT '' AS "A", id AS "B", 'x' AS said FROM "Member" LIMIT 0""",
            f'ALTER TABLE "{table}" ADD FOREIGN KEY ("B") REFERENCES "Member" ON DELETE CASCADE, ALTER "A" SET NOT NULL,'
            ' ALTER "B" SET NOT NULL',
            key,
            f'INSERT INTO "{table}" VALUES {values}',
        )
    run, before = at(club), rows(club)
    plan = carried_out(run, "merge", one, two)["plan"]
    for table in keys:
        wanted = [("board", one, "x"), ("choir", one, "y")][: 1 if table == "_Titled" else 2]
        assert ask(club, f'SELECT "A", "B"::text, said FROM "{table}" ORDER BY 1') == wanted
    undone(run, plan)
    assert differences(before, rows(club)) == {}
    execute(club, f"""UPDATE "_Newer" SET said = 'z' WHERE "A" = 'board' AND "B"::text = '{two}'""")
    refused = run("plan", "merge", one, two)
    assert (refused.returncode, "_Newer" in refused.stderr) == (3, True)


RULES = (
    (
        "EXCLUDE USING gist (int4range(hashtext(m::text), hashtext(m::text), '[]') WITH &&, during WITH &&)",
        ("one", "two"),
    ),
    ("CHECK (m <> guest)", ("one, two",)),
    ("UNIQUE (whose, during) DEFERRABLE INITIALLY DEFERRED", ("one", "two")),
)


@pytest.mark.parametrize("dialect", ["application"])
def test_rules_between_the_rows_of_merged_people(club, at):
    """What a rule of the database would forbid once two are one is refused when it is planned, with the rows."""
    ids = dict(zip(("one", "two"), twins(club), strict=True))
    run = at(club)
    for rule, theirs in RULES:
        people = [[ids[name] for name in who.split(", ")] for who in theirs]
        execute(
            club,
            """CREATE TABLE "Stay" AS SELECT '' AS id, id AS m, id AS guest, 'x' AS said, int4range(1, 5) AS during"""
            ' FROM "Member" LIMIT 0',
            'ALTER TABLE "Stay" ADD PRIMARY KEY (id), ADD FOREIGN KEY (m) REFERENCES "Member", ADD FOREIGN KEY (guest)'
            f" REFERENCES \"Member\", ADD whose text GENERATED ALWAYS AS (m::text || 'x') STORED, ADD {rule}",
            *(
                f"""INSERT INTO "Stay" VALUES ('{n}', '{m}', {f"'{guest[0]}'" if guest else "NULL"}, 'by {n}', '[1,5)')"""
                for n, (m, *guest) in enumerate(people)
            ),
        )
        refused = run("plan", "merge", *ids.values())
        assert refused.returncode == 3, (rule, refused.stderr)
        assert "Stay 0" in refused.stderr
        execute(club, 'DROP TABLE "Stay"')
    carried_out(run, "merge", *ids.values())
