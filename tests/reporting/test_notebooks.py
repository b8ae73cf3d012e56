"""Every notebook from top to bottom on the broken club; and the start page that leads to them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.dialects import one_dialect as one_dialect
from tests.reporting.pages import page_of
from workbench import open_workbench
from workbench.reporting.templates import notebooks_folder, report_names
from workbench.settings import Settings

FOLDER = notebooks_folder()
WHOLE_CLUB = sorted({*report_names()} - {"run", "plan", "reconcile"})
"""Those that need no parameter; the other dialect's are run where every value is hostile."""


def test_they_run_and_conclude_with_what_to_do_first(club: Settings) -> None:
    for name in WHOLE_CLUB:
        page = page_of(name, environment="club", one_state=True)
        assert any(part in page for part in ("<table", ": none.", "wb-finding")), name
        assert not re.search(r"<script|jupyter-widgets|href=\"[^\"]*\.ipynb\"", page), name
        if name == "corrections":  # which plans there are is only told
            continue
        verdict = re.search(r'<div class="verdict wb-(\S+)">.*\? (?!Yes)', page)
        assert verdict, (name, "the club is broken, or nothing could be told")
        assert verdict[1] in {"fail", "warn", "not-run"}
        assert "What to do first" in page, name
        assert "one consistent state" in page


def test_the_report_of_a_run(club: Settings) -> None:
    with open_workbench("club", settings=club) as wb:
        assert "the state at each query" in repr(wb.report.conclude("Is all well?", []))
        run_id = next(run.run for run in wb.session.find_runs() if run.status == "interrupted")
        bundle, _ = wb.migration.seal(club.environments["club"].import_reports, run=run_id)
    page = page_of("run", environment="club", run_id=run_id)
    assert all(words in page for words in (run_id, bundle.digest, "stopped midway (interrupted)"))
    assert 'class="verdict wb-fail"' in page


def test_they_ask_a_question_and_the_start_page_leads_to_each() -> None:
    texts = {}
    for path in FOLDER.rglob("*.ipynb"):
        if ".ipynb_checkpoints" not in path.parts:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            prose = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
            texts[str(path.relative_to(FOLDER))] = "\n".join(prose)
    assert all(re.match(r"# .+\?\n", text) for name, text in texts.items() if re.match(r"\d\d-", name))
    links = re.findall(r"\]\(([^)]+)\)", texts.pop("00-start.ipynb"))
    assert {str(Path(link)) for link in links if "://" not in link} == {*texts}
