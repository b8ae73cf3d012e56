"""The command line as its user meets it: exit codes, JSON, plain words, and nothing that should not be said."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.commands import at, shell  # noqa: F401
from tests.conftest import DIALECTS
from workbench.demo.making import make_demo
from workbench.settings import load_settings

COMMANDS = ("demo", "lab", "serve", "doctor", "runs", "run", "check", "audit", "report")


@pytest.fixture(scope="module")
def asked(clubs):
    """A club that is only looked at."""
    return clubs.clone("guide", 60)


def test_help_lists_every_command(shell, tmp_path):  # noqa: F811
    surroundings = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    words = [sys.executable, "-m", "workbench", "--help"]
    done = subprocess.run(words, cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout
        assert shell(command, "--help").returncode == 0
    for said in ("Exit codes", "Look:", "Plan and apply:", "Before an import:", "For example"):
        assert said in " ".join(done.stdout.split())
    loaded = {*re.findall(r"\| +(\w+)$", done.stderr, re.M)}
    assert "typer" in loaded
    assert not {"pandas", "sqlalchemy", "matplotlib", "pydantic"} & loaded, "help is said at once"


def test_wrong_usage_is_two_with_the_nearest(shell, asked, at):  # noqa: F811
    for arguments in (("chekc",), ("run",), ("check", "--nope")):
        assert shell(*arguments).returncode == 2
    run, last = at(asked), asked.club.last_live_run.run
    for nearest, *arguments in (
        ("mappings-orphaned", "check", "mapping-orphaned"),
        (last, "run", last[:-1] + "x"),
        ("post-recovery", "report", "post-recovry"),
        ("", "check", "--waive", "members-wrong-person"),
        ("", "audit", "--by-operator", "--summary"),
    ):
        done = run(*arguments)
        assert (done.returncode, nearest in done.stderr) == (2, True), done


def test_questions_answer_in_json_and_in_words(asked, at):  # noqa: F811
    run, last = at(asked), asked.club.last_live_run
    runs = json.loads(run("runs", "--json").stdout)
    assert [each["run"] for each in runs] == [each.run for each in asked.club.runs]
    assert {"run", "importer", "status"} <= set(runs[0])
    done = run("run", last.run, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["records"]["Member"]["created"] == last.counts["Member"]["created"]
    assert {"run", "importer", "status", "evidence", "records"} <= set(told)
    words = run("run", last.run)
    assert "completed" in words.stdout
    assert "club (demo)" in words.stderr
    entries = json.loads(run("audit", "--run", last.run, "--json").stdout)["entries"]
    assert [each["action"] for each in entries] == ["migration:started", "migration:completed"]
    assert (
        json.loads(run("audit", "--by-operator", "--since", "2000-01-01", "--json").stdout)[0]["imports"] >= 2
    )
    assert json.loads(run("audit", "--summary", "--json").stdout)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_check_says_clean_or_findings(clubs, at, dialect):  # noqa: F811
    club = clubs.clone(dialect, 60)
    run = at(club)
    clean = run("check", "--json")
    assert clean.returncode == 0, clean.stdout[-2000:]
    statuses = {each["check"]: each["status"] for each in json.loads(clean.stdout)["findings"]}
    assert statuses["app-health"] == "not run"
    assert run("check", "app-health").returncode == 1  # asked for by name, it was not answered
    (truth,) = club.breaks("swapped-mappings")
    broken = run("check", "--json")
    assert broken.returncode == 1
    found = {each["check"]: each for each in json.loads(broken.stdout)["findings"]}["members-wrong-person"]
    assert {row["key"] for row in found["rows"]} == set(truth.keys)
    assert found["guide"] == "§1.2"
    waived = ("check", "members-wrong-person", "--waive", "members-wrong-person=known, being fixed")
    assert run(*waived).returncode == 0


def test_what_is_shown_has_no_people_no_secrets_and_no_control_characters(clubs, at):  # noqa: F811
    club = clubs.clone("guide", 60)
    club.execute("""UPDATE "Member" SET email = 'zebulon.quux@example.org', "lastName" = 'Quux' WHERE id IN
                    (SELECT id FROM "Member" ORDER BY id LIMIT 2)""")
    hostile = "evil\x1b[2J\x1b]0;owned\x07\n[bold]<script>alert(1)</script>"
    club.execute(
        """UPDATE "Event" SET capacity = 500, title = %s WHERE id IN (SELECT id FROM "Event" ORDER BY id LIMIT 1)""",
        hostile,
    )
    club.execute(
        """INSERT INTO "AuditLog" (action, metadata) VALUES ('migration:failed',
           jsonb_build_object('run_id', 'run_odd', 'error', %s::text, 'last_batch', 3))""",
        "duplicate e-mail zebulon@example.org; postgresql://u:S3cretpw@db/x",
    )
    run = at(club)
    masked = run("check", "members-duplicate-email").stdout
    assert not any(name in masked for name in ("zebulon", "Quux"))
    assert "zebulon.quux@example.org" in run("check", "members-duplicate-email", "--unmask").stdout
    words = run("check", "events-over-capacity-limit").stdout
    assert not any(sign in words for sign in "\x1b\x07")
    assert "[bold]<script>alert(1)</script>" in words
    (found,) = json.loads(run("check", "events-over-capacity-limit", "--json").stdout)["findings"]
    assert found["rows"][0]["title"] == hostile
    for arguments in (("runs",), ("runs", "--json"), ("run", "run_odd"), ("audit",), ("audit", "--json")):
        done = run(*arguments)
        assert not any(secret in done.stdout for secret in ("zebulon", "S3cretpw")), arguments


def test_a_report_file_that_is_cut_short_and_a_folder_that_cannot_be_made(clubs, at, shell, tmp_path):  # noqa: F811
    club = clubs.clone("application", 60)
    run = at(club)
    report = next(club.club.imports.glob("migration-live-*-full.json"))
    (tmp_path / "cut.json").write_text(report.read_text()[:500])
    done = run("runs", "--import-report", str(tmp_path / "cut.json"))
    assert (done.returncode, "cut short" in done.stderr) == (2, True)
    done = shell("report", "post-recovery", "-e", "club", CLUB_URL=club.url, WORKBENCH_REPORTS="/proc/nope")
    assert (done.returncode, "/proc/nope" in done.stderr) == (4, True)


def test_a_wrong_address_is_said_plainly(shell, tmp_path, empty_url):  # noqa: F811
    (tmp_path / "workbench.toml").write_text(
        '[environments.club]\nkind = "development"\nurl_env = "CLUB_URL"\n'
    )
    for url, code, said in (
        ("not a url", 2, "$CLUB_URL"),
        ("mysql://u:hunter22secret@db/club", 2, "$CLUB_URL"),
        ("postgresql://u:hunter22secret@127.0.0.1:1/club", 4, "No connection"),
        ("postgresql://u:hunter22secret@prod-db/club", 3, "says production"),
        (empty_url, 4, "not Murmurant's database"),
    ):
        done = shell("check", "--environment", "club", CLUB_URL=url)
        assert (done.returncode, said in done.stderr) == (code, True), done
        assert not any(each in done.stdout + done.stderr for each in ("hunter22secret", "Traceback"))


def test_doctor_names_what_is_missing(clubs, at):  # noqa: F811
    club = clubs.clone("application", 60)
    well = at(club)("doctor")
    assert well.returncode == 0, well.stdout
    for subject in ("environment", "dialect", "right to read", "pg_dump", "import reports"):
        assert subject in well.stdout
    club.execute('DROP TABLE "WaSyncState"')
    ill = at(club)("doctor", "--json")
    assert ill.returncode == 1
    missing = [each for each in json.loads(ill.stdout) if each["state"] == "missing"]
    assert [each["subject"] for each in missing] == ["table sync_state"]


def test_a_closed_pipe_is_no_failure_and_never_another_answer(clubs, at, tmp_path):  # noqa: F811
    club = clubs.clone("guide", 60)
    club.breaks("swapped-mappings")
    at(club)
    words = f"{sys.executable} -m workbench check --json -e club | head -c 5; exit ${{PIPESTATUS[0]}}"
    surroundings = {**os.environ, "CLUB_URL": club.url}
    done = subprocess.run(
        ["bash", "-c", words], cwd=tmp_path, capture_output=True, text=True, env=surroundings
    )
    assert "Traceback" not in done.stderr
    # Whether the pipe is closed before all is written is the reader's affair.
    assert done.returncode in {1, 141}


def test_demo_leaves_a_report_and_what_to_try_next(shell, tmp_path):  # noqa: F811
    done = shell("demo", "--members", "60")
    assert done.returncode == 0, done.stderr
    report = next(
        line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("Verification report")
    )
    assert (tmp_path / report).is_file()
    commands = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  workbench ")]
    assert [words[0] for words in commands] == ["runs", "check", "report"]
    tried = [shell(*words) for words in commands[:2]]
    assert [each.returncode for each in tried] == [0, 1], tried
    assert commands[2][-1] in shell("run", commands[2][-1]).stdout  # the run of which a report is proposed
    # A plan of this club, its consent used, is none of the next one's.
    planned = json.loads(shell("plan", "sync-state", "--json").stdout)
    assert shell("approve", planned["id"], "--digest", planned["digest"]).returncode == 0
    assert shell("apply", planned["id"], "--yes").returncode == 0
    make_demo(load_settings(), dialect="application", members=60, breakages=())
    assert json.loads(shell("plans", "--json").stdout) == []
    assert shell("apply", planned["id"], "--yes").returncode == 2
