"""What `doctor` says of rights: the journal's schema, and rows that the server hides."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.commands import at as at
from tests.commands import shell as shell
from tests.dialects import one_dialect as one_dialect
from tests.imports import import_run


@pytest.fixture
def plain(club, at):
    """The club as a plain user has it, who may read and write its tables; and a way to change things behind them."""
    user = f"plain_of_{club.url.split('?')[0].rpartition('/')[2]}"
    with club.connect() as connection:
        connection.execute(
            f"CREATE ROLE {user} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {user};"
            f" GRANT ALL ON DATABASE {connection.info.dbname} TO {user}"
        )
    run = at(replace(club, url=club.url.replace("postgres:@", f"{user}:@")))
    yield run, user
    with club.connect() as connection:
        connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")


def said(run, subject):
    done = run("doctor", "--json")
    found = [each for each in json.loads(done.stdout) if each["subject"] == subject]
    return found[0]["state"] if found else None, done.returncode


def test_a_journal_of_somebody_elses_is_missing(club, plain):
    run, user = plain
    assert said(run, "journal")[0] == "ok"
    with club.connect() as connection:
        plan = import_run(connection, club.club, "guide" if club.club.dialect == "guide" else "api").run
    for statement, state in (
        ("CREATE SCHEMA workbench", "missing"),
        (f"GRANT USAGE ON SCHEMA workbench TO {user}", "missing"),
        (f"GRANT CREATE ON SCHEMA workbench TO {user}", "ok"),
        ("CREATE TABLE workbench.applied (id int)", "missing"),
        (f"GRANT ALL ON workbench.applied TO {user}", "ok"),
    ):
        club.execute(statement)
        assert said(run, "journal") == (state, 1 if state == "missing" else said(run, "journal")[1]), (
            statement
        )
    club.execute("DROP SCHEMA workbench CASCADE; CREATE SCHEMA workbench")
    made = json.loads(run("plan", "rollback", plan, "--json").stdout)
    run("approve", made["plan"], "--digest", made["digest"], "--as", "robin")
    assert run("apply", made["plan"], "--yes").returncode in {3, 4}
    club.execute(f"REVOKE INSERT ON ALL TABLES IN SCHEMA public FROM {user}")
    club.execute(f"GRANT USAGE ON SCHEMA workbench TO {user}")
    assert said(run, "journal")[0] == "note"  # who may only look is not bidden to write


def test_rows_that_the_server_hides_are_said_and_never_counted_as_none(club, plain):
    run, _ = plain
    assert said(run, "hidden rows")[0] is None
    club.execute('ALTER TABLE "Member" ENABLE ROW LEVEL SECURITY')
    assert said(run, "hidden rows") == ("missing", 1)
    done = run("check", "--json")
    assert done.returncode != 0
    found = {each["status"] for each in json.loads(done.stdout)["findings"]} if done.stdout else set()
    assert not found or "not run" in found


@pytest.mark.parametrize(
    ("hiding", "about"),
    [
        ("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {user}", "AuditLog"),
        ('REVOKE SELECT ON "WaIdMapping" FROM {user}', "WaIdMapping"),
        (
            'REVOKE SELECT ON "Member" FROM {user}; GRANT SELECT (id, "firstName") ON "Member" TO {user}',
            "email",
        ),
        (
            'ALTER TABLE "AuditLog" RENAME TO log; CREATE VIEW "AuditLog" AS SELECT * FROM log WHERE false;'
            ' GRANT SELECT ON "AuditLog" TO {user}',
            "AuditLog",
        ),
        (
            'ALTER TABLE "WaIdMapping" ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON "WaIdMapping" USING (false)',
            "WaIdMapping",
        ),
    ],
)
def test_what_may_not_be_read_whole_is_named_and_nothing_of_it_is_green(club, plain, hiding, about):
    run, user = plain
    assert said(run, "right to read")[0] == "ok"
    club.execute(hiding.format(user=user))
    for command in ("runs", "tiers" if about == "email" else "plan rollback sync_1_a"):
        done = run(*command.split(), "--json")
        assert (done.returncode, about in done.stderr) == (4, True), (command, done)
        assert '"pass"' not in done.stdout
        assert "not foreseen" not in done.stderr
    done = run("check", "--json")
    if done.returncode == 4:  # the server itself refuses to hide rows
        assert about in done.stderr
    else:
        findings = {row["check"]: row for row in json.loads(done.stdout)["findings"]}
        asked = [findings[name] for name in ("members-missing", "runs-interrupted", "records-left-out")]
        assert (done.returncode, {row["status"] for row in asked}) == (1, {"not run"})
        assert any(about in row["reason"] for row in asked)
    found = json.loads(run("doctor", "--json").stdout)
    assert any(each["state"] == "missing" and about in each["detail"] for each in found)
