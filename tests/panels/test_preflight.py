"""The checklist vouched for, waived, taken back and signed by clicks, and every refusal in words."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from ipywidgets import HTML, Widget

from tests.conftest import Clubs, Ground
from tests.panels.conftest import choose, parts, press, said, settle
from tests.states import state
from workbench.panels.panel import opened as opened_panel
from workbench.panels.preflight import PreflightPanel
from workbench.workbench import Workbench


def _chosen(panel: PreflightPanel, item: str, says: str = "") -> None:
    """Choose an item, and write what is to be said of it."""
    choose(panel, "Checklist", item)
    panel._says.value = says


def _states(panel: PreflightPanel) -> dict[str, str]:
    assert panel.checklist is not None
    return dict(zip(panel.checklist["item"], panel.checklist["state"], strict=True))


def _logged(club: Ground) -> str:
    with club.connect() as connection:
        return "\n".join(state(connection)["AuditLog"])


def test_from_everything_open_to_signed(opened: Callable[..., Workbench], club: Ground) -> None:
    wb = opened(club)
    panel = settle(PreflightPanel(wb))
    assert len(_states(panel)) == len(panel.table.names) == 8
    assert {name for name, state in _states(panel).items() if state == "ok"} == {"operator"}
    assert panel.buttons["Sign as dana"].disabled
    assert panel._word.layout.display == "none", "nothing is offered before an item is chosen"

    panel._who.value = "robin"
    _chosen(panel, "window", "Sunday 20:00 to 22:00")
    assert "only a person knows" in panel._detail.value
    press(panel, "Vouch for it")
    assert "robin vouches for maintenance window" in panel.work.message
    assert _states(panel)["window"] == "ok", "it looks again by itself"
    assert "attested by robin: Sunday 20:00 to 22:00" in panel._detail.value
    press(panel, "Take back")
    assert _states(panel)["window"] == "open"

    for item in [name for name, judged in _states(panel).items() if judged == "open"]:
        _chosen(panel, item, "a rehearsal")
        press(panel, "Waive it")
    assert set(_states(panel).values()) == {"ok", "waived"}
    assert "migration:preflight:passed" not in _logged(club)
    press(panel, "Sign as dana")
    assert "Signed by dana: audit entry" in panel.work.message
    assert _logged(club).count("migration:preflight:passed") == 1


def test_refusals_are_shown_and_nothing_is_recorded(opened: Callable[..., Workbench], clubs: Clubs) -> None:
    wb = opened(clubs.clone("guide", 60))
    panel = settle(PreflightPanel(wb))
    for item, says, title, told in (
        ("window", "", "Vouch for it", "Nothing is said about"),
        ("window", "", "Waive it", "Nothing is said about"),
        ("stakeholders", "told mia@example.org", "Vouch for it", "e-mail address"),
        ("backup", "I am sure of it", "Vouch for it", "evidence settles this"),
        ("window", "x" * 501, "Waive it", "Shorten it."),
    ):
        _chosen(panel, item, says)
        press(panel, title)
        assert told in panel.work.message, (item, panel.work.message)
        assert "wb-fail" in panel.work.message
        assert panel._says.value == says, "what was written is still there to be mended"
    panel._who.value = " "
    _chosen(panel, "window", "Sunday")
    press(panel, "Vouch for it")
    assert "A name is needed" in panel.work.message
    assert not wb.migration._attestations.read()
    assert panel.buttons["Take back"].disabled, "there is nothing to take back"


def test_text_typed_while_a_statement_is_recorded_stays(
    opened: Callable[..., Workbench], clubs: Clubs
) -> None:
    panel = settle(PreflightPanel(opened(clubs.clone("guide", 60))))
    gate = threading.Event()
    _chosen(panel, "window", "Sunday")
    panel.work.start("Being slow", lambda _: gate.wait(20))
    panel.buttons["Waive it"].disabled = False  # as the page has it, which has not heard yet
    panel.buttons["Waive it"].click()
    assert panel._says.value == ""
    panel._says.value = "of the next one"
    gate.set()
    settle(panel)
    assert _states(panel)["window"] == "waived"
    assert panel._says.value == "of the next one"
    panel._who.value = "<img src=x onerror=alert(1)>"
    _chosen(panel, "window", "<script>alert(2)</script>\u202egnp")
    press(panel, "Waive it")
    html = [part.value for part in parts(panel) if isinstance(part, HTML)]
    shown = "".join(html) + panel.static().html
    assert "&lt;img src=x" in shown
    assert "<img" not in shown
    assert "<script" not in shown
    assert "\u202e" not in panel.work.message + panel._detail.value


def test_an_environment_that_cannot_be_opened_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ENVIRONMENT", "<b>nowhere</b>")
    shown = opened_panel(PreflightPanel)
    words = said(shown)
    Widget.close_all()
    assert "There is no environment" in words
    assert "&lt;b&gt;nowhere" in words
