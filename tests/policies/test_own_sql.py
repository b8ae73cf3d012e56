"""Rules in SQL: what they may ask, and what the server refuses of them."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.dialects import one_dialect as one_dialect
from tests.policies.conftest import keys, rule
from tests.states import state
from workbench.errors import DatabaseUnreachable
from workbench.reporting.masking import mask


def asked(club, path, **options):
    with club.workbench(**options) as wb:
        return {each.check: each for each in wb.policies(path).findings}


def test_a_rule_of_ones_own_is_a_finding_like_any(club, write):
    path = write(
        own=rule(
            """SELECT id AS key, title, 'a%b' AS "like" FROM "Event" WHERE title LIKE '%outing%' -- ours"""
        )
    )
    found = asked(club, path)["own"]
    assert found.status == "fail"
    assert found.count
    assert len(found.rows) == min(found.count, 20)
    assert list(found.rows.columns)[:2] == ["key", "title"]
    assert list(found.rows["key"]) == sorted(found.rows["key"])
    assert "outing" in found.query
    with club.workbench() as wb:
        (waived,) = wb.policies(path, waive={"own": "so be it"}).findings
    assert (waived.status, waived.reason, waived.count) == ("waived", "by dana: so be it", found.count)
    found = asked(club, write(own=rule("SELECT id AS key FROM events WHERE false")))["own"]
    assert (found.status, found.count) == ("pass", 0)


@pytest.mark.parametrize(
    "select",
    [
        'SELECT id AS key, "lastName" AS note, email AS "at", "lastName" || email AS event FROM "Member"',
        'SELECT id AS key, last_name AS note, email AS "at", last_name || email AS event FROM members',
    ],
)
def test_renamed_and_made_up_text_is_masked(club, write, select):
    path = write(own=rule(select))
    found = asked(club, path)["own"]
    assert list(found.rows.columns)[1:3] == ["lastName", "email"]
    with club.connect() as connection:
        surnames = {row[0] for row in connection.execute('SELECT DISTINCT "lastName" FROM "Member"')}
    shown = mask(found.rows).astype(str)
    assert not any("@example" in cell and "•" not in cell for cell in shown.to_numpy().ravel())
    assert not [cell for cell in shown.to_numpy()[:, 1:].ravel() if any(name in cell for name in surnames)]
    write(own=rule("SELECT id AS key, 'as ' || status AS was FROM registrations", harmless=["was"]))
    found = asked(club, path)["own"]
    assert mask(found.rows)["was"].str.startswith("as ").all()


REFUSED = {
    "no key": ('SELECT id, title FROM "Event"', '"key"'),
    "two keys": ('SELECT id AS key, title AS key FROM "Event"', '"key"'),
    "twins": ('SELECT id AS key, title, title FROM "Event"', "title"),
    "no column": ("SELECT", '"key"'),
    "syntax": ('SELEC id AS key FROM "Event"', "syntax error"),
    "unknown column": ('SELECT id AS key, titel FROM "Event"', 'column "titel" does not exist'),
    "unquoted": ("SELECT id AS key FROM Event", 'relation "event" does not exist'),
    "two statements": ('SELECT id AS key FROM "Event"; SELECT 1', "syntax error"),
    "two statements, paren closed": ("SELECT 1 AS key) AS culprits; SELECT * FROM (SELECT 1 AS key", "multiple commands"),
    "delete": ('DELETE FROM "Event" RETURNING id AS key', "syntax error"),
    "delete in a with": ('WITH gone AS (DELETE FROM "Event" RETURNING id) SELECT id AS key FROM gone', "top level"),
    "into": ('SELECT id AS key INTO copied FROM "Event"', "INTO"),
    "for update": ('SELECT id AS key FROM "Event" FOR UPDATE', "read-only transaction"),
    "nextval": ("SELECT nextval('numbers') AS key", "read-only transaction"),
    "large object": ("SELECT lo_from_bytea(0, 'x') AS key", "read-only transaction"),
    "read-write by set_config": ("SELECT set_config('transaction_read_only', 'off', true) AS key", "read-write mode"),
    "set": ("SET transaction_read_only = off", "syntax error"),
    "reset": ("RESET ALL", "syntax error"),
    "commit": ("COMMIT", "syntax error"),
    "copy to program": ("COPY (SELECT 1) TO PROGRAM 'true'", "syntax error"),
    "do": ("DO $$ BEGIN NULL; END $$", "syntax error"),
    "query by text": ("""SELECT query_to_xml('DELETE FROM "Event"', true, true, '')::text AS key""", "not allowed in a non-volatile function"),
    "dblink": ("SELECT dblink_exec('x') AS key", "does not exist"),
    "sleep": ("SELECT pg_sleep(30)::text AS key", "took longer than 0.5 s"),
    "sleep without limit": ("SELECT set_config('statement_timeout', '0', false) || pg_sleep(30)::text AS key", "took longer"),
    "endless": ("WITH RECURSIVE n AS (SELECT 1 AS key UNION ALL SELECT 1 FROM n) SELECT count(*) AS key FROM n", "took longer"),
    "a parameter": ("SELECT $1 AS key", ""),
}  # fmt: skip


def test_what_the_server_refuses_is_not_run_and_silences_nothing(club, write):
    club.execute("CREATE SEQUENCE numbers")
    rules = {f"own_{place}": rule(sql) for place, (sql, _) in enumerate(REFUSED.values())}
    rules["last"] = rule('SELECT id AS key FROM events WHERE "end" < start')
    with club.connect() as other:
        before = state(other)
        other.commit()
        found = asked(club, write(**rules), statement_timeout=0.5)
        assert state(other) == before
        assert other.execute("SELECT last_value, is_called FROM numbers").fetchone() == (1, False)
    for place, (name, (_, words)) in enumerate(REFUSED.items()):
        each = found[f"own-{place}"]
        assert (each.status, each.count, each.open) == ("not run", None, True), name
        assert words in each.reason, f"{name}: {each.reason}"
    assert found["last"].status == "pass"


def test_what_a_rule_sets_and_locks_ends_with_it(club, write):
    path = write(
        a=rule("SELECT set_config('statement_timeout', '0', false) AS key"),
        b=rule("SELECT set_config('search_path', 'pg_catalog', false) AS key"),
        c=rule("SELECT pg_advisory_lock(7)::text AS key"),
        e=rule(
            "SELECT x AS key FROM (VALUES (current_setting('statement_timeout')), (current_setting('search_path'))) v(x)"
        ),
        f=rule("SELECT pg_sleep(30)::text AS key"),
    )
    with club.workbench(statement_timeout=1.5) as wb:
        found = {each.check: each for each in wb.policies(path).findings}
        with club.connect() as other:  # while ours is open
            assert other.execute("SELECT pg_try_advisory_lock(7)").fetchone() == (True,)
    assert keys(found["e"]) == {"1500ms", '"public"'}
    assert "took longer than 1.5 s" in found["f"].reason


def test_a_role_that_may_only_read_asks_as_itself(application, write):
    club = application
    role = f"reader_{uuid4().hex[:12]}"
    club.execute(f"CREATE ROLE {role} LOGIN")
    try:
        club.execute(f'GRANT SELECT ON "Event" TO {role}')
        path = write(
            own=rule('SELECT current_user::text AS key FROM "Event"'),
            m=rule("SELECT id AS key FROM members WHERE false"),
        )
        mine = replace(club, url=club.url.replace("postgres:@", f"{role}:@"))
        assert role in mine.url
        with mine.workbench(import_reports=()) as wb:
            found = {each.check: each for each in wb.policies(path).findings}
        assert keys(found["own"]) == {role}
        assert found["m"].status == "not run"
        club.execute('ALTER TABLE "Event" ENABLE ROW LEVEL SECURITY')
        hidden = asked(mine, path, import_reports=())["own"]  # rows that are hidden are no pass
        assert (hidden.status, "row-level security" in hidden.reason) == ("not run", True)
    finally:
        club.execute(f"DROP OWNED BY {role}")
        club.execute(f"DROP ROLE {role}")


def test_a_session_that_is_ended_is_a_lost_connection(guide, write):
    sql = "SELECT pg_terminate_backend(pg_backend_pid())::text AS key"
    with pytest.raises(DatabaseUnreachable):
        asked(guide, write(own=rule(sql)))
