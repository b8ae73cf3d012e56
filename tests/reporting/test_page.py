"""The page in a real browser, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.reporting.html import to_html
from workbench.reporting.runner import run_report
from workbench.settings import Settings


def test_outputs_are_text_unless_the_workbench_made_them() -> None:
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    hostile = "<script>alert(1)</script>\x1b[31m"
    outputs = [
        new_output("stream", text=hostile),
        new_output("display_data", data={"text/plain": hostile}),
        new_output(
            "display_data",
            data={"text/markdown": hostile, "application/javascript": "alert(1)", "text/plain": "x"},
        ),
        new_output("error", ename="E", evalue=hostile, traceback=[hostile]),
    ]
    notebook = new_notebook(cells=[new_code_cell("1", outputs=outputs)], metadata={"title": hostile})
    environment = {"name": hostile, "kind": "production", "where": hostile}
    page = to_html(
        notebook, {"environment": environment, "made_at": "2026-05-01T10:00:00"}, hostile, failed=hostile
    )
    assert "<script" not in page
    assert "alert(1)&lt;/script&gt;" in page
    assert "kind-production" in page
    assert "\x1b" not in page


@pytest.mark.browser
@pytest.mark.parametrize("dialect", ["application"])
def test_the_page_stands_alone(club: Settings, tmp_path: Path, chromium: Any) -> None:
    report = run_report("post-recovery", environment="club", settings=club)
    trouble: list[str] = []
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on(
        "request", lambda request: trouble.append(request.url) if request.url.startswith("http") else None
    )
    page.route("http*://**", lambda route: route.abort())
    page.goto(report.html.as_uri())
    assert page.locator("details.code pre").first.is_hidden()
    assert not page.locator("details.code[open]").count()
    page.locator("details.code summary").first.click()
    assert page.locator("details.code pre").first.is_visible()
    assert page.locator("nav a").count() >= 8
    for link in page.locator("nav a").all():
        assert page.locator(f"[id='{(link.get_attribute('href') or '')[1:]}']").count() == 1
    for image in page.locator("figure img").all():
        assert image.get_attribute("alt")
        assert image.evaluate("it => it.complete && it.naturalWidth") > 0
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert len(page.screenshot(path=tmp_path / f"{scheme}.png")) > 10_000
    page.close()
    assert not trouble
