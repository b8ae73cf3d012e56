"""The checklist before a migration for people: the list, what is open, and its findings for the verdict."""

from __future__ import annotations

from workbench.checks.finding import Finding, Status
from workbench.migration.preflight import Preflight
from workbench.reporting.summaries import in_steps, listed
from workbench.reporting.tables import Shown

_STATUS: dict[str, Status] = {"ok": "pass", "open": "fail", "waived": "waived"}


def preflight_findings(found: Preflight) -> list[Finding]:
    """Return the checklist as findings: an open item fails, a waived one is waived, by whom and why."""
    return [
        Finding(
            f"preflight-{each.id}",
            each.title,
            _STATUS[each.state],
            1 if each.state == "open" else 0,
            reason=each.by or each.evidence,
            guide="§6",
            question=f"{each.title}: {each.asks}?",
            remedy=each.next_step,
            risk="critical",
        )
        for each in found.items
    ]


def preflight_list(found: Preflight) -> Shown:
    """List the items: what each one rests on, and who vouches for it."""
    marks = {"ok": "✓", "open": "✗ open", "waived": "✓ waived"}
    return listed(
        {
            f"{marks[each.state]} {each.title}": f"{each.asks}. {each.evidence}"
            + (f"; {each.by}" if each.by else "")
            for each in found.items
        }
    )


def preflight_steps(found: Preflight) -> Shown:
    """Say what would settle what is open."""
    return in_steps(
        [f"{each.title}: {each.next_step}" for each in found.open]
        or ["Nothing is open. `workbench preflight sign` writes that into the audit log."]
    )
