"""An environment's bundles: what an import read and wrote, sealed (guide §2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from workbench.audit import audit_entries
from workbench.errors import UsageError
from workbench.investigate.dry_runs import rehearsals
from workbench.investigate.runs import pick_run
from workbench.migration.bundles import (
    MANIFEST,
    Bundle,
    Discrepancy,
    bundles_frame,
    find_bundle,
    list_bundles,
    read_bundle,
    verify_bundle,
)
from workbench.migration.dry_runs import dry_run_files, list_dry_runs
from workbench.migration.sealing import seal
from workbench.murmurant.importers import BUNDLE_SEALED
from workbench.session import Session


class Created(NamedTuple):
    """A bundle that was just sealed.

    Attributes
    ----------
    bundle : Bundle
    not_logged : str
        Why the audit log does not say so; empty where it does.
    """

    bundle: Bundle
    not_logged: str


class Bundling(Session):
    """Sealing and verifying."""

    def create_bundle(
        self,
        paths: Sequence[str | Path] = (),
        *,
        run: str | None = None,
        output: str | Path | None = None,
        redact: bool = False,
    ) -> Created:
        """Seal an import's inputs and outputs into a new bundle, and note its digest in the audit log.

        Parameters
        ----------
        paths : sequence of path
            Files, and folders of them: exports, configuration, reports, id map, the dry run's log. Without any: what
            is known to belong to the run, which is then named; but the exports, which nothing knows the place of.
        run : str, optional
            The import; else the one that the reports among the files speak of.
        output : path, optional
            The folder in which the bundle is made; else ``backups`` of the settings.
        redact : bool
            Whether to seal copies without the passwords in URLs; else files with such URLs are refused.

        Raises
        ------
        UsageError
            For files that cannot be sealed, naming each.
        SecretFound
            When there is a URL with a password in one of them.
        """
        if not paths and run is None:
            raise UsageError(
                "Nothing was given to be sealed.", "Name files or folders, or a run with --run RUN_ID."
            )
        paths = paths or self._belonging_to(str(run))
        made = seal(
            [Path(each) for each in paths],
            Path(output) if output else self.settings.backups,
            by=self.settings.operator,
            now=datetime.now(UTC),
            run=run,
            known_runs=lambda: [each.run for each in self.find_runs()],
            environment=self.environment.name,
            redacting=redact,
        )
        facts = {
            "run_id": made.run,
            "operator": made.sealed_by,
            "bundle": made.bundle,
            "bundle_sha256": made.digest,
            "files": len(made.files),
        }
        return Created(made, self.log(BUNDLE_SEALED, facts, about=made.digest))

    def _belonging_to(self, run_id: str) -> list[Path]:
        """List the files that are known to belong to a run: its reports, its dry run, the configuration."""
        runs = self.find_runs()
        run, _ = pick_run(runs, run_id)
        paths = [report.path for report in run.reports]
        dry = next((pair.dry for pair in rehearsals(runs, 0) if pair.run.run == run_id), None)
        if dry is not None:
            kept = [each for each in list_dry_runs(self.settings.backups) if dry.run in each.runs]
            paths += dry_run_files(kept[0]) if kept else [report.path for report in dry.reports]
        paths += [path for path in self.options.mappings if path.is_file()]
        if not paths:
            raise UsageError(
                f"No file is known to belong to run {run_id}: it left its traces in the database only.",
                "Name the files: workbench bundle create FILE|FOLDER... --run RUN_ID",
            )
        return paths

    def bundles(self, run: str | None = None) -> pd.DataFrame:
        """List the bundles that are kept, the newest first; only those that hold a run where one is named."""
        return bundles_frame(list_bundles(self.settings.backups, run))

    def verify_bundle(self, name: str | Path, digest: str | None = None) -> list[Discrepancy]:
        """Compare a bundle with what was sealed, and its digest with the one that the audit log noted then.

        See `workbench.migration.bundles.verify_bundle`, which asks no database.
        """
        folder = find_bundle(self.settings.backups, str(name))
        wrong = verify_bundle(folder, digest)
        if any(each.path == MANIFEST for each in wrong):
            return wrong
        with self.reading() as connection:
            entries = audit_entries(connection, self.schema, action=BUNDLE_SEALED, limit=None)
        facts = [
            each
            for each in entries["metadata"]
            if isinstance(each, dict) and each.get("bundle") == folder.name
        ]
        noted = {str(each.get("bundle_sha256")) for each in facts}
        if noted and (now := read_bundle(folder).digest) not in noted:
            detail = f"its digest is {now}, the audit log noted {', '.join(sorted(noted))}"
            wrong.append(Discrepancy(MANIFEST, "altered", detail))
        return wrong
