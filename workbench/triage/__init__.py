"""Triage: which of the guide's failures are here, the ways out side by side, and which to take (guide §1, §3, §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from workbench.answer import Answer, Step, Table
from workbench.covering import answering
from workbench.errors import Refused, WorkbenchError
from workbench.hints import on_environment
from workbench.murmurant.importers import Run
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.plan import Plan
from workbench.reporting.charts import ways_chart
from workbench.reporting.masking import mask_text
from workbench.runs.discovery import pick_run
from workbench.runs.telling import LevelZero
from workbench.triage.modes import Mode, failure_modes
from workbench.triage.recommending import find_suspects, recommend, run_in_question
from workbench.triage.ways import TITLES, Way, attempt, level_0, rerun, together, ways_frame

Advance = Callable[[str, int, int], None]

CULPRITS = 20_000
"""How many rows of a finding are traced to the run that wrote them."""

_MINUTES = "Minutes are the machine's, measured here; what is not known is left empty. Nothing was written."


class Triage:
    """The first look on a bad night: ``wb.triage()``; it asks every other subject of a workbench."""

    def __init__(self, wb: Any) -> None:
        self.wb = wb
        self._on = on_environment(wb.session.environment.name)

    @answering
    def __call__(self, run_id: str | None = None, advance: Advance = lambda *_: None) -> Answer:
        """Name the failure modes that are here, and lay the ways out side by side (guide §1, §3, §4).

        Every way's figures are measured on this database: plans are made, counted and thrown away.
        Looking never writes, and neither does this.

        Parameters
        ----------
        run_id : str, optional
            The run in question; else the one most to blame, else the last live one.
        advance : callable, optional
            Told what is being done, how many steps are done, and how many there are.

        Raises
        ------
        UsageError
            For a run that left no trace.
        """
        session = self.wb.session
        runs = session.find_runs()
        asked = pick_run(runs, run_id)[0] if run_id is not None else None
        advance("asking every check", 0, 4)
        findings = self.wb.check(sample=CULPRITS).findings
        advance("looking for the runs to blame", 1, 4)
        modes = failure_modes(findings)
        with session.reading() as connection:
            suspects = find_suspects(connection, session.schema, runs, modes)
        run = asked or run_in_question(runs, suspects)
        present = {mode.guide for mode in modes if mode.state in {"present", "suspected"}}
        unmapped = any(
            finding.check == "mappings-missing" and finding.status == "fail" for finding in findings
        )
        with self._plans_thrown_away():
            ways = [level_0(run), rerun(runs, asked, "§1.1" in present, unmapped)]
            advance("trying a rollback", 2, 4)
            ways.append(self._rollback(run))
            advance("trying the corrections", 3, 4)
            ways += [together(dict(self._corrections(present, unmapped))), self._level_2(run)]
        recommended, why = recommend(modes, {way.way: way for way in ways}, run, suspects)
        offered = ways_frame(ways, recommended, _dangling(modes))
        title, commands = "none of the ways out as things stand", list[str]()
        for way in ways:
            if way.way == recommended:
                title = f"{way.way}, {TITLES[way.way].lower()}"
                commands = "; ".join(way.commands).split("; ") if way.commands else []
        steps = [Step("", line.removeprefix("workbench ").removesuffix(self._on)) for line in commands]
        steps.append(
            Step("To read and to show", f"report triage{f' -p run_id {run.run}' if asked and run else ''}")
        )
        shown = pd.DataFrame(modes, columns=[*Mode._fields]).drop(columns=["findings", "unanswered"])
        shown = shown.astype({"rows": "Int64"})
        question = "none"
        if run:
            chosen = "as asked" if asked else "the most to blame"
            question = f"{run.run}, {chosen}: {run.status}, {run.why}"
        suspects = suspects.drop(columns="bad")
        return Answer(
            f"Recommended: {title}. {why}",
            {
                "summary": {"The run in question": question},
                "modes": Table(shown, "What is wrong", first=("guide", "mode", "state", "rows")),
                "suspects": Table(suspects, "Runs to blame", "", ("run", "status", "at_fault"), limit=5),
                "drawn": partial(ways_chart, offered),
                "ways": Table(
                    offered.drop(columns=["recommended", "notes", "commands"]),
                    "The ways out",
                    first=("way", "possible", "rows_reverted", "work_lost", "minutes"),
                    note=_MINUTES,
                ),
                "notes": {
                    way.way + ("" if way.possible else " (not possible here)"): " ".join(way.notes)
                    for way in ways
                },
            },
            findings=findings,
            sample=0,
            next_steps=steps,
            facts={
                "environment": vars(session.environment),
                "run": run and run.run,
                "asked": asked is not None,
                "modes": shown.to_dict("records"),
                "suspects": suspects.to_dict("records"),
                "ways": offered.to_dict("records"),
                "recommended": recommended,
                "why": mask_text(why),
            },
            code=int(any(mode.state != "absent" for mode in modes)),
        )

    @contextmanager
    def _plans_thrown_away(self) -> Iterator[None]:
        """Let plans be made where nobody finds them, and be gone at the end."""
        session, before = self.wb.session, self.wb.session.plans_in
        with TemporaryDirectory(prefix="workbench-triage-") as folder:
            session.plans_in = Path(folder)
            try:
                yield
            finally:
                session.plans_in = before

    def _try(self, command: str, make: Callable[[], Plan | LevelZero], way: str = "targeted") -> Way:
        commands = [f"workbench {line}{self._on}" for line in command.split("; ")]
        return attempt(way, "; ".join(commands), make)

    def _rollback(self, run: Run | None) -> Way:
        if run is None or run.mode == "dry":
            return Way("level 1", False, notes=("There is no live run to roll back.",))
        make = partial(self.wb.runs.plan_rollback, run.run)
        return self._try(f"plan rollback {run.run}", make, "level 1")

    def _corrections(self, present: set[str], unmapped: bool) -> Iterator[tuple[str, Way]]:
        """Plan what each failure that is here can be corrected by; `unmapped` where mappings are missing."""
        wb = self.wb
        if unmapped:
            yield "lost mappings", self._try("plan mapping --rebuild", wb.mappings.plan_rebuild)
        if "§1.2" in present:
            command = "mappings --csv corrections.csv; plan mapping --from corrections.csv --move-records"
            yield "mappings", self._try(command, self._sure_mappings)
        if "§1.3" in present:
            yield "tiers", self._try("plan tiers", wb.tiers.plan)
        for entity in ENTITIES if "§1.4" in present else ():
            of, file = f" --entity {entity.lower()}", f"{entity.lower()}s.csv"
            command = f"duplicates{of} --to {file}; plan merge{of} --from {file}"
            yield f"duplicates of {entity.lower()}s", self._try(command, partial(self._merges, entity))
        if "§1.5" in present:
            yield "policies", self._try("plan policies", wb.policies.plan)

    def _sure_mappings(self) -> Plan:
        plan: Plan = self.wb.mappings.plan(self.wb.mappings.sure(), move_records=True)
        return plan

    def _merges(self, entity: str) -> Plan:
        clusters = self.wb.duplicates.find(entity).clusters
        sure = clusters[clusters["offered"]]
        if sure.empty:
            raise Refused(f"No cluster is sure enough to be merged without a review, of {len(clusters)}.")
        pairs = [
            (canonical, [member for member in members if member != canonical])
            for canonical, members in zip(sure["canonical"], sure["members"], strict=True)
        ]
        plan: Plan = self.wb.duplicates.plan_merges(pairs, entity=entity, skip_blocked=True)
        return plan

    def _level_2(self, run: Run | None) -> Way:
        """Measure a restore of the last proved snapshot from before the run, else of the last one (guide §3, level 2).

        Which references dangle in the snapshot itself is known only once it is restored and checked.
        """
        before = run.started.replace(tzinfo=UTC) if run is not None and run.started else None
        usable = [taken for taken in self.wb.snapshots.here() if before is None or taken.created_at < before]
        if not usable:
            since = f" from before {run.run}" if run is not None and before else ""
            why = f"There is no snapshot of this database{since}."
            return Way("level 2", False, commands=(f"workbench snapshot list{self._on}",), notes=(why,))
        chosen = ([taken for taken in usable if taken.verified] or usable)[-1]
        name, reverts, loses = chosen.snapshot, None, None
        notes = [f"{name}, taken {chosen.created_at:%Y-%m-%d %H:%M} UTC."]
        if not chosen.verified:
            notes.append(f"Nobody has proved it by restoring: `workbench snapshot verify {name}{self._on}`.")
        try:
            bad = [run.run] if run is not None and run.mode != "dry" else []
            losses = self.wb.history.losses(name, bad, limit=1).facts
            loses = losses["total"]
            reverts = losses["differing"] - loses
        except WorkbenchError as error:
            notes.append(f"What a restore would lose could not be counted: {error}")
        if loses:
            replay = f"plan replay --snapshot {name} --run RUN_ID{self._on}"
            notes.append(f"What it loses can be planned now and put back after it: `workbench {replay}`.")
        seconds = [proof.seconds for proof in chosen.verifications if proof.outcome == "pass"]
        commands = (f"workbench snapshot restore {name}{self._on}",)
        took = seconds[-1] if seconds else None
        return Way("level 2", chosen.verified, reverts, loses, None, took, commands, tuple(notes))


def _dangling(modes: list[Mode]) -> int | None:
    """Return how many references dangle, None where that is not known."""
    references = next(mode for mode in modes if mode.guide == "§7.1")
    return None if references.state == "not known" else references.rows or 0
