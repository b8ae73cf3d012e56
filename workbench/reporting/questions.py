"""``wb.report``: run reports, and conclude them with a verdict (guide §7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from workbench.answer import Answer, many
from workbench.checks.finding import RISKS, Finding, Status, section
from workbench.errors import DatabaseUnreachable, WorkbenchError
from workbench.reporting.masking import mask_text
from workbench.reporting.plans import Review, applied_plans, review_plan
from workbench.reporting.tables import WORST_FIRST, Shown, prose, status_mark, visible
from workbench.session import Session

if TYPE_CHECKING:
    from workbench.reporting.runner import Progress, ReportResult

MIME = "application/vnd.murmurant.verdict+json"
"""The type of the notebook output that carries the verdict to the runner."""

_FIRST_STEPS = 3
_ANSWERS = {
    "pass": "Yes.",
    "waived": "Yes, except for what was waived.",
    "warn": "Not before someone has checked the warnings.",
    "not run": "Unknown: not everything could be checked.",
    "fail": "No.",
}
_COUNTED = {"pass": "passed", "fail": "failed", "warn": "gave a warning", "not run": "could not run"}


class Reports:
    """``wb.report("post-recovery")`` writes a notebook, a page and a verdict; the methods are for notebooks."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    def __call__(
        self, name: str, parameters: Mapping[str, Any] | None = None, progress: Progress | None = None
    ) -> ReportResult:
        """Run a report on this environment: see `workbench.reporting.runner.run_report`."""
        from workbench.reporting.runner import run_report

        return run_report(
            name,
            parameters,
            environment=self.wb.environment.name,
            settings=self.wb.settings,
            unmask=self.wb.unmask,
            import_reports=[report.path for report in self.wb.reports],
            progress=progress,
        )

    def conclude(
        self, question: str, *answers: Answer | Sequence[Finding], facts: Mapping[str, Any] | None = None
    ) -> Verdict:
        """Answer the report's question by its worst finding.

        Parameters
        ----------
        question : str
            A question to which yes is good.
        answers : Answer or sequence of Finding
            What the verdict is based on.
        facts : mapping, optional
            Further facts for the JSON.
        """
        findings, sentences = list[Finding](), list[str]()
        for answer in answers:
            findings += answer.findings if isinstance(answer, Answer) else answer
            sentences += [answer.headline] if isinstance(answer, Answer) and answer.headline else []
        return _verdict(self.wb, question, findings, sentences, facts or {})

    def ask(self, question: Callable[..., Answer], *args: Any, **how: Any) -> Answer:
        """Ask a question; if it fails, return the reason as the answer so that the report continues."""
        try:
            with self.wb.reading() as connection, connection.begin_nested():
                return question(*args, **how)
        except DatabaseUnreachable:
            raise
        except WorkbenchError as error:
            return Answer(parts={"why": f"Not run: {error}"}, environment=self.wb.environment.name)

    def review(self, plan: str) -> Review:
        """Compare a plan, given by its id or file, with the database: see `workbench.reporting.plans.review_plan`."""
        return review_plan(self.wb, plan)

    def applied(self) -> Answer:
        """List the plans that were applied to this database."""
        return applied_plans(self.wb)


class Verdict(Shown):
    """What a report found; displayed as its first screen.

    Attributes
    ----------
    facts : dict
        For the JSON: ``status`` (the worst of the findings; ``not run`` without any), ``headline``, ``tally``, ``counts``
        (findings per status), ``environment``, ``database``, ``dialect``, ``findings`` in the order of the guide, and
        what the report adds.
    """

    def __init__(self, html: str, facts: dict[str, Any]) -> None:
        super().__init__(html)
        self.facts = facts

    @property
    def status(self) -> Status:
        """The worst status of its findings."""
        status: Status = self.facts["status"]
        return status

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME: self.facts, **super()._repr_mimebundle_()}


def worst(findings: Sequence[Finding]) -> str:
    """Return the worst status; ``not run`` if there are no findings."""
    return min((finding.status for finding in findings), key=WORST_FIRST.index, default="not run")


def _verdict(
    session: Session, question: str, findings: list[Finding], sentences: list[str], facts: Mapping[str, Any]
) -> Verdict:
    status, counts = worst(findings), Counter[str](finding.status for finding in findings)
    counted = [f"{counts[status]} {_COUNTED.get(status, status)}" for status in WORST_FIRST if counts[status]]
    sentences.append(
        f"{many(len(findings), 'check')}: {', '.join(counted)}." if findings else "No check was run."
    )
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
        f"{where.name} ({where.kind}): database {identity.database} at {where.where}, user {identity.user}, read only, "
        f"{'one consistent state' if session.one_state else 'the state at each query'}; "
        f"personal data {'shown' if session.unmask else 'masked'}",
    )
    in_order = sorted(findings, key=lambda finding: (section(finding.guide), finding.check))
    return Verdict(
        html,
        {
            **facts,
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
    """List the most urgent steps, one of each section: one level of risk weighs as much as ten times the records."""

    def urgency(finding: Finding) -> tuple[int, str]:
        return -(finding.count or 1) * 10 ** (len(RISKS) - RISKS.index(finding.risk)), finding.check

    statuses = {finding.status for finding in findings}
    status = next((status for status in ("fail", "warn", "not run") if status in statuses), None)
    if status is None:
        return Markup()
    urgent = sorted((finding for finding in findings if finding.status == status), key=urgency)
    first_of_section = {finding.guide: finding for finding in reversed(urgent)}
    items = Markup()
    for step in sorted(first_of_section.values(), key=urgency)[:_FIRST_STEPS]:
        count = "" if step.count is None else f": {step.count:,}"
        advice = prose(step.reason if status == "not run" else step.remedy)
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
