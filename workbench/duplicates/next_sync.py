"""The next sync after a merge: both WA ids still lead to the canonical record, so it writes both contacts into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from workbench.mappings.queries import fetch
from workbench.mappings.traces import traces_of
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES
from workbench.plans.journal import Entry
from workbench.runs.evidence import TOLERANCE

_IN_WILD_APRICOT = {
    "Member": ("contact", "merge contact {1} into {0}, or archive {1}"),
    "Event": ("event", "move the remaining registrations of event {1} to {0}, and delete {1}"),
    "Registration": ("registration", "cancel registration {1}"),
}
_LISTED = 10  # warnings in a plan; its parameters have all ids

_LOGGED = [f"audit.{name}" for name in ("metadata", "resource_type", "resource_id", "action", "created_at")]

_MAPPED = """
    SELECT record.id::text AS record, wa_id, mappings.run_id AS run, least(synced_at, record.updated_at + %(tolerance)s) AS at
    FROM mappings JOIN {relation} AS record ON record.id = target
    WHERE spelled = ANY (%(spelled)s) AND record.id = ANY (%(ids)s::ids) AND synced_at IS NOT NULL
        AND record.updated_at IS NOT NULL
"""

Write = tuple[str, str, str, str | None, datetime | None, str]
"""Entity, record and WA id of what an import wrote, the run, when, and the evidence."""


def next_sync(parameters: Mapping[str, Any]) -> list[str]:
    """Return what the next sync will do to records to which several WA ids lead, and how to prevent it.

    Parameters
    ----------
    parameters : mapping
        Of a merge plan's header.
    """
    noun, remedy = _IN_WILD_APRICOT[parameters["entity"]]
    warnings = []
    for merge in parameters["merges"]:
        records = merge["canonical"], *merge["duplicates"]
        wa_ids = [wa_id for record in records for wa_id in merge.get("wa_ids", {}).get(record, ())]
        if len(wa_ids) > 1:
            warnings.append(
                f"Wild Apricot {noun}s {', '.join(wa_ids)} all lead to {merge['canonical']}: the next full sync writes each"
                " of them into it, and the values of the last one stay. Before that, in Wild Apricot:"
                f" {remedy.format(wa_ids[0], ', '.join(wa_ids[1:]))}."
            )
    more = len(warnings) - _LISTED
    rest = f"The same applies to {more:,} more: `show PLAN --json` has the ids of each, under merges."
    return warnings[:_LISTED] + ([rest] if more > 0 else [])


def written_since(
    connection: Connection, schema: Schema, runs: Sequence[Run], plans: Sequence[Entry]
) -> list[dict[str, Any]] | None:
    """List what imports wrote into merged records since the merge, for the WA id of a duplicate.

    The evidence is an audit row of the sync, or a report that lists records; where the log names no records, a mapping
    that was written again together with the record it leads to.

    Parameters
    ----------
    plans : sequence of Entry
        The merges in force.

    Returns
    -------
    list of dict or None
        ``key`` (the canonical record), ``entity``, ``wa_id`` (the duplicate's), ``run``, ``at``, ``evidence``,
        ``plan`` (the merge); None where there is no evidence either way.
    """
    merges = {
        (plan.parameters["entity"], merge["canonical"], wa_id): plan
        for plan in plans
        for merge in plan.parameters.get("merges", ())
        for duplicate in merge["duplicates"]
        for wa_id in merge.get("wa_ids", {}).get(duplicate, ())
    }
    logged = schema.has(*_LOGGED)
    reported = any(report.records for run in runs for report in run.reports)
    if not merges or not (logged or reported or schema.has("mappings.synced_at")):
        return None if merges else []
    claims = traces_of(connection, schema, runs).claims(wa_ids={wa_id for *_, wa_id in merges})
    writes: list[Write] = [
        (claim.entity, claim.record, claim.wa_id, claim.run or None, claim.at, claim.trace)
        for claim in claims
        if claim.action == "updated"
    ]
    if not logged:
        writes += _mapped(connection, schema, sorted({record for _, record, _ in merges}))
    latest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entity, record, wa_id, run, at, evidence in sorted(writes, key=lambda write: str(write[4])):
        merge = merges.get((entity, record, wa_id))
        if merge is not None and at is not None and at > merge.at:
            facts = {"key": record, "entity": entity, "wa_id": wa_id, "run": run, "at": at}
            latest[record, wa_id, run or ""] = {**facts, "evidence": evidence, "plan": merge.plan}
    return [latest[key] for key in sorted(latest)]


def _mapped(connection: Connection, schema: Schema, ids: list[str]) -> Iterator[Write]:
    """Yield the mappings that were written again together with the record they lead to."""
    for entity in ENTITIES:
        relation = CONCEPT_OF[entity]
        if schema.has("mappings.synced_at", f"{relation}.updated_at"):
            query, spelled = _MAPPED.format(relation=relation), list(ENTITY_TYPES[entity])
            for row in fetch(connection, schema, query, ids=ids, spelled=spelled, tolerance=TOLERANCE):
                yield entity, *row, "mapping written again, and the record with it"
