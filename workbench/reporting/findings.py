"""Findings for people: what was asked, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from workbench.checks import Finding
from workbench.checks.finding import culprits
from workbench.reporting.tables import Shown, prose, show, status_mark

_ORDER = ("fail", "not run", "warn", "waived")


def findings_in_full(findings: Sequence[Finding], unmask: bool = False) -> Shown:
    """Show each finding that somebody has to look at: question, remedy, sample and query."""
    bad = sorted(
        (each for each in findings if each.status in _ORDER), key=lambda each: _ORDER.index(each.status)
    )
    if not bad:
        return Shown(
            '<p class="wb-note">Nothing that needs looking at.</p>', "Nothing that needs looking at."
        )
    html, text = zip(*(_in_full(each, unmask) for each in bad), strict=True)
    return Shown("\n".join(html), "\n\n".join(text))


def _in_full(finding: Finding, unmask: bool) -> tuple[str, str]:
    count = "" if finding.count is None else f"{finding.count:,} found."
    sample = show(
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
