"""``workbench tiers``, ``workbench plan tiers`` and the report as their user meets them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Ground
from tests.reporting.test_charts import svg
from tests.tiers.conftest import RIGHT, Written, give, mapping_of, rename, some
from workbench.reporting.charts import tier_matrix_chart

At = Callable[..., Shell]


def test_clean_then_broken_then_corrected(guide: Ground, at: At) -> None:
    run = at(guide)
    clean = run("tiers")
    assert clean.returncode == 0, clean.stderr
    assert "Every member has the tier of their level." in clean.stdout
    give(guide, some(guide, "Alumni", 2), "LAPSED")
    broken = run("tiers")
    assert (broken.returncode, "plan tiers -e club" in broken.stdout) == (1, True)
    facts = json.loads(run("tiers", "--json").stdout)
    assert (facts["kind"], facts["wrong"], facts["none"], facts["everybody"]) == ("tier", 2, 0, None)
    assert {"distribution", "matrix", "unknown_levels", "unknown_codes", "mapping"} <= set(facts)
    row = {"level": "Alumni", "expected": "ALUMNI", "actual": "LAPSED", "members": 2, "finding": "wrong"}
    assert row in facts["matrix"]
    plan = json.loads(run("plan", "tiers", "--json", "--reason", "as the board decided").stdout)
    assert plan["changes"] == {"Member": {"update": 2}}
    assert {"plan", "digest", "kept", "conflicts", "unresolved"} <= set(plan)
    assert run("approve", plan["id"], "--digest", plan["digest"], "--as", "robin").returncode == 0
    assert run("apply", plan["id"], "--yes").returncode == 0
    assert run("tiers").returncode == 0
    nothing = run("plan", "tiers")
    assert (nothing.returncode, "Nothing to correct" in nothing.stderr) == (3, True)


def test_wrong_usage_and_what_is_not_configured(guide: Ground, at: At, tmp_path: Path) -> None:
    give(guide, some(guide, "Alumni", 2), "LAPSED")
    run, path = at(guide), tmp_path / "m.yaml"
    path.write_text("membership_status_mapping: {A: B, A: C}")
    for command in (("tiers",), ("plan", "tiers")):
        done = run(*command, "--mapping", str(path))
        assert (done.returncode, str(path) in done.stderr, done.stdout) == (2, True, "")
    path.write_text(mapping_of({**RIGHT, "Alumni": "ALUMNUS"}))
    unknown = run("plan", "tiers", "--mapping", str(path))
    assert (unknown.returncode, "'ALUMNUS'" in unknown.stderr) == (2, True)
    assert run("tiers", "--mapping", str(path)).returncode == 1
    assert run("plan", "tiers", "--level", "alumni").returncode == 2
    assert not list(tmp_path.glob(".workbench/plans/*"))
    settings = (tmp_path / "workbench.toml").read_text()
    (tmp_path / "workbench.toml").write_text(re.sub("tier_mapping.*\n", "", settings))
    done = run("tiers", "--json")
    assert (done.returncode, json.loads(done.stdout)["matrix"]) == (1, None)
    assert run("plan", "tiers").returncode == 2


HOSTILE = "3rd\tYear\x1b[31m <b>of</b> dana@example.org"


def test_an_unknown_level_is_named_refused_and_masked(guide: Ground, at: At) -> None:
    rename(guide, "Third Year", "3rd Year")
    rename(guide, "Lapsed", HOSTILE)
    give(guide, some(guide, "Alumni", 1), "LAPSED")
    run = at(guide)
    done = run("tiers")
    assert done.returncode == 1
    assert "'3rd Year'" in done.stdout
    assert "\x1b" not in done.stdout
    assert "dana@" not in done.stdout
    assert "dana@example.org" in run("tiers", "--unmask", "--json").stdout
    refused = run("plan", "tiers")
    assert (refused.returncode, "\x1b" in refused.stderr) == (3, False)
    assert run("plan", "tiers", "--level", "Alumni").returncode == 0


@pytest.mark.parametrize("size", [0, 2, 40])
def test_the_matrix_is_drawn_at_any_size(size: int, written: Written) -> None:
    codes = [f"$x_1$ <script>&\u202e\x00 {'long ' * 20}名前{n}" for n in range(size)]
    rows = [("level", code, code, 3, "right") for code in codes]
    rows += [("level", code, None, 1, "none") for code in codes[:2]]
    rows += [("level", codes[0], code, 2, "wrong") for code in codes[1:]]
    rows += [(None, None, code, 5, "no level") for code in codes[:1]]
    matrix = pd.DataFrame(rows, columns=["level", "expected", "actual", "members", "finding"])
    figure = tier_matrix_chart(matrix)
    drawn = svg(figure)
    assert "script" not in re.findall(r"<(\w+)", drawn)
    assert drawn == svg(tier_matrix_chart(matrix))
    # Right and wrong differ by more than colour: by a sign, and by the hatch of what is wrong.
    signs = ("✗ 2", "<pattern", "✓ 3", *(["? 5"] if size < 40 else []))
    assert [sign in drawn for sign in signs] == [size > 0] * len(signs)
    assert ("are not drawn" in drawn) is (size > 12)
    wrong = 0 if not size else 2 + 2 * (size - 1)
    assert str(figure.get_label()).startswith(f"{wrong} members are not" if size else "Nothing to show")
