"""Whose work a record is: the last import that wrote it, and whether a person did after that (promise 6)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from workbench.investigate.records import record_fates
from workbench.murmurant.importers import Run, Strength
from workbench.murmurant.schema import Schema

WRITTEN = ("created", "updated")


class Author(NamedTuple):
    """Who wrote a record last, as far as is known.

    Attributes
    ----------
    run : str
        The last import that created or updated it.
    since : str
        Who wrote to it after that: ``a person``, ``somebody``, another run's id, or empty.
    """

    run: str
    since: str

    @property
    def person(self) -> bool:
        """Whether it bears the work of people."""
        return self.since in {"a person", "somebody"}


def last_authors(
    connection: Connection, schema: Schema, runs: Sequence[Run], entity: str, keys: Collection[str]
) -> dict[str, Author]:
    """Tell which import wrote some records last; one that no import is known to have written is left out.

    Parameters
    ----------
    runs : sequence of Run
        Every run that is known, by start. Evidence weaker than likely does not count.
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    """
    wanted = set(keys)
    found: dict[str, Author] = {}
    for run in runs:
        if run.mode == "dry" or run.rolled_back or not wanted:
            continue
        others = [each for each in runs if each is not run]
        for fates in record_fates(connection, schema, run, others, sorted(wanted)):
            if fates.entity != entity or fates.action not in WRITTEN or fates.strength < Strength.likely:
                continue
            for key in wanted.intersection(each for each in fates.record_ids if each is not None):
                found[key] = Author(run.run, fates.touched_since)
    return found
