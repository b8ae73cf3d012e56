"""The verdict: what a report found, for machines; and its first screen, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
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
FIRST = 3
"""How many things to do are on the first screen."""

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


@dataclass(frozen=True)
class Verdict:
    """What a report found; shows itself as the report's first screen. Holds no clock: the runner adds ``made_at``.

    Attributes
    ----------
    facts : dict
        For machines: ``status`` (the worst of the findings; ``not run`` when there are none), ``headline`` (the answer to
        the report's question), ``tally``, ``counts`` (findings per status, worst first), ``environment``, ``database``,
        ``dialect``, ``findings`` in the order of the guide, and what the report adds.
    steps : tuple of (Finding, str)
        What to do first, and how.
    about : str
        Which database this is, and how it was looked at.
    """

    facts: dict[str, Any]
    steps: tuple[tuple[Finding, str], ...]
    about: str

    @property
    def status(self) -> Status:
        """The worst of its findings."""
        status: Status = self.facts["status"]
        return status

    @property
    def shown(self) -> Shown:
        """What people see of it."""
        headline, said = self.facts["headline"], self.facts["tally"]
        verdict = Markup('<div class="verdict wb-{}">{} {}<small>{}</small></div>')
        html = verdict.format(self.status.replace(" ", "-"), status_mark(self.status), headline, said)
        step = Markup("<li><strong>{}</strong>{} ({}): {}</li>")
        lines = [f"{each.title}{_number(each)} ({each.guide}): {what}" for each, what in self.steps]
        if self.steps:
            items = [
                step.format(each.title, _number(each), each.guide, prose(what)) for each, what in self.steps
            ]
            title = Markup('<p class="wb-caption">What to do first</p><ol class="wb-steps">{}</ol>')
            html += title.format(Markup("").join(items))
        html += Markup('<p class="wb-about">{}</p>').format(self.about)
        text = "\n".join([f"{self.status}: {headline} {said}", *lines, self.about])
        return Shown(html, text)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME: self.facts, **self.shown._repr_mimebundle_()}

    def __repr__(self) -> str:
        return self.shown.text


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
    answers = list(answers)
    findings = [
        finding for each in answers for finding in (each.findings if isinstance(each, Answer) else each)
    ]
    status, counts, unmask = worst(findings), Counter(each.status for each in findings), session.unmask
    counted = ", ".join(f"{counts[each]} {_WORDS[each]}" for each in WORST_FIRST if counts[each])
    tally = f"Of {len(findings)} checks {counted}." if findings else "No check was run."
    summary = " ".join(each.headline for each in answers if isinstance(each, Answer) and each.headline)
    here, identity = session.environment, session.identity
    state = "one state for the whole report" if session.one_state else "as it is at each question"
    people = "shown" if unmask else "masked"
    return Verdict(
        {
            **(facts or {}),
            "status": status,
            "headline": f"{question} {_ANSWERS[status]}",
            "tally": visible(f"{summary if unmask else mask_text(summary)} {tally}".strip()),
            "counts": {each: counts[each] for each in WORST_FIRST},
            "environment": {"name": here.name, "kind": here.kind, "where": here.where},
            "database": asdict(identity),
            "dialect": session.dialect,
            "findings": [_told(each, unmask) for each in sorted(findings, key=_in_order)],
        },
        tuple(_first(findings)),
        f"{here.name} ({here.kind}): database {identity.database} at {here.where}, as {identity.user}, read only, {state};"
        f" personal data {people}",
    )


def _first(findings: Sequence[Finding]) -> list[tuple[Finding, str]]:
    """Return what to do first, by risk and number: a step of risk weighs ten times the records; one of each section."""

    def urgency(finding: Finding) -> tuple[int, str]:
        return -(finding.count or 1) * 10 ** (len(RISKS) - RISKS.index(finding.risk)), finding.check

    for status in ("fail", "warn", "not run"):
        of_each = {each.guide: each for each in sorted((each for each in findings if each.status == status), key=urgency, reverse=True)}  # fmt: skip
        if of_each:
            first = sorted(of_each.values(), key=urgency)[:FIRST]
            return [(each, each.reason if status == "not run" else each.remedy) for each in first]
    return []


def _number(finding: Finding) -> str:
    return "" if finding.count is None else f": {finding.count:,}"


def _in_order(finding: Finding) -> tuple[tuple[int, ...], str]:
    return section(finding.guide), finding.check


def _told(finding: Finding, unmask: bool) -> dict[str, Any]:
    keys = [visible(str(key)) for key in finding.rows["key"]] if "key" in finding.rows else []
    return {
        "check": finding.check,
        "title": finding.title,
        "guide": finding.guide,
        "status": finding.status,
        "open": finding.open,
        "count": finding.count,
        "reason": finding.reason if unmask else mask_text(finding.reason),
        "keys": keys if unmask else [mask_text(key) for key in keys],
    }
