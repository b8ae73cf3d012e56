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


@pytest.fixture
def process(tmp_path):
    """Run the command as a process of its own, in an empty folder."""

    def run(*arguments, **variables):
        surroundings = {key: value for key, value in os.environ.items() if not key.startswith("WORKBENCH_")}
        return subprocess.run(
            [sys.executable, "-m", "workbench", *arguments],
            cwd=tmp_path, env={**surroundings, **variables}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    return run


def test_help_lists_every_command(shell, process):  # noqa: F811
    done = process("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert command in done.stdout
        assert shell(command, "--help").returncode == 0
    for said in ("Exit codes", "Look:", "Plan and apply:", "Before an import:", "For example"):
        assert said in " ".join(done.stdout.split())
    loaded = process("--help", PYTHONPROFILEIMPORTTIME="1").stderr
    assert not {"pandas", "sqlalchemy", "matplotlib", "pydantic"} & {*re.findall(r"\| +(\w+)$", loaded, re.M)}


@pytest.mark.parametrize(
    "arguments",
    [("chekc",), ("run",), ("check", "--nope"), ("check", "mapping-orphaned")],
)
def test_wrong_usage_is_two(shell, arguments):  # noqa: F811
    assert shell(*arguments).returncode == 2


def test_questions_answer_in_json_and_in_words(clubs, at):  # noqa: F811
    club = clubs.clone("application")
    run = at(club)
    found = json.loads(run("runs", "--json").stdout)
    assert [each["run"] for each in found] == [each.run for each in club.club.runs]
    assert {"run", "importer", "status"} <= set(found[0])
    last = club.club.last_live_run
    done = run("run", last.run, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert told["records"]["Member"]["created"] == last.counts["Member"]["created"]
    assert {"run", "importer", "status", "evidence", "records"} <= set(told)
    words = run("run", last.run)
    assert "completed" in words.stdout
    assert "club (demo)" in words.stderr


@pytest.mark.parametrize("dialect", DIALECTS)
def test_check_says_clean_or_findings(clubs, at, dialect):  # noqa: F811
    club = clubs.clone(dialect)
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
    assert (
        run("check", "members-wrong-person", "--waive", "members-wrong-person=known, being fixed").returncode
        == 0
    )
    assert run("check", "--waive", "members-wrong-person").returncode == 2


def test_people_are_masked_unless_asked(clubs, at):  # noqa: F811
    club = clubs.clone("guide")
    club.execute("""UPDATE "Member" SET email = 'zebulon.quux@example.org', "lastName" = 'Quux' WHERE id IN
                    (SELECT id FROM "Member" ORDER BY id LIMIT 2)""")
    run = at(club)
    masked = run("check", "members-duplicate-email")
    assert "zebulon" not in masked.stdout
    assert "Quux" not in masked.stdout
    assert "zebulon.quux@example.org" in run("check", "members-duplicate-email", "--unmask").stdout


def test_an_unknown_run_is_two_with_the_nearest(clubs, at):  # noqa: F811
    club = clubs.clone("guide")
    done = at(club)("run", club.club.last_live_run.run[:-1] + "x")
    assert done.returncode == 2
    assert club.club.last_live_run.run in done.stderr
    assert at(club)("audit", "--run", "nothing").returncode == 2


def test_an_unknown_report_is_two_with_the_nearest(clubs, at):  # noqa: F811
    done = at(clubs.clone("guide"))("report", "post-recovry")
    assert done.returncode == 2
    assert "post-recovery" in done.stderr


def test_a_hostile_value_neither_steers_the_terminal_nor_breaks_the_json(clubs, at):  # noqa: F811
    club = clubs.clone("guide")
    hostile = "evil\x1b[2J\x1b]0;owned\x07\n[bold]<script>alert(1)</script>"
    club.execute(
        """UPDATE "Event" SET capacity = 500, title = %s WHERE id IN (SELECT id FROM "Event" ORDER BY id LIMIT 1)""",
        hostile,
    )
    run = at(club)
    words = run("check", "events-over-capacity-limit").stdout
    assert "\x1b" not in words
    assert "\x07" not in words
    assert "[bold]<script>alert(1)</script>" in words
    (found,) = json.loads(run("check", "events-over-capacity-limit", "--json").stdout)["findings"]
    assert found["rows"][0]["title"] == hostile


def test_a_report_file_given_by_hand_is_evidence_and_a_cut_one_is_an_error(clubs, at, tmp_path):  # noqa: F811
    club = clubs.clone("application")
    run = at(club)
    report = next(club.club.imports.glob("migration-live-*-full.json"))
    (tmp_path / "cut.json").write_text(report.read_text()[:500])
    done = run("runs", "--import-report", str(tmp_path / "cut.json"))
    assert done.returncode == 2
    assert "cut short" in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("not a url", 2, "is not a database URL"),
        ("mysql://u:hunter22secret@db/club", 2, "not PostgreSQL"),
        ("postgresql://u:hunter22secret@127.0.0.1:1/club", 4, "No connection"),
        ("postgresql://u:hunter22secret@prod-db/club", 3, "says production"),
    ],
)
def test_a_wrong_address_is_said_plainly(shell, tmp_path, url, code, said):  # noqa: F811
    (tmp_path / "workbench.toml").write_text(
        '[environments.club]\nkind = "development"\nurl_env = "CLUB_URL"\n'
    )
    done = shell("doctor", "--environment", "club", CLUB_URL=url)
    assert done.returncode == code
    assert said in done.stderr
    assert "hunter22secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_another_database_is_said_plainly(shell, tmp_path, empty_url):  # noqa: F811
    (tmp_path / "workbench.toml").write_text(
        '[environments.club]\nkind = "development"\nurl_env = "CLUB_URL"\n'
    )
    done = shell("check", "--environment", "club", CLUB_URL=empty_url)
    assert done.returncode == 4
    assert "not Murmurant's database" in done.stderr


def test_doctor_names_what_is_missing(clubs, at):  # noqa: F811
    club = clubs.clone("application")
    well = at(club)("doctor")
    assert well.returncode == 0, well.stdout
    for subject in ("environment", "dialect", "right to read", "pg_dump", "import reports"):
        assert subject in well.stdout
    club.execute('DROP TABLE "WaSyncState"')
    ill = at(club)("doctor", "--json")
    assert ill.returncode == 1
    missing = [each for each in json.loads(ill.stdout) if each["state"] == "missing"]
    assert [each["subject"] for each in missing] == ["table sync_state"]


def test_no_right_to_read_is_said_plainly(clubs, at, shell):  # noqa: F811
    club = clubs.clone("guide")
    club.execute("DROP ROLE IF EXISTS onlooker; CREATE ROLE onlooker LOGIN")
    at(club)
    done = shell("doctor", "--environment", "club", CLUB_URL=club.url.replace("postgres:@", "onlooker:@"))
    assert done.returncode == 1
    assert "SELECT on" in done.stdout
    checked = shell(
        "check", "--environment", "club", "--json", CLUB_URL=club.url.replace("postgres:@", "onlooker:@")
    )
    assert checked.returncode == 1
    assert not [
        each for each in json.loads(checked.stdout)["findings"] if each["status"] == "pass" and each["query"]
    ]


def test_audit_answers_the_guides_questions(clubs, at):  # noqa: F811
    club = clubs.clone("guide")
    run = at(club)
    last = club.club.last_live_run.run
    entries = json.loads(run("audit", "--run", last, "--json").stdout)["entries"]
    assert [each["action"] for each in entries] == ["migration:started", "migration:completed"]
    assert json.loads(run("audit", "--operators", "--json").stdout)[0]["imports"] >= 2
    assert json.loads(run("audit", "--summary", "--json").stdout)
    assert json.loads(run("audit", "--action", "migration:rollback", "--json").stdout)["entries"] == []
    assert run("audit", "--operators", "--summary").returncode == 2


@pytest.mark.parametrize(("question", "answer"), [("runs", 0), ("check --json", 1)])
def test_a_closed_pipe_is_no_failure_and_never_another_answer(clubs, at, tmp_path, question, answer):  # noqa: F811
    club = clubs.clone("guide")
    club.breaks("swapped-mappings")
    at(club)
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m workbench {question} -e club | head -c 5; exit ${{PIPESTATUS[0]}}"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "CLUB_URL": club.url},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    # Whether the pipe is closed before all is written is the reader's affair.
    assert done.returncode in {answer, 141}


def test_a_terminal_with_few_letters_gets_json_all_the_same(clubs, at, process):  # noqa: F811
    club = clubs.clone("guide")
    at(club)
    done = process("check", "--json", "-e", "club", CLUB_URL=club.url, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert json.loads(done.stdout)["findings"][0]["guide"] == "§1.1"


def test_an_error_of_an_importer_is_quoted_without_secrets_and_people(clubs, at):  # noqa: F811
    club = clubs.clone("guide")
    error = "duplicate e-mail zebulon@example.org; postgresql://u:S3cretpw@db/x"
    club.execute(
        """INSERT INTO "AuditLog" (action, metadata) VALUES ('migration:failed',
           jsonb_build_object('run_id', 'run_odd', 'error', %s::text, 'last_batch', 3))""",
        error,
    )
    run = at(club)
    for arguments in (("runs",), ("runs", "--json"), ("run", "run_odd"), ("audit",), ("audit", "--json")):
        done = run(*arguments)
        assert "zebulon" not in done.stdout, arguments
        assert "S3cretpw" not in done.stdout, arguments


def test_a_folder_that_cannot_be_made_is_said_plainly(clubs, at, shell):  # noqa: F811
    club = clubs.clone("guide")
    at(club)
    done = shell("report", "post-recovery", "-e", "club", CLUB_URL=club.url, WORKBENCH_REPORTS="/proc/nope")
    assert done.returncode == 4
    assert "cannot be made" in done.stderr


def test_demo_leaves_a_report_and_what_to_try_next(shell, tmp_path):  # noqa: F811
    done = shell("demo", "--members", "60")
    assert done.returncode == 0, done.stderr
    report = next(
        line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("Verification report")
    )
    assert (tmp_path / report).is_file()
    commands = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  workbench ")]
    assert [words[0] for words in commands] == ["runs", "check", "report"]
    assert [shell(*words).returncode for words in commands[:2]] == [0, 1]
    assert commands[2][-1] in shell("run", commands[2][-1]).stdout  # the run of which a report is proposed
    # A plan of this club, its consent used, is none of the next one's.
    planned = json.loads(shell("plan", "sync-state", "--json").stdout)
    assert shell("approve", planned["id"], "--digest", planned["digest"]).returncode == 0
    assert shell("apply", planned["id"], "--yes").returncode == 0
    # Both know how many members there should be, in this process and on the page of a kernel.
    assert shell("check", "counts-as-expected").returncode == 1
    verdict = json.loads((tmp_path / report).with_suffix(".json").read_text())
    assert "counts-as-expected" in {each["check"] for each in verdict["findings"] if each["status"] == "fail"}
    make_demo(load_settings(), dialect="application", members=70, breakages=())
    assert shell("check", "counts-as-expected").returncode == 0
    assert json.loads(shell("plans", "--json").stdout) == []
    assert shell("apply", planned["id"], "--yes").returncode == 2
