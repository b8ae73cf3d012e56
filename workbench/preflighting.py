"""The checklist before a migration (guide §6): what evidence there is, and what people vouch for."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from uuid import uuid4

from workbench import audit
from workbench.errors import Refused, UsageError, unknown
from workbench.hints import aim
from workbench.looking import Looking
from workbench.migration.bundles import file_digest
from workbench.migration.dry_runs import DryRun, list_dry_runs
from workbench.migration.preflight import (
    ITEMS,
    Attestation,
    Evidence,
    Kind,
    Preflight,
    attest,
    backup_evidence,
    config_evidence,
    dry_run_evidence,
    environment_evidence,
    holding,
    judge,
    operator_evidence,
    rollback_evidence,
)
from workbench.restoring import Restoring
from workbench.statements import Statements

PASSED = "migration:preflight:passed"
"""How the audit log names a checklist that was signed, in the spirit of guide §5.1."""

_OF_CONFIGURATION = ("tiers-unmapped-level", "tiers-not-seeded")
_OF_ENVIRONMENT = ("environment-wrong",)


class Preflighting(Looking, Restoring):
    """The questions of the checklist, and the file of what people vouch for."""

    def preflight(self) -> Preflight:
        """Answer the guide's checklist for the next migration (§6); looking only."""
        evidence = self.preflight_evidence()
        words = self._words()
        said = words["rollback"].says if "rollback" in words and words["rollback"].kind == "attested" else ""
        evidence["rollback"] = rollback_evidence(said, evidence["backup"], self._leaves_traces())
        judged = judge(evidence, words)
        name = self.environment.name
        return Preflight(tuple(item._replace(next_step=aim(item.next_step, name)) for item in judged.items))

    def preflight_evidence(self) -> dict[str, Evidence]:
        """Gather what speaks for each item without anybody's word."""
        now, last = datetime.now(UTC), self._last_import()
        dry_runs = list_dry_runs(self.settings.backups, self.environment.name)
        hours = self.options.dry_run_hours
        return {
            "backup": backup_evidence(self.snapshots.here(), last, self.options.backup_hours, now),
            "dry-run": dry_run_evidence(dry_runs, last, hours, now),
            "config": self._config_evidence(dry_runs),
            "operator": operator_evidence(self.settings.operator, self.settings.operator_named),
            "environment": environment_evidence(
                str(self.environment), self.options.address is not None, self._problems(_OF_ENVIRONMENT)
            ),
        }

    def attest(self, item: str, says: str, kind: Kind = "attested", *, by: str | None = None) -> Attestation:
        """Keep a person's word on an item of the checklist, or a waiver of it with its reason.

        Parameters
        ----------
        item : str
            See `workbench.migration.preflight.ITEMS`.
        says : str
            What is vouched for, or why it is waived; without personal data.
        kind : {"attested", "waived", "withdrawn"}
            ``withdrawn`` takes back what was said.
        by : str, optional
            Who says so; else the operator.

        Raises
        ------
        UsageError
            For an unknown item, one that evidence alone settles, nothing said, or nobody's name.
        """
        if item not in ITEMS:
            raise unknown("item of the checklist", item, ITEMS)
        evidence = self.preflight_evidence().get(item) if kind == "attested" else None
        if evidence is not None and ITEMS[item].by_evidence and evidence.holds is not None:
            raise UsageError(
                f"{ITEMS[item].title}: evidence settles this, nobody's word ({evidence.says}).",
                f"{evidence.next_step or 'Nothing is open there'}. To accept it as it is: `workbench preflight waive {item} --reason REASON`.",
            )
        about = evidence.about if evidence is not None else ""
        return self._attestations.add(attest(item, kind, says, by=by or self.settings.operator, about=about))

    def sign_preflight(self) -> str:
        """Write into the audit log that everything on the checklist is settled; return the entry's id.

        Raises
        ------
        Refused
            While anything is open.
        """
        found = self.preflight()
        if not found.clear:
            names = ", ".join(each.title.lower() for each in found.open)
            raise Refused(
                f"{len(found.open)} items of the checklist are open: {names}.",
                "`workbench preflight` says what settles each.",
            )
        items = {
            each.id: {"state": each.state, "evidence": each.evidence, "by": each.by} for each in found.items
        }
        return audit.record(
            self.database,
            self.schema,
            PASSED,
            {"operator": self.settings.operator, "environment": self.environment.name, "items": items},
            about=str(uuid4()),
        )

    @property
    def _attestations(self) -> Statements[Attestation]:
        return Statements(Attestation, self.settings.reports, self.environment.name)

    def _words(self) -> dict[str, Attestation]:
        hours, last = self.options.preflight_hours, self._last_import()
        return holding(self._attestations.read(), hours, last, datetime.now(UTC))

    def _last_import(self) -> datetime | None:
        """Return when the last live run wrote something, with its zone."""
        ends = [
            each.last_trace or each.finished or each.started
            for each in self.find_runs()
            if each.mode == "live"
        ]
        last = max(filter(None, ends), default=None)
        return last.replace(tzinfo=UTC) if last is not None else None

    def _leaves_traces(self) -> bool:
        return bool(self.reports) or any(each.traces for each in self.find_runs())

    def _problems(self, checks: tuple[str, ...]) -> list[str]:
        return [
            f"the check {each.check} found {each.count:,}" if each.count else f"{each.title}: {each.reason}"
            for each in self.checks(checks)
            if each.open
        ]

    def _config_evidence(self, dry_runs: list[DryRun]) -> Evidence:
        paths = self.options.mappings
        if not paths or not all(path.is_file() for path in paths):
            return config_evidence({}, "", [], dry_runs)
        files = {path.name: file_digest(path)[0] for path in paths}
        digests = list(files.values())
        digest = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
        return config_evidence(files, digest, self._problems(_OF_CONFIGURATION), dry_runs)
