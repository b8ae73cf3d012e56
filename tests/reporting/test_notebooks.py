"""Every notebook from top to bottom on the broken club; and the start page that leads to them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reporting.pages import executed
from workbench import open_workbench
from workbench.reporting.runner import run_report
from workbench.reporting.templates import notebooks_folder, report_names
from workbench.settings import Settings
from workbench.workbench import Workbench

FOLDER = notebooks_folder()
NUMBERED = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))

BY_A_KERNEL = {"start": "guide", "triage": "application", "runs": "guide", "differences": "application",
               "preflight": "guide", "corrections": "application", "before-an-import": "guide"}  # fmt: skip
"""Which a kernel runs here, and on which dialect; the tests of their own rooms run the others."""

ELSEWHERE = {"mappings", "tiers", "duplicates", "policies", "post-recovery", "run", "plan", "reconcile"}


def words_of(path: Path) -> str:
    """Return a notebook's text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_every_notebook_is_run_by_some_test() -> None:
    assert set(report_names()) == set(BY_A_KERNEL) | ELSEWHERE


def asks_yes_or_no(name: str) -> bool:
    """Tell whether a notebook's question has an answer; which plans there are is only told."""
    return name != "corrections"


@pytest.mark.parametrize("name", sorted(BY_A_KERNEL))
def test_it_runs_headless_and_concludes(
    club: Settings, name: str, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if BY_A_KERNEL[name] != dialect:
        _, verdict = executed(name, club, monkeypatch)  # without the two seconds of a kernel
        assert not asks_yes_or_no(name) or verdict["headline"].count("?"), "it ends in a verdict"
        return
    made = run_report(name, environment="club", settings=club)
    assert made.verdict["status"] in {"fail", "warn", "not run"}, (
        "the club is broken, or nothing could be told"
    )
    assert not asks_yes_or_no(name) or made.verdict["headline"].count("?"), "a question, answered"
    page = made.html.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "jupyter-widgets" not in page
    assert not re.search(r'href="[^"]*\.ipynb"', page), "notebooks do not lie beside a page that is sent"
    assert "<table" in page or ": none." in page, "a static table in the panel's place"


@pytest.mark.parametrize(
    "name", sorted(set(report_names()) - set(BY_A_KERNEL) - {"run", "plan", "reconcile"})
)
@pytest.mark.parametrize("dialect", ["guide"])
def test_the_others_run_too(club: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert executed(name, club, monkeypatch)[1]["headline"].count("?")


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_a_notebook_opens_with_the_question_it_answers(path: Path) -> None:
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    title = "".join(first["source"])
    assert first["cell_type"] == "markdown"
    assert re.fullmatch(r"# .+\?", title)


def test_the_start_page_leads_everywhere() -> None:
    linked = {
        each
        for each in re.findall(r"\]\(([^)]+)\)", words_of(FOLDER / "00-start.ipynb"))
        if "://" not in each
    }
    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.ipynb")
             if ".ipynb_checkpoints" not in path.parts}  # fmt: skip
    assert linked == there - {"00-start.ipynb"}


def test_it_is_said_how_the_database_is_looked_at(club: Settings) -> None:
    from workbench import looked_at

    with open_workbench("club", settings=club) as wb:
        assert "as it is at each question" in looked_at(wb).text
        assert "one state" in looked_at(Workbench(replace(wb.session, one_state=True))).text
