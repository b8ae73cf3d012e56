"""Mappings that lead to the wrong record, twice or nowhere, and how to correct them (guide §1.2, §4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.answer import Answer, Step, Table, many
from workbench.covering import answering, covering
from workbench.errors import unknown
from workbench.mappings.plan import corrections_of, plan_mappings, plan_rebuild
from workbench.mappings.problems import PROBLEMS, MappingFindings, mapping_findings, sure_corrections
from workbench.mappings.queries import mapping_rows
from workbench.mappings.traces import Traces
from workbench.murmurant.listings import write_csv
from workbench.plans.plan import Plan
from workbench.session import Session
from workbench.snapshots.compare import state_before

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FIRST = ("problem", "mapping_key", "how_surely", "why")


class Mappings:
    """Which record each Wild Apricot id leads to: ``wb.mappings()`` lists the problems, worst first."""

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
            Only these problems, only this id. `UsageError` where there is none of that name.
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
                    raise unknown("mapping of WA id", wa_id, ())
            problems = problems[problems["wa_id"] == wa_id]
        if problem:
            problems = problems[problems["problem"].isin(problem)]
        keys = problems["entity"] + "/" + problems["wa_id"]
        through = findings.registrations[findings.registrations["through"].isin(keys)].reset_index(drop=True)
        corrections = sure_corrections(problems)
        written = csv if len(corrections) else None
        if written is not None:
            write_csv(written, list(corrections.columns), corrections.to_dict("records"))
        headline = f"{many(len(problems), 'problem')}; {many(len(corrections), 'correction')} sure."
        headline += f" {csv} was not written: no correction is sure." if csv and not written else ""
        more = f"More: `workbench mappings --limit {len(problems)}`." if len(problems) > limit else ""
        return Answer(
            headline if len(problems) or csv else "",
            {
                "summary": summary(findings, problems),
                "drawn": partial(_draw_cycles, problems, self.wb.shows_people),
                "problems": Table(
                    mapping_table(problems),
                    "Problems, worst first",
                    "no problem found",
                    _FIRST,
                    limit,
                    note=more,
                ),
                "registrations": Table(through, "Registrations imported through them", "", limit=limit),
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
        """Return what is wrong with the mappings, and which registrations were imported through them, as frames."""
        records, runs = self.wb.read_exports(exports), self.wb.find_runs()
        with self.wb.reading() as connection:
            return mapping_findings(Traces(connection, self.wb.schema, runs, records))

    def sure(self, exports: Sequence[str | Path] = ()) -> pd.DataFrame:
        """Return the corrections that need no further review: what `plan` takes."""
        return sure_corrections(self.findings(exports).problems)

    def plan(
        self,
        corrections: str | Path | Iterable[Any],
        *,
        move_records: bool = False,
        whole_cycle: bool = False,
        exports: Sequence[str | Path] = (),
    ) -> Plan:
        """Plan to correct one or many mappings (guide §4.2); writes only a plan file.

        Parameters
        ----------
        corrections : path, frame, iterable, or one tuple of str
            A CSV file, or rows, with ``entity``, ``wa_id``, ``new_id`` and optionally ``reason``; or one such row.
        move_records : bool
            Whether registrations that were imported through the wrong mappings move too.
        whole_cycle : bool
            Whether to complete a swap or cycle of which only a part was named.
        exports : sequence of path
            Wild Apricot's own CSV exports, or folders of them, as evidence.
        """
        wanted = corrections_of(corrections)
        records, runs = self.wb.read_exports(exports), self.wb.find_runs()
        with self.wb.planning() as context:
            traces = Traces(context.connection, context.schema, runs, records)
            return plan_mappings(context, traces, wanted, move_records=move_records, whole_cycle=whole_cycle)

    def plan_rebuild(
        self, *, snapshot: str | Path | None = None, before: str | None = None, csv_records: bool = False
    ) -> Plan:
        """Plan to put lost mappings back, from the audit log, reports, or a snapshot; writes only a plan file.

        Parameters
        ----------
        snapshot : str or path, optional
            A snapshot that still has the mappings: its name, its file, ``latest``, or any dump of pg_dump.
        before : str, optional
            Instead, another environment that has them; it is only read.
        csv_records : bool
            Whether to map also what a CSV import created, which never had a mapping.
        """
        wb, was = self.wb, None
        runs = wb.find_runs()
        if snapshot or before:
            was = state_before(snapshot, before, settings=wb.settings, live=wb.database)
        with wb.planning() as context:
            return plan_rebuild(context, runs, snapshot=was, csv_records=csv_records, settings=wb.settings)


def _cycles(findings: MappingFindings, problems: pd.DataFrame) -> list[list[str]]:
    """Return each swap or cycle that some of the problems are part of, whole and in order."""
    part = findings.problems[findings.problems["cycle"].isin({*problems["cycle"]} - {""})]
    part = part[part["position"].notna()].sort_values(["cycle", "position"])
    keys = part["entity"] + "/" + part["wa_id"]
    return [[*cycle] for _, cycle in keys.groupby(part["cycle"], sort=True)]


def summary(findings: MappingFindings, problems: pd.DataFrame | None = None) -> dict[str, str]:
    """Count the problems by kind, write out the cycles, and say what could not be found out."""
    problems = findings.problems if problems is None else problems
    counts = problems["problem"].value_counts()
    facts = {name: f"{counts[name]:,}: {words}" for name, words in PROBLEMS.items() if name in counts}
    if cycles := _cycles(findings, problems):
        drawn = [" -> ".join((*cycle, cycle[0])) for cycle in cycles[:8]]
        drawn += [f"and {len(cycles) - 8:,} more"] if len(cycles) > 8 else []
        facts["swaps and cycles, each id leading to the record of the next"] = "; ".join(drawn)
    if unmapped := sorted(findings.without_mapping.items()):
        facts["created by a CSV import, which writes no mapping"] = (
            f"{', '.join(many(count, entity.lower()) for entity, count in unmapped)}. This is by design, but the next API sync"
            " finds members by e-mail alone and creates these events, with all of their registrations, again. To prevent"
            " that, map them first: `workbench plan mapping --rebuild --csv-records`."
        )
    facts |= {f"not known ({number})": reason for number, reason in enumerate(findings.not_known, 1)}
    return facts or {"mappings": "no problem found"}


def _draw_cycles(problems: pd.DataFrame, unmask: bool) -> Figure:
    from workbench.reporting.charts import mapping_cycles_chart  # loaded only to draw

    return mapping_cycles_chart(problems, unmask)


def mapping_table(problems: pd.DataFrame) -> pd.DataFrame:
    """Put problems into words.

    Returns
    -------
    pandas.DataFrame
        ``problem``, ``mapping_key``, ``how_surely``, ``why``, ``contact``, ``person``, ``title``,
        ``leads_to_id`` and ``should_be_id``.
    """
    words = {
        "differs": "different: {}",
        "agrees": "the same: {}",
        "registrations": "{} registrations imported through it",
    }
    why = [
        "; ".join([row["evidence"], *(text.format(row[name]) for name, text in words.items() if row[name])])
        for row in problems.to_dict("records")
    ]
    surely = problems["score"].map("{:.1%}".format).mask(problems["score"] >= 1, "a fact")
    table = problems.assign(
        mapping_key=problems["entity"] + "/" + problems["wa_id"],
        how_surely=surely.mask(problems["score"].isna(), "not known"),
        why=pd.Series(why, index=problems.index, dtype=object),
    ).rename(columns={"target": "leads_to_id", "should_be": "should_be_id"})
    names = [*_FIRST, "contact", "person", "title", "leads_to_id", "should_be_id"]
    return table[names].reset_index(drop=True)


def _steps(
    problems: pd.DataFrame, corrections: pd.DataFrame, written: Path | None, *, moves: bool
) -> list[Step]:
    """Return the next steps: the sure corrections, then the first of the others, then lost mappings."""
    move, steps = " --move-records" if moves else "", list[Step]()
    if len(corrections) and written is None:
        steps.append(
            Step("Write the sure corrections to a table, and review it", "mappings --csv corrections.csv")
        )
    if len(corrections):
        command = f"plan mapping --from {written or 'corrections.csv'}{move}"
        steps.append(Step("Plan them together; nothing is written yet", command))
    unsure = problems[~problems["sure"] & ~problems["problem"].isin(["no-mapping", "two-records"])]
    for row in unsure.head(1).to_dict("records"):
        whole, right = " --whole-cycle" if row["cycle"] else "", row["should_be"] or "NEW_ID"
        command = f"plan mapping {row['entity']} {row['wa_id']} {right}{whole}{move}"
        steps.append(
            Step(f"{many(len(unsure), 'problem')} to review; then, with the right record's id", command)
        )
    if problems["problem"].eq("no-mapping").any():
        steps.append(Step("Put lost mappings back", "plan mapping --rebuild"))
    if problems["problem"].eq("two-records").any():
        steps.append(Step("Records that were imported twice", "check records-imported-twice"))
    return [*steps, Step("The same, drawn", "report mappings")] if steps else []
