"""What the guide's retention lets go (§5.3): decided and shown first, deleted only when that is said."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from workbench.audit import record
from workbench.checkpointing import Checkpointing
from workbench.errors import NotLogged
from workbench.migration.dry_runs import list_dry_runs, prune_dry_run
from workbench.murmurant.importers import DRY_RUN_PRUNED
from workbench.snapshots.retention import Decision, Migration, decide_dry_runs, decide_snapshots
from workbench.snapshots.store import prune_snapshot


class Pruning(Checkpointing):
    """Retention of snapshots and dry runs."""

    def retention(self, now: datetime | None = None) -> list[Decision]:
        """Decide which of the environment's snapshots and dry runs may be pruned; nothing is touched.

        Returns
        -------
        list of Decision
            ``name``, ``keep`` and ``reason`` of each: the snapshots, then the dry runs, oldest first.
        """
        migrations = [
            Migration(each.run, began.replace(tzinfo=UTC), ended.replace(tzinfo=UTC))
            for each in self.find_runs()
            if each.mode == "live"
            and (began := each.started or each.finished or each.last_trace)
            and (ended := each.finished or each.last_trace or each.started)
        ]
        moment = now or datetime.now(UTC)
        kept = {
            each.name: each.started_at for each in list_dry_runs(self.settings.backups, self.environment.name)
        }
        return [*decide_snapshots(moment, self.snapshots(), migrations), *decide_dry_runs(moment, kept)]

    def prune(self, decided: list[Decision]) -> list[str]:
        """Delete what was decided about, as far as a fresh decision says the same; each is logged.

        Parameters
        ----------
        decided : list of Decision
            As `retention` returned it and somebody confirmed it.

        Returns
        -------
        list of str
            The names of what is gone.
        """
        agreed = {each.name for each in decided if not each.keep}
        dry_runs = {each.name: each for each in list_dry_runs(self.settings.backups, self.environment.name)}
        gone = []
        for each in self.retention():
            if each.keep or each.name not in agreed:
                continue
            if each.name in dry_runs:
                prune_dry_run(dry_runs[each.name])
                self._log_dry_run(each)
            else:
                found = self.snapshot(each.name)
                prune_snapshot(found)
                self._log("pruned", found, {"detail": each.reason})
            gone.append(each.name)
        return gone

    def _log_dry_run(self, gone: Decision) -> None:
        facts = {"operator": self.settings.operator, "dry_run": gone.name, "detail": gone.reason}
        about = str(uuid5(NAMESPACE_URL, f"{self.target.system_identifier}/{gone.name}"))
        try:
            record(self.database, self.schema, DRY_RUN_PRUNED, facts, about=about)
        except NotLogged as error:
            self.said.append(str(error))
