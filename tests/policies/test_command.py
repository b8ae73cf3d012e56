"""``workbench policies`` as its user meets it."""

from __future__ import annotations

import json

import pytest

from tests.commands import at, shell  # noqa: F401
from tests.policies.conftest import own_sql
from workbench.investigate.policies import STARTER


def test_the_starter_set_can_be_saved_and_used(clubs, at, tmp_path):  # noqa: F811
    run = at(clubs.clone("application"))
    printed = run("policies", "--starter").stdout
    assert printed == STARTER.read_text(encoding="utf-8")
    clean = run("policies", "--json")
    assert clean.returncode == 0, clean.stderr
    assert json.loads(clean.stdout)["rules"] == "starter set"
    (tmp_path / "policies.toml").write_text(printed.replace("# limit = 100", "limit = 10"))
    done = run("policies", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["rules"]) == (1, "policies.toml")
    found = {each["check"]: each for each in told["findings"]}["events-over-capacity-limit"]
    assert (found["status"], found["guide"]) == ("fail", "§1.5")
    assert found["count"] > 20 == len(found["rows"])
    words = run("policies", found["check"], "--waive", "events-over-capacity-limit=the gala", "--limit", "2")
    assert words.returncode == 0
    assert "Rules: policies.toml." in words.stdout
    assert "club (demo)" in words.stderr


def test_a_bad_file_is_two_and_says_where(clubs, at, tmp_path):  # noqa: F811
    run = at(clubs.clone("guide"))
    (tmp_path / "mine.toml").write_text("[[rule]]\nid = 'a'\ntitle = 'A'\nask = 'visibilty'")
    for arguments in (
        ("policies", "--rules", "mine.toml"),
        ("policies", "no-such-rule"),
        ("policies", "--waive", "no-such-rule=why"),
        ("plan", "policies", "--rules", "mine.toml"),
        ("plan", "policies"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
    assert "did you mean 'visibility'?" in run("policies", "--rules", "mine.toml").stderr
    (tmp_path / "policies.toml").write_bytes(b"\xff\xfe")
    assert run("policies").returncode == 2
    assert run("check", "events-overbooked", "--json").returncode == 1  # that check alone is not run


def test_a_rule_of_a_run_that_left_no_trace_is_two(clubs, at, tmp_path):  # noqa: F811
    club = clubs.clone("guide")
    run = at(club)
    last = club.club.last_live_run.run
    rule = "[[rule]]\nid = 'a'\ntitle = 'A'\nask = 'capacity-limit'\nlimit = 0\nwhere = { run = '%s' }"
    (tmp_path / "mine.toml").write_text(rule % (last[:-1] + "x"))
    done = run("policies", "--rules", "mine.toml")
    assert done.returncode == 2
    assert last in done.stderr


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_people_are_masked_and_titles_are_text(clubs, at, tmp_path, flags):  # noqa: F811
    club = clubs.clone("application")
    club.execute("""UPDATE "Member" SET "firstName" = 'Zebulon', "lastName" = '<b>Quux</b>', email = 'zebulon@nowhere'
                    WHERE id = (SELECT id FROM "Member" ORDER BY id LIMIT 1)""")
    club.execute(
        """UPDATE "Event" SET title = E'\\x1b[31mred\\n\\t=1+1', capacity = 500 WHERE id = (SELECT id FROM "Event" ORDER BY id LIMIT 1)"""
    )
    (tmp_path / "mine.toml").write_text(
        "[[rule]]\nid = 'syntax'\ntitle = 'S'\nask = 'email-syntax'\n[[rule]]\nid = 'large'\ntitle = 'L'\nask = 'capacity-limit'\n[[rule]]\n"
        + own_sql(
            """SELECT id AS key, "firstName" || ' ' || email AS who FROM "Member" WHERE email LIKE '%@nowhere'""",
            "Member",
        )
    )
    done = at(club)("policies", "--rules", "mine.toml", *flags)
    assert done.returncode == 1
    for word in ("Quux", "zebulon@"):
        assert word not in done.stdout
    assert "\x1b" not in done.stdout
    shown = at(club)("policies", "--rules", "mine.toml", "--unmask", *flags).stdout
    assert "zebulon@nowhere" in shown


def test_a_plan_by_rule_from_the_command_line(clubs, at, tmp_path):  # noqa: F811
    club = clubs.clone("guide")
    (truth,) = club.breaks("over-capacity-limit")
    run = at(club)
    (tmp_path / "policies.toml").write_text(STARTER.read_text(encoding="utf-8").replace("# fix =", "fix ="))
    done = run("plan", "policies", "events-over-capacity-limit", "--json", "--as", "dana")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert {"plan", "digest", "changes", "kept", "conflicts", "unresolved"} <= set(told)
    assert told["changes"] == {"Event": {"update": len(truth.keys)}}
    assert run("plan", "policies", "events-invalid-dates").returncode == 3  # nothing to correct
    assert run("plan", "policies", "events-overbooked").returncode == 2  # it says no how
