"""``workbench policies`` as its user meets it."""

from __future__ import annotations

import json

import pytest

from tests.commands import at, shell  # noqa: F401
from tests.policies.conftest import rule, starter


def test_the_starter_set_can_be_saved_and_used(clubs, at, tmp_path):  # noqa: F811
    run = at(clubs.clone("application"))
    clean = run("policies", "--json")
    assert clean.returncode == 0, clean.stderr
    assert json.loads(clean.stdout)["rules"] == "starter set"
    assert run("policies", "--starter", "policies").returncode == 0
    assert run("policies", "--starter", "policies").returncode == 2  # it is there already
    mine = tmp_path / "policies" / "events-over-capacity-limit.sql"
    mine.write_text(mine.read_text().replace("capacity > capacity_limit", "capacity > 10"))
    done = run("policies", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["rules"]) == (1, "policies")
    found = {each["check"]: each for each in told["findings"]}["events-over-capacity-limit"]
    assert (found["status"], found["guide"]) == ("fail", "§1.5")
    assert found["count"] > 20 == len(found["rows"])
    words = run("policies", found["check"], "--waive", "events-over-capacity-limit=the gala", "--limit", "2")
    assert words.returncode == 0
    assert "Rules: policies." in words.stdout
    assert "club (demo)" in words.stderr


def test_a_bad_file_is_two_and_says_where(clubs, at, tmp_path):  # noqa: F811
    run = at(clubs.clone("guide", 60))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.sql").write_text("-- titel = 'A'\n\nSELECT 1 AS key")
    for arguments in (
        ("policies", "--rules", "mine"),
        ("policies", "no-such-rule"),
        ("policies", "--waive", "no-such-rule=why"),
        ("plan", "policies", "--rules", "mine"),
        ("plan", "policies"),
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
    assert "titel" in run("policies", "--rules", "mine").stderr
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "events-overbooked.sql").write_bytes(b"\xff\xfe")
    assert run("policies").returncode == 2
    assert run("check", "events-overbooked", "--json").returncode == 1  # that check alone is not run


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_people_are_masked_and_titles_are_text(clubs, at, tmp_path, flags):  # noqa: F811
    club = clubs.clone("application", 60)
    club.execute("""UPDATE "Member" SET "firstName" = 'Zebulon', "lastName" = '<b>Quux</b>', email = 'zebulon@nowhere'
                    WHERE id = (SELECT id FROM "Member" ORDER BY id LIMIT 1)""")
    club.execute(
        """UPDATE "Event" SET title = E'\\x1b[31mred\\n\\t=1+1', capacity = 500 WHERE id = (SELECT id FROM "Event" ORDER BY id LIMIT 1)"""
    )
    who = (
        """SELECT id AS key, "firstName" || ' ' || email AS who FROM "Member" WHERE email LIKE '%@nowhere'"""
    )
    files = {
        "syntax": starter("members-email-syntax"),
        "large": starter("events-over-capacity-limit"),
        "own": rule(who),
    }
    (tmp_path / "mine").mkdir()
    for name, text in files.items():
        (tmp_path / "mine" / f"{name}.sql").write_text(text)
    done = at(club)("policies", "--rules", "mine", *flags)
    assert done.returncode == 1
    for word in ("Quux", "Zebulon", "zebulon@"):
        assert word not in done.stdout
    assert "\x1b" not in done.stdout
    shown = at(club)("policies", "--rules", "mine", "--unmask", *flags).stdout
    assert "zebulon@nowhere" in shown


def test_a_plan_by_rule_from_the_command_line(clubs, at, tmp_path):  # noqa: F811
    club = clubs.clone("guide", 60)
    (truth,) = club.breaks("over-capacity-limit")
    run = at(club)
    assert run("policies", "--starter", "policies").returncode == 0
    done = run("plan", "policies", "events-over-capacity-limit", "--json", "--as", "dana")
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert {"plan", "digest", "changes", "kept", "conflicts", "unresolved"} <= set(told)
    assert told["changes"] == {"Event": {"update": len(truth.keys)}}
    assert run("plan", "policies", "events-invalid-dates").returncode == 3  # nothing to correct
    assert run("plan", "policies", "events-overbooked").returncode == 2  # it says no how
