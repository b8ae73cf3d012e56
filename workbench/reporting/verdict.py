"""The verdict: what a report found, for machines; and its first screen, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from workbench.answer import Answer
from workbench.checks.finding import RISKS, Finding, Status, section
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import Shown, prose, status_mark, visible
from workbench.session import Session

MIME = "application/vnd.murmurant.verdict+json"
"""How the verdict travels from the kernel: as an output, so that no side file is needed."""

WORST_FIRST: tuple[Status, ...] = ("fail", "not run", "warn", "waived", "pass")
_FIRST = 3  # things to do on the first screen

_ANSWERS: dict[str, str] = {
    "pass": "Yes.",
    "waived": "Yes, with what was waived.",
    "warn": "Not before somebody has looked at the warnings.",
    "not run": "Nobody knows: not everything could be checked.",
    "fail": "No.",
}
_WORDS: dict[str, str] = {
    "pass": "passed",
    "fail": "failed",
    "warn": "gave a warning",
    "not run": "could not run",
    "waived": "waived",
}


class Verdict(Shown):
    """What a report found; shows itself as the report's first screen.

    Attributes
    ----------
    facts : dict
        For machines: ``status`` (the worst of the findings; ``not run`` when there are none), ``headline`` (the answer to
        the report's question), ``tally``, ``counts`` (findings per status, worst first), ``environment``, ``database``,
        ``dialect``, ``findings`` in the order of the guide, and what the report adds. No clock: the runner adds ``made_at``.
    """

    def __init__(self, html: str, facts: dict[str, Any]) -> None:
        super().__init__(html)
        self.facts = facts

    @property
    def status(self) -> Status:
        """The worst of its findings."""
        status: Status = self.facts["status"]
        return status

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME: self.facts, **super()._repr_mimebundle_()}


def worst(findings: Sequence[Finding]) -> Status:
    """Return the worst status; with no finding nothing is known, and nothing unknown is green."""
    return min((each.status for each in findings), key=WORST_FIRST.index, default="not run")


def conclude(
    session: Session,
    question: str,
    answers: Iterable[Answer | Sequence[Finding]],
    facts: Mapping[str, Any] | None = None,
) -> Verdict:
    """Answer a report's question, to which yes is good, by the worst of all findings."""
    answers, unmask = list(answers), session.unmask
    findings = [one for each in answers for one in (each.findings if isinstance(each, Answer) else each)]
    status, counts = worst(findings), Counter(each.status for each in findings)
    counted = ", ".join(f"{counts[each]} {_WORDS[each]}" for each in WORST_FIRST if counts[each])
    told = [each.headline for each in answers if isinstance(each, Answer) and each.headline]
    told.append(f"Of {len(findings)} checks {counted}." if findings else "No check was run.")
    here, identity, headline = session.environment, session.identity, f"{question} {_ANSWERS[status]}"
    tally = visible(_masked(" ".join(told), unmask))
    html = Markup('<div class="verdict wb-{}">{} {}<small>{}</small></div>').format(
        status.replace(" ", "-"), status_mark(status), headline, tally
    )
    if steps := _first(findings):
        step = Markup("<li><strong>{}</strong>{} ({}): {}</li>")
        items = [step.format(each.title, "" if each.count is None else f": {each.count:,}", each.guide,
                             prose(each.reason if each.status == "not run" else each.remedy)) for each in steps]  # fmt: skip
        html += Markup('<p class="wb-caption">What to do first</p><ol class="wb-steps">{}</ol>').format(
            Markup("").join(items)
        )
    html += Markup(
        '<p class="wb-about">{} ({}): database {} at {}, as {}, read only, {}; personal data {}</p>'
    ).format(
        *(here.name, here.kind, identity.database, here.where, identity.user),
        "one state for the whole report" if session.one_state else "as it is at each question",
        "shown" if unmask else "masked",
    )
    return Verdict(
        html,
        {
            **(facts or {}),
            "status": status,
            "headline": headline,
            "tally": tally,
            "counts": {each: counts[each] for each in WORST_FIRST},
            "environment": {"name": here.name, "kind": here.kind, "where": here.where},
            "database": asdict(identity),
            "dialect": session.dialect,
            "findings": [
                _facts(each, unmask)
                for each in sorted(findings, key=lambda each: (section(each.guide), each.check))
            ],
        },
    )


def _masked(text: str, unmask: bool) -> str:
    return text if unmask else mask_text(text)


def _first(findings: Sequence[Finding]) -> list[Finding]:
    """Return what to do first, by risk and number: a step of risk weighs ten times the records; one of each section."""

    def urgency(finding: Finding) -> tuple[int, str]:
        return -(finding.count or 1) * 10 ** (len(RISKS) - RISKS.index(finding.risk)), finding.check

    for status in ("fail", "warn", "not run"):
        by_urgency = sorted((each for each in findings if each.status == status), key=urgency)
        if by_urgency:
            of_each = {each.guide: each for each in reversed(by_urgency)}
            return sorted(of_each.values(), key=urgency)[:_FIRST]
    return []


def _facts(finding: Finding, unmask: bool) -> dict[str, Any]:
    told = {name: getattr(finding, name) for name in ("check", "title", "guide", "status", "open", "count")}
    keys = finding.rows.get("key", ())
    return {
        **told,
        "reason": _masked(finding.reason, unmask),
        "keys": [_masked(visible(str(key)), unmask) for key in keys],
    }
