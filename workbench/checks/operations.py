"""Guide §1.6: what people do wrong around a run."""

from __future__ import annotations

from hashlib import sha256
from pathlib import PurePath
from typing import Any

from sqlalchemy import func, select, text

from workbench.checks.registry import NO_RUNS, Look, NotRunError, Rows
from workbench.database.address import redact
from workbench.database.environment import DEMO_MARK, kinds_in
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import as_text
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, REGISTRATION
from workbench.runs.rehearsals import rehearsals

A_CLUB = 50
"""So many real-looking people in a development database are a club's, where nothing says how large it is."""

ANOTHER_SOURCE, A_FEW = 0.1, 5
"""A source that grew by more than this share, and by more than a few records, is another one."""

_MARKED = text(
    """
    SELECT c.relname FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.objsubid = 0
    WHERE d.classoid = 'pg_class'::regclass AND c.relnamespace = to_regnamespace(quote_ident(:schema))
      AND starts_with(d.description, :mark)
    ORDER BY 1
    """
)

_RESERVED = r"@(.*\.)?(example\.(com|net|org)|.*\.(test|example|invalid|localhost))$"
"""Domains that no person has an address at (RFC 2606): test data."""


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
        marked = look.connection.execute(_MARKED, {"schema": look.schema.catalogue.schema, "mark": DEMO_MARK})
        found += [
            {
                "key": table,
                "says": "demo data",
                "here": look.environment.name,
                "evidence": f"the table {table} bears the mark of the workbench's demo club",
            }
            for (table,) in marked
        ]
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


def real_people_in_demo(look: Look) -> Rows:
    kind = look.environment.kind
    if kind not in {"demo", "development"}:
        return []  # here people are real
    email = func.lower(look.schema.members.c.email)
    domain = func.substring(email, "@([^@]*)$")
    real = (
        select(domain.label("domain"), func.count().label("members"))
        .where(email.like("%@%"), ~email.regexp_match(_RESERVED))
        .group_by(domain)
        .order_by(func.count().desc(), domain)
    )
    rows = [(str(row.domain).strip(), int(row.members)) for row in look.connection.execute(real)]
    total = sum(members for _, members in rows)
    club = look.production_members
    enough = 1 if kind == "demo" else club // 2 if club else A_CLUB
    if total < max(enough, 1):
        return []
    size = f"of {total:,} real-looking addresses"
    if club and total >= club // 2:
        size += f"; the club itself has {club:,} members"
    return [{"key": name, "members": members, "here": kind, "evidence": size} for name, members in rows]


def config_differs(look: Look) -> Rows:
    found: Rows = []
    for each in rehearsals(look.runs, look.settings.dry_run_hours):
        run, dry = each.run, each.dry
        if dry is not None:
            live, rehearsed = _configured(run), _configured(dry)
            # What only one of the two recorded is no difference, unless both recorded something of the kind.
            keys = sorted(key for key in live.keys() & rehearsed.keys() if live[key] != rehearsed[key])
            if run.config and dry.config:
                keys = sorted({*keys, *(run.config.keys() ^ dry.config.keys())})
            keys += _another_source(run, dry)
            if keys:
                ours, theirs = live | _sources(run), rehearsed | _sources(dry)
                found.append(
                    {
                        "key": run.run,
                        "dry_run": dry.run,
                        "differs": ", ".join(keys),
                        "live": _values(ours, keys),
                        "dry": _values(theirs, keys),
                    }
                )
                continue
        foreign = _of_another_kind(run, look.environment.kind)
        if foreign:
            found.append(
                {
                    "key": run.run,
                    "dry_run": dry.run if dry is not None else None,
                    "differs": f"{', '.join(foreign)}, from this {look.environment.kind} environment",
                    "live": _values(run.config, foreign),
                    "dry": None,
                }
            )
    if not found and not any(run.config or run.files for run in look.runs):
        raise NotRunError(
            "No run recorded its configuration. Give the importer's report files with --import-report."
        )
    return found


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
    found = rehearsals(look.runs, look.settings.dry_run_hours)
    practised = any(each.judged == "fresh" and each.run.sync == "incremental" for each in found)
    return [
        {
            "key": each.run.run,
            "importer": each.run.importer,
            "started": each.run.started,
            "last_dry_run": each.dry.started if each.dry is not None else None,
            "why": why[each.judged],
        }
        for each in found
        if each.judged != "fresh" and not (practised and each.run.sync == "incremental")
    ]


def _configured(run: Run) -> dict[str, Any]:
    """Return what a run recorded of what it was given: its configuration and its files."""
    files = {f"{CONCEPT_OF[entity]} file": name for entity, name in run.files.items()}
    return {**run.config, **files}


def _sources(run: Run) -> dict[str, Any]:
    """Return how many records the source had; a dry run does not look registrations up."""
    return {
        f"{CONCEPT_OF[entity]} in the source": run.fetched[entity]
        for entity in ENTITIES
        if entity != REGISTRATION and entity in run.fetched
    }


def _another_source(run: Run, dry: Run) -> list[str]:
    live, rehearsed = _sources(run), _sources(dry)
    return [
        key
        for key in sorted(live.keys() & rehearsed.keys())
        if abs(live[key] - rehearsed[key]) > max(A_FEW, ANOTHER_SOURCE * rehearsed[key])
    ]


def _of_another_kind(run: Run, here: str) -> list[str]:
    """Name the configuration's values that speak of another kind of environment, such as ``staging.yaml``."""
    spoken = {
        key: kinds_in(PurePath(value).name) for key, value in run.config.items() if isinstance(value, str)
    }
    return sorted(key for key, kinds in spoken.items() if kinds and here not in kinds)


def _values(facts: dict[str, Any], keys: list[str]) -> str:
    """Show what differs; of anything but the known harmless keys only a fingerprint, it may be a secret."""

    def shown(key: str) -> str:
        value = facts.get(key)
        if value is None:
            return "none"
        if key in {"source", "target", "version", "file"} or key.endswith((" file", " in the source")):
            return redact(str(value))
        return f"#{sha256(repr(value).encode()).hexdigest()[:8]}"

    return ", ".join(map(shown, keys))
