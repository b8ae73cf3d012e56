"""Guide §1.4: the same entity imported twice under different ids."""

from __future__ import annotations

import pandas as pd

from workbench.checks.look import Look, NotRunError
from workbench.checks.registry import Rows
from workbench.duplicates.events import shifted_events
from workbench.duplicates.next_sync import written_since
from workbench.errors import WorkbenchError
from workbench.plans.standing import standing


def events_shifted(look: Look) -> pd.DataFrame:
    pairs = shifted_events(look.connection, look.schema, look.runs)
    pairs = pairs[pairs["by_the_clock"]].rename(columns={"second": "key", "first": "other"})
    return pairs[["key", "other", "title", "start", "why"]]


def merges_written_over(look: Look) -> Rows:
    try:
        merges = [entry for entry in standing(look.connection) if entry.kind == "merge"]
    except WorkbenchError as error:
        raise NotRunError(str(error)) from None
    rows = written_since(look.connection, look.schema, look.runs, merges)
    if rows is None:
        raise NotRunError(
            "Records were merged here, and nothing tells what was written into them since: no audit rows of updates, no"
            " moments on mappings, no report that lists records. Give the importer's full report with --import-report."
        )
    return rows
