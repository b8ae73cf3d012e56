"""The chain as the audit log has it: every entry that says it is part of it, read in one look."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from workbench.audit.chain import LARGEST, VERSION, Head, json_of, kept_head, log_of, stored_seal
from workbench.errors import WorkbenchError
from workbench.murmurant.schema import Schema

_OWN = "workbench"  # what the workbench's entries say as their source

_FACTS = (
    "plan",
    "undone_plan",
    "through",
    "through_hash",
    "cutoff",
    "backup_file",
    "restore_time",
    "export_file",
)


@dataclass(frozen=True)
class Link:
    """One entry of the chain.

    Attributes
    ----------
    entry : str
        Its id.
    at : datetime or None
        When it says it was written (UTC, without zone).
    number : int
        Its place.
    previous : str or None
        The seal before it; None for the first.
    hash : str
        Its seal, as it carries it.
    sealed : bool
        Whether that is the seal of what it says now.
    action : str
        As guide §5.1 names it.
    facts : dict of str to str
        What it says besides, as far as it bears on the chain.
    """

    entry: str
    at: datetime | None
    number: int
    previous: str | None
    hash: str
    sealed: bool
    action: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Chain:
    """Everything there is to verify.

    Attributes
    ----------
    links : tuple of Link
        In order of their numbers.
    unreadable : tuple of str
        Ids of entries whose place in the chain is no place.
    unchained : tuple of (id, moment)
        The workbench's own entries without a place, oldest first: from before there was a chain.
    head : Head or None
        The end as it is kept beside the journal; None where none is.
    hidden : str
        Why the kept end may not be read; empty when it may.
    """

    links: tuple[Link, ...]
    unreadable: tuple[str, ...] = ()
    unchained: tuple[tuple[str, datetime | None], ...] = ()
    head: Head | None = None
    hidden: str = ""


def read_chain(connection: psycopg.Connection[Any], schema: Schema) -> Chain:
    """Read the chain, each entry's seal computed anew by the server.

    Parameters
    ----------
    connection : psycopg.Connection
        In a reading transaction, with times in UTC.
    """
    head, hidden = None, ""
    try:
        head = kept_head(connection, schema)
    except WorkbenchError as error:
        hidden = f"{error.what} {error.next_step}"
    links: list[Link] = []
    unreadable: list[str] = []
    for entry, at, action, said, computed, *facts in connection.execute(_chained(schema)):
        place = _place(said)
        if place is None:
            unreadable.append(entry)
            continue
        told = {name: fact for name, fact in zip(_FACTS, facts, strict=True) if fact is not None}
        links.append(Link(entry, at, *place, sealed=place[2] == computed, action=action, facts=told))
    links.sort(key=lambda each: (each.number, each.entry))
    unchained = tuple(connection.execute(_unchained(schema)).fetchall())
    return Chain(tuple(links), tuple(sorted(unreadable)), unchained, head, hidden)


def _place(said: str | None) -> tuple[int, str | None, str] | None:
    """Return number, seal before and own seal, if that is what an entry says; None for anything else."""
    try:
        chain = json.loads(said or "")
    except (ValueError, RecursionError):  # a number of thousands of digits, arrays in arrays in arrays
        return None
    if not isinstance(chain, dict) or chain.keys() != {"version", "number", "previous", "hash"}:
        return None
    number, previous, own = chain["number"], chain["previous"], chain["hash"]
    if (type(chain["version"]), chain["version"]) != (int, VERSION) or type(number) is not int:
        return None
    if not 1 <= number <= LARGEST or not isinstance(own, str) or not isinstance(previous, str | None):
        return None
    return (number, previous, own) if (previous is None) is (number == 1) else None


def _chained(schema: Schema) -> sql.Composed:
    parts = _parts(schema)
    facts = [sql.SQL("{} ->> {}").format(parts["metadata"], sql.Literal(name)) for name in _FACTS]
    return sql.SQL(
        "SELECT {id}::text, {at}, {action}, ({metadata} -> 'chain')::text, {seal}, {facts} FROM {log} t"
        " WHERE jsonb_typeof({metadata}) = 'object' AND {metadata} ? 'chain'"
    ).format(**parts, seal=stored_seal(schema, "t"), facts=sql.SQL(", ").join(facts))


def _unchained(schema: Schema) -> sql.Composed:
    return sql.SQL(
        "SELECT {id}::text, {at} FROM {log} t WHERE {metadata} ->> 'source' = {own}"
        " AND NOT {metadata} ? 'chain' ORDER BY 2, 1"
    ).format(**_parts(schema), own=sql.Literal(_OWN))


def _parts(schema: Schema) -> dict[str, sql.Composable]:
    found = schema.resolved["audit"]
    described = schema.catalogue.tables[found.table].columns
    real = {name: sql.Identifier("t", spelled) for name, spelled in found.spelling.items()}
    at: sql.Composable = sql.SQL("NULL::timestamp")
    if "created_at" in real:
        zoned = "with time zone" in described[found.spelling["created_at"]].type
        at = sql.SQL("{} AT TIME ZONE 'UTC'" if zoned else "{}::timestamp").format(real["created_at"])
        # A moment that no calendar has must not keep us from saying that it was altered.
        at = sql.SQL("CASE WHEN {0} BETWEEN '0001-01-01' AND '9999-12-30' THEN {0} END").format(at)
    metadata = json_of(schema, "metadata", real["metadata"])
    action = sql.SQL("coalesce({0} ->> 'migrationAction', {1}::text)").format(metadata, real["action"])
    return {"id": real["id"], "metadata": metadata, "at": at, "action": action, "log": log_of(schema)}
