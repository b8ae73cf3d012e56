"""The verdict: what a report found, for machines; and the notebook's last word, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from markupsafe import Markup

from workbench.checks.finding import Finding, Status, section
from workbench.database.connection import Identity
from workbench.database.environment import Environment
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import Shown, status_mark, visible

MIME = "application/vnd.murmurant.verdict+json"
"""How the verdict travels from the kernel: as an output, so that no side file is needed."""

WORST_FIRST: tuple[Status, ...] = ("fail", "not run", "warn", "waived", "pass")

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


class State(Protocol):
    """What a report says of the database that it looked at."""

    @property
    def environment(self) -> Environment:
        """Name, kind and address."""

    @property
    def identity(self) -> Identity:
        """Which database it is, by its own word."""

    @property
    def dialect(self) -> str:
        """``guide``, ``application`` or ``mixed``."""

    @property
    def unmask(self) -> bool:
        """Whether personal data may be seen."""

    @property
    def one_state(self) -> bool:
        """Whether everything is seen as it was at one moment."""


class Looked(Protocol):
    """What `conclude` needs of an opened workbench."""

    @property
    def session(self) -> State:
        """What every subject stands on."""


@dataclass(frozen=True)
class Verdict:
    """What a report found. Holds no clock: the runner adds ``made_at``.

    Attributes
    ----------
    report : str
        The report's name.
    status : str
        The worst of its findings; ``not run`` when there are none.
    headline, tally : str
        The answer to the report's question; the findings counted, in words.
    counts : dict of str to int
        Findings per status, worst first.
    findings : list of dict
        Each with ``check``, ``title``, ``guide``, ``status``, ``open`` (somebody has
        to look at it), ``count``, ``reason`` and ``keys``,
        in the order of the guide.
    environment, database : dict
        What was looked at, without secrets.
    dialect : str
        ``guide``, ``application`` or ``mixed``.
    """

    report: str
    status: Status
    headline: str
    tally: str
    counts: dict[str, int]
    environment: dict[str, str]
    database: dict[str, str]
    dialect: str
    findings: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return it as what `json.dumps` takes."""
        return asdict(self)


def worst(findings: Sequence[Finding]) -> Status:
    """Return the worst status; with no finding nothing is known, and nothing unknown is green."""
    return min((each.status for each in findings), key=WORST_FIRST.index, default="not run")


def answered(question: str, status: str) -> str:
    """Answer a report's question by the worst status found."""
    return f"{question} {_ANSWERS[status]}"


def tally(findings: Sequence[Finding]) -> str:
    """Count the findings in words, worst first."""
    found = Counter(each.status for each in findings)
    told = [f"{found[status]} {_WORDS[status]}" for status in WORST_FIRST if found[status]]
    return f"Of {len(findings)} checks {', '.join(told)}." if findings else "No check was run."


def judge(looked: Looked, findings: Sequence[Finding], report: str, question: str) -> Verdict:
    """Sum up findings as a verdict."""
    status, state = worst(findings), looked.session
    found = Counter(each.status for each in findings)
    return Verdict(
        report=report,
        status=status,
        headline=answered(question, status),
        tally=tally(findings),
        counts={each: found[each] for each in WORST_FIRST},
        environment={
            "name": state.environment.name,
            "kind": state.environment.kind,
            "where": state.environment.where,
        },
        database=asdict(state.identity),
        dialect=state.dialect,
        findings=[_told(each, state.unmask) for each in sorted(findings, key=_in_order)],
    )


def conclude(
    looked: Looked,
    findings: Sequence[Finding],
    report: str,
    question: str,
    *,
    summary: str = "",
    facts: Mapping[str, Any] | None = None,
) -> None:
    """End a report: say the verdict to people, and hand it to the runner.

    Parameters
    ----------
    looked : Workbench
        What the report looked through.
    findings : sequence of Finding
        Everything the verdict rests on.
    report, question : str
        The report's name, and the question it answers: yes is good.
    summary : str
        What the report is about, said before the findings are counted.
    facts : mapping, optional
        What the verdict carries besides, for machines.
    """
    from IPython.display import display  # only where there is a notebook

    verdict = judge(looked, findings, report, question)
    verdict = replace(verdict, tally=visible(f"{summary} {verdict.tally}".strip()))
    html = Markup('<p class="wb-note">{} <strong>{}</strong> {}</p>')
    shown = Shown(
        html.format(status_mark(verdict.status), verdict.headline, verdict.tally),
        f"{verdict.status}: {verdict.headline} {verdict.tally}",
    )
    display({MIME: {**(facts or {}), **verdict.as_json()}, **shown._repr_mimebundle_()}, raw=True)  # type: ignore[no-untyped-call]


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
