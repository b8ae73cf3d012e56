"""Rows that would be the same row once their people are one: which stays, by a stated rule, or why nobody can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from workbench.duplicates.moving import Child, Moves
from workbench.duplicates.uniques import Unique, broken_rules, colliding, uniques_of
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import rows
from workbench.plans.current import Current, rows_by_key

STANDING = (
    *("CONFIRMED", "NO_SHOW", "PENDING_PAYMENT", "PENDING", "WAITLISTED"),
    *("DRAFT", "REFUND_PENDING", "REFUNDED", "CANCELLED"),
)
"""The states of a registration, the one that stays first."""

FURTHER_ALONG = (
    "of two registrations of one person for one event the one further along stays (confirmed before waitlisted"
    " before cancelled), then the older"
)
THE_SAME = "of two rows that say the same the canonical record's own stays, else the older"
BY_HAND = "the row named by hand stays"

_STAMPS = ("created_at", "updated_at", "run_id")


class Blocked(NamedTuple):
    """Rows of which no rule can tell which stays.

    Attributes
    ----------
    table : str
        Where they are.
    keys : tuple of str
        The rows.
    reason, remedy : str
        Why not, and what to do.
    """

    table: str
    keys: tuple[str, ...]
    reason: str
    remedy: str


@dataclass
class Settled:
    """What became of the collisions of one table.

    Attributes
    ----------
    losers : dict of str to str
        Rows that go, each with the one that stays in its place.
    rules : dict of str to int
        Each rule that decided, and how many rows went by it.
    blocked : list of Blocked
        What no rule decides.
    kept_by_hand : set of str
        Rows named by hand that decided something.
    """

    losers: dict[str, str] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    blocked: list[Blocked] = field(default_factory=list)
    kept_by_hand: set[str] = field(default_factory=set)


def settle_collisions(
    connection: psycopg.Connection[Any], graph: References, child: Child, moves: Moves, keep: frozenset[str]
) -> Settled:
    """Decide for each group of rows of a table that would collide which of them stays.

    Parameters
    ----------
    moves : dict
        What goes, and what takes its place.
    keep : frozenset of str
        Rows that stay by the word of whoever asks.
    """
    found = Settled()
    if not child.rows:
        return found
    if child.rewritten:
        _settle_rewritten(connection, graph, child, moves, found)
        return found
    groups: list[tuple[Unique, tuple[str, ...]]] = []
    for unique in uniques_of(connection, graph.schema, child):
        groups += [(unique, keys) for keys in colliding(connection, graph, child, unique, moves)]
    if groups:
        _settle_groups(connection, graph, child, moves, keep, groups, found)
    for rule, keys in broken_rules(connection, graph, child, moves):
        if not found.losers.keys() & {*keys}:
            reason = f"once they are of one record, the table's rule {rule} forbids it"
            remedy = f"Change or delete in the application the row of {child.table} that is wrong"
            found.blocked.append(Blocked(child.table, keys, reason, remedy))
    return found


def _settle_groups(
    connection: psycopg.Connection[Any],
    graph: References,
    child: Child,
    moves: Moves,
    keep: frozenset[str],
    groups: Sequence[tuple[Unique, tuple[str, ...]]],
    found: Settled,
) -> None:
    wanted = sorted({key for _, keys in groups for key in keys})
    names = [name for name, column in child.described.columns.items() if not column.generated]
    current = rows_by_key(connection, graph.schema.catalogue.schema, child.described, wanted, names)
    seen: dict[str, tuple[str, ...]] = {}
    for unique, keys in groups:
        if any(seen.get(key, keys) != keys for key in keys):
            other = next(seen[key] for key in keys if seen.get(key, keys) != keys)
            both = tuple(sorted({*keys, *other}))
            found.blocked.append(
                Blocked(child.table, both, "they collide in more than one way", _AMONG.format(child.table))
            )
            continue
        seen |= dict.fromkeys(keys, keys)
        _settle(graph.schema, child, unique, {key: current[key] for key in keys}, moves, keep, found)


def _settle_rewritten(
    connection: psycopg.Connection[Any], graph: References, child: Child, moves: Moves, found: Settled
) -> None:
    """Drop each row of a table that is rewritten whose like is there already; what differs besides the key is blocked."""
    described, names = child.described, list(next(iter(child.rows.values())).values)
    after = {key: {**row.values, **child.after(row.values, moves)} for key, row in child.rows.items()}
    wanted = {key: tuple(values[name] for name in described.primary_key) for key, values in after.items()}
    query = sql.SQL("SELECT {}, {} FROM {} t WHERE {} = ANY(%s)").format(
        rows.key_text(described.primary_key, "t"),
        sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names),
        rows.qualified(graph.schema.catalogue, child.table),
        rows.key_text(described.primary_key, "t"),
    )
    there: dict[tuple[str | None, ...], tuple[str, dict[str, str | None]]] = {}
    for key, *values in connection.execute(query, [["/".join(map(str, each)) for each in wanted.values()]]):
        if key not in child.rows or wanted[key] == tuple(
            child.rows[key].values[name] for name in described.primary_key
        ):
            row = dict(zip(names, values, strict=True))
            there[tuple(row[name] for name in described.primary_key)] = key, row
    for key, values in after.items():
        other, row = there.setdefault(wanted[key], (key, values))
        if other == key:
            continue
        if row == values:
            child.dropped.add(key)
            found.rules[THE_SAME] = found.rules.get(THE_SAME, 0) + 1
            continue
        differ = ", ".join(name for name in names if row[name] != values[name])
        reason = f"they would be one row ({', '.join(described.primary_key)}), and differ in {differ}"
        found.blocked.append(Blocked(child.table, (other, key), reason, _AMONG.format(child.table)))


def parts_on_both(
    connection: psycopg.Connection[Any], graph: References, table: str, losers: Mapping[str, str]
) -> list[Blocked]:
    """Name the rows of which two that are to become one each have parts of their own, such as payments.

    A part is what the database would not let its row go without: a reference that cascades, or forbids.
    Parts of one of them move to the one that stays; on both sides nobody but a person can tell which count.
    """
    groups: dict[str, list[str]] = {}
    for loser, winner in losers.items():
        groups.setdefault(winner, [winner]).append(loser)
    found: list[Blocked] = []
    for each in graph.binding(table):
        if not each.declared or each.on_delete == "SET NULL":
            continue
        described = graph.schema.catalogue.tables[each.child]
        key = described.primary_key or (each.column,)
        query = sql.SQL(
            "SELECT t.{}::text, array_agg({} ORDER BY {}) FROM {} t WHERE t.{} = ANY({}::{}[]) GROUP BY 1"
        )
        column, name = sql.Identifier(each.column), rows.key_text(key, "t")
        parts = dict(
            connection.execute(
                query.format(
                    *(column, name, name, rows.qualified(graph.schema.catalogue, each.child), column),
                    sql.Literal(rows.as_array([*losers, *groups])),
                    sql.SQL(described.columns[each.column].type),
                )
            ).fetchall()
        )
        for members in groups.values():
            having = [key for key in sorted(members) if key in parts]
            if len(having) > 1:
                named = "; ".join(f"{table} {key} has {each.child} {', '.join(parts[key])}" for key in having)
                found.append(
                    Blocked(
                        table,
                        tuple(sorted(members)),
                        f"more than one of them has rows of {each.child} ({named})",
                        f"Settle in the application which of {each.child} count (refund, cancel or move the others),"
                        " then plan again",
                    )
                )
    return found


_AMONG = "Delete or change in the application the row of {} that is wrong, or name the one that stays with --keep ID"


def _settle(
    schema: Schema,
    child: Child,
    unique: Unique,
    group: Mapping[str, Current],
    moves: Moves,
    keep: frozenset[str],
    found: Settled,
) -> None:
    keys = tuple(group)
    if unique.columns <= set(child.columns):
        reason = f"each record has a row of its own there, and one record can have only one ({unique.name})"
        remedy = f"Settle in the application which row of {child.table} stays, remove the other there, and plan again"
        found.blocked.append(Blocked(child.table, keys, reason, remedy))
        return
    named = [key for key in keys if key in keep]
    is_registration = (
        known := schema.resolved.get("registrations")
    ) is not None and known.table == child.table
    if len(named) == 1:
        winner, rule = named[0], BY_HAND
        found.kept_by_hand.add(winner)
    elif len(named) > 1:
        found.blocked.append(
            Blocked(child.table, keys, "more than one is named to stay", "Name one with --keep")
        )
        return
    elif is_registration and _ranked(schema, group):
        winner, rule = min(keys, key=lambda key: _place(schema, child, key, group[key])), FURTHER_ALONG
    elif len({_says(child, row, moves) for row in group.values()}) == 1:
        winner, rule = min(keys, key=lambda key: _age(child, key, group[key])), THE_SAME
    else:
        first, *rest = (_cells(child, row, moves) for row in group.values())
        differ = sorted({name for each in rest for name, value in each.items() if first[name] != value})
        reason = f"they would be one row ({unique.name}), and differ in {', '.join(differ)}"
        found.blocked.append(Blocked(child.table, keys, reason, _AMONG.format(child.table)))
        return
    losers = [key for key in keys if key != winner]
    found.losers |= dict.fromkeys(losers, winner)
    found.rules[rule] = found.rules.get(rule, 0) + len(losers)


def _ranked(schema: Schema, group: Mapping[str, Current]) -> bool:
    """Whether every state among these registrations is one whose standing is known, or they are all of the same."""
    spelled = schema.resolved["registrations"].spelling.get("status")
    states = {row.values.get(spelled or "") for row in group.values()}
    return len(states) == 1 or states <= set(STANDING)


def _place(schema: Schema, child: Child, key: str, row: Current) -> tuple[int, str, tuple[bool, str, str]]:
    spelling = schema.resolved["registrations"].spelling
    state = row.values.get(spelling.get("status", ""))
    standing = STANDING.index(state) if state in STANDING else len(STANDING)
    registered = row.values.get(spelling.get("registered_at", "")) or "~"  # not known: after every year
    return standing, registered, _age(child, key, row)


def _age(child: Child, key: str, row: Current) -> tuple[bool, str, str]:
    """Return what to sort by: the canonical record's own first, then the older."""
    made = next((row.values[name] for name in _spelled("created_at") if row.values.get(name)), None)
    return key in child.rows, made or "~", key


def _says(child: Child, row: Current, moves: Moves) -> tuple[tuple[str, str | None], ...]:
    return tuple(sorted(_cells(child, row, moves).items()))


def _cells(child: Child, row: Current, moves: Moves) -> dict[str, str | None]:
    """Return what a row says once everything has moved, less its key and its stamps."""
    stamps = {name for concept in _STAMPS for name in _spelled(concept)}
    says = {
        name: value
        for name, value in row.values.items()
        if name not in (*child.described.primary_key, *stamps)
    }
    return says | child.after(row.values, moves)


def _spelled(column: str) -> tuple[str, ...]:
    """Return every spelling of a column that tables of any concept have."""
    spellings: Iterable[Sequence[str]] = (each.columns.get(column, ()) for each in CONCEPTS.values())
    return tuple(dict.fromkeys(name for each in spellings for name in each))
