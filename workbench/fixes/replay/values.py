"""Column by column: which values of a changed row are people's, and so come back after a restore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from workbench.fixes.ledger import Conflict
from workbench.fixes.restoring import OnConflict
from workbench.fixes.three_way import Outcome, Unknown, decide
from workbench.fixes.witnesses import Testimony, Witnesses, is_explained
from workbench.investigate.differences.comparing import Comparing
from workbench.investigate.differences.found import TableDifference
from workbench.investigate.differences.listing import rows_of
from workbench.investigate.records import record_fates
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF

Columns = dict[str, tuple[str | None, str | None]]
"""Column to what the snapshot has, and what is put back."""


@dataclass
class Change:
    """What of a changed row comes back, and what is in conflict."""

    key: str
    columns: Columns = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)


@dataclass(frozen=True)
class Judge:
    """Decides column by column.

    Parameters
    ----------
    entity : str or None
        What the rows are; None where nobody wrote down what single columns became.
    bad, good : sequence of Run
        The runs whose doing is not wanted back, and the others since the snapshot.
    """

    connection: Connection
    schema: Schema
    entity: str | None
    bad: Sequence[Run]
    good: Sequence[Run]
    on_conflict: OnConflict

    def decide(
        self,
        compared: Comparing,
        difference: TableDifference,
        keys: Sequence[str],
        updated: Mapping[str, str],
    ) -> list[Change]:
        """Decide for some rows that are in both.

        Parameters
        ----------
        updated : mapping of str to str
            Those of them that a bad run updated: key to who wrote to it after that, empty for nobody.
        """
        assert compared.before is not None
        assert difference.shape is not None
        was = rows_of(compared.before, difference, compared, keys)
        now = rows_of(compared.now, difference, compared, keys)
        concerned = [key for key in keys if key in updated]
        known = self._testimonies(self.bad, concerned)
        others = self._testimonies(self._writers(concerned), concerned) if concerned else {}
        bookkeeping = self._bookkeeping(difference.table)
        found = []
        for key in keys:
            if key not in was or key not in now:
                continue
            before = {name: was[key][name] for name in difference.shape.columns}
            after = {name: now[key][name] for name in difference.shape.columns}
            if key not in updated:
                columns = {n: (before[n], after[n]) for n in before if before[n] != after[n]}
                found.append(Change(key, columns))
            else:
                found.append(
                    self._one(
                        difference.table,
                        key,
                        before,
                        after,
                        updated[key],
                        known.get(key, []),
                        others.get(key, []),
                        bookkeeping,
                    )
                )
        return found

    def _one(
        self,
        table: str,
        key: str,
        before: dict[str, str | None],
        now: dict[str, str | None],
        by: str,
        known: Sequence[Testimony],
        others: Sequence[Testimony],
        bookkeeping: str | None,
    ) -> Change:
        made = Change(key)
        changed_at = now.get(bookkeeping or "")
        moment = datetime.fromisoformat(changed_at) if changed_at else None
        for column in sorted(before.keys() - {bookkeeping}):
            told = [
                (each.left_by_run(column, now[column], explained=is_explained(each, moment)), each)
                for each in known or [Testimony()]
            ]
            # Of several bad runs, the one that wrote what is there, or else the last that is known.
            run, testimony = next(
                (pair for pair in told if pair[0] == now[column]),
                next((pair for pair in reversed(told) if not isinstance(pair[0], Unknown)), told[-1]),
            )
            outcome = decide(
                before[column],
                run,
                now[column],
                touched=bool(by),
                run_wrote_all_it_says=testimony.complete,
            )
            if outcome is Outcome.KEPT:
                made.columns[column] = before[column], now[column]
            elif outcome is Outcome.RESTORE:
                # Another run may have written it before this one; that stays done.
                earlier = [each.written[column] for each in others if column in each.written]
                if earlier and not isinstance(earlier[-1], Unknown) and earlier[-1] != before[column]:
                    made.columns[column] = before[column], earlier[-1]
            elif outcome is Outcome.CONFLICT:
                left = "not known" if isinstance(run, Unknown) else run
                reason = (
                    f"{by or 'somebody'} changed it after the run"
                    if not isinstance(run, Unknown)
                    else f"the run or {by}: nothing tells which of them changed it"
                )
                made.conflicts.append(
                    (
                        *(table, key, column, before[column], left, now[column]),
                        f"{reason}; {'what is there now is put back' if self.on_conflict == 'keep' else 'stays as the snapshot has it'}",
                    )
                )
                if self.on_conflict == "keep":
                    made.columns[column] = before[column], now[column]
        if bookkeeping in before and (by or made.columns) and before[bookkeeping] != now[bookkeeping]:
            made.columns[bookkeeping] = before[bookkeeping], now[bookkeeping]
        return made

    def _bookkeeping(self, table: str) -> str | None:
        for found in self.schema.resolved.values():
            if found.table == table:
                return found.spelling.get("updated_at")
        return None

    def _writers(self, keys: Sequence[str]) -> list[Run]:
        """Return the good runs that updated one of these rows as well, as far as the evidence goes."""
        if self.entity is None:
            return []
        wanted = set(keys)
        return [
            run
            for run in self.good
            if any(
                fates.action == "updated"
                and fates.strength >= Strength.likely
                and wanted.intersection(key for key in fates.record_ids if key)
                for fates in record_fates(self.connection, self.schema, run, (), list(keys))
                if fates.entity == self.entity
            )
        ]

    def _testimonies(self, runs: Sequence[Run], keys: Sequence[str]) -> dict[str, list[Testimony]]:
        """Ask for each run what is known of the values it wrote, in order of the runs."""
        found: dict[str, list[Testimony]] = {}
        if self.entity is None or not keys or not self.schema.has(CONCEPT_OF[self.entity]):
            return found
        for run in runs:
            for key, testimony in Witnesses(self.connection, self.schema, run, self.entity).ask(keys).items():
                found.setdefault(key, []).append(testimony)
        return found
