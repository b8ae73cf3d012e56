"""``audit``: what the audit log says of migrations, and ``audit verify``: whether it is whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, Unmask, open_as
from workbench.cli.output import banner, command, on, print_json, print_table, say, stderr
from workbench.errors import UsageError
from workbench.murmurant.spellings import RUN_ID_KEYS

if TYPE_CHECKING:
    from workbench.audit.verifying import Verdict
    from workbench.workbench import Workbench

_ROLLBACKS = "migration:rollback:"
_MONTH = "this month"

audit = typer.Typer(help="List the audit log's migration entries (guide §5.2), and verify their chain.")


@audit.callback(invoke_without_command=True)
def entries(
    context: typer.Context,
    run_id: Annotated[
        str | None, typer.Option("--run", metavar="RUN_ID", help="Only entries of this run.")
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only actions that begin with this: migration:rollback")
    ] = None,
    rollbacks: Annotated[bool, typer.Option("--rollbacks", help="Only rollbacks, of either level.")] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help='A date, a moment (UTC), "this month", or how long ago: "30 days".'
        ),
    ] = None,
    by_operator: Annotated[
        bool,
        typer.Option("--by-operator", help="Who ran imports, how many, how long; this month, or --since."),
    ] = False,
    operators: Annotated[bool, typer.Option("--operators", help="The same, of all time.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="Entries counted by run and action.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many entries to list, the latest.")] = 200,
    environment: EnvironmentName = None,
    json: AsJson = False,
    unmask: Unmask = False,
) -> None:
    """List the audit log's migration entries: the questions of guide §5.2."""
    asked = [name for name, given in (
        ("--run", run_id), ("--action", action), ("--rollbacks", rollbacks),
        ("--by-operator", by_operator), ("--operators", operators), ("--summary", summary),
    ) if given]  # fmt: skip
    if context.invoked_subcommand is not None:
        _refuse_lost_options(context)
        return
    _refuse_two_questions(asked)
    moment = _moment(since or (_MONTH if by_operator else None))
    with open_as(environment, None, one_state=True) as wb:
        if run_id is not None:
            _known(wb, run_id)
        if by_operator or operators:
            found = wb.imports_by_operator(moment)
        elif summary:
            found = wb.audit_summary(moment)
        else:
            found = wb.audit(run_id, _ROLLBACKS if rollbacks else action, moment, limit)
        listed = not (operators or by_operator or summary)
        total = int(wb.audit_summary()["entries"].sum()) if listed and len(found) == limit else len(found)
    found = workbench.mask(found, unmask=unmask)
    if json:
        print_json(found)
    else:
        banner(wb.environment)
        if listed:
            found = found.assign(metadata=[_brief(each) for each in found["metadata"]])
        print_table(found, empty=_none(operators or by_operator, moment))
    if total > len(found):
        stderr().print(
            f"The latest {len(found):,} entries; more: --limit N, or --summary for all of them, counted."
        )


@audit.command("verify")
def verify(
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `audit verify --json` answered earlier, kept elsewhere."),
    ] = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
) -> None:
    """Walk the hash chain of the workbench's own entries, and name the first break."""
    from workbench.audit import verdict_facts

    with open_as(environment, None, one_state=True) as wb:
        found = wb.audit_verify(against)
    if json:
        print_json(verdict_facts(found))
    else:
        banner(wb.environment)
        _tell(found)
    raise typer.Exit(0 if found.status == "pass" else 1)


def _tell(found: Verdict) -> None:
    import pandas as pd

    if found.breaks:
        say(f"The chain is broken. First: {found.breaks[0].what}", "")
        rows = [(each.kind, each.number, each.entry) for each in found.breaks]
        table = pd.DataFrame(rows, columns=["break", "number", "id"]).astype({"number": "Int64"})
        print_table(table)
        say("")
    if found.first is not None and found.last is not None:
        holds = "" if found.breaks else "The chain holds: "
        say(
            f"{holds}{found.entries:,} entries, from {found.first.number} ({_day(found.first.at)})"
            f" to {found.last.number} ({_day(found.last.at)})."
        )
    if found.pruned is not None:
        facts = found.pruned.facts
        say(
            f"What stood before, up to {facts.get('through')}, was pruned on {_day(found.pruned.at)}: older than"
            f" {facts.get('cutoff')}, exported as {facts.get('export_file')}."
        )
    for each in found.restores:
        say(
            f"Entry {each.number} says that {each.facts.get('backup_file')} was restored on {_day(each.at)}:"
            " what was written between that snapshot and the restore is not here."
        )
    if found.unchained:
        say(
            f"{found.unchained:,} entries of the workbench have no place in the chain: nothing protects those."
        )
    for question in found.open:
        say(f"Not verified. {question}")
    if found.last is not None and not found.breaks:
        say(
            "",
            f"To notice even a chain made anew, keep its end elsewhere: {command()} audit verify --json{on()} > FILE",
        )


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "no date"


def _refuse_lost_options(context: typer.Context) -> None:
    sources = map(context.get_parameter_source, context.params)
    given = [each for each in sources if each is not None and each.name == "COMMANDLINE"]
    if given:
        raise UsageError(
            f"Options before {context.invoked_subcommand!r} would be lost.",
            f"Write them behind it: {command()} audit {context.invoked_subcommand} --help",
        )


def _refuse_two_questions(asked: list[str]) -> None:
    questions = [each for each in asked if each in {"--operators", "--by-operator", "--summary"}]
    if len(questions) > 1 or (questions and len(asked) > 1):
        raise UsageError(f"{' and '.join(asked)} are two questions.", "Ask one at a time.")
    if {"--action", "--rollbacks"} <= set(asked):
        raise UsageError("--rollbacks is an --action of its own.", "Give one of them.")


def _moment(said: str | None) -> datetime | None:
    from workbench.audit.spans import moment_of

    if not said:
        return None
    now = datetime.now(UTC).replace(tzinfo=None)
    moment = moment_of(said, now)
    if moment > now:
        raise UsageError(
            f"{said!r} is still to come: nothing can have been logged since.",
            'Write a moment that has passed: "30 days", 2026-01-31.',
        )
    return moment


def _none(operators: bool, since: datetime | None) -> str:
    period = f" since {since:%Y-%m-%d %H:%M} UTC" if since else ""
    return f"no import{period} logged who ran it" if operators else f"no such entry{period}"


def _brief(metadata: Any) -> str:
    """Say an entry's metadata without what stands in columns of its own, and its place in the chain."""
    if not isinstance(metadata, dict):
        return str(metadata)
    elsewhere = {*RUN_ID_KEYS, "operator", "source", "migrationAction", "chain"}
    return ", ".join(f"{key}: {value}" for key, value in metadata.items() if key not in elsewhere)


def _known(wb: Workbench, run_id: str) -> None:
    """Refuse an id that no run has: an empty answer would look like a quiet run."""
    from workbench.investigate.runs import pick_run

    pick_run(wb.find_runs(), run_id)
