"""Triage: which of the guide's failures are here, the ways out side by side, and which to take (guide §1, §3, §4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pandas as pd

from workbench.answer import Answer, Step, Table
from workbench.covering import answering
from workbench.duplicates.questions import Duplicates
from workbench.errors import Refused, WorkbenchError
from workbench.hints import on_environment
from workbench.history.questions import History
from workbench.mappings.questions import Mappings
from workbench.murmurant.importers import Run
from workbench.murmurant.spellings import ENTITIES
from workbench.plans.plan import Plan
from workbench.policies.questions import Policies
from workbench.reporting.charts import ways_chart
from workbench.reporting.masking import mask_text
from workbench.runs.discovery import pick_run
from workbench.runs.questions import Runs
from workbench.runs.telling import LevelZero
from workbench.session import Session
from workbench.snapshots.namespace import Snapshots
from workbench.tiers.questions import Tiers
from workbench.triage.modes import Mode, failure_modes
from workbench.triage.recommending import Suspect, find_suspects, in_question, recommend
from workbench.triage.ways import TITLES, Name, Way, attempt, level_0, rerun, together

Advance = Callable[[str, int, int], None]

CULPRITS = 20_000
"""How many rows of a finding are traced to the run that wrote them."""


class Subjects(Protocol):
    """What a triage asks: every other subject of a workbench."""

    session: Session
    runs: Runs
    mappings: Mappings
    tiers: Tiers
    duplicates: Duplicates
    policies: Policies
    history: History
    snapshots: Snapshots

    @property
    def check(self) -> Callable[..., Answer]:
        """Asks the checks: see `workbench.workbench.Workbench.check`."""


class Triage:
    """The first look on a bad night: ``wb.triage()``."""

    def __init__(self, wb: Subjects) -> None:
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
        run = asked or in_question(runs, suspects)
        here = {each.guide for each in modes if each.here}
        lost = any(each.check == "mappings-missing" and each.status == "fail" for each in findings)
        with self._plans_thrown_away():
            ways = [level_0(run), rerun(runs, asked, "§1.1" in here, lost)]
            advance("trying a rollback", 2, 4)
            ways.append(self._rollback(run))
            advance("trying the corrections", 3, 4)
            ways += [together(dict(self._corrections(here, lost))), self._level_2(run)]
        advice = recommend(modes, {each.way: each for each in ways}, run, suspects)
        chosen = next((each for each in ways if each.way == advice.way), None)
        title = (
            f"{chosen.way}, {TITLES[chosen.way].lower()}"
            if chosen
            else "none of the ways out as things stand"
        )
        references = next(each for each in modes if each.guide == "§7.1")
        dangling = None if references.state == "not known" else references.rows or 0
        shown, blamed, offered = _modes(modes), _suspects(suspects), _ways(ways, advice.way, dangling)
        steps = [
            Step("", command.removeprefix("workbench ").removesuffix(self._on))
            for line in (chosen.commands if chosen else ())
            for command in line.split("; ")
        ]
        page = f"report triage{f' -p run_id {run.run}' if asked and run else ''}"
        facts = {
            "The run in question": f"{run.run}, {'as asked' if asked else 'the most to blame'}: {run.status}, {run.why}"
            if run
            else "none",
            "Runs that are bad as a whole": ", ".join(each.run.run for each in suspects if each.bad)
            or "none",
            "Could not be told": ", ".join(each.mode for each in modes if each.state == "not known"),
        }
        return Answer(
            f"Recommended: {title}. {advice.why}",
            {
                "summary": {name: words for name, words in facts.items() if words},
                "modes": Table(shown, "What is wrong", first=("guide", "mode", "state", "rows")),
                "suspects": Table(
                    blamed[(blamed["share"] > 0) | (blamed["named_by"] != "")],
                    "Runs to blame",
                    empty="",
                    first=("run", "status", "at_fault"),
                    limit=5,
                ),
                "drawn": partial(ways_chart, offered),
                "ways": Table(
                    offered.drop(columns=["recommended", "notes", "commands"]),
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
                "modes": shown.to_dict("records"),
                "suspects": blamed.to_dict("records"),
                "ways": offered.to_dict("records"),
                "recommended": advice.way,
                "why": mask_text(advice.why),
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

    def _try(self, command: str, make: Callable[[], Plan | LevelZero], way: Name = "targeted") -> Way:
        return attempt(way, "; ".join(f"workbench {each}{self._on}" for each in command.split("; ")), make)

    def _rollback(self, run: Run | None) -> Way:
        if run is None or run.mode == "dry":
            return Way("level 1", False, notes=("There is no live run to roll back.",))
        make = partial(self.wb.runs.plan_rollback, run.run)
        return self._try(f"plan rollback {run.run}", make, "level 1")

    def _corrections(self, here: set[str], lost: bool) -> Iterator[tuple[str, Way]]:
        """Plan what each failure that is here can be corrected by; `lost` where mappings are missing."""
        wb = self.wb
        if lost:
            yield "lost mappings", self._try("plan mapping --rebuild", wb.mappings.plan_rebuild)
        if "§1.2" in here:
            command = "mappings --csv corrections.csv; plan mapping --from corrections.csv --move-records"
            yield "mappings", self._try(command, self._sure_mappings)
        if "§1.3" in here:
            yield "tiers", self._try("plan tiers", wb.tiers.plan)
        for entity in ENTITIES if "§1.4" in here else ():
            of, file = f" --entity {entity.lower()}", f"{entity.lower()}s.csv"
            command = f"duplicates{of} --to {file}; plan merge{of} --from {file}"
            yield f"duplicates of {entity.lower()}s", self._try(command, partial(self._merges, entity))
        if "§1.5" in here:
            yield "policies", self._try("plan policies", wb.policies.plan)

    def _sure_mappings(self) -> Plan:
        return self.wb.mappings.plan(self.wb.mappings.sure(), move_records=True)

    def _merges(self, entity: str) -> Plan:
        clusters = self.wb.duplicates.find(entity).clusters
        sure = clusters[clusters["offered"]]
        if sure.empty:
            raise Refused(f"No cluster is sure enough to be merged without a review, of {len(clusters)}.")
        pairs = [
            (canonical, [each for each in members if each != canonical])
            for canonical, members in zip(sure["canonical"], sure["members"], strict=True)
        ]
        return self.wb.duplicates.plan_merges(pairs, entity=entity, skip_blocked=True)

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
        seconds = took[-1] if took else None
        return Way("level 2", chosen.verified, reverts, loses, None, seconds, commands, tuple(notes))


def _modes(modes: Sequence[Mode]) -> pd.DataFrame:
    frame = pd.DataFrame(modes, columns=[*Mode._fields]).drop(columns=["findings", "unanswered"])
    return frame.astype({"rows": "Int64"})


def _suspects(suspects: Sequence[Suspect]) -> pd.DataFrame:
    rows = [
        (run.run, run.importer, run.status, culprits, written, round(each.share, 3), ", ".join(named))
        for each in suspects
        for run, culprits, written, named in [each]
    ]
    columns = ["run", "importer", "status", "at_fault", "written", "share", "named_by"]
    return pd.DataFrame(rows, columns=columns)


def _ways(ways: Sequence[Way], chosen: str | None, dangling: int | None) -> pd.DataFrame:
    """Lay out the ways; a figure that is not known is missing, never zero.

    Whether the references that dangle now are a run's own is not known: they count as staying, whatever is done.
    """
    frame = pd.DataFrame(ways, columns=[*Way._fields]).rename(columns={"seconds": "minutes"})
    frame.insert(1, "what", frame["way"].map(TITLES))
    frame["minutes"] = (frame["minutes"].astype(float) / 60).map(math.ceil, na_action="ignore")
    figures = ["rows_reverted", "work_lost", "references_at_risk", "minutes"]
    frame = frame.astype(dict.fromkeys(figures, "Int64"))
    return frame.assign(
        references_at_risk=frame["references_at_risk"] + (pd.NA if dangling is None else dangling),
        recommended=frame["way"] == chosen,
        notes=frame["notes"].map(" ".join),
        commands=frame["commands"].map("\n".join),
    )
