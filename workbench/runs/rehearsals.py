"""Which dry run came before each live run, and whether it was one to rely on (guide §1.6, §2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import pandas as pd

from workbench.murmurant.importers import Run

UNFINISHED = frozenset({"incomplete", "failed", "interrupted"})
"""How a dry run may end that shows nothing of what the live run will do."""


class Rehearsal(NamedTuple):
    """A live run and the last dry run of the same importer before it; of an incremental sync, that of one.

    Attributes
    ----------
    hours : float or None
        From the one's start to the other's.
    judged : {"fresh", "stale", "failed", "none", "unknown"}
        Whether the live run was rehearsed; ``unknown`` where a start is.
    """

    run: Run
    dry: Run | None
    hours: float | None
    judged: str


def rehearsals(runs: Sequence[Run], fresh_hours: float) -> list[Rehearsal]:
    """Pair each live run with its dry run.

    Parameters
    ----------
    runs : sequence of Run
        By start.
    fresh_hours : float
        How long before the live run its dry run may have been.
    """
    pairs: list[Rehearsal] = []
    last: dict[tuple[str, bool], Run] = {}
    for run in runs:
        kind = run.importer, run.sync == "incremental"
        if run.mode == "dry":
            last[kind] = run
            continue
        dry, hours = last.get(kind), None
        if dry is None:
            judged = "none"
        elif run.started is None or dry.started is None:
            judged = "unknown"
        else:
            hours = (run.started - dry.started) / timedelta(hours=1)
            judged = "stale" if hours > fresh_hours else "failed" if dry.status in UNFINISHED else "fresh"
        pairs.append(Rehearsal(run, dry, hours, judged))
    return pairs


def rehearsals_frame(pairs: Sequence[Rehearsal]) -> pd.DataFrame:
    """Lay them out as a table.

    Returns
    -------
    pandas.DataFrame
        One row per live run: ``run``, ``importer``, ``started``, ``rehearsed`` (``fresh``, ``stale``, ``failed``,
        ``none`` or ``unknown``), ``hours_before``, ``dry_run``, ``dry_started``.
    """
    columns = ["run", "importer", "started", "rehearsed", "hours_before", "dry_run", "dry_started"]
    rows = [
        (run.run, run.importer, run.started, judged, hours, dry and dry.run, dry and dry.started)
        for run, dry, hours, judged in pairs
    ]
    table = pd.DataFrame(rows, columns=columns).astype({"hours_before": "float64"}).round({"hours_before": 1})
    return table.assign(**{name: pd.to_datetime(table[name]) for name in ("started", "dry_started")})
