"""Triage: which failure modes are present, the ways out side by side, and which to take (guide §1, §3, §4)."""

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
from workbench.runs.plan import LevelZero
from workbench.triage.judgement import Mode, failure_modes, find_suspects, recommend, run_in_question
from workbench.triage.ways import TITLES, Way, attempt, level_0, rerun, together, ways_frame

Advance = Callable[[str, int, int], None]

CULPRITS = 20_000
"""The most rows of a finding that are traced to the runs that wrote them."""

_MINUTES = "Minutes are the machine's, measured here; unknown figures are empty. Nothing was written."


class Triage:
    """The first look at a failed migration: ``wb.triage()``."""

    def __init__(self, wb: Any) -> None:
        self.wb = wb  # the workbench: triage asks every other subject
        self._on = on_environment(wb.session.environment.name)

    @answering
    def __call__(self, run_id: str | None = None, advance: Advance = lambda *_: None) -> Answer:
        """Name the failure modes that are present, and compare the ways out (guide §1, §3, §4).

        The figures of each way are measured: plans are made, counted and discarded. Nothing is written.

        Parameters
        ----------
        run_id : str, optional
            The run in question; by default the one most to blame, or else the last live one.
        advance : callable, optional
            Called with each step, how many are done, and how many there are.

        Raises
        ------
        UsageError
            For an unknown run.
        """
        session = self.wb.session
        runs = session.find_runs()
        asked = pick_run(runs, run_id)[0] if run_id is not None else None
        advance("running every check", 0, 4)
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
        with self._plans_discarded():
            ways = [level_0(run), rerun(runs, asked, "§1.1" in present, unmapped)]
            advance("trying a rollback", 2, 4)
            ways.append(self._rollback(run))
            advance("trying the corrections", 3, 4)
            ways += [together(dict(self._corrections(present, unmapped))), self._level_2(run)]
        recommended, why = recommend(modes, {way.way: way for way in ways}, run, suspects)
        offered = ways_frame(ways, recommended)
        title, steps = "none of the ways out as things stand", list[Step]()
        for way in ways:
            if way.way == recommended:
                title = f"{way.way}, {TITLES[way.way].lower()}"
                lines = "; ".join(way.commands).split("; ") if way.commands else []
                steps = [Step("", line.removeprefix("workbench ").removesuffix(self._on)) for line in lines]
        page = f"report triage{f' -p run_id {run.run}' if asked and run else ''}"
        shown = pd.DataFrame(modes, columns=[*Mode._fields]).drop(columns=["findings", "unanswered"])
        shown = shown.astype({"rows": "Int64"})
        question = (
            f"{run.run}, {'as asked' if asked else 'the most to blame'}: {run.status}, {run.why}"
            if run
            else "none"
        )
        suspects = suspects.drop(columns="bad")
        notes = {}
        for way in ways:
            name = way.way if way.possible else f"{way.way} (not possible here)"
            notes[name] = " ".join(way.notes)
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
                "notes": notes,
            },
            findings=findings,
            sample=0,
            next_steps=[*steps, Step("As a page to read and to show", page)],
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
    def _plans_discarded(self) -> Iterator[None]:
        """Write plans to a temporary folder."""
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
        """Plan the correction of each failure that is present."""
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
            raise Refused(f"None of {len(clusters)} clusters is sure enough to be merged without a review.")
        pairs = [
            (canonical, [member for member in members if member != canonical])
            for canonical, members in zip(sure["canonical"], sure["members"], strict=True)
        ]
        plan: Plan = self.wb.duplicates.plan_merges(pairs, entity=entity, skip_blocked=True)
        return plan

    def _level_2(self, run: Run | None) -> Way:
        """Measure a restore of the last verified snapshot from before the run, or else of the last one (guide §3)."""
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
            notes.append(f"It was never verified by restoring: `workbench snapshot verify {name}{self._on}`.")
        try:
            bad = [run.run] if run is not None and run.mode != "dry" else []
            losses = self.wb.history.losses(name, bad, limit=1).facts
            loses = losses["total"]
            reverts = losses["differing"] - loses
        except WorkbenchError as error:
            notes.append(f"What a restore would lose could not be counted: {error}")
        if loses:
            replay = f"plan replay --snapshot {name} --run RUN_ID{self._on}"
            notes.append(f"Plan now to put back what it loses: `workbench {replay}`.")
        seconds = [proof.seconds for proof in chosen.verifications if proof.outcome == "pass"]
        commands = (f"workbench snapshot restore {name}{self._on}",)
        took = seconds[-1] if seconds else None
        return Way("level 2", chosen.verified, reverts, loses, None, took, commands, tuple(notes))
