"""Every notebook from top to bottom on the broken club; and the start page that leads to them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench import open_workbench
from workbench.reporting.runner import run_report
from workbench.reporting.templates import notebooks_folder, report_names, report_template
from workbench.settings import Settings

FOLDER = notebooks_folder()
NUMBERED = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))

BY_A_KERNEL = {"start": "guide", "triage": "application", "runs": "guide", "differences": "application",
               "preflight": "guide"}  # fmt: skip
"""Which a kernel runs here, and on which dialect; the tests of their own rooms run the others."""

ELSEWHERE = {"mappings", "tiers", "duplicates", "policies", "post-recovery", "run", "plan"}


def words_of(path: Path) -> str:
    """Return a notebook's text."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_every_notebook_is_run_by_some_test() -> None:
    assert set(report_names()) == set(BY_A_KERNEL) | ELSEWHERE


@pytest.mark.parametrize("name", sorted(BY_A_KERNEL))
def test_it_runs_headless_and_concludes(club: Settings, name: str, dialect: str) -> None:
    if BY_A_KERNEL[name] != dialect:
        ran = in_process(name, club)  # the other dialect, without the two seconds of a kernel
        assert ran[-1].count("wb-status"), "it ends in a verdict"
        return
    made = run_report(name, environment="club", settings=club)
    assert made.verdict["status"] in {"fail", "warn", "not run"}, (
        "the club is broken, or nothing could be told"
    )
    assert made.verdict["headline"].count("?"), "a question, answered"
    page = made.html.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "jupyter-widgets" not in page
    assert not re.search(r'href="[^"]*\.ipynb"', page), "notebooks do not lie beside a page that is sent"
    assert "<table" in page


@pytest.mark.parametrize("name", sorted(set(report_names()) - set(BY_A_KERNEL) - {"run", "plan"}))
@pytest.mark.parametrize("dialect", ["guide"])
def test_the_others_run_too(club: Settings, name: str) -> None:
    assert in_process(name, club)[-1].count("wb-status")


def in_process(name: str, settings: Settings) -> list[str]:
    """Run a notebook's cells one after the other, and return what each shows, as a page would show it."""
    shown: list[str] = []
    names: dict[str, Any] = {}
    for cell in json.loads(report_template(name).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            names |= {"environment": settings_name(settings), "one_state": True}
        if last is not None:
            assert isinstance(last, ast.Expr)
            shown += displayed(eval(compile(ast.Expression(last.value), name, "eval"), names))
    names["wb"].close()
    return shown


def settings_name(settings: Settings) -> str:
    """Return the club's environment."""
    return next(name for name in settings.environments if name != "demo")


def displayed(value: Any) -> Iterator[str]:
    """Yield what a front end without widgets shows of a cell's last value."""
    if value is None:
        yield from DISPLAYED[-1:]
    else:
        yield value._repr_mimebundle_()["text/html"]


DISPLAYED: list[str] = []


@pytest.fixture(autouse=True)
def _what_is_displayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a verdict hands to the front end."""
    DISPLAYED.clear()
    monkeypatch.setattr("IPython.display.display", lambda data, raw: DISPLAYED.append(data["text/html"]))


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
        assert "one state" in looked_at(replace(wb, one_state=True)).text
