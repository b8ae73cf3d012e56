"""Findings for people: what the guide asks for, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from workbench.checks import REGISTRY, Finding
from workbench.checks.finding import RISKS, culprits
from workbench.errors import UsageError
from workbench.reporting.tables import Shown, prose, status_mark, table
from workbench.reporting.verdict import WORST_FIRST, answered, tally, worst

RUN_CHECKS = (
    "runs-interrupted",
    "runs-ended",
    "members-missing",
    "records-missing",
    "records-left-out",
    "runs-as-reported",
    "environment-wrong",
    "config-differs",
    "live-run-without-dry-run",
)
"""The checks that judge runs one by one."""

OPERATOR_CHECKS = ("environment-wrong", "real-people-in-demo", "config-differs", "live-run-without-dry-run")
"""The checks of what people do wrong around a run (guide §1.6)."""

# Guide §2.4 asks after every run what §7.1 asks after a recovery; one check answers both.
_ASKED_TWICE = {("§2.4", "Orphan check"): "mappings-orphaned"}


def waivers(given: Iterable[str]) -> dict[str, str]:
    """Read ``check-id=reason`` pairs.

    Raises
    ------
    UsageError
        For one without a reason; that a check exists is seen to where it is waived.
    """
    found = {}
    for each in given:
        check, _, reason = str(each).partition("=")
        if not check.strip() or not reason.strip():
            raise UsageError(f"The waiver {each!r} gives no reason.", "Write it as check-id=reason.")
        found[check.strip()] = reason.strip()
    return found


def about_run(findings: Sequence[Finding], run_id: str) -> list[Finding]:
    """Narrow findings about runs down to one run: what they say of others is not its fault.

    A finding whose sample is too short to tell stays as it is.
    """
    narrowed = []
    for each in findings:
        if each.bad and "key" in each.rows:
            by = "run" if "run" in each.rows else "key"
            mine = each.rows[each.rows[by].astype(str) == run_id]
            if len(mine):
                each = replace(each, rows=mine, count=culprits(mine))
            elif each.count == culprits(each.rows):
                each = replace(each, status="pass", rows=each.rows.head(0), count=0)
        narrowed.append(each)
    return narrowed


def in_short(findings: Sequence[Finding], question: str) -> Shown:
    """Answer the report's question in one line, from the worst of the findings."""
    status = worst(findings)
    html = Markup('<p class="wb-answer wb-{}"><strong>{}</strong><br>{}</p>').format(
        status.replace(" ", "-"), answered(question, status), tally(findings)
    )
    return Shown(html, f"{answered(question, status)} {tally(findings)}")


def findings_table(findings: Sequence[Finding]) -> Shown:
    """List findings, worst first, one line each."""
    ordered = sorted(findings, key=lambda each: WORST_FIRST.index(each.status))
    rows = [
        {
            "status": each.status,
            "guide": each.guide,
            "check": each.title,
            "found": each.count,
        }
        for each in ordered
    ]
    return table(
        pd.DataFrame(rows).astype({"found": "Int64"}) if rows else pd.DataFrame(), "Findings", limit=len(rows)
    )


def coverage_table(findings: Sequence[Finding]) -> Shown:
    """Show every item of the guide's checklist with what became of it.

    A check that was not among those asked shows as not run, never as passed.
    """
    found = {each.check: each for each in findings}
    items = [(each.guide, each.symptom, each.id) for each in REGISTRY.values()]
    items += [(guide, item, check) for (guide, item), check in _ASKED_TWICE.items()]
    rows = []
    for guide, item, check in sorted(
        items, key=lambda each: [int(part) for part in each[0].strip("§").split(".")]
    ):
        finding = found.get(check)
        status, reason = (finding.status, finding.reason) if finding else ("not run", "It was not asked for.")
        rows.append(
            {
                "guide": guide,
                "item": item,
                "check": REGISTRY[check].title,
                "status": status,
                "found": finding.count if finding else None,
                "reason": reason,
            }
        )
    return table(pd.DataFrame(rows).astype({"found": "Int64"}), "The guide's checklist", limit=len(rows))


def findings_in_full(findings: Sequence[Finding], unmask: bool = False) -> Shown:
    """Show each finding that somebody has to look at: question, remedy, sample and query."""
    bad = sorted(
        (each for each in findings if each.bad or each.status == "waived"),
        key=lambda each: WORST_FIRST.index(each.status),
    )
    if not bad:
        return Shown(
            '<p class="wb-note">Nothing that needs looking at.</p>', "Nothing that needs looking at."
        )
    html, text = zip(*(_in_full(each, unmask) for each in bad), strict=True)
    return Shown("\n".join(html), "\n\n".join(text))


def next_steps(findings: Sequence[Finding]) -> Shown:
    """List what to do in the order of urgency: what failed, by the guide's risk levels, what warns, the rest."""
    urgent = sorted(findings, key=lambda each: RISKS.index(each.risk))
    steps = [(each, each.remedy) for status in ("fail", "warn") for each in urgent if each.status == status]
    steps += [(each, each.reason) for each in findings if each.status == "not run"]
    if not steps:
        return Shown('<p class="wb-note">Nothing is left to do.</p>', "Nothing is left to do.")
    items = Markup("").join(
        Markup("<li>{} <strong>{}</strong> ({}): {}</li>").format(
            status_mark(each.status), each.title, each.guide, prose(what)
        )
        for each, what in steps
    )
    text = "\n".join(f"- {each.status}: {each.title} ({each.guide}): {what}" for each, what in steps)
    return Shown(Markup('<ol class="wb-steps">{}</ol>').format(items), text)


def _in_full(finding: Finding, unmask: bool) -> tuple[str, str]:
    count = "" if finding.count is None else f"{finding.count:,} found."
    sample = table(
        finding.rows,
        "A sample" if (finding.count or 0) > culprits(finding.rows) else "All of them",
        unmask,
        total=finding.count if finding.count != culprits(finding.rows) else None,
    )
    query = Markup('<details class="wb-query"><summary>The query</summary><pre>{}</pre></details>').format(
        finding.query
    )
    lines = {
        "The question": finding.question,
        "Found": count,
        "Why": finding.reason,
        ("If it fails" if finding.status == "not run" else "What to do"): finding.remedy,
    }
    told = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(what, prose(words)) for what, words in lines.items() if words
    )
    html = Markup(
        '<section class="wb-finding wb-{}"><h3>{} {} <small>{} · {}</small></h3><dl>{}</dl>{}{}</section>'
    ).format(
        finding.status.replace(" ", "-"),
        status_mark(finding.status),
        finding.title,
        f"guide {finding.guide}",
        finding.check,
        told,
        Markup(sample.html) if len(finding.rows) else "",
        query if finding.query else "",
    )
    said = "\n".join(f"  {what}: {words}" for what, words in lines.items() if words)
    return str(html), f"{finding.status}: {finding.title} ({finding.guide})\n{said}" + (
        f"\n{sample.text}" if len(finding.rows) else ""
    )
