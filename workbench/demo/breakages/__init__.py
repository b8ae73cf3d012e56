"""Breakages: every failure that the guide describes, planted on purpose, with its ground truth.

A breakage is an SQL file in this folder. Its header has the guide's section and symptom, the checks that it makes fire
(the main one first), the number of members and events that it damages (``demo.victim``), and whether it plants an import
run. Its last statement returns the truth: ``key``, and in other columns what a repair has to know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.rows import dict_row

from workbench.demo.club import Club
from workbench.demo.history import STARTS
from workbench.demo.importing import DRY_RUN_LEAD, begin_run, demo_file, end_run, staging

__all__ = ["BREAKAGES", "Breakage", "Truth", "break_club"]

Connection = psycopg.Connection[Any]

_AFTER_THE_RUN = "-- After the run"
_QUIET = (5, 7, 8, 10, 11, 12, 14, 15, 17, 18, 19)  # of twenty: not in a household, not changed later
_NUMBERS_EACH = 20  # records of one entity that a planted run may have
_EVENTS_EACH = 3


@dataclass(frozen=True)
class Truth:
    """What one breakage broke.

    Attributes
    ----------
    breakage, check : str
        Its name, and the check that must find it.
    keys : frozenset of str
        What the check must list: ids of records, ``Member/50049`` for a mapping (entity and WA id), a run's id.
    detail : dict
        More for people and for tests of the repair, such as the right values.
    """

    breakage: str
    check: str
    keys: frozenset[str]
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Breakage:
    """A way to break a club.

    Attributes
    ----------
    guide : str
        The section of the guide.
    symptom : str
        The guide's words for it.
    checks : tuple of str
        Every check it can make fire, the main one first.
    """

    name: str
    guide: str
    symptom: str
    checks: tuple[str, ...]
    head: dict[str, str]
    statements: str

    def run(self, dialect: str) -> dict[str, Any] | None:
        """Return the options of the import run that it plants, if any."""
        run = self.head.get("run") or self.head.get(f"run in {dialect}")
        return json.loads(run) if run else None

    def sql(self, dialect: str) -> tuple[str, str]:
        """Return its statements for a dialect: before the import run, and after it."""
        both, *parts = re.split(r"^-- Only in the (\w+)\n", self.statements, flags=re.MULTILINE)
        own = "".join(text for only, text in zip(parts[::2], parts[1::2], strict=True) if only == dialect)
        before, _, after = (both + own).partition(_AFTER_THE_RUN)
        return before, after


def _read() -> dict[str, Breakage]:
    read = []
    for path in files("workbench.demo").joinpath("breakages").iterdir():
        if path.name.endswith(".sql"):
            text = demo_file(f"breakages/{path.name}")
            head = dict(
                re.findall(r"^-- (guide|symptom|checks|members|events|run[ \w]*): (.+)$", text, re.MULTILINE)
            )
            checks = tuple(head["checks"].split())
            name = path.name.removesuffix(".sql")
            read.append(Breakage(name, head["guide"], head["symptom"], checks, head, text))
    return {
        breakage.name: breakage
        for breakage in sorted(read, key=lambda breakage: (breakage.guide, breakage.name))
    }


BREAKAGES = _read()
"""Every breakage by name, in the guide's order."""


def break_club(connection: Connection, club: Club, names: Iterable[str]) -> tuple[Truth, ...]:
    """Plant breakages in a healthy club, all in one transaction.

    In any order of `names`, planted runs come first, by day, since each updates the sync state; then the rest in the
    guide's order. So the same names always give the same club.

    Returns
    -------
    tuple of Truth
        In the order of planting.

    Raises
    ------
    KeyError
        For a name that is not in `BREAKAGES`.
    """
    wanted = {BREAKAGES[name].name for name in names}
    planted = [breakage for breakage in BREAKAGES.values() if breakage.name in wanted]
    planted.sort(key=lambda breakage: (breakage.run(club.dialect) or {}).get("day", 99))
    with connection.transaction(), staging(connection, club):
        with connection.cursor().copy("COPY demo.allotted FROM STDIN") as rows:
            for row in victims(club):
                rows.write_row(row)
        return tuple(_plant(connection, club, breakage) for breakage in planted)


def victims(club: Club) -> list[tuple[str, str, int, int, str, int]]:
    """Return the records that each breakage may damage: breakage, entity, place, number, id and WA id.

    All were created by the first run (``members-missing`` uses the last run's) and not changed by a later run or a
    person; events are past and have free places.
    """
    sizes = club.sizes
    members = iter(n for n in range(sizes["first_members"]) if n % 20 in _QUIET)
    # The CSV lists the first two events.
    free = [n for n in range(2, min(sizes["open_events"], 200)) if n % 6 != 5 and n % 15 < 13 and n % 12 != 8]
    events, takers = iter(free), sum("events" in breakage.head for breakage in BREAKAGES.values())
    turn = min(_EVENTS_EACH, len(free) // takers)
    rows = []
    for name, breakage in BREAKAGES.items():
        wanted = {"Member": int(breakage.head.get("members", 0)), "Event": turn * ("events" in breakage.head)}
        for entity, numbers in (("Member", members), ("Event", events)):
            for place in range(wanted[entity]):
                number = next(numbers)
                if entity == "Member" or place < int(breakage.head["events"]):
                    rows.append(
                        (name, entity, place, number, club.id(entity, number), club.wa_id(entity, number))
                    )
    return rows


def _plant(connection: Connection, club: Club, breakage: Breakage) -> Truth:
    connection.execute("SELECT set_config('demo.breakage', %s, true)", (breakage.name,))
    before, after = breakage.sql(club.dialect)
    run = breakage.run(club.dialect)
    if run is None:
        return Truth(breakage.name, breakage.checks[0], *_execute(connection, before))
    day, lead = run.pop("day"), run.pop("dry_run_lead", DRY_RUN_LEAD / timedelta(hours=1))
    own = (club.members, club.sizes["all_events"], club.registrations)
    run_id = begin_run(
        connection,
        run.pop("importer", "guide" if club.dialect == "guide" else "api"),
        STARTS["second"] + timedelta(days=1 + day, hours=1),
        timedelta(minutes=2),
        [number + _NUMBERS_EACH * day for number in own],
        dry_run_lead=None if lead is None else timedelta(hours=lead),
        **run,
    )
    keys, detail = _execute(connection, before)
    if not keys:
        connection.execute("CALL demo.fill_small(%s)", (day,))
        keys = frozenset({run_id})
    end_run(connection, club)
    if after.strip():
        keys, detail = _execute(connection, after)
    return Truth(breakage.name, breakage.checks[0], keys, {**detail, "run": run_id})


def _execute(connection: Connection, statements: str) -> tuple[frozenset[str], dict[str, Any]]:
    """Execute statements; return the keys that the last one returns, and its other columns by name."""
    keys: set[str] = set()
    detail: dict[str, Any] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(statements)
        while cursor.nextset():
            pass
        for row in cursor.fetchall() if cursor.description else ():
            keys.add(str(row.pop("key")))
            for name, part in row.items():
                detail.setdefault(name, {}).update(part)
    return frozenset(keys), detail
