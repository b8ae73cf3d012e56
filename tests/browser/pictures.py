"""Take the pictures of docs/incident.md while walking through the incident: `make pictures`.

This is not part of the suite: pytest does not collect it by its name. The suite only checks that the pictures exist.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.conftest import Desk, Lab, in_table
from tests.conftest import Clubs
from tests.test_incident import MOST
from workbench.demo.breakages import BREAKAGES

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
COLOURS = 96  # of a picture: enough for text and two charts

pytestmark = pytest.mark.browser


def test_the_pictures_of_the_incident(desk_of: Callable[..., Desk], clubs: Clubs) -> None:
    club = clubs.clone("application", members=400)
    club.breaks(*BREAKAGES)
    with club.workbench() as wb:
        runs = wb.runs.frame()
    run = runs[runs["status"] == "interrupted"]["run"].iloc[0]
    desk = desk_of(club, kind="demo")
    address = desk.lab("00-start.ipynb")
    run_cells(address, "All checks")
    take(address, "start", "Something is wrong", height=760)

    triage = opened(address, "01-triage.ipynb")
    run_cells(triage, "The ways out")
    take(triage, "triage", "The ways out", height=760)

    picker = opened(address, "02-runs.ipynb")
    picker.run_all()
    in_table(picker.page, "Runs", run)
    picker.page.get_by_text("Found and reported").wait_for()
    panel(picker, "runs", height=900)
    picker.press("Plan the rollback")
    picker.page.get_by_text("Can this plan be approved as it is?").wait_for()
    panel(picker, "plan", inner=".wb-panel .wb-panel", height=900)
    picker.press("Approve")
    picker.press("Apply")
    picker.page.frame_locator("iframe.wb-page").get_by_role("heading", name="Post-recovery").first.wait_for()
    picker.page.wait_for_timeout(500)
    panel(picker, "applied", inner=".wb-panel .wb-panel", height=800, until="iframe.wb-page")

    for name, notebook, heading, last in (
        ("mappings", "03-mappings.ipynb", "Problems, the worst first", "Correct them"),
        ("duplicates", "05-duplicates.ipynb", "Duplicates", "Review and merge"),
    ):
        review = opened(address, notebook)
        run_cells(review, last)
        if has_panel(notebook):
            panel(review, name, height=900)
        else:
            take(review, name, heading, height=700)


def opened(lab: Lab, notebook: str) -> Lab:
    """Open another notebook in the same window."""
    lab.page.goto(f"{lab.address}/lab/tree/{notebook}?reset")
    lab.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    return lab


def has_panel(notebook: str) -> bool:
    """Whether a notebook has a panel."""
    cells = json.loads((ROOT / "notebooks" / notebook).read_text(encoding="utf-8"))["cells"]
    return any("wb.panel(" in "".join(cell["source"]) for cell in cells)


def run_cells(lab: Lab, until: str) -> None:
    """Run every cell of a notebook, panels or none, until all have their numbers."""
    for _attempt in range(6):
        lab.page.get_by_role("menuitem", name="Run", exact=True).click()
        lab.page.get_by_text("Run All Cells", exact=True).click()
        try:
            # While a cell waits its number is a star.
            lab.page.wait_for_function(
                "() => { const all = [...document.querySelectorAll('.jp-InputPrompt')].map(it => it.innerText);"
                " return all.filter(it => /\\[\\d+\\]/.test(it)).length > 2 && !all.some(it => it.includes('*')); }",
                timeout=40_000,
            )
        except Exception as error:
            if "Timeout" not in type(error).__name__:
                raise
        else:
            lab.page.get_by_role("heading", name=until).first.wait_for(state="attached")
            return
    raise AssertionError("JupyterLab never ran the cells")


def take(lab: Lab, name: str, heading: str, height: int) -> None:
    """Take the notebook from a heading on."""
    found = lab.page.locator(".jp-Notebook").get_by_role("heading", name=heading).first
    found.evaluate("it => it.scrollIntoView({block: 'start'})")
    lab.page.wait_for_timeout(700)
    area = lab.page.locator(".jp-NotebookPanel-notebook").bounding_box()
    begin = max(found.bounding_box()["y"] - 12, area["y"])
    save(
        name,
        lab.page.screenshot(
            clip={**area, "y": begin, "height": min(height, area["y"] + area["height"] - begin)}
        ),
    )


def panel(lab: Lab, name: str, inner: str = ".wb-panel", height: int = 900, until: str = "") -> None:
    """Take a panel from its beginning, or what ends with a part of it."""
    lab.page.set_viewport_size({"width": 1400, "height": 2600})
    found = lab.page.locator(inner).first
    found.evaluate("it => it.scrollIntoView({block: 'start'})")
    lab.page.wait_for_timeout(700)
    box = found.bounding_box()
    top = box["y"]
    if until:
        last = found.locator(until).bounding_box()
        top = max(last["y"] + last["height"] - height, top)
    save(
        name,
        lab.page.screenshot(
            clip={"x": box["x"], "y": top, "width": box["width"], "height": min(height, box["height"])}
        ),
    )
    lab.page.set_viewport_size({"width": 1400, "height": 1200})


def save(name: str, png: bytes) -> None:
    """Write a picture with few colours, so that it is small."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture.save(PICTURES / f"{name}.png", optimize=True)
    assert (PICTURES / f"{name}.png").stat().st_size < MOST
