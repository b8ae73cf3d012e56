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
from workbench.reporting.tables import WORST_FIRST, Shown, prose, status_mark, visible
from workbench.session import Session

MIME = "application/vnd.murmurant.verdict+json"
"""How the verdict travels from the kernel: as an output, so that no side file is needed."""

_FIRST = 3  # things to do on the first screen
_ANSWERS = {
    "pass": "Yes.",
    "waived": "Yes, with what was waived.",
    "warn": "Not before somebody has looked at the warnings.",
    "not run": "Nobody knows: not everything could be checked.",
    "fail": "No.",
}
_COUNTED = {"pass": "passed", "fail": "failed", "warn": "gave a warning", "not run": "could not run"}


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


def worst(findings: Sequence[Finding]) -> str:
    """Return the worst status; with no finding nothing is known, and nothing unknown is green."""
    return min((finding.status for finding in findings), key=WORST_FIRST.index, default="not run")


def conclude(
    session: Session,
    question: str,
    answers: Iterable[Answer | Sequence[Finding]],
    facts: Mapping[str, Any] | None = None,
) -> Verdict:
    """Answer a report's question, to which yes is good, by the worst of all findings."""
    findings, sentences = list[Finding](), list[str]()
    for answer in answers:
        findings += answer.findings if isinstance(answer, Answer) else answer
        sentences += [answer.headline] if isinstance(answer, Answer) and answer.headline else []
    status, counts = worst(findings), Counter[str](finding.status for finding in findings)
    counted = [f"{counts[status]} {_COUNTED.get(status, status)}" for status in WORST_FIRST if counts[status]]
    sentences.append(f"Of {len(findings)} checks {', '.join(counted)}." if findings else "No check was run.")
    where, identity, headline = session.environment, session.identity, f"{question} {_ANSWERS[status]}"
    tally = _shown(" ".join(sentences), session.unmask)
    html = Markup(
        '<div class="verdict wb-{}">{} {}<small>{}</small></div>{}<p class="wb-about">{}</p>'
    ).format(
        status.replace(" ", "-"),
        status_mark(status),
        headline,
        tally,
        _first_steps(findings),
        f"{where.name} ({where.kind}): database {identity.database} at {where.where}, as {identity.user}, read only, "
        f"{'one state for the whole report' if session.one_state else 'as it is at each question'}; "
        f"personal data {'shown' if session.unmask else 'masked'}",
    )
    in_order = sorted(findings, key=lambda finding: (section(finding.guide), finding.check))
    return Verdict(
        html,
        {
            **(facts or {}),
            "status": status,
            "headline": headline,
            "tally": tally,
            "counts": {name: counts[name] for name in WORST_FIRST},
            "environment": {"name": where.name, "kind": where.kind, "where": where.where},
            "database": asdict(identity),
            "dialect": session.dialect,
            "findings": [_facts(finding, session.unmask) for finding in in_order],
        },
    )


def _first_steps(findings: Sequence[Finding]) -> Markup:
    """Say what to do first, by risk and number: a step of risk weighs ten times the records; one of each section."""

    def urgency(finding: Finding) -> tuple[int, str]:
        return -(finding.count or 1) * 10 ** (len(RISKS) - RISKS.index(finding.risk)), finding.check

    steps = list[Finding]()
    for status in ("fail", "warn", "not run"):
        if not steps:
            by_urgency = sorted((finding for finding in findings if finding.status == status), key=urgency)
            one_each = {finding.guide: finding for finding in reversed(by_urgency)}
            steps = sorted(one_each.values(), key=urgency)[:_FIRST]
    if not steps:
        return Markup()
    items = Markup()
    for step in steps:
        count = "" if step.count is None else f": {step.count:,}"
        advice = prose(step.reason if step.status == "not run" else step.remedy)
        items += Markup("<li><strong>{}</strong>{} ({}): {}</li>").format(
            step.title, count, step.guide, advice
        )
    return Markup('<p class="wb-caption">What to do first</p><ol class="wb-steps">{}</ol>').format(items)


def _facts(finding: Finding, unmask: bool) -> dict[str, Any]:
    facts = {name: getattr(finding, name) for name in ("check", "title", "guide", "status", "open", "count")}
    keys = [_shown(str(key), unmask) for key in finding.rows.get("key", ())]
    return {**facts, "reason": _shown(finding.reason, unmask), "keys": keys}


def _shown(text: str, unmask: bool) -> str:
    return visible(text if unmask else mask_text(text))
