"""Guide §1.6: whether a live run used what its dry run was reviewed with."""

from __future__ import annotations

from hashlib import sha256
from pathlib import PurePath
from typing import Any

from workbench.checks.look import Look, NotRunError
from workbench.checks.registry import Rows
from workbench.database.address import redact
from workbench.database.environment import kinds_in
from workbench.murmurant.importers import Run
from workbench.murmurant.spellings import CONCEPT_OF, REGISTRATION
from workbench.runs.rehearsals import rehearsals

ANOTHER_SOURCE, A_FEW = 0.1, 5
"""A source that grew by more than this share, and by more than a few records, is another one."""

_IN_SOURCE = " in the source"


def config_differs(look: Look) -> Rows:
    rows: Rows = []
    for run, dry, *_ in rehearsals(look.runs, look.settings.dry_run_hours):
        live, rehearsed = _recorded(run), _recorded(dry) if dry else {}
        keys = {key for key in live.keys() & rehearsed.keys() if _another(key, live[key], rehearsed[key])}
        if dry and run.config and dry.config:
            keys |= run.config.keys() ^ dry.config.keys()
        why, shown = "", _values(rehearsed, sorted(keys))
        if not keys:  # they may agree, and be another environment's, such as staging.yaml
            kind = look.environment.kind
            why, shown = f", from this {kind} environment", "none"
            keys = {key for key, value in run.config.items() if _of_another_kind(value, kind)}
        if keys:
            rows.append(
                {
                    "key": run.run,
                    "dry_run": dry and dry.run,
                    "differs": ", ".join(sorted(keys)) + why,
                    "live": _values(live, sorted(keys)),
                    "dry": shown,
                }
            )
    if not rows and not any(run.config or run.files for run in look.runs):
        raise NotRunError(
            "No run recorded its configuration. Give the importer's report files with --import-report."
        )
    return rows


def _recorded(run: Run) -> dict[str, Any]:
    """Return what a run recorded of its configuration, its files and its source; a dry run looks no registration up."""
    files = {f"{CONCEPT_OF[entity]} file": name for entity, name in run.files.items()}
    fetched = {
        f"{CONCEPT_OF[entity]}{_IN_SOURCE}": count
        for entity, count in run.fetched.items()
        if entity != REGISTRATION
    }
    return {**run.config, **files, **fetched}


def _another(key: str, live: Any, dry: Any) -> bool:
    if key.endswith(_IN_SOURCE):
        return bool(abs(live - dry) > max(A_FEW, ANOTHER_SOURCE * dry))
    return bool(live != dry)


def _of_another_kind(value: Any, kind: str) -> bool:
    kinds = kinds_in(PurePath(value).name) if isinstance(value, str) else ()
    return bool(kinds) and kind not in kinds


def _values(facts: dict[str, Any], keys: list[str]) -> str:
    """Show what differs; of anything but the known harmless keys only a fingerprint, it may be a secret."""
    shown = []
    for key in keys:
        value = facts.get(key)
        if value is None:
            shown.append("none")
        elif key in {"source", "target", "version", "file"} or key.endswith((" file", _IN_SOURCE)):
            shown.append(redact(str(value)))
        else:
            shown.append(f"#{sha256(repr(value).encode()).hexdigest()[:8]}")
    return ", ".join(shown)
