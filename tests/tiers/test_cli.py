"""``workbench tiers`` and ``workbench plan tiers`` as their user meets them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import Clubs, Ground
from tests.tiers.conftest import RIGHT
from tests.tiers.test_review import give, mapping_of, some
from workbench.cli.main import main


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Run the command against a club, in an empty folder, in this process."""

    def bind(club: Ground, *, mapping: bool = True) -> Run:
        line = f'tier_mapping = "{club.club.imports}/membership.yaml"\n' if mapping else ""
        (tmp_path / "workbench.toml").write_text(
            f'operator = "dana"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n{line}'
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("CLUB_URL", club.url)
        monkeypatch.delenv("WORKBENCH_CONFIG", raising=False)

        def run(*arguments: str) -> Done:
            monkeypatch.setattr(sys, "argv", ["workbench", *arguments, "-e", "club"])
            with pytest.raises(SystemExit) as ended:
                main()
            return Done(int(ended.value.code or 0), *capsys.readouterr())

        return run

    return bind


def test_clean_then_broken_then_corrected(club: Ground, at: Callable[..., Run]) -> None:
    run = at(club)
    clean = run("tiers")
    assert clean.code == 0, clean.err
    assert "Every member has the tier of their level." in clean.out
    assert "club (demo)" in clean.err
    keys = some(club, "Alumni", 4)
    give(club, keys, "LAPSED")
    broken = run("tiers")
    assert broken.code == 1
    assert "✗ 4" in broken.out
    assert "! 4 members have another tier than their level says, or none." in broken.out
    assert "plan tiers -e club" in broken.out
    told = json.loads(run("tiers", "--json").out)
    assert (told["kind"], told["wrong"], told["none"], told["everybody"]) == ("tier", 4, 0, None)
    assert {"distribution", "matrix", "unknown_levels", "unknown_codes", "mapping"} <= set(told)
    assert {
        "level": "Alumni",
        "expected": "ALUMNI",
        "actual": "LAPSED",
        "members": 4,
        "finding": "wrong",
    } in told["matrix"]
    plan = json.loads(run("plan", "tiers", "--json", "--reason", "as the board decided").out)
    assert plan["changes"] == {"Member": {"update": 4}}
    assert {"plan", "digest", "kept", "conflicts", "unresolved"} <= set(plan)
    assert run("approve", plan["id"], "--digest", plan["digest"], "--as", "robin").code == 0
    assert run("apply", plan["id"], "--yes").code == 0
    assert run("tiers").code == 0
    nothing = run("plan", "tiers")
    assert nothing.code == 3
    assert "Nothing to correct" in nothing.err
    shown = run("audit", "--action", "migration:tiers", "--json")
    assert json.loads(shown.out)["entries"][0]["metadata"]["corrected"] == {"LAPSED -> ALUMNI": 4}
    assert len(json.loads(shown.out)["entries"][0]["metadata"]["configuration_sha256"]) == 64


def test_without_a_mapping_it_is_not_green(clubs: Clubs, at: Callable[..., Run]) -> None:
    run = at(clubs.clone("guide"), mapping=False)
    done = run("tiers")
    assert done.code == 1
    assert "NEWCOMER" in done.out
    assert "no tier mapping is configured" in done.out
    assert json.loads(run("tiers", "--json").out)["matrix"] is None
    refused = run("plan", "tiers")
    assert (refused.code, "--mapping FILE" in refused.err) == (2, True)


def test_bad_configurations_are_wrong_usage(clubs: Clubs, at: Callable[..., Run], tmp_path: Path) -> None:
    club = clubs.clone("guide")
    give(club, some(club, "Alumni", 4), "LAPSED")
    run, path = at(club), tmp_path / "m.yaml"
    for text, words in (
        ("", "is empty"),
        ("membership_status_maping: {A: B}", "may be meant"),
        ("membership_status_mapping: {A: B, A: C}", "twice"),
        ("{", "cannot be read as YAML"),
    ):
        path.write_text(text)
        for command in (("tiers",), ("plan", "tiers")):
            done = run(*command, "--mapping", str(path))
            assert (done.code, words in done.err, done.out) == (2, True, ""), (text, done)
    for command in (("tiers",), ("plan", "tiers")):
        assert run(*command, "--mapping", "nowhere.yaml").code == 2
    path.write_text(mapping_of({**RIGHT, "Alumni": "ALUMNUS"}))
    unknown = run("plan", "tiers", "--mapping", str(path))
    assert (unknown.code, "nearest: ALUMNI" in unknown.err) == (2, True)
    named = run("tiers", "--mapping", str(path))
    assert named.code == 1  # a finding of the investigation
    assert "The tier 'ALUMNUS' (for Alumni) does not exist here; nearest: ALUMNI." in named.out
    assert "First put the configuration right" in named.out
    assert run("plan", "tiers", "--level", "alumni").code == 2
    assert run("plan", "tiers", "--reason", " ").code == 2
    assert not list(tmp_path.glob(".workbench/plans/*"))


def test_an_unknown_level_is_named_and_refused(club: Ground, at: Callable[..., Run]) -> None:
    hostile = "3rd\tYear\x1b[31m dana@example.org"
    club.execute(
        'UPDATE "Member" SET "waMembershipLevelRaw" = %s WHERE "waMembershipLevelRaw" = %s',
        "3rd Year",
        "Third Year",
    )
    club.execute(
        'UPDATE "Member" SET "waMembershipLevelRaw" = %s WHERE "waMembershipLevelRaw" = %s', hostile, "Lapsed"
    )
    give(club, some(club, "Alumni", 1), "LAPSED")
    run = at(club)
    done = run("tiers")
    assert done.code == 1
    assert "No line maps the level '3rd Year'" in done.out
    assert "nearest: 'Third Year'" in done.out
    assert "\x1b" not in done.out
    assert "dana@" not in done.out
    assert "dana@example.org" in run("tiers", "--unmask", "--json").out
    refused = run("plan", "tiers")
    assert (refused.code, "nearest: 'Third Year'" in refused.err, "\x1b" in refused.err) == (3, True, False)
    assert run("plan", "tiers", "--level", "Alumni").code == 0


def test_many_tiers_are_listed_below_each_other(clubs: Clubs, at: Callable[..., Run]) -> None:
    club = clubs.clone("guide")
    members = [str(key) for key in club.ask('SELECT id FROM "Member" ORDER BY id LIMIT 9')]
    for number, key in enumerate(members):
        club.execute(
            """INSERT INTO "MembershipTier" (id, code, name, "updatedAt") VALUES (%s, %s, '', now())""",
            *(str(number), f"T{number}"),
        )
        club.execute('UPDATE "Member" SET "membershipTierId" = %s WHERE id = %s', str(number), key)
    done = at(club)("tiers")
    assert done.code == 1
    assert "level\texpected\tactual\tmembers\tfinding" in done.out
