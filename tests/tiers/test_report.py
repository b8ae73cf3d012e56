"""The tiers' report, its charts and what a later one learns from it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.conftest import Clubs, Ground
from tests.reporting.conftest import settings_for
from tests.reporting.test_runner import self_contained
from tests.tiers.conftest import RIGHT
from tests.tiers.test_review import give, mapping_of, some
from workbench.errors import UsageError
from workbench.reporting import show_figure, tier_matrix_chart
from workbench.reporting.runner import run_report
from workbench.reporting.templates import report_names, report_parameters

HOSTILE = "$x_1$ <script>&\u202e\x00 " + "long " * 20 + "名前"


def svg(figure: Figure) -> str:
    found = re.search(r'base64,([^"]+)"', show_figure(figure).html)
    assert found
    text = base64.b64decode(found[1]).decode()
    ElementTree.fromstring(text)
    return text


def matrix(size: int) -> pd.DataFrame:
    codes = [f"{HOSTILE}{n}" for n in range(size)]
    rows = [("level", code, code, 3, "right") for code in codes]
    rows += [("level", code, None, 1, "none") for code in codes[:2]]
    rows += [("level", codes[0], code, 2, "wrong") for code in codes[1:]]
    rows += [(None, None, code, 5, "no level") for code in codes[:1]]
    return pd.DataFrame(rows, columns=["level", "expected", "actual", "members", "finding"])


@pytest.mark.parametrize("size", [0, 1, 2, 5, 40])
def test_the_matrix_of_any_size(size: int) -> None:
    figure = tier_matrix_chart(matrix(size))
    drawn = svg(figure)
    assert "script" not in re.findall(r"<(\w+)", drawn)
    assert ("✓ 3" in drawn) is (size > 0)
    assert ("? 5" in drawn) is (size > 0)
    assert ("others" in drawn) is (size > 12)
    assert drawn == svg(tier_matrix_chart(matrix(size)))
    wrong = 0 if not size else min(size, 2) + 2 * (size - 1)
    assert str(figure.get_label()).startswith(f"{wrong} members are not" if size else "Nothing to show")


def test_right_and_wrong_differ_by_more_than_colour() -> None:
    drawn = svg(tier_matrix_chart(matrix(2)))
    assert "✗ 2" in drawn
    assert "<pattern" in drawn  # the hatch of what is wrong
    only_right = pd.DataFrame([("l", "A", "A", 3, "right")], columns=matrix(0).columns)
    assert "<pattern" not in svg(tier_matrix_chart(only_right))


def test_its_parameters() -> None:
    assert "tiers" in report_names()
    assert {"environment", "one_state", "mapping", "waive", "unmask"} == set(report_parameters("tiers"))


def test_broken_corrected_and_compared(club: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(club.url, tmp_path, monkeypatch, imports=club.club.imports)
    keys = some(club, "Alumni", 4)
    give(club, keys, "LAPSED")
    club.execute(
        'UPDATE "Member" SET "waMembershipLevelRaw" = %s WHERE "waMembershipLevelRaw" = %s',
        "<b>3rd</b> Year of dana@example.org",
        "Third Year",
    )
    first = run_report("tiers", {}, environment="club", settings=settings)
    page = first.html.read_text(encoding="utf-8")
    self_contained(page)
    assert "Are members in the right tier? No." in page
    assert "<b>3rd" not in page
    assert "dana@" not in page
    assert "workbench plan tiers" in page
    verdict = json.loads(first.json.read_text(encoding="utf-8"))
    statuses = {each["check"]: each["status"] for each in verdict["findings"]}
    assert statuses == {
        "tiers-all-the-same": "pass",
        "tiers-missing": "pass",
        "tiers-not-seeded": "pass",
        "tiers-unmapped-level": "fail",
        "tiers-wrong": "fail",
    }

    mended = tmp_path / "mended.yaml"
    mended.write_text(mapping_of({**RIGHT, "<b>3rd</b> Year of dana@example.org": "EXTENDED"}))
    give(club, keys, "ALUMNI")
    second = run_report("tiers", {"mapping": str(mended)}, environment="club", settings=settings)
    assert second.verdict["status"] == "pass"


def test_without_a_mapping_and_with_a_wrong_one(
    clubs: Clubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    club = clubs.clone("application")
    settings = settings_for(club.url, tmp_path, monkeypatch)
    done = run_report("tiers", {}, environment="club", settings=settings)
    assert done.verdict["status"] == "not run"
    (tmp_path / "m.yaml").write_text("membership_status_mapping: {}")
    with pytest.raises(UsageError, match="it is empty"):
        club.open().tiers.review(tmp_path / "m.yaml")
