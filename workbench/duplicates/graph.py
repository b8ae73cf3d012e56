"""From records that are to become one to every row that moves or goes: the reference graph, followed to its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from workbench.duplicates.collisions import Blocked, Settled, parts_on_both, settle_collisions
from workbench.duplicates.moving import Child, Moves, children_of, read_moving, speaks_of
from workbench.duplicates.request import Merge
from workbench.errors import Refused
from workbench.murmurant.references import References
from workbench.plans import rows

_ROUNDS = 12  # a registration's payment's refund's ...: references of references do not go deeper


@dataclass
class Work:
    """Everything some merges move and delete.

    Attributes
    ----------
    moves : dict
        Table to the rows that go, each with the one that takes its place: the duplicates, and what collided.
    children : dict of str to Child
        Tables with rows that refer to something that goes.
    settled : dict of str to Settled
        What became of collisions, by table.
    origin : dict of (table, key) to set of str
        Each row that goes or takes another's place, to the canonical records it belongs to.
    """

    moves: Moves
    children: dict[str, Child] = field(default_factory=dict)
    settled: dict[str, Settled] = field(default_factory=dict)
    origin: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def goes(self, table: str, key: str) -> bool:
        """Whether a row is to be deleted."""
        return key in self.moves.get(table, {})

    def belongs_to(self, child: Child, key: str) -> set[str]:
        """Return the canonical records whose merge moves a row."""
        values = child.rows[key].values
        return {
            canonical
            for each in child.references
            if speaks_of(each, values)
            for canonical in self.origin.get((each.parent, str(values[each.column])), ())
        }

    @property
    def blocked(self) -> list[Blocked]:
        """What no rule decides."""
        return [each for found in self.settled.values() for each in found.blocked]


def work_out(
    connection: psycopg.Connection[Any],
    graph: References,
    table: str,
    merges: Sequence[Merge],
    keep: frozenset[str],
) -> Work:
    """Find every row that refers to a duplicate, settle what collides, and go on with what refers to that.

    Raises
    ------
    Refused
        When references lead in a circle, or a row cannot be named.
    """
    pairs = {each: merge.canonical for merge in merges for each in merge.duplicates}
    occupied = rows.occupied(connection, graph.schema.catalogue)
    work = Work({table: dict(sorted(pairs.items()))})
    known: dict[str, dict[str, Mapping[str, str]]] = {}
    for _ in range(_ROUNDS):
        children: dict[str, Child] = {}
        for empty in children_of(graph, work.moves, occupied):
            asked: dict[str, Mapping[str, str]] = {
                each.parent: work.moves[each.parent] for each in empty.references
            }
            if known.get(empty.table) == asked:  # nothing new goes that it refers to
                children[empty.table] = work.children[empty.table]
                continue
            known[empty.table] = asked
            child = children[empty.table] = read_moving(connection, graph, empty, work.moves)
            work.settled[empty.table] = settle_collisions(connection, graph, child, work.moves, keep)
        work.children = children
        losers = {
            name: dict(sorted(found.losers.items())) for name, found in work.settled.items() if found.losers
        }
        if table in losers:
            raise Refused(
                f"Rows of {table} that refer to one another would collide, which the workbench does not merge.",
                "Merge them one after the other.",
            )
        moves = {table: work.moves[table], **dict(sorted(losers.items()))}
        if moves == work.moves:
            break
        work.moves = moves
    else:
        raise Refused("What collides leads to ever more that collides.", "Merge fewer records at a time.")
    for name, losers_of in work.moves.items():
        if name != table:
            work.settled[name].blocked += parts_on_both(connection, graph, name, losers_of)
    _find_origins(work, table, merges)
    return work


def blocked_merges(work: Work, graph: References, merges: Iterable[Merge]) -> dict[str, list[Blocked]]:
    """Return what blocks each merge, by its canonical record."""
    found: dict[str, list[Blocked]] = {}
    for each in work.blocked:
        child = work.children[each.table]
        whose: set[str] = set()
        for key in each.keys:
            whose |= work.belongs_to(child, key) if key in child.rows else set()
            whose |= work.origin.get((each.table, key), set())
        for canonical in whose:
            found.setdefault(canonical, []).append(each)
    return {merge.canonical: found[merge.canonical] for merge in merges if merge.canonical in found}


def _find_origins(work: Work, table: str, merges: Iterable[Merge]) -> None:
    """Follow each row that goes to the merges that it goes by, parents before children."""
    for merge in merges:
        for each in (merge.canonical, *merge.duplicates):
            work.origin[table, each] = {merge.canonical}
    for _ in range(_ROUNDS):
        before = sum(map(len, work.origin.values()))
        for name, losers in work.moves.items():
            if name == table:
                continue
            child = work.children[name]
            for loser, winner in losers.items():
                for key in (loser, winner):
                    if key in child.rows:
                        whose = work.belongs_to(child, key)
                        for end in (loser, winner):
                            work.origin.setdefault((name, end), set()).update(whose)
        if before == sum(map(len, work.origin.values())):
            return
