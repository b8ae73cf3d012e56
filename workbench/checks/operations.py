"""Guide §1.6: what people do wrong around a run."""

from __future__ import annotations

from hashlib import sha256
from pathlib import PurePath
from typing import Any

from workbench.checks.registry import NO_RUNS, Look, NotRunError, Rows
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
        keys, why = _differences(live, rehearsed), ""
        if run.config and dry is not None and dry.config:
            keys = sorted({*keys, *(run.config.keys() ^ dry.config.keys())})
        if not keys:  # they may agree, and be another environment's, such as staging.yaml
            names = {key: PurePath(value).name for key, value in run.config.items() if isinstance(value, str)}
            here = look.environment.kind
            keys = [key for key in sorted(names) if (kinds := kinds_in(names[key])) and here not in kinds]
            rehearsed, why = {}, f", from this {here} environment"
        if keys:
            rows.append(
                {
                    "key": run.run,
                    "dry_run": dry and dry.run,
                    "differs": ", ".join(keys) + why,
                    "live": _values(live, keys),
                    "dry": None if why else _values(rehearsed, keys),
                }
            )
    if not rows and not any(run.config or run.files for run in look.runs):
        raise NotRunError(
            "No run recorded its configuration. Give the importer's report files with --import-report."
        )
    return rows


def live_run_without_dry_run(look: Look) -> Rows:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    silent = {run.importer for run in look.runs if run.importer in {"api", "csv"}}
    if silent and not look.reports:
        raise NotRunError(
            "A dry run of the API sync or the CSV importer leaves nothing but its report file or output, and none was given."
            " Give them with --import-report."
        )
    why = {
        "none": "no dry run of this importer before it",
        "stale": f"more than {look.settings.dry_run_hours:g} h before it",
        "failed": "the dry run did not come to its end, or fetched too little",
        "unknown": "nothing tells when one of the two started",
    }
    pairs = rehearsals(look.runs, look.settings.dry_run_hours)
    practised = any(each.judged == "fresh" and each.run.sync == "incremental" for each in pairs)
    return [
        {
            "key": run.run,
            "importer": run.importer,
            "started": run.started,
            "last_dry_run": dry and dry.started,
            "why": why[judged],
        }
        for run, dry, _, judged in pairs
        if judged != "fresh" and not (practised and run.sync == "incremental")
    ]


def _recorded(run: Run) -> dict[str, Any]:
    """Return what a run recorded of its configuration, its files and its source; a dry run looks no registration up."""
    files = {f"{CONCEPT_OF[entity]} file": name for entity, name in run.files.items()}
    fetched = {
        f"{CONCEPT_OF[entity]}{_IN_SOURCE}": count
        for entity, count in run.fetched.items()
        if entity != REGISTRATION
    }
    return {**run.config, **files, **fetched}


def _differences(live: dict[str, Any], dry: dict[str, Any]) -> list[str]:
    """Name what both recorded, and differently."""
    return [
        key
        for key in sorted(live.keys() & dry.keys())
        if (
            abs(live[key] - dry[key]) > max(A_FEW, ANOTHER_SOURCE * dry[key])
            if key.endswith(_IN_SOURCE)
            else live[key] != dry[key]
        )
    ]


def _values(facts: dict[str, Any], keys: list[str]) -> str:
    """Show what differs; of anything but the known harmless keys only a fingerprint, it may be a secret."""

    def shown(key: str) -> str:
        value = facts.get(key)
        if value is None:
            return "none"
        if key in {"source", "target", "version", "file"} or key.endswith((" file", _IN_SOURCE)):
            return redact(str(value))
        return f"#{sha256(repr(value).encode()).hexdigest()[:8]}"

    return ", ".join(map(shown, keys))
