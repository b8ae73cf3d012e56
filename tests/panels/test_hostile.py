"""Whatever a value contains, it is shown as text: in every panel, in every report, in every file for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ipywidgets import HTML, Widget
from itables.widget import ITable

from tests.commands import Shell, at, shell  # noqa: F401
from tests.conftest import Clubs, Ground, Server
from tests.hostile import TRAP, VALUES, plant, steering, wrong_elements
from tests.panels.conftest import parts, press, settle
from tests.reporting.pages import page_of
from workbench import Plan, open_workbench
from workbench.demo.breakages import BREAKAGES, break_club
from workbench.demo.club import Club, build_club
from workbench.panels import PAGES
from workbench.panels.panel import Panel
from workbench.panels.table import Table
from workbench.panels.work import Work
from workbench.reporting.templates import report_names
from workbench.workbench import Workbench


@pytest.fixture(scope="module")
def built() -> dict[str, Club]:
    return {}


@pytest.fixture
def hostile(
    server: Server, built: dict[str, Club], dialect: str, tmp_path_factory: pytest.TempPathFactory
) -> Ground:
    """A club that is broken in every way, and every word in which is hostile."""

    def fill(connection: psycopg.Connection[Any]) -> None:
        imports = tmp_path_factory.mktemp("hostile")
        built[dialect] = build_club(connection, dialect=dialect, members=60, imports=imports)  # type: ignore[arg-type]
        break_club(connection, built[dialect], tuple(BREAKAGES))
        plant(connection)

    name = server.create(server.template(f"hostile-{dialect}", fill))
    return Ground(server.url(name), tmp_path_factory.mktemp("ground"), built[dialect])


@pytest.fixture
def seen(opened: Callable[..., Workbench], hostile: Ground) -> Workbench:
    """The hostile club as who may see personal data opens it."""
    wb = opened(hostile)
    wb.session.unmask = True
    return wb


def test_what_is_wrong_is_seen() -> None:
    for value in VALUES[:3]:
        assert wrong_elements(f"<p>{value}</p>")
    for page in ("<a href='javascript:x'>", "<p onclick=x>", "<iframe srcdoc='x'>", "<img src=http://x/>"):
        assert wrong_elements(page)
    assert wrong_elements('<iframe sandbox="" srcdoc="&lt;script&gt;"></iframe>')
    assert not wrong_elements('<p>&lt;script&gt; <img alt="" src="data:image/svg+xml;base64,x"></p>')
    assert [*steering("a\u202eb")]


@pytest.mark.parametrize("page", PAGES)
def test_every_panel_shows_values_as_text(page: str, seen: Workbench) -> None:
    panel = settle(seen.panel(page))
    for table in [part for part in parts(panel) if isinstance(part, Table)]:
        if table.names:
            table._table.selected_rows = [0]
            settle(panel)
    for work in [part for part in parts(panel) if isinstance(part, Work)]:
        assert "wb-fail" not in work.message, work.message
    _is_text(panel)


def test_a_plan_of_hostile_rows_is_text_in_its_review(seen: Workbench) -> None:
    picker = settle(seen.panel("runs", wanted=_a_live_run(seen)))
    press(picker, "Plan the rollback")
    assert picker.review.plan, picker.work.message
    assert TRAP in "".join(_html(picker)), "the rows are there"
    _is_text(picker)


@pytest.mark.parametrize("dialect", ["guide"])  # where run ids can be anything too
def test_every_report_shows_values_as_text(
    hostile: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLUB_URL", hostile.url)
    (tmp_path / "workbench.toml").write_text(
        f'operator = "<b>dana</b>"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n'
        f'import_reports = ["{hostile.club.imports}"]\ntier_mapping = "{hostile.club.imports}/membership.yaml"\n'
        "event_capacity_limit = 100\n"
    )
    with open_workbench("club") as wb:
        run = _a_live_run(wb)
        plan = wb.runs.plan_rollback(run)
    assert isinstance(plan, Plan)
    contacts = f"Contact ID,First name,Last name,Email\n990001,{TRAP},{TRAP},odd@example.org\n"
    (tmp_path / "contacts.csv").write_text(contacts)
    more = {"run": {"run_id": run}, "plan": {"plan": plan.id}, "reconcile": {"exports": ["contacts.csv"]}}
    told = 0
    for name in report_names():
        page = page_of(name, environment="club", unmask=True, **more.get(name, {}))
        told += TRAP in page
        assert not wrong_elements(page), name
        assert not [*steering(page)], name
    assert told > 5, "they do show what is there"


def test_a_file_for_a_spreadsheet_holds_no_formula(
    at: Callable[..., Shell],  # noqa: F811
    clubs: Clubs,
    tmp_path: Path,
) -> None:
    club = clubs.clone("guide")  # where ids are text
    with club.connect() as connection:
        break_club(connection, club.club, ("duplicate-members", "swapped-mappings"))
        connection.execute("""UPDATE "Member" SET id = '=' || id""")
        connection.execute("""UPDATE "Registration" SET "memberId" = '=' || "memberId\"""")
        connection.execute(
            """UPDATE "WaIdMapping" SET "murmurantId" = '=' || "murmurantId" WHERE "entityType" = 'Member'"""
        )
    run = at(club)
    for command in (("duplicates", "--entity", "member", "--to"), ("mappings", "--csv")):
        file = tmp_path / f"{command[0]}.csv"
        assert run(*command, str(file)).returncode == 1
        with file.open(newline="", encoding="utf-8") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row]
        assert any(cell.startswith("'=") for cell in cells), command
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert run("plan", "merge", "--from", str(tmp_path / "duplicates.csv")).returncode == 0, (
        "and is read back"
    )
    assert run("plan", "mapping", "--from", str(tmp_path / "mappings.csv")).returncode == 0


def _a_live_run(wb: Workbench) -> str:
    """Return a live run's id, a hostile one where the dialect lets it be."""
    runs = wb.runs.frame()
    return str(min(runs[runs["mode"] == "live"]["run"], key=lambda run: TRAP not in run))


def _html(panel: Widget) -> Iterator[str]:
    """Yield all that a browser would read as HTML."""
    yield from (str(part.value) for part in parts(panel) if isinstance(part, HTML))
    if isinstance(panel, Panel):
        yield panel.static().html


def _is_text(panel: Widget) -> None:
    for page in _html(panel):
        assert not wrong_elements(page)
        assert not [*steering(page)]
    for table in [part for part in parts(panel) if isinstance(part, ITable)]:
        sent = table._dt_args["data_json"]
        for row in json.loads(sent) if isinstance(sent, str) else sent:
            for value in row:
                assert not wrong_elements(str(value)), value
                assert not [*steering(str(value))], value
