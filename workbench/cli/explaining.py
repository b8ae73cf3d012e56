"""A plan in words, tables and JSON; which commands go on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import workbench
from workbench.cli.output import banner, command, on, paths_below, print_json, print_table, say

if TYPE_CHECKING:
    from workbench.database.environment import Environment
    from workbench.plans.plan import Plan

SHOWN = 20


def present(environment: Environment, made: Plan, json: bool, unmask: bool = False, **facts: Any) -> None:
    """Answer a ``plan`` command: what was planned and what comes next, or the same as JSON with more facts."""
    if json:
        print_json({**plan_facts(made, unmask), **facts})
        return
    banner(environment)
    explain(made, unmask)
    next_steps(made)


def plan_facts(found: Plan, unmask: bool = False) -> dict[str, Any]:
    """Return what a plan says; values of people masked."""
    return {
        "plan": str(found.path),
        "id": found.id,
        "digest": found.digest,
        "changes": found.changes,
        "kept": found.kept,
        "conflicts": masked_conflicts(found.conflicts, unmask),
        "unresolved": found.unresolved,
        "reasons": found.because,
        "notes": found.notes,
    }


def header_facts(found: Plan) -> dict[str, Any]:
    """Return a plan's found."""
    return found.model_dump(mode="json")


def explain(found: Plan, unmask: bool = False) -> None:
    """Print why a plan was made, what changes, what stays and what is open."""
    import pandas as pd

    say(
        *found.reasons,
        f"Planned by {found.planned_by} for {found.target.environment} ({found.target.kind}).",
    )
    say("It rests on: " + "; ".join(found.evidence) + "." if found.evidence else "", *found.notes)
    rows = [
        (table, operation, count)
        for table, cells in found.changes.items()
        for operation, count in cells.items()
    ]
    print_table(pd.DataFrame(rows, columns=["table", "operation", "rows"]), "What changes", empty="nothing")
    if conserved := found.parameters.get("conservation"):
        print_table(pd.DataFrame(conserved), "Rows that refer to the records concerned, before and after")
    for title, notes in (
        ("What the changes rest on", found.because),
        ("Kept", found.kept),
        ("Conflicts", masked_conflicts(found.conflicts, unmask)),
        ("Unresolved", found.unresolved),
    ):
        if not notes:
            continue
        table = pd.DataFrame(notes)
        if len(table) > SHOWN:
            alike = [name for name in table.columns if name != "key"]
            table = table.groupby(alike, sort=False, dropna=False)["key"].agg(["size", "first"]).reset_index()
            table = table.rename(columns={"size": "rows", "first": "first_key"})
        more = f"; {SHOWN} of {len(table):,} kinds" if len(table) > SHOWN else ""
        print_table(table[:SHOWN], f"{title} ({len(notes):,}{more})")


def masked_conflicts(conflicts: list[dict[str, Any]], unmask: bool) -> list[dict[str, Any]]:
    """Mask what is personal by the column it stood in; on request nothing."""
    import pandas as pd

    values = ("before", "run", "now")
    found = []
    for each in conflicts:
        row = pd.DataFrame([[each[name] for name in values]], columns=[str(each["column"])] * len(values))
        found.append({**each, **dict(zip(values, workbench.mask(row, unmask).iloc[0], strict=True))})
    return found


def next_steps(found: Plan) -> None:
    """Print the commands that go on from a plan."""
    option = on(found.target.environment)
    say(
        "",
        f"Plan    {paths_below([found.path])[0]}",
        f"Digest  {found.digest}",
        "Next:",
        f"  {command()} report plan -p plan {found.id}{option}",
        f"  {approval_command(found)}",
        f"  {command()} apply {found.id}{option}",
    )


def approval_command(found: Plan) -> str:
    """Return the command that approves exactly this plan."""
    target = found.target
    confirm = f" --as NAME --confirm {target.environment}" if target.kind == "production" else ""
    return f"{command()} approve {found.id} --digest {found.digest}{confirm}{on(target.environment)}"
