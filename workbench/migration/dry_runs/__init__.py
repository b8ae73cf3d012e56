"""Dry runs: an importer run with ``DRY_RUN=1``, and what it left, kept together (guide §2.2).

Each is a folder in ``backups``: ``dry_run_YYYYMMDD_HHMMSS.log`` as the guide names it, ``dry_run.json`` and the report
files that it wrote.
"""

from workbench.migration.dry_runs.manifest import (
    DryRun,
    KeptFile,
    Review,
    dry_run_files,
    find_dry_run,
    list_dry_runs,
    read_dry_run,
)
from workbench.migration.dry_runs.pruning import prune_dry_run
from workbench.migration.dry_runs.reviewing import altered_since, approve_dry_run, approved, kept_reports
from workbench.migration.dry_runs.running import DryRunRequest, run_dry
from workbench.migration.dry_runs.telling import Told, told

__all__ = [
    "DryRun",
    "DryRunRequest",
    "KeptFile",
    "Review",
    "Told",
    "altered_since",
    "approve_dry_run",
    "approved",
    "dry_run_files",
    "find_dry_run",
    "kept_reports",
    "list_dry_runs",
    "prune_dry_run",
    "read_dry_run",
    "run_dry",
    "told",
]
