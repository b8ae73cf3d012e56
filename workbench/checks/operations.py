"""Guide §1.6: what people do wrong around a run."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from sqlalchemy import func, select

from workbench.checks.partial import NO_RUNS
from workbench.checks.registry import Look, NotRunError, Rows, check
from workbench.database.address import redact
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import as_text

FRESH = timedelta(hours=24)
"""How long before a live run its dry run may have been."""

_RESERVED = r"@(.*\.)?(example\.(com|net|org)|.*\.(test|example|invalid|localhost))$"
"""Domains that no person has an address at (RFC 2606): test data."""


@check(
    "environment-wrong",
    "Data of another environment",
    guide="§1.6",
    symptom="Wrong environment targeted",
    question="Did every run mean this environment, and are there no test people in it?",
    remedy="Stop. Nothing smaller than the snapshot from before the run is sure to take it all back (level 2).",
    needs=("members.email",),
)
def environment_wrong(look: Look) -> Rows:
    here = {look.environment.name.lower(), look.environment.kind}
    found: Rows = [
        {
            "key": run.run,
            "says": run.environment,
            "here": look.environment.name,
            "evidence": "the run's own record",
        }
        for run in look.runs
        if run.environment and run.environment.lower() not in here
    ]
    if look.environment.kind in {"production", "staging"}:
        members = look.schema.members
        made_up = select(as_text(members.c.id), func.count().over()).where(
            func.lower(members.c.email).regexp_match(_RESERVED)
        )
        rows = look.connection.execute(made_up.order_by(members.c.id).limit(1)).all()
        if rows:
            found.append(
                {
                    "key": rows[0][0],
                    "says": "test data",
                    "here": look.environment.name,
                    "evidence": f"{rows[0][1]:,} members with addresses at domains reserved for examples",
                }
            )
    return found


@check(
    "config-differs",
    "A live run with another configuration than its dry run",
    guide="§1.6",
    symptom="Incorrect config file used",
    question="Did every live run use the configuration that its dry run was reviewed with?",
    remedy="Compare the two configurations; where they differ, so does what was imported. Roll the run back if it matters.",
)
def config_differs(look: Look) -> Rows:
    if not any(run.config for run in look.runs):
        raise NotRunError(
            "No run recorded its configuration. Give the importer's report files with --import-report."
        )
    found = []
    for run, dry in _pairs(look):
        if dry is not None and run.config and dry.config and run.config != dry.config:
            keys = sorted(
                key
                for key in run.config.keys() | dry.config.keys()
                if run.config.get(key) != dry.config.get(key)
            )
            found.append(
                {
                    "key": run.run,
                    "dry_run": dry.run,
                    "differs": ", ".join(keys),
                    "live": _values(run, keys),
                    "dry": _values(dry, keys),
                }
            )
    return found


@check(
    "live-run-without-dry-run",
    "A live run that no dry run came before",
    guide="§1.6",
    symptom="Premature execution",
    severity="warn",
    question="Was there a dry run of the same importer in the day before every live run?",
    remedy="What is done is done: check the run's records (`workbench run RUN_ID`); next time, dry run first (§2.2).",
)
def live_run_without_dry_run(look: Look) -> Rows:
    if not look.runs:
        raise NotRunError(NO_RUNS)
    silent = {run.importer for run in look.runs if run.importer in {"api", "csv"}}
    if silent and not look.reports:
        raise NotRunError(
            "A dry run of the API sync or the CSV importer leaves nothing but its report file, and none was given."
            " Give them with --import-report."
        )
    return [
        {
            "key": run.run,
            "importer": run.importer,
            "started": run.started,
            "last_dry_run": dry.started if dry is not None else None,
        }
        for run, dry in _pairs(look)
        if dry is None or run.started is None or dry.started is None or run.started - dry.started > FRESH
    ]


def _pairs(look: Look) -> list[tuple[Run, Run | None]]:
    """Pair each live run with the last dry run of the same importer before it."""
    found: list[tuple[Run, Run | None]] = []
    last: dict[str, Run] = {}
    for run in look.runs:  # by start
        if run.mode == "dry":
            last[run.importer] = run
        else:
            found.append((run, last.get(run.importer)))
    return found


def _values(run: Run, keys: list[str]) -> str:
    """Show what differs; of anything but the known harmless keys only a fingerprint, it may be a secret."""

    def shown(key: str) -> str:
        value = run.config.get(key)
        if value is None:
            return "none"
        if key in {"source", "target", "version", "file"}:
            return redact(str(value))
        return f"#{sha256(repr(value).encode()).hexdigest()[:8]}"

    return ", ".join(map(shown, keys))
