"""One look at everything: what is wrong, the ways out side by side, and which to take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from workbench.answer import Answer
from workbench.covering import answering
from workbench.errors import Refused, SchemaGap, UsageError, WorkbenchError
from workbench.hints import on_environment
from workbench.looking import Looking
from workbench.murmurant.importers import Run
from workbench.murmurant.spellings import ENTITIES
from workbench.planning import Planning
from workbench.plans.plan import NOTES, Plan
from workbench.runs.discovery import pick_run
from workbench.runs.telling import LevelZero
from workbench.triage import Way, failure_modes, recommend, triage_answer, ways
from workbench.triage.suspects import find_suspects, in_question
from workbench.triage.ways import Checkpoint, Trial

CULPRITS = 20_000
"""How many rows of a finding are traced to the run that wrote them."""


class Triaging(Looking, Planning):
    """The first look on a bad night."""

    @answering
    def triage(self, run_id: str | None = None) -> Answer:
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
        runs = self.session.find_runs()
        asked = pick_run(runs, run_id)[0] if run_id is not None else None
        findings = self.checks(sample=CULPRITS)
        modes = failure_modes(findings)
        with self.session.reading() as connection:
            suspects = find_suspects(connection, self.session.schema, runs, modes)
        run = asked or in_question(runs, suspects)
        dangling = next(
            (each.count for each in modes if each.section == "§7.1" and each.state != "not known"), None
        )
        here = {each.section for each in modes if each.here}
        lost = any(each.check == "mappings-missing" and each.status == "fail" for each in findings)
        with self._trials():
            rolled_back = self._try_rollback(run)
            trials = self._try_corrections(here, lost)
        out = (
            ways.level_0(run, dangling),
            ways.rerun(asked or _to_take_up(runs), runs, dangling, "§1.1" in here, lost),
            ways.level_1(run, rolled_back, dangling),
            ways.targeted(trials, dangling),
            self._level_2(run),
        )
        advice = recommend(modes, {each.name: each for each in out}, run, suspects)
        return triage_answer(
            run, asked is not None, modes, suspects, out, trials, advice, findings, self.session.environment
        )

    @contextmanager
    def _trials(self) -> Iterator[None]:
        """Let plans be made where nobody finds them, and be gone at the end."""
        before = self.session.plans_in
        with TemporaryDirectory(prefix="workbench-triage-") as folder:
            self.session.plans_in = Path(folder)
            try:
                yield
            finally:
                self.session.plans_in = before

    def _try_rollback(self, run: Run | None) -> Trial | None:
        if run is None or run.mode == "dry":
            return None
        return _attempt(
            f"workbench plan rollback {run.run}{self._on}", lambda: self.runs.plan_rollback(run.run)
        )

    def _try_corrections(self, here: set[str], lost: bool) -> dict[str, Trial]:
        """Plan what each failure that is here can be corrected by; `lost` where mappings are missing."""
        found: dict[str, Trial] = {}
        if lost:
            command = f"workbench plan mapping --rebuild{self._on}"
            found["lost mappings"] = _attempt(command, self.mappings.plan_rebuild)
        if "§1.2" in here:
            found["mappings"] = _attempt(
                f"workbench mappings --csv corrections.csv{self._on};"
                f" workbench plan mapping --from corrections.csv --move-records{self._on}",
                lambda: self.mappings.plan(self.mappings.sure(), move_records=True),
            )
        if "§1.3" in here:
            found["tiers"] = _attempt(f"workbench plan tiers{self._on}", self.tiers.plan)
        if "§1.4" in here:
            for entity in ENTITIES:
                found[f"duplicates of {entity.lower()}s"] = self._try_merges(entity)
        if "§1.5" in here:
            found["policies"] = _attempt(f"workbench plan policies{self._on}", self.policies.plan)
        return found

    def _try_merges(self, entity: str) -> Trial:
        file = f"{entity.lower()}s.csv"
        of = f" --entity {entity.lower()}"
        command = f"workbench duplicates{of} --to {file}{self._on}; workbench plan merge{of} --from {file}{self._on}"

        def make() -> Plan:
            clusters = self.duplicates.find(entity).clusters
            sure = clusters[clusters["offered"]]
            if sure.empty:
                raise Refused(f"No cluster is sure enough to be merged without a review, of {len(clusters)}.")
            pairs = [
                (canonical, [each for each in members if each != canonical])
                for canonical, members in zip(sure["canonical"], sure["members"], strict=True)
            ]
            return self.duplicates.plan_merges(pairs, entity=entity, skip_blocked=True)

        return _attempt(command, make)

    @property
    def _on(self) -> str:
        return on_environment(self.session.environment.name)

    def _level_2(self, run: Run | None) -> Way:
        """Measure a restore of the last proved snapshot from before the run, else of the last one from before it."""
        before = run.started.replace(tzinfo=UTC) if run is not None and run.started else None
        usable = [each for each in self.snapshots.here() if before is None or each.created_at < before]
        if not usable:
            since = f" from before {run.run}" if run is not None and before else ""
            return ways.level_2(None, f"There is no snapshot of this database{since}.", self._on)
        chosen = ([each for each in usable if each.verified] or usable)[-1]
        proof = [each.seconds for each in chosen.verifications if each.outcome == "pass"]
        reverts, loses, why = None, None, ""
        try:
            bad = [run.run] if run is not None and run.mode != "dry" else []
            came_after = self.history.losses(chosen.snapshot, bad, limit=1).facts
            loses = came_after["total"]
            reverts = came_after["differing"] - loses
        except WorkbenchError as error:
            why = str(error)
        return ways.level_2(
            Checkpoint(
                chosen.snapshot,
                f"{chosen.created_at:%Y-%m-%d %H:%M} UTC",
                chosen.verified,
                proof[-1] if proof else None,
                reverts,
                loses,
            ),
            why,
            self._on,
        )


def _attempt(command: str, make: Callable[[], Plan | LevelZero]) -> Trial:
    begun = perf_counter()
    try:
        made = make()
    except (Refused, SchemaGap, UsageError) as error:
        return Trial(command, refused=str(error), seconds=perf_counter() - begun)
    seconds = perf_counter() - begun
    if isinstance(made, LevelZero):
        return Trial(command, refused="It was a dry run, which wrote nothing.", seconds=seconds)
    noted = {name: sum(each.rows for each in made.sections if each.name == name) for name in NOTES}
    return Trial(
        command,
        made,
        seconds,
        kept=noted["kept"],
        conflicts=noted["conflict"],
        unresolved=noted["unresolved"],
    )


def _to_take_up(runs: list[Run]) -> Run | None:
    """Return the last live run that did not come to its end, else the last one."""
    live = [
        each
        for each in reversed(runs)
        if each.mode != "dry" and not each.rolled_back and not each.superseded_by
    ]
    return next((each for each in live if each.status in ways.HAS_STOPPED), live[0] if live else None)
