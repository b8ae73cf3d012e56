"""What imports wrote into records that were merged, from the duplicates' side: both WA ids still lead there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from workbench.murmurant.importers import IMPORT_SOURCE, Run
from workbench.murmurant.schema import Schema, as_text, values_table
from workbench.murmurant.spellings import CONCEPT_OF, ENTITY_TYPES
from workbench.plans.journal import Entry
from workbench.runs.traces import TOLERANCE

_AUDIT = ("audit.action", "audit.metadata", "audit.resource_type", "audit.resource_id", "audit.created_at")


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
    merges = list(_merges(plans))
    asked: list[list[dict[str, Any]]] = []
    for entity in sorted({each["entity"] for each in merges}):
        of_it = {(each["key"], each["wa_id"]): each for each in merges if each["entity"] == entity}
        logged = schema.has(*_AUDIT)
        if logged:
            asked.append(_logged(connection, schema, entity, of_it))
        elif schema.has("mappings.synced_at", f"{CONCEPT_OF[entity]}.updated_at"):
            asked.append(_mapped(connection, schema, entity, of_it))
    if any(report.records for run in runs for report in run.reports):
        asked.append(_reported(runs, merges))
    if merges and not asked:
        return None
    first: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in (row for rows in asked for row in rows):
        first.setdefault((row["key"], row["wa_id"], row["run"] or ""), row)
    return [first[each] for each in sorted(first)]


def _merges(plans: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    for plan in plans:
        for each in plan.parameters.get("merges", ()):
            for duplicate in each["duplicates"]:
                for wa_id in each.get("wa_ids", {}).get(duplicate, ()):
                    yield {
                        "key": each["canonical"],
                        "entity": plan.parameters["entity"],
                        "wa_id": wa_id,
                        "plan": plan.plan,
                        "merged": plan.at,
                    }


Pairs = dict[tuple[str, str], dict[str, Any]]
"""Record that stayed and the duplicate's WA id, to the merge."""


def _told(merge: dict[str, Any], run: Any, at: Any, evidence: str) -> dict[str, Any]:
    facts = {"run": run, "at": at, "evidence": evidence, "plan": merge["plan"]}
    return {**{name: merge[name] for name in ("key", "entity", "wa_id")}, **facts}


def _pairs(merges: Pairs) -> Any:
    return values_table("merged", key=[key for key, _ in merges], wa_id=[wa_id for _, wa_id in merges])


def _logged(connection: Connection, schema: Schema, entity: str, merges: Pairs) -> list[dict[str, Any]]:
    audit, pairs = schema.audit, _pairs(merges)
    metadata = audit.c.metadata
    rows = connection.execute(
        select(pairs.c.key, pairs.c.wa_id, schema.audit_run.label("run"), audit.c.created_at.label("at"))
        .select_from(
            audit.join(
                pairs,
                (pairs.c.key == as_text(audit.c.resource_id)) & (pairs.c.wa_id == metadata["waId"].astext),
            )
        )
        .where(
            audit.c.action == "UPDATE",
            audit.c.resource_type.in_(ENTITY_TYPES[entity]),
            schema.audit_run.is_not(None) | (metadata["source"].astext == IMPORT_SOURCE),
        )
        .order_by(audit.c.created_at.desc())
    )
    met = [(merges[row.key, row.wa_id], row) for row in rows]
    return [_told(one, row.run, row.at, "audit row") for one, row in met if row.at > one["merged"]]


def _mapped(connection: Connection, schema: Schema, entity: str, merges: Pairs) -> list[dict[str, Any]]:
    mappings, record, pairs = schema.mappings, schema.entity(entity), _pairs(merges)
    run = mappings.c.run_id if schema.has("mappings.run_id") else None
    rows = connection.execute(
        select(
            pairs.c.key,
            pairs.c.wa_id,
            *([] if run is None else [run.label("run")]),
            mappings.c.synced_at.label("at"),
            record.c.updated_at.label("written"),
        )
        .select_from(
            mappings.join(
                pairs,
                (pairs.c.key == as_text(mappings.c.target)) & (pairs.c.wa_id == as_text(mappings.c.wa_id)),
            ).join(record, as_text(record.c.id) == pairs.c.key)
        )
        .where(mappings.c.entity_type.in_(ENTITY_TYPES[entity]))
    )
    met = [(merges[row.key, row.wa_id], row._mapping) for row in rows]
    return [
        _told(one, row.get("run"), row["at"], "mapping written again, and the record with it")
        for one, row in met
        if row["at"]
        and row["written"]
        and row["at"] > one["merged"]
        and row["written"] > one["merged"] - TOLERANCE
    ]


def _reported(runs: Sequence[Run], merges: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    by_pair = {(each["entity"], each["key"], each["wa_id"]): each for each in merges}
    return [
        _told(one, run.run, run.finished or run.started, "report file")
        for run in runs
        if run.mode == "live" and run.started
        for report in run.reports
        for each in report.records
        if each.action == "updated"
        and (one := by_pair.get((each.entity, each.record_id or "", each.wa_id or "")))
        and run.started > one["merged"]
    ]
