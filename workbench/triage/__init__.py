"""Triage: which of the guide's failures are here, the ways out side by side, and which to take (guide §1, §3, §4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from workbench.triage.modes import Mode, failure_modes
from workbench.triage.recommending import Suspect, find_suspects, in_question, recommend
from workbench.triage.ways import (
    TITLES,
    Trial,
    Way,
    attempt,
    level_0,
    level_1,
    minutes,
    rerun,
    targeted,
)

CULPRITS = 20_000
"""How many rows of a finding are traced to the run that wrote them."""


class Triage:
    """The first look on a bad night: ``wb.triage()``."""

    def __init__(self, wb: Any) -> None:
        self.wb = wb  # asks every other subject
        self._on = on_environment(wb.environment.name)

    @answering
    def __call__(self, run_id: str | None = None) -> Answer:
        """Name the failure modes that are here, and lay the ways out side by side (guide §1, §3, §4).

        Every way's figures are measured on this database: plans are made, counted and thrown away.
        Looking never writes, and neither does this.

        Parameters
        ----------
        run_id : str, optional
            The run in question; else the one most to blame, else the last live one.

        Raises
        ------
        UsageError
            For a run that left no trace.
        """
        session = self.wb.session
        runs = session.find_runs()
        asked = pick_run(runs, run_id)[0] if run_id is not None else None
        findings = self.wb.check(sample=CULPRITS).findings
        modes = failure_modes(findings)
        with session.reading() as connection:
            suspects = find_suspects(connection, session.schema, runs, modes)
        run = asked or in_question(runs, suspects)
        states = {each.section: each for each in modes}
        dangling = None if states["§7.1"].state == "not known" else states["§7.1"].rows or 0
        lost = any(each.check == "mappings-missing" and each.status == "fail" for each in findings)
        with self._plans_thrown_away():
            rollback = self._rollback(run)
            trials = dict(self._corrections({each.section for each in modes if each.here}, lost))
        ways = [
            level_0(run, dangling),
            rerun(asked or _to_take_up(runs), runs, dangling, states["§1.1"].here, lost),
            level_1(rollback, dangling),
            targeted(trials, dangling),
            self._level_2(run),
        ]
        advice = recommend(modes, {each.way: each for each in ways}, run, suspects)
        chosen = next((each for each in ways if each.way == advice.way), None)
        title = chosen and f"{chosen.way}, {TITLES[chosen.way][0].lower()}{TITLES[chosen.way][1:]}"
        frames = {"modes": _modes(modes), "suspects": _suspects(suspects), "ways": _ways(ways, advice.way)}
        steps = [
            Step("", command.removeprefix("workbench ").removesuffix(self._on))
            for line in (chosen.commands if chosen else ())
            for command in line.split("; ")
        ]
        page = f"report triage{f' -p run_id {run.run}' if asked and run else ''}"
        return Answer(
            f"Recommended: {title or 'none of the ways out as things stand'}. {advice.why}",
            {
                "summary": _summary(run, asked is not None, modes, suspects),
                "modes": Table(frames["modes"], "What is wrong", first=("guide", "mode", "state", "rows")),
                "suspects": Table(
                    frames["suspects"][[each.share > 0 or bool(each.named) for each in suspects]],
                    "Runs to blame",
                    empty="",
                    first=("run", "status", "at_fault"),
                    limit=5,
                ),
                "drawn": lambda: ways_chart(frames["ways"]),
                "ways": Table(
                    frames["ways"].drop(columns=["recommended", "notes", "commands"]),
                    "The ways out",
                    first=("way", "possible", "rows_reverted", "work_lost", "minutes"),
                    note="Minutes are the machine's, measured here; what is not known is left empty. Nothing was written.",
                ),
                "notes": {
                    f"{each.way}{'' if each.possible else ' (not possible here)'}": " ".join(each.notes)
                    for each in ways
                },
            },
            findings=findings,
            sample=0,
            next_steps=[*steps, Step("To read and to show", page)],
            facts={
                "environment": vars(session.environment),
                "run": run and run.run,
                "asked": asked is not None,
                **{name: frame.to_dict("records") for name, frame in frames.items()},
                "recommended": advice.way,
                "why": mask_text(advice.why),
            },
            code=int(any(mode.state != "absent" for mode in modes)),
        )

    @contextmanager
    def _plans_thrown_away(self) -> Iterator[None]:
        """Let plans be made where nobody finds them, and be gone at the end."""
        session = self.wb.session
        before = session.plans_in
        with TemporaryDirectory(prefix="workbench-triage-") as folder:
            session.plans_in = Path(folder)
            try:
                yield
            finally:
                session.plans_in = before

    def _try(self, command: str, make: Callable[[], Any]) -> Trial:
        commands = (f"workbench {each}{self._on}" for each in command.split("; "))
        return attempt("; ".join(commands), make)

    def _rollback(self, run: Run | None) -> Trial | None:
        if run is None or run.mode == "dry":
            return None
        return self._try(f"plan rollback {run.run}", lambda: self.wb.runs.plan_rollback(run.run))

    def _corrections(self, here: set[str], lost: bool) -> Iterator[tuple[str, Trial]]:
        """Plan what each failure that is here can be corrected by; `lost` where mappings are missing."""
        wb = self.wb
        if lost:
            yield "lost mappings", self._try("plan mapping --rebuild", wb.mappings.plan_rebuild)
        if "§1.2" in here:
            command = "mappings --csv corrections.csv; plan mapping --from corrections.csv --move-records"
            yield (
                "mappings",
                self._try(command, lambda: wb.mappings.plan(wb.mappings.sure(), move_records=True)),
            )
        if "§1.3" in here:
            yield "tiers", self._try("plan tiers", wb.tiers.plan)
        for entity in ENTITIES if "§1.4" in here else ():
            of, file = f" --entity {entity.lower()}", f"{entity.lower()}s.csv"
            command = f"duplicates{of} --to {file}; plan merge{of} --from {file}"
            yield (
                f"duplicates of {entity.lower()}s",
                self._try(command, partial(self._merges, entity)),
            )
        if "§1.5" in here:
            yield "policies", self._try("plan policies", wb.policies.plan)

    def _merges(self, entity: str) -> Plan:
        clusters = self.wb.duplicates.find(entity).clusters
        sure = clusters[clusters["offered"]]
        if sure.empty:
            raise Refused(f"No cluster is sure enough to be merged without a review, of {len(clusters)}.")
        pairs = [
            (canonical, [each for each in members if each != canonical])
            for canonical, members in zip(sure["canonical"], sure["members"], strict=True)
        ]
        plan: Plan = self.wb.duplicates.plan_merges(pairs, entity=entity, skip_blocked=True)
        return plan

    def _level_2(self, run: Run | None) -> Way:
        """Measure a restore of the last proved snapshot from before the run, else of the last one (guide §3, level 2).

        Which references dangle in the snapshot itself is known only once it is restored and checked.
        """
        before = run.started.replace(tzinfo=UTC) if run is not None and run.started else None
        usable = [each for each in self.wb.snapshots.here() if before is None or each.created_at < before]
        if not usable:
            since = f" from before {run.run}" if run is not None and before else ""
            why = f"There is no snapshot of this database{since}."
            return Way("level 2", False, commands=(f"workbench snapshot list{self._on}",), notes=(why,))
        chosen = ([each for each in usable if each.verified] or usable)[-1]
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
        took = [each.seconds for each in chosen.verifications if each.outcome == "pass"]
        commands = (f"workbench snapshot restore {name}{self._on}",)
        figures = (reverts, loses, None, minutes(took[-1] if took else None))
        return Way("level 2", chosen.verified, *figures, commands, tuple(notes))


def _to_take_up(runs: Sequence[Run]) -> Run | None:
    """Return the last live run that did not come to its end, else the last one."""
    live = [each for each in runs if each.mode != "dry" and not each.rolled_back and not each.superseded_by]
    stopped = [each for each in live if each.status != "completed"]
    return next(reversed(stopped or live), None)


def _summary(
    run: Run | None, asked: bool, modes: Sequence[Mode], suspects: Sequence[Suspect]
) -> dict[str, str]:
    here = (f"{mode.name.lower()} ({mode.section}, {mode.risk} risk)" for mode in modes if mode.here)
    facts = {
        "Runs that are bad as a whole": ", ".join(each.run.run for each in suspects if each.bad) or "none",
        "Failures that are here": ", ".join(here) or "none",
    }
    if run is not None:
        which = "as asked" if asked else "the most to blame"
        facts = {"The run in question": f"{run.run}, {which}: {run.status}, {run.why}"} | facts
    if unknown := ", ".join(mode.name.lower() for mode in modes if mode.state == "not known"):
        facts["Could not be told"] = unknown
    return facts


def _modes(modes: Sequence[Mode]) -> pd.DataFrame:
    rows = [(each.section, each.name, each.risk, each.state, each.rows, each.evidence) for each in modes]
    columns = ["guide", "mode", "risk", "state", "rows", "evidence"]
    return pd.DataFrame(rows, columns=columns).astype({"rows": "Int64"})


def _suspects(suspects: Sequence[Suspect]) -> pd.DataFrame:
    rows = [
        (run.run, run.importer, run.status, culprits, written, round(each.share, 3), ", ".join(named))
        for each in suspects
        for run, culprits, written, named in [each]
    ]
    columns = ["run", "importer", "status", "at_fault", "written", "share", "named_by"]
    return pd.DataFrame(rows, columns=columns)


def _ways(ways: Sequence[Way], chosen: str | None) -> pd.DataFrame:
    """Lay out the ways; a figure that is not known is missing, never zero."""
    frame = pd.DataFrame(ways)
    frame.insert(1, "what", frame["way"].map(TITLES))
    figures = ["rows_reverted", "work_lost", "references_at_risk", "minutes"]
    return frame.astype(dict.fromkeys(figures, "Int64")).assign(
        recommended=frame["way"] == chosen,
        notes=frame["notes"].map(" ".join),
        commands=frame["commands"].map("\n".join),
    )
