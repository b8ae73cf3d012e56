"""The club's past: which imports ran, when, and what each did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from workbench.demo.people import resized
from workbench.demo.shape import CSV_RUN, FIRST_RUN, PACE, SECOND_RUN, Origin, Shape, draw, ident, stamp

Importer = Literal["guide", "api", "csv"]
Mode = Literal["live", "dry"]
Counts = Mapping[str, Mapping[str, int]]

STARTS: dict[Origin, datetime] = {"first": FIRST_RUN, "csv": CSV_RUN, "second": SECOND_RUN}

DRY_RUN_LEAD = timedelta(hours=3)
"""How long before a live run its dry run started."""

_PER_SECOND = timedelta(seconds=1) // PACE
_CSV_RECORDS = 5000  # more than the CSV import ever holds of one entity


@dataclass(frozen=True)
class Run:
    """One execution of an importer, as it would tell it.

    Attributes
    ----------
    counts : mapping of str to mapping of str to int
        Entity (``Member``, ``Event``, ``Registration``) to action (``created``, ``updated``,
        ``mapped``, ``existing``) to count. For a dry run, what it foresaw.
    """

    run: str
    importer: Importer
    mode: Mode
    started: datetime
    finished: datetime
    counts: Counts


def run_id(shape: Shape, importer: Importer, started: datetime) -> str:
    """Return the id an importer would give to a run that starts then."""
    roll = draw(shape.seed, f"run {importer}", int(started.timestamp()))
    if importer == "csv":
        return ident(shape.seed, "run csv", int(started.timestamp()))
    if importer == "guide":
        return f"run_{started:%Y%m%d}_{roll % 16**6:06x}"
    letters = "".join("0123456789abcdefghijklmnopqrstuvwxyz"[roll >> 6 * n & 31] for n in range(6))
    return f"sync_{int(started.timestamp() * 1000)}_{letters}"


def when(shape: Shape, origin: Origin, entity: str, index: int) -> str:
    """Return when a run dealt with a record: members first, then events, then registrations."""
    if origin == "csv":
        place = index % _CSV_RECORDS
    elif entity == "Member":
        place = index
    elif entity == "Event":
        place = shape.members + index
    else:
        place = shape.members + shape.events + index
    second, rest = divmod(place, _PER_SECOND)
    return f"{_second(origin, second)}.{1000 // _PER_SECOND * rest:03d}"


@lru_cache(maxsize=64)  # hundreds of records in a row share it
def _second(origin: Origin, second: int) -> str:
    return stamp(STARTS[origin] + timedelta(seconds=second))[:19]


def tally(created: int, updated: int = 0, mapped: int = 0, existing: int = 0) -> dict[str, int]:
    """Return the counts of one entity."""
    return {"created": created, "updated": updated, "mapped": mapped, "existing": existing}


def history(shape: Shape, seen: Counter[str]) -> tuple[Run, ...]:
    """Return every run of the club's past in order of time.

    Parameters
    ----------
    seen : Counter
        Registrations as they were loaded: by origin, and under ``updated`` those the second run changed.
    """
    importer: Importer = "guide" if shape.dialect == "guide" else "api"
    second = range(shape.csv_members)
    members_updated = sum(map(shape.second_updates, second))
    adopted = sum(map(shape.adopts, range(shape.first_members, shape.csv_members)))
    events_updated = sum(resized(shape, event) for event in range(shape.open_events))
    live: dict[Origin, Counts] = {
        "first": {
            "Member": tally(shape.first_members),
            "Event": tally(shape.first_events),
            "Registration": tally(seen["first"]),
        },
        "csv": {
            "Member": tally(
                shape.csv_members - shape.first_members,
                sum(map(shape.csv_updates, range(min(4000, shape.first_members)))),
            ),
            "Event": tally(shape.csv_events - shape.first_events, existing=2),
            "Registration": tally(seen["csv"]),
        },
        "second": {
            "Member": tally(
                shape.members - shape.csv_members,
                members_updated,
                adopted,
                shape.first_members - members_updated,
            ),
            "Event": tally(
                shape.events - shape.csv_events, events_updated, existing=shape.first_events - events_updated
            ),
            "Registration": tally(seen["second"], seen["updated"], existing=seen["first"] - seen["updated"]),
        },
    }
    runs = []
    for origin, start in STARTS.items():
        if origin == "csv" and shape.dialect == "guide":
            continue
        by: Importer = "csv" if origin == "csv" else importer
        foreseen = dict(live[origin])
        if by == "api":
            # A dry sync fetches the registrations of events it finds mapped, and looks none of them up.
            known = seen["first"] + seen["late"] if origin == "second" else 0
            foreseen["Registration"] = tally(known)
        lists = shape.members + shape.events
        for mode, begin, records, counts in (
            ("dry", start - DRY_RUN_LEAD, lists, foreseen),
            ("live", start, lists + shape.registrations, live[origin]),
        ):
            length = PACE * (_CSV_RECORDS if by == "csv" else records)
            runs.append(
                Run(
                    run_id(shape, by, begin),
                    by,
                    "dry" if mode == "dry" else "live",
                    begin,
                    begin + length,
                    counts,
                )
            )
    return tuple(runs)
