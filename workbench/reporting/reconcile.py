"""A comparison with Wild Apricot's exports for people: counted, masked, drawn, and as findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.checks.finding import SAMPLE, Finding
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.reconcile import Reconciliation
from workbench.reporting.drawing import BLUE, GREY, ORANGE, RED, Part, stacked_bars
from workbench.reporting.masking import mask
from workbench.reporting.summaries import listed
from workbench.reporting.tables import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RECONCILE_TITLES = {
    "missing": "Missing here",
    "differs": "Different here",
    "extra": "Here, and not in the export",
    "left_out": "Not imported, by the importer's design",
    "unmapped": "Here, but no mapping leads to them",
}
"""What the tables of a comparison are called, worst first."""

_PARTS = {"found": (BLUE, ""), "left_out": (GREY, ".."), "missing": (RED, "//"), "extra": (ORANGE, "xx")}


def reconcile_tables(found: Reconciliation, unmask: bool = False) -> dict[str, pd.DataFrame]:
    """Return the tables of a comparison, worst first, people masked."""
    return {name: mask(getattr(found, name), unmask) for name in RECONCILE_TITLES}


def reconcile_counts(found: Reconciliation) -> pd.DataFrame:
    """Return the counts of a comparison, with the share of the export that is missing."""
    counts = found.counts.assign(entity=found.counts["entity"].map(CONCEPT_OF))
    whole = counts.columns.drop("entity")
    counts = counts.astype(dict.fromkeys(whole, "Int64"))
    share = [
        f"{m / of:.1%}" if of else ""
        for m, of in zip(counts["missing"].fillna(0), counts["export"].fillna(0), strict=True)
    ]
    return counts.assign(missing_share=share)


def reconcile_summary(found: Reconciliation) -> Shown:
    """Say go or no-go, and why; what was not compared, and what else is to be known."""
    facts = {"Go or no-go": "Go: nothing stands against it." if found.go else "No go."}
    for name, words in (
        ("Against it", found.why),
        ("Not compared", found.not_compared),
        ("To be known", found.notes),
    ):
        facts |= {f"{name} ({number})": each for number, each in enumerate(words, 1)}
    return listed(facts)


def reconcile_findings(found: Reconciliation) -> list[Finding]:
    """Return a comparison as findings, for the verdict of a report: go or no-go, and what there is to look at."""
    against = pd.DataFrame({"key": [*found.why]})
    findings = [_finding("go", "pass" if found.go else "fail", len(against), against)]
    for name in ("missing", "differs", "extra"):
        rows = getattr(found, name)
        ids = rows["wa_id"] if name == "missing" else rows["wa_id"].fillna(rows["record_id"])
        sample = rows.assign(key=rows["entity"] + "/" + ids).head(SAMPLE)
        findings.append(_finding(name, "warn" if len(rows) else "pass", len(rows), sample))
    for things in found.counts.loc[found.counts["export"].isna(), "entity"].map(CONCEPT_OF):
        why = next((each for each in found.not_compared if each.startswith(things)), "")
        findings.append(_finding(things, "not run", reason=why, configured=False))
    return findings


def _finding(name: str, *answer: Any, **more: Any) -> Finding:
    title = {
        "go": "Go or no-go",
        "missing": "Records of the export in the database",
        "differs": "Fields of records that are in both",
        "extra": "Records of the database in the export",
    }.get(name, f"Comparison of {name} with an export")
    return Finding(
        f"reconcile-{name}",
        title,
        *answer,
        **more,
        guide="§7.1",
        question="Do the export and the database agree?",
        remedy="Each row names the command that leads to a correction; an export must list the whole club.",
        severity="fail" if name == "go" else "warn",
        risk="high",
    )


def reconcile_chart(found: Reconciliation) -> Figure:
    """Draw of each entity how many are in both, missing, left out by design, and here only."""
    counts = found.counts[found.counts["export"].notna()]
    titles = {part: RECONCILE_TITLES.get(part, part).lower() for part in _PARTS} | {"found": "in both"}
    parts = [Part(titles[part], colour, hatch) for part, (colour, hatch) in _PARTS.items()]
    rows = [
        (CONCEPT_OF[row["entity"]], [int(row[part]) for part in _PARTS]) for row in counts.to_dict("records")
    ]
    return stacked_bars(rows, parts, "Export and database", "records")
