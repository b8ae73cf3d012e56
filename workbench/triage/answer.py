"""The answer of a triage, as one value with its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from workbench.checks.finding import Finding
from workbench.murmurant.importers import Run
from workbench.triage.modes import Mode
from workbench.triage.recommending import Advice
from workbench.triage.suspects import Suspect
from workbench.triage.ways import Trial, Way

_CARD = {
    "Dry run issues": ("level 0", ()),
    "Partial import": ("re-run", ("§1.1",)),
    "Single bad run": ("level 1", ("§1.2", "§1.4")),
    "Multiple bad runs": ("level 2", ("§1.6",)),
    "Wrong mappings": ("mappings", ("§1.2",)),
    "Bad tiers": ("tiers", ("§1.3",)),
    "Duplicates": ("duplicates of members", ("§1.4",)),
    "Wrong policies": ("policies", ("§1.5",)),
}
"""The guide's quick reference card: failure, way out, and the modes that it answers."""


@dataclass(frozen=True)
class Triage:
    """What is wrong, the ways out, and which to take.

    Attributes
    ----------
    run : Run or None
        The run in question: the one asked about, else the one most to blame.
    asked : bool
        Whether somebody asked about that run.
    """

    run: Run | None
    asked: bool
    modes: tuple[Mode, ...]
    suspects: tuple[Suspect, ...]
    ways: tuple[Way, ...]
    trials: dict[str, Trial]
    advice: Advice
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether no failure mode is here, and every one could be asked for."""
        return all(each.state == "absent" for each in self.modes)

    def modes_table(self) -> pd.DataFrame:
        """Return the failure modes: ``guide``, ``mode``, ``risk``, ``state``, ``rows``, ``evidence``."""
        rows = [
            (each.section, each.name, each.risk, each.state, each.count if each.here else None, each.evidence)
            for each in self.modes
        ]
        columns = ["guide", "mode", "risk", "state", "rows", "evidence"]
        return pd.DataFrame(rows, columns=columns).astype({"rows": "Int64"})

    def ways_table(self) -> pd.DataFrame:
        """Return the ways out.

        Returns
        -------
        pandas.DataFrame
            ``way``, ``what``, ``possible``, ``rows_reverted``, ``work_lost``, ``references_at_risk``, ``minutes``,
            ``recommended``, ``notes``, ``commands``; a figure that is not known is missing, never zero.
        """
        rows = [
            (
                *(each.name, each.title, each.possible, each.reverts, each.loses, each.at_risk, each.minutes),
                *(each.name == self.advice.way, " ".join(each.notes), "\n".join(each.commands)),
            )
            for each in self.ways
        ]
        figures = ["rows_reverted", "work_lost", "references_at_risk", "minutes"]
        columns = ["way", "what", "possible", *figures, "recommended", "notes", "commands"]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(figures, "Int64"))

    def suspects_table(self) -> pd.DataFrame:
        """Return the runs to blame: ``run``, ``importer``, ``status``, ``at_fault``, ``written``, ``share``, ``named_by``."""
        rows = [
            (
                *(each.run.run, each.run.importer, each.run.status, each.culprits, each.written),
                *(round(each.share, 3), ", ".join(each.named)),
            )
            for each in self.suspects
        ]
        columns = ["run", "importer", "status", "at_fault", "written", "share", "named_by"]
        return pd.DataFrame(rows, columns=columns)

    def card(self) -> pd.DataFrame:
        """Answer the guide's quick reference card for this database.

        Returns
        -------
        pandas.DataFrame
            ``failure``, ``here``, ``way``, ``minutes``, ``command``.
        """
        ways: dict[str, Way] = {each.name: each for each in self.ways}
        states = {each.section: each.state for each in self.modes}
        rows = []
        for failure, (way, sections) in _CARD.items():
            here = self._here(failure, sections, states)
            if failure in _BAD_RUNS and here == "present":
                # Where a restore is not possible it is run by run: the card never says other than the advice.
                way = self.advice.way or "none"
            if way in self.trials:
                minutes, commands = self.trials[way].minutes, self.trials[way].command
            else:
                done = ways.get(way)
                minutes = done.minutes if done else None
                commands = "\n".join(done.commands) if done else ""
            rows.append((failure, here, _level(way), minutes, commands))
        columns = ["failure", "here", "way", "minutes", "command"]
        return pd.DataFrame(rows, columns=columns).astype({"minutes": "Int64"})

    def _here(self, failure: str, sections: tuple[str, ...], states: Mapping[str, str]) -> str:
        if failure == "Dry run issues":
            return "present" if self.run is not None and self.run.mode == "dry" else "absent"
        if failure in _BAD_RUNS:
            bad = sum(each.bad for each in self.suspects)
            return "present" if bad in _BAD_RUNS[failure] else "absent"
        return max((states.get(each, "not known") for each in sections), key=_GRAVITY.index)


_BAD_RUNS = {"Single bad run": range(1, 2), "Multiple bad runs": range(2, 1_000_000)}
_GRAVITY = ["absent", "not known", "suspected", "present"]


def _level(way: str) -> str:
    return way if way in {"level 0", "level 1", "level 2", "re-run", "none"} else "targeted"
