"""Mappings that lead to the wrong record, twice or nowhere, and what to do about them (guide §1.2, §4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.answer import Answer, Step, Table, many
from workbench.covering import answering, covering
from workbench.errors import unknown
from workbench.mappings.plan import corrections_of, plan_mappings
from workbench.mappings.problems import (
    PROBLEMS,
    MappingFindings,
    mapping_findings,
    sure_corrections,
)
from workbench.mappings.queries import ids_like, mapping_rows
from workbench.mappings.rebuild import plan_rebuild
from workbench.mappings.traces import Traces
from workbench.murmurant.listings import write_csv
from workbench.murmurant.spellings import MEMBER
from workbench.plans.plan import Plan
from workbench.session import Session
from workbench.snapshots.compare import state_before

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 8
_FIRST = ("problem", "mapping_key", "how_surely", "why")


class Mappings:
    """Which Wild Apricot id leads to which record: ``wb.mappings()`` lists what is wrong with that, worst first."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(
        self,
        exports: Sequence[str | Path] = (),
        *,
        problem: Sequence[str] = (),
        wa_id: str | None = None,
        csv: Path | None = None,
        limit: int = 20,
    ) -> Answer:
        """List ids that lead to the wrong person or record, twice or nowhere; worst first, cycles drawn.

        Parameters
        ----------
        exports : sequence of path
            Wild Apricot's own CSV exports, or folders of them, as evidence.
        problem, wa_id : sequence of str, str
            Only these problems; only this id. `UsageError` for one that is none.
        csv : path, optional
            Where to write the sure corrections, as the table that `plan` takes.
        """
        for name in problem:
            if name not in PROBLEMS:
                raise unknown("problem of mappings", name, PROBLEMS)
        findings = self.findings(exports)
        problems = findings.problems
        if wa_id is not None:
            with self.wb.reading() as connection:
                if not mapping_rows(connection, self.wb.schema, wa_ids=[wa_id]):
                    raise unknown("mapping of WA id", wa_id, ids_like(connection, self.wb.schema, wa_id))
            problems = problems[problems["wa_id"] == wa_id]
        if problem:
            problems = problems[problems["problem"].isin(problem)]
        keys = problems["entity"] + "/" + problems["wa_id"]
        through = findings.registrations[findings.registrations["through"].isin(keys)].reset_index(drop=True)
        corrections = sure_corrections(problems)
        written = csv if csv is not None and len(corrections) else None
        if written is not None:
            write_csv(written, list(corrections.columns), corrections.to_dict("records"))
        headline = f"{many(len(problems), 'problem')}; {many(len(corrections), 'correction')} sure."
        unwritten = f"\n{csv} was not written: no correction is sure." if csv and not written else ""
        more = f"More: `workbench mappings --limit {len(problems)}`." if len(problems) > limit else ""
        return Answer(
            f"{headline if len(problems) else ''}{unwritten}",
            {
                "summary": summary(findings, problems),
                "drawn": lambda: _drawn("cycles", problems, self.wb.shows_people),
                "problems": Table(
                    mapping_table(problems),
                    "Problems, worst first",
                    "no problem found",
                    _FIRST,
                    limit,
                    note=more,
                ),
                "scores": lambda: _drawn("scores", problems, self.wb.shows_people),
                "registrations": Table(through, "Registrations that came through them", "", limit=limit),
            },
            next_steps=_steps(problems, corrections, written, moves=bool(through["moves"].any())),
            facts={
                "environment": self.wb.environment.name,
                "dialect": self.wb.dialect,
                "counts": dict(problems["problem"].value_counts(sort=False)),
                "cycles": _cycles(findings, problems),
                "problems": problems,
                "registrations": through.to_dict("records"),
                "sure": len(corrections),
                "csv": str(written) if written else None,
                "not_known": findings.not_known,
                "without_mapping": findings.without_mapping,
            },
            code=int(bool(len(problems) or findings.not_known)),
        )

    @covering
    def findings(self, exports: Sequence[str | Path] = ()) -> MappingFindings:
        """Return what is wrong with the mappings, and which registrations came through them, as frames."""
        records, runs = self.wb.read_exports(exports), self.wb.find_runs()
        with self.wb.reading() as connection:
            return mapping_findings(Traces(connection, self.wb.schema, runs, records))

    def sure(self, exports: Sequence[str | Path] = ()) -> pd.DataFrame:
        """Return the corrections that need no more asking: what `plan` takes."""
        return sure_corrections(self.findings(exports).problems)

    def plan(
        self,
        corrections: str | Path | Iterable[Any],
        *,
        move_records: bool = False,
        whole_cycle: bool = False,
        exports: Sequence[str | Path] = (),
    ) -> Plan:
        """Plan to lead ids to the right records (guide §4.2), one or many as one; writes a plan file and nothing else.

        Parameters
        ----------
        corrections : path, frame, iterable, or one tuple of str
            A CSV file, or rows, with ``entity``, ``wa_id``, ``new_id`` and perhaps ``reason``; or one such row.
        move_records : bool
            Whether registrations that came through the wrong mappings move too.
        whole_cycle : bool
            Whether the rest of a swap or cycle is corrected with the part that was named.
        exports : sequence of path
            Wild Apricot's own CSV exports, or folders of them, as evidence.
        """
        asked = corrections_of(corrections)
        records, runs = self.wb.read_exports(exports), self.wb.find_runs()
        with self.wb.planning() as context:
            traces = Traces(context.connection, context.schema, runs, records)
            return plan_mappings(context, traces, asked, move_records=move_records, whole_cycle=whole_cycle)

    def plan_rebuild(
        self, *, snapshot: str | Path | None = None, before: str | None = None, csv_records: bool = False
    ) -> Plan:
        """Plan to put lost mappings back, by the audit log, the imports' reports, or a snapshot; writes a plan file alone.

        Parameters
        ----------
        snapshot : str or path, optional
            A snapshot that still has the mappings: its name, its file, ``latest``, or any dump of pg_dump.
        before : str, optional
            Instead, another environment that has them; it is only read.
        csv_records : bool
            Whether to map also what a CSV import made, which never had a mapping.
        """
        wb, was = self.wb, None
        runs = wb.find_runs()
        if snapshot or before:
            was = state_before(snapshot, before, settings=wb.settings, live=wb.database)
        with wb.planning() as context:
            return plan_rebuild(context, runs, snapshot=was, csv_records=csv_records, settings=wb.settings)


def _cycles(findings: MappingFindings, problems: pd.DataFrame) -> list[list[str]]:
    """Return each swap or cycle of which something is among the problems, whole and in its order."""
    part = findings.problems[findings.problems["cycle"].isin({*problems["cycle"]} - {""})]
    part = part[part["position"].notna()].sort_values(["cycle", "position"])
    keys = part["entity"] + "/" + part["wa_id"]
    return [[*of_it] for _, of_it in keys.groupby(part["cycle"], sort=True)]


def summary(findings: MappingFindings, problems: pd.DataFrame | None = None) -> dict[str, str]:
    """Count the problems by kind, draw the cycles in words, and say what could not be found out."""
    problems = findings.problems if problems is None else problems
    counts = problems["problem"].value_counts()
    facts = {name: f"{counts[name]:,}: {words}" for name, words in PROBLEMS.items() if name in counts}
    if cycles := _cycles(findings, problems):
        drawn = "; ".join(" -> ".join((*cycle, cycle[0])) for cycle in cycles[:_MOST])
        more = f"; and {len(cycles) - _MOST:,} more" if len(cycles) > _MOST else ""
        facts["swaps and cycles, each id leading to the record of the next"] = f"{drawn}{more}"
    if unmapped := sorted(findings.without_mapping.items()):
        facts["made by a CSV import, which leaves no mapping"] = (
            f"{', '.join(many(count, entity.lower()) for entity, count in unmapped)}. That is no fault; but the next API sync"
            " finds members by their e-mail alone, and makes these events, with all of their registrations, once more."
            " Where the export has Wild Apricot's own ids, `workbench plan mapping --rebuild --csv-records` maps them first."
        )
    facts |= {f"not known ({number})": reason for number, reason in enumerate(findings.not_known, 1)}
    return facts or {"mappings": "no problem found"}


def _drawn(kind: str, problems: pd.DataFrame, unmask: bool) -> Figure:
    """Draw the cycles, or the scores; what draws is loaded only for a page."""
    from workbench.reporting.charts import mapping_cycles_chart, mapping_scores_chart

    return mapping_cycles_chart(problems, unmask) if kind == "cycles" else mapping_scores_chart(problems)


def mapping_table(problems: pd.DataFrame) -> pd.DataFrame:
    """Put problems into the words of a table that is read late at night.

    Returns
    -------
    pandas.DataFrame
        ``problem``, ``mapping_key``, ``how_surely``, ``why``, ``contact``, ``person``, ``title``,
        ``leads_to_id`` and ``should_be_id``.
    """
    table = problems.assign(
        mapping_key=problems["entity"] + "/" + problems["wa_id"],
        how_surely=problems["score"].map(_surely, na_action=None),
        why=[_why(row) for row in problems.to_dict("records")],
    ).rename(columns={"target": "leads_to_id", "should_be": "should_be_id"})
    names = ["problem", *_FIRST[1:], "contact", "person", "title", "leads_to_id", "should_be_id"]
    return table[names].reset_index(drop=True)


def _surely(score: float) -> str:
    return f"{score:.1%}" if score < 1 else "a fact" if score >= 1 else "not known"


def _why(row: dict[Any, Any]) -> str:
    came = int(row["registrations"])
    parts = [str(row["evidence"])]
    parts += [
        f"{words}: {row[name]}"
        for name, words in (("differs", "different"), ("agrees", "the same"))
        if row[name]
    ]
    return "; ".join([*parts, *([f"{many(came, 'registration')} came through it"] if came else [])])


def _steps(
    problems: pd.DataFrame, corrections: pd.DataFrame, written: Path | None, *, moves: bool
) -> list[Step]:
    """Say what to do next: the sure corrections, else the first one by itself; and what is lost or doubled."""
    move, counts, steps = " --move-records" if moves else "", problems["problem"].value_counts(), []
    if len(corrections):
        if written is None:
            words = "Write the sure ones as a table, and leave out what you know better"
            steps.append(Step(words, "mappings --csv corrections.csv"))
        command = f"plan mapping --from {written or 'corrections.csv'}{move}"
        steps.append(Step("Plan them as one; nothing is written yet", command))
    unsure = problems[~problems["sure"] & ~problems["problem"].isin(["no-mapping", "two-records"])]
    for first in unsure.head(1).to_dict("records"):
        words = (
            f"{len(unsure):,} are not sure: find out who each one is; then, with the id of the right record"
        )
        whole, right = " --whole-cycle" if first["cycle"] else "", first["should_be"] or "NEW_ID"
        steps.append(Step(words, f"plan mapping {first['entity']} {first['wa_id']} {right}{whole}{move}"))
    if "shared-target" in counts:
        words = "Two ids on one record are mostly one contact who was twice in Wild Apricot; never delete the member for it"
        steps.append(Step(words, "duplicates"))
    if "no-mapping" in counts:
        words = f"{many(counts['no-mapping'], 'mapping')} {'is' if counts['no-mapping'] == 1 else 'are'} gone; put back"
        steps.append(Step(words, "plan mapping --rebuild"))
    for entity in problems.loc[problems["problem"] == "two-records", "entity"].unique():
        words = f"{entity}s of which an import made, or took, another record: look at both"
        duplicates = f"duplicates --entity {entity.lower()}"
        steps.append(Step(words, "check records-imported-twice" if entity == MEMBER else duplicates))
    return [*steps, Step("The same, drawn", "report mappings")] if steps else []
