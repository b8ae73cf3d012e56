"""Guide §1.4: the same entity imported twice under different ids."""

from __future__ import annotations

from workbench.checks.registry import Look, NotRunError, Rows
from workbench.duplicates.events import shifted_events
from workbench.duplicates.merged import written_since
from workbench.errors import WorkbenchError
from workbench.plans.standing import standing


def events_shifted(look: Look) -> Rows:
    found = shifted_events(look.connection, look.schema, look.runs)
    rows = found[found["by_the_clock"]].rename(columns={"second": "key", "first": "other"})
    facts = rows[["key", "other", "title", "start", "why"]].to_dict("records")
    return [{str(name): value for name, value in each.items()} for each in facts]


def merges_written_over(look: Look) -> Rows:
    try:
        merges = [each for each in standing(look.connection) if each.kind == "merge"]
    except WorkbenchError as error:
        raise NotRunError(str(error)) from None
    found = written_since(look.connection, look.schema, look.runs, merges)
    if found is None:
        raise NotRunError(
            "Records were merged here, and nothing tells what was written into them since: no audit rows of updates, no"
            " moments on mappings, no report that lists records. Give the importer's full report with --import-report."
        )
    return found
