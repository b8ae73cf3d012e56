"""One record's story: what was done to it, when and by whom, as far as anything here tells (guide §5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

import pandas as pd
from psycopg import sql
from sqlalchemy import Connection, String, cast, select

from workbench.database.connection import raw
from workbench.murmurant.importers import Run
from workbench.murmurant.schema import Schema, entity_of, is_one_of, named
from workbench.plans.journal import Entry, entries, image
from workbench.plans.plan import Section
from workbench.runs.evidence import writers

_DONE = {"insert": "inserted", "update": "updated", "delete": "deleted"}


def story_of(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, key: str
) -> tuple[bool, pd.DataFrame]:
    """Tell whether a record is there, and all that is known to have happened to it, by time.

    Returns
    -------
    bool, pandas.DataFrame
        ``at`` (UTC, without zone), ``what``, ``who``, ``evidence``, and what the entry says that it ``was`` and became ``now``.
    """
    table = schema.entity(entity)
    moments = named(table, "created_at", "updated_at")
    own = (
        connection.execute(select(table.c.id, *moments).where(is_one_of(table.c.id, [key])))
        .mappings()
        .first()
    )
    told = list(_logged(connection, schema, entity, key))
    logged = {who for _, _, who, *_ in told}
    for wrote in writers(connection, schema, runs, runs, entity, [key]).get(key, ()):
        if wrote.run.run not in logged:
            at = wrote.run.started or wrote.run.last_trace
            told.append((at, wrote.action, wrote.run.run, wrote.strength.name, None, None))
    for _, entry, section in changed_by_plans(
        connection, entries(raw(connection)), schema.table_of(entity), [key]
    ):
        at, who = (
            entry.applied_at.astimezone(UTC).replace(tzinfo=None),
            f"{entry.applied_by} by plan {entry.plan}",
        )
        told.append((at, _DONE[section.name], who, "journal", None, None))
    for name, what in (("created_at", "created"), ("updated_at", "updated last")):
        if own and own.get(name) is not None:
            told.append((own[name], what, "", "its own time", None, None))
    frame = pd.DataFrame(told, columns=["at", "what", "who", "evidence", "was", "now"])
    return own is not None, frame.sort_values("at", kind="stable", ignore_index=True)


def changed_by_plans(
    connection: Connection, applied: Sequence[Entry], table: str, keys: Sequence[str]
) -> Iterator[tuple[str, Entry, Section]]:
    """Yield the rows of a table that plans changed, by key, each with the entry of the journal, in the order of the plans."""
    for entry in applied:
        for number, section in enumerate(entry.sections, 1):
            if section.table != table or len(section.key) != 1:
                continue
            moment = "before" if section.name == "delete" else "after"
            query = sql.SQL("SELECT i.{key}::text FROM {image} i WHERE i.{key}::text = ANY (%s)").format(
                key=sql.Identifier(section.key[0]), image=image(entry.id, number, moment)
            )
            for (key,) in raw(connection).execute(query, [list(keys)]):
                yield key, entry, section


def _logged(connection: Connection, schema: Schema, entity: str, key: str) -> Iterator[tuple[Any, ...]]:
    """Yield what the audit log says of a record: by a run, else by whoever the entry names."""
    if not schema.has("audit.resource_type", "audit.resource_id", "audit.metadata", "audit.created_at"):
        return
    audit = schema.audit
    action, run = cast(audit.c.action, String).label("action"), schema.audit_run.label("run")
    columns = [action, run, *named(audit, "created_at", "member_id", "before", "after", "metadata")]
    about = is_one_of(audit.c.resource_id, [key]), entity_of(audit.c.resource_type) == entity
    query = select(*columns).where(*about).order_by(audit.c.created_at)
    for row in connection.execute(query).mappings():
        metadata = row["metadata"] if isinstance(row["metadata"], dict) else {}
        what = str(metadata.get("migrationAction") or row["action"]).lower()
        member = f"member {row['member_id']}" if row.get("member_id") else ""
        who = str(row["run"] or metadata.get("operator") or member or "somebody")
        yield row["created_at"], what, who, "audit entry", row.get("before"), row.get("after")
