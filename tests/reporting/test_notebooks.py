"""Every notebook from top to bottom on the broken club; and the start page that leads to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.dialects import one_dialect as one_dialect
from tests.reporting.pages import executed
from workbench import open_workbench
from workbench.reporting.runner import run_report
from workbench.reporting.templates import notebooks_folder, report_names
from workbench.settings import Settings

FOLDER = notebooks_folder()
NUMBERED = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))
WHOLE_CLUB = sorted({*report_names()} - {"run", "plan", "reconcile"})
"""Those that need no parameter; the other dialect's are run where every value is hostile."""


@pytest.mark.parametrize("dialect", ["application"])
def test_each_runs_and_concludes_with_what_to_do_first(club: Settings) -> None:
    for name in WHOLE_CLUB:
        notebook, verdict = executed(name, environment="club", one_state=True)
        shown = "".join(
            output.data["text/html"] for cell in notebook.cells for output in cell.get("outputs", [])
        )
        assert "<table" in shown or ": none." in shown, name
        if name == "corrections":  # which plans there are is only told
            continue
        assert verdict["headline"].count("?") == 1, name
        assert verdict["status"] in {"fail", "warn", "not run"}, (
            name,
            "the club is broken, or nothing could be told",
        )
        assert "What to do first" in shown, name


def test_by_a_kernel_a_table_stands_in_a_panel_s_place(club: Settings) -> None:
    made = run_report("runs", environment="club", settings=club)
    assert made.verdict["status"] == "fail"
    page = made.html.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "jupyter-widgets" not in page
    assert not re.search(r'href="[^"]*\.ipynb"', page), "notebooks do not lie beside a page that is sent"
    assert "<table" in page
    assert "one state for the whole report" in page
    with open_workbench("club", settings=club) as wb:
        assert "as it is at each question" in repr(wb.report.conclude("Is all well?", []))


def test_they_ask_a_question_and_the_start_page_leads_to_each() -> None:
    texts = {}
    for path in FOLDER.rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            texts[path] = "\n".join(
                "".join(each["source"]) for each in cells if each["cell_type"] == "markdown"
            )
    assert all(re.match(r"# .+\?\n", texts[path]) for path in NUMBERED)
    links = re.findall(r"\]\(([^)]+)\)", texts[FOLDER / "00-start.ipynb"])
    there = {str(Path(path).relative_to(FOLDER)) for path in texts}
    assert {each for each in links if "://" not in each} == there - {"00-start.ipynb"}
