"""Rows that are one row once their people are: which stays, by a stated rule, or why nobody can tell; and what follows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import psycopg
from psycopg import sql

from workbench.duplicates.clashes import Afterwards, Rule, is_of_registrations
from workbench.duplicates.moves import Blocked, Child, Work, children_of, read_rows
from workbench.duplicates.request import Merge
from workbench.errors import Refused
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import rows
from workbench.plans.draft import PlanContext

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

_ROUNDS = 12  # a registration's payment's refund's ...: references of references do not go deeper
_AMONG = "Delete or change in the application the row of {} that is wrong, or name the one that stays with --keep ID"

Group = Mapping[str, tuple[dict[str, Any], dict[str, Any]]]
"""Rows that would be one: each as it is, and as it would be."""


def work_out(context: PlanContext, table: str, merges: Sequence[Merge], keep: frozenset[str]) -> Work:
    """Find every row that refers to a duplicate, settle what collides, and go on with what refers to that.

    Parameters
    ----------
    keep : frozenset of str
        Rows that stay by the word of whoever asks.

    Raises
    ------
    Refused
        When references lead in a circle, or a row cannot be named.
    """
    connection, graph = context.raw, context.references
    pairs = {each: merge.canonical for merge in merges for each in merge.duplicates}
    whose = {(table, key): {merge.canonical} for merge in merges for key in merge.records}
    work = Work(table, {table: dict(sorted(pairs.items()))}, whose)
    occupied = rows.sizes(connection, graph.schema.catalogue)
    known: dict[str, dict[str, dict[str, str]]] = {}
    for _ in range(_ROUNDS):
        children: dict[str, Child] = {}
        for child in children_of(graph, work.moves, occupied):
            moves = {each.parent: work.moves[each.parent] for each in child.references}
            if known.get(child.table) == moves:  # nothing new goes that it refers to
                child = work.children[child.table]
            else:
                known[child.table] = moves
                read_rows(connection, graph, child, moves)
                _settle(Afterwards(connection, graph, child, moves), keep)
                work.settled(child)
            children[child.table] = child
        work.children = children
        if table in children and children[table].losers:
            raise Refused(
                f"Rows of {table} that refer to one another would collide, which the workbench does not merge.",
                "Merge them one after the other.",
            )
        losers = {
            name: dict(sorted(child.losers.items()))
            for name, child in children.items()
            if child.losers and not child.rewritten
        }
        moves = {table: work.moves[table], **losers}
        if moves == work.moves:
            break
        work.moves = moves
    else:
        raise Refused("What collides leads to ever more that collides.", "Merge fewer records at a time.")
    for child in work.children.values():
        if child.table in work.moves:
            child.blocked += _parts_on_both(connection, graph, child, occupied)
    return work


def _settle(after: Afterwards, keep: frozenset[str]) -> None:
    """Decide for each group of rows of a table that would be one which of them stays."""
    child = after.child
    clashes = after.clashes() if child.rows else []
    same = [each for each in clashes if each.rule.unique]
    direct = {(each.left, each.right): each.rule for each in reversed(same)}
    groups: dict[str, set[str]] = {}
    for left, right in direct:
        together = groups.get(left, {left}) | groups.get(right, {right})
        groups |= dict.fromkeys(together, together)
    moving = {key: sorted(group) for key, group in groups.items() if group & child.rows.keys()}
    current = after.rows(sorted(moving)) if moving else {}
    for keys in sorted({tuple(group) for group in moving.values()}):
        if not all(pair in direct for pair in combinations(keys, 2)):
            child.blocked.append(
                Blocked(child.table, keys, "they collide in more than one way", _AMONG.format(child.table))
            )
            continue
        found = _decide(after, direct[keys[0], keys[1]], {key: current[key] for key in keys}, keep)
        if isinstance(found, Blocked):
            child.blocked.append(found)
            continue
        winner, why = found
        losers = dict.fromkeys((key for key in keys if key != winner), winner)
        child.losers |= losers
        child.gone |= {key: _as_text(current[key][0]) for key in losers}
        child.rules[why] += len(losers)
    for rule, left, right in clashes:
        if not rule.unique and not child.losers.keys() & {left, right}:
            reason = f"once they are of one record, the table's rule {rule.name} forbids it"
            remedy = f"Change or delete in the application the row of {child.table} that is wrong"
            child.blocked.append(Blocked(child.table, tuple(sorted({left, right})), reason, remedy))


def _decide(after: Afterwards, rule: Rule, group: Group, keep: frozenset[str]) -> tuple[str, str] | Blocked:
    """Return which row of a group stays, and by which rule."""
    child, keys = after.child, tuple(group)
    if set(rule.columns) <= child.columns and not child.rewritten:
        reason = f"each record has a row of its own there, and one record can have only one ({rule.name})"
        remedy = f"Settle in the application which row of {child.table} stays, remove the other there, and plan again"
        return Blocked(child.table, keys, reason, remedy)
    # A row that is rewritten and stays has to be the one that is there.
    named = [key for key in keys if key in keep and not child.rewritten]
    if len(named) > 1:
        return Blocked(child.table, keys, "more than one is named to stay", "Name one with --keep")
    if named:
        child.by_hand.update(named)
        return named[0], BY_HAND

    def age(key: str) -> tuple[bool, str, str]:
        made = (group[key][0].get(name) for name in _spelled("created_at"))
        return key in child.rows, next(filter(None, made), "~"), key

    if is_of_registrations(after.schema, child) and (places := _places(after.schema, group)):
        return min(keys, key=lambda key: (*places[key], age(key))), FURTHER_ALONG
    says = [_says(child, would_be) for _, would_be in group.values()]
    if differ := sorted({name for each in says for name, value in each.items() if says[0][name] != value}):
        reason = f"they would be one row ({rule.name}), and differ in {', '.join(differ)}"
        return Blocked(child.table, keys, reason, _AMONG.format(child.table))
    return min(keys, key=age), THE_SAME


def _places(schema: Schema, group: Group) -> dict[str, tuple[int, str]]:
    """Return how far along each registration is, and since when; nothing where that is not known of all their states."""
    spelling = schema.resolved["registrations"].spelling
    states = {key: was.get(spelling.get("status", "")) for key, (was, _) in group.items()}
    known = [*STANDING, *({*states.values()} if len({*states.values()}) == 1 else ())]
    if not set(states.values()) <= {*known}:
        return {}
    since = spelling.get("registered_at", "")
    return {
        key: (known.index(states[key]), was.get(since) or "~")  # not known: after every year
        for key, (was, _) in group.items()
    }


def _says(child: Child, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says, less its key and its stamps."""
    aside = {*child.described.primary_key, *_spelled("created_at", "updated_at", "run_id")}
    columns = child.described.columns.items()
    return {name: row[name] for name, column in columns if not column.generated and name not in aside}


def _as_text(row: Mapping[str, Any]) -> dict[str, str | None]:
    return {name: None if value is None else str(value) for name, value in row.items()}


def _spelled(*columns: str) -> list[str]:
    """Return every spelling of some columns that tables of any concept have."""
    return [name for column in columns for each in CONCEPTS.values() for name in each.columns.get(column, ())]


def _parts_on_both(
    connection: psycopg.Connection[Any], graph: References, child: Child, occupied: Collection[str]
) -> Iterator[Blocked]:
    """Name the rows of which two that are to become one each have parts of their own, such as payments.

    A part is what the database would not let its row go without: a reference that cascades, or forbids.
    Parts of one of them move to the one that stays; on both sides nobody but a person can tell which count.
    """
    groups: dict[str, set[str]] = {}
    for loser, winner in child.losers.items():
        groups.setdefault(winner, {winner}).add(loser)
    keys = rows.as_array([*child.losers, *groups])
    for each in graph.binding(child.table):
        if not each.declared or each.on_delete == "SET NULL" or each.child not in occupied:
            continue
        described = graph.schema.catalogue.tables[each.child]
        name, column = (
            rows.key_text(described.primary_key or (each.column,), "t"),
            sql.Identifier(each.column),
        )
        query = sql.SQL(
            "SELECT t.{}::text, array_agg({} ORDER BY {}) FROM {} t WHERE t.{} = ANY({}::{}[]) GROUP BY 1"
        ).format(
            *(column, name, name, rows.qualified(graph.schema.catalogue, each.child), column),
            *(sql.Literal(keys), sql.SQL(described.columns[each.column].type)),
        )
        parts: dict[str, list[str]] = dict(connection.execute(query).fetchall())
        for group in groups.values():
            having = sorted(group & parts.keys())
            if len(having) > 1:
                named = "; ".join(
                    f"{child.table} {key} has {each.child} {', '.join(parts[key])}" for key in having
                )
                yield Blocked(
                    child.table,
                    tuple(sorted(group)),
                    f"more than one of them has rows of {each.child} ({named})",
                    f"Settle in the application which of {each.child} count (refund, cancel or move the others),"
                    " then plan again",
                )
