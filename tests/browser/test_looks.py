"""How reports look, in a real browser: on a screen, on a telephone, in a dark room and on paper, offline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Server
from tests.reporting.conftest import club  # noqa: F401
from tests.reporting.pages import page_of
from workbench import open_workbench
from workbench.reporting.html import to_html
from workbench.reporting.runner import run_report
from workbench.reporting.tables import show
from workbench.reporting.templates import report_names
from workbench.settings import Settings

pytestmark = pytest.mark.browser

FAINT = """
() => {
  const parts = text => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [...found.slice(0, 3).map(x => x * 255), found[3] ?? 1] : [...found.slice(0, 3), found[3] ?? 1];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = rgb => {
    const [r, g, b] = rgb.map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = node => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(parts(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const faint = new Map();
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some(each => each.nodeType === 3 && each.textContent.trim())) continue;
    if (!node.checkVisibility() || node.closest("[aria-hidden]")) continue;
    const style = getComputedStyle(node), ground = behind(node);
    let opacity = 1;
    for (let at = node; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    const ink = parts(style.color);
    const [a, b] = [light(over([...ink.slice(0, 3), ink[3] * opacity], ground)), light(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.set(`${node.tagName} ${node.className} ${ratio.toFixed(2)}`, node.textContent.trim().slice(0, 40));
  }
  return Object.fromEntries(faint);
}
"""
"""Return every text that stands out from its ground by less than 4.5 to 1 (WCAG AA)."""


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    opened = chromium.new_page(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


@pytest.mark.parametrize("dialect", ["application"])
def test_every_report_can_be_read(
    club: Settings,  # noqa: F811
    server: Server,
    page: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = Path(server.handle.pgdata).parent  # the snapshot is read on the server that runs already
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    club = club.model_copy(update={"home": home})
    with open_workbench("club", settings=club) as wb:
        runs = wb.runs.frame()
        wb.snapshots.create(reason="before the plan")
        plan = wb.runs.plan_sync_state()
    contacts = tmp_path / "contacts.csv"
    contacts.write_text(
        "Contact ID,First name,Last name,Email\n50000,Ann,Lee,ann@example.org\n9,Bob,,b@example.org\n"
    )
    needed: dict[str, dict[str, Any]] = {
        "run": {"run_id": runs["run"].iloc[0]},
        "plan": {"plan": plan.id},
        "reconcile": {"exports": [str(contacts)]},
    }
    for name in report_names():
        file = tmp_path / f"{name}.html"
        file.write_text(page_of(name, environment="club", **needed.get(name, {})), encoding="utf-8")
        page.goto(file.as_uri())
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(FAINT) == {}, (name, scheme)
        for figure in page.locator("figure img").all():
            assert figure.get_attribute("alt"), name
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        page.emulate_media(media="print")
        for hidden in ("nav", ".code", "a.skip"):
            assert not page.locator(hidden).first.is_visible(), (name, hidden)
        page.set_viewport_size({"width": 690, "height": 900})  # a sheet of A4 between its margins
        wide = "[...document.querySelectorAll('table')].filter(it => it.scrollWidth > innerWidth).length"
        assert page.evaluate(wide) == 0, f"{name} is cut off on paper"
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 1280, "height": 900})


def test_what_is_faint_is_seen(page: Any) -> None:
    page.set_content(
        '<body style="background:#fff"><p style="color:#999">faint</p><p>black</p>'
        '<p style="opacity:.3">through</p><div style="background:#000"><b style="color:#333">dark</b></div>'
    )
    assert sorted(page.evaluate(FAINT).values()) == ["dark", "faint", "through"]


@pytest.mark.parametrize("rows", [40, 4_000])
def test_a_table_is_readable_at_any_length(page: Any, tmp_path: Path, rows: int) -> None:
    frame = pd.DataFrame(
        {
            "record_id": [f"{n:08x}-6a28-4045-948e-621294f1c422" for n in range(rows)],
            "status": ["pass", "fail"] * (rows // 2),
            "number": range(rows),
            "why": "It was changed by a person after the run, and so it is kept as it is now.",
        }
    )
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    shown = show(frame, "Records", limit=rows)
    cell = new_code_cell("1", outputs=[new_output("display_data", data={"text/html": shown.html})])
    verdict = {"environment": {"kind": "demo", "name": "demo"}, "made_at": "2026-05-01T10:00:00"}
    text = to_html(new_notebook(cells=[new_markdown_cell("# Records"), cell]), verdict, "Records")
    assert len(text) < 50_000 + 700 * rows, "bytes a row"
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    table, head = page.locator(".wb-scroll"), page.locator("thead th").first
    table.evaluate("it => it.scrollIntoView()")
    last = page.locator("tbody tr").last
    last.scroll_into_view_if_needed()
    if rows > 40:
        assert table.bounding_box()["height"] < 900, "it scrolls by itself"
        assert head.bounding_box()["y"] < last.bounding_box()["y"], "its headings stay"
        assert head.is_visible()
        assert abs(head.bounding_box()["y"] - table.bounding_box()["y"]) < 3
    page.emulate_media(media="print")
    style = "it => [getComputedStyle(it).display, getComputedStyle(it).breakInside]"
    assert page.locator("thead").evaluate(style)[0] == "table-header-group", "repeated on every sheet"
    assert last.evaluate(style)[1] == "avoid", "no row is cut in two"
    assert table.evaluate("it => it.scrollHeight <= it.clientHeight + 1"), "nothing is left off the paper"


@pytest.mark.parametrize("dialect", ["application"])
def test_the_page_stands_alone(
    club: Settings,  # noqa: F811
    tmp_path: Path,
    chromium: Any,
) -> None:
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
    assert page.locator(".code pre").first.is_hidden()
    page.get_by_label("Show the code").check()
    assert page.locator(".code pre").first.is_visible()
    page.emulate_media(media="print")
    assert page.locator(".code pre").first.is_hidden(), "off on paper"
    page.emulate_media(media="screen")
    assert page.locator("nav a").count() >= 6
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
