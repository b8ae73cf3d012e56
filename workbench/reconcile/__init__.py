"""Wild Apricot's own exports compared with the database: ``wb.reconcile(exports=["wa/"])``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from pydantic import ValidationError

from workbench.answer import Answer, Part, Step, Table
from workbench.checks.finding import Finding
from workbench.covering import answering
from workbench.errors import UsageError
from workbench.murmurant.exports import read_export_files
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.reconcile.comparison import Comparison
from workbench.reporting.charts import BLUE, GREY, ORANGE, RED, bars
from workbench.session import Session
from workbench.settings import ReconcileSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {
    "missing": "Missing here",
    "differs": "Different here",
    "extra": "Here, and not in the export",
    "left_out": "Not imported, by the importer's design",
}
_BARS = {"found": (BLUE, ""), "left_out": (GREY, ".."), "missing": (RED, "//"), "extra": (ORANGE, "xx")}


class Reconcile:
    """Compares Wild Apricot's own exports with the database."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(
        self,
        exports: Sequence[str | Path],
        limit: int = 60,
        *,
        missing_at_most: str | None = None,
        differs_at_most: str | None = None,
        extra_at_most: str | None = None,
        time_zone: str | None = None,
    ) -> Answer:
        """Check whether everybody is here.

        Parameters
        ----------
        exports : sequence of path
            Exports of contacts, events and registrations, CSV or JSON, or folders of them.
        limit : int
            The most rows of each kind that are shown; all are counted.
        missing_at_most, differs_at_most, extra_at_most : str, optional
            A number or a share such as ``0.5%``; by default as configured.
        time_zone : str, optional
            The time zone of the export, where the database has UTC.

        Raises
        ------
        UsageError
            For a file that is not an export or is damaged, and for an invalid limit.
        """
        given = {
            "missing_at_most": missing_at_most,
            "differs_at_most": differs_at_most,
            "extra_at_most": extra_at_most,
            "time_zone": time_zone,
        }
        wb = self.wb
        accepted = _accepted(wb.options.reconcile, given)
        comparison = Comparison(wb, read_export_files(map(Path, exports), wb.headings), accepted)
        counts, tables, why = comparison.counts, comparison.tables, comparison.why
        parts: dict[str, Part] = {"counts": Table(_shares(counts), "Export and database")}
        if counts["export"].notna().any():
            parts["chart"] = partial(_chart, counts)
        for name, title in _TITLES.items():
            steps = tables[name]["next"].dropna()
            note = f"Next: `{steps.iloc[0]}`" if len(steps) else ""
            parts[name] = Table(tables[name], title, "", ("wa_id", "name", "field"), limit, note=note)
        parts["unknown"] = "\n".join(f"? {line}" for line in (*comparison.not_compared, *comparison.notes))
        page = f"report reconcile -p exports {','.join(map(str, exports))}"
        facts = {
            "environment": wb.environment.name,
            "dialect": wb.dialect,
            "go": not why,
            "counts": {row.pop("entity"): row for row in counts.to_dict("records")},
            **tables,
            "why": why,
            "not_compared": comparison.not_compared,
            "notes": comparison.notes,
        }
        headline = "No go: see the reasons." if why else "Go: everybody is here."
        step = [Step("As a page to read", page)] if why else []
        return Answer(headline, parts, [*_findings(comparison)], step, facts, code=1 if why else 0)


def _accepted(configured: ReconcileSettings, given: dict[str, str | None]) -> ReconcileSettings:
    """Return the settings with what is given instead; `UsageError` for an invalid limit."""
    wanted = {name: limit for name, limit in given.items() if limit is not None}
    try:
        return ReconcileSettings.model_validate({**configured.model_dump(), **wanted})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}."
        raise UsageError(what, "Correct it and try again.") from None


def _shares(counts: pd.DataFrame) -> pd.DataFrame:
    """Add the share of the export that is missing."""
    pairs = zip(counts["missing"].fillna(0), counts["export"].fillna(0), strict=True)
    words = [f"{missing / of:.1%}" if of else "" for missing, of in pairs]
    return counts.assign(entity=counts["entity"].map(CONCEPT_OF), missing_share=words)


def _findings(comparison: Comparison) -> Iterator[Finding]:
    """Yield go or no-go, and the entities that no export lists."""
    finding = partial(
        Finding,
        guide="§7.1",
        question="Do the export and the database agree?",
        remedy="Each row names the command for its correction. The export must list the whole club.",
    )
    against = pd.DataFrame({"key": [*comparison.why]})
    yield finding(
        "reconcile-go",
        "Go or no-go",
        "fail" if comparison.why else "pass",
        len(against),
        against,
        severity="fail",
    )
    for things in comparison.counts.loc[comparison.counts["export"].isna(), "entity"].map(CONCEPT_OF):
        why = next((line for line in comparison.not_compared if line.startswith(things)), "")
        title = f"Comparison of {things} with an export"
        yield finding(f"reconcile-{things}", title, "not run", reason=why, configured=False, severity="warn")


def _chart(counts: pd.DataFrame) -> Figure:
    """Draw how many of each entity are in both, missing, left out by design, and only here."""
    parts = {_TITLES.get(name, "In both").lower(): look for name, look in _BARS.items()}
    known = counts[counts["export"].notna()].set_index("entity").rename(CONCEPT_OF)
    return bars(known[[*_BARS]].set_axis([*parts], axis=1), parts, "Export and database", "records")
