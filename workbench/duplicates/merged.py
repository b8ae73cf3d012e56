"""What imports wrote into records that were merged, from the duplicates' side: both WA ids still lead there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

_LOGGED = [f"audit.{name}" for name in ("metadata", "resource_type", "resource_id", "action", "created_at")]

_MAPPED = """
    SELECT record.id::text AS record, wa_id, mappings.run_id AS run, least(synced_at, record.updated_at + %(tolerance)s) AS at
    FROM mappings JOIN {relation} AS record ON record.id = target
    WHERE spelled = ANY (%(spelled)s) AND record.id = ANY (%(ids)s::ids) AND synced_at IS NOT NULL
        AND record.updated_at IS NOT NULL
"""

Write = tuple[str, str, str, str | None, datetime | None, str]
"""Entity, record and WA id of what an import wrote, the run, when, and what says so."""


def written_since(
    connection: Connection, schema: Schema, runs: Sequence[Run], plans: Sequence[Entry]
) -> list[dict[str, Any]] | None:
    """List what imports wrote into merged records, since the merge, for the WA id of a duplicate.

    An audit row of the sync says so, or a report that lists records; where the log names no records, a mapping
    that was written again, with the record it leads to.

    Parameters
    ----------
    plans : sequence of Entry
        The merges that stand.

    Returns
    -------
    list of dict or None
        ``key`` (the record that stayed), ``entity``, ``wa_id`` (the duplicate's), ``run``, ``at``, ``evidence``,
        ``plan`` (the merge); None where nothing can tell.
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
    """Yield the mappings that were written again, and the record that each leads to with it."""
    for entity in ENTITIES:
        relation = CONCEPT_OF[entity]
        if schema.has("mappings.synced_at", f"{relation}.updated_at"):
            query, spelled = _MAPPED.format(relation=relation), list(ENTITY_TYPES[entity])
            for row in fetch(connection, schema, query, ids=ids, spelled=spelled, tolerance=TOLERANCE):
                yield entity, *row, "mapping written again, and the record with it"
