"""Every option of every command: its type, default and help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import typer

from workbench.errors import UsageError

REQUIRED = ...


class Option(NamedTuple):
    """An option or argument as typer takes it."""

    kind: Any
    default: Any
    info: Any


def option(kind: Any, help: str, *flags: str, default: Any = None, **how: Any) -> Option:
    """Describe an option; its flag is the parameter's name unless another is given."""
    default = {bool: False, Many: [], Files: []}.get(kind) if default is None else default
    if kind in (int, float):
        how.setdefault("metavar", "N")
    return Option(kind, default, lambda name: typer.Option(*(flags or [_flag(name)]), help=help, **how))


def argument(metavar: str, help: str, kind: Any = str, default: Any = REQUIRED) -> Option:
    """Describe an argument."""
    return Option(kind, default, lambda _: typer.Argument(metavar=metavar, help=help, show_default=False))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


Many, Files = list[str], list[Path]
Entity = Literal["member", "event", "registration"]
_ALL, _REPEATABLE = "All if none is given.", "Repeatable."
_SNAPSHOT = "A snapshot's name or file, `latest`, or any pg_dump file"
_ENVIRONMENT = ("--environment", "-e")

# fmt: off
OPTIONS: dict[str, Option] = {
    # Shared by several commands.
    "environment": option(str, "An environment in workbench.toml. [default: demo]", *_ENVIRONMENT, metavar="NAME", envvar="WORKBENCH_ENVIRONMENT"),
    "json": option(bool, "Print JSON to stdout."),
    "acting": option(str, "Who is acting. [default: the operator]", "--as", metavar="NAME"),
    "unmask": option(bool, "Show personal data."),
    "import_report": option(Many, "An importer's report file, or a folder of them, as evidence.", metavar="FILE"),
    "yes": option(bool, "Do not ask for confirmation.", "--yes", "-y"),
    "limit": option(int, "How many rows of each kind to show.", default=20, min=1),
    "waive": option(Many, "Accept a check's finding, in the operator's name.", metavar="CHECK=REASON"),
    "reason": option(str, "Why; the approver reads it.", metavar="TEXT"),
    "remark": option(str, "A remark to keep, without personal data.", default="", metavar="TEXT"),
    "run": option(Many, f"A bad run; what it did is not counted. {_REPEATABLE}", metavar="RUN_ID"),
    "run_id": argument("RUN_ID", "A run's id, or the beginning of it."),
    "before": option(str, "Another environment with the earlier state, instead of a snapshot.", metavar="ENVIRONMENT"),
    "snapshot": option(str, f"{_SNAPSHOT}.", metavar="SNAPSHOT"),
    "on_conflict": option(Literal["keep", "restore"], "For values that both a run and somebody after it changed.", default="keep"),
    "min_evidence": option(Literal["certain", "strong", "likely", "weak"], "Skip weaker evidence.", default="likely"),
    "export": option(Files, "A Wild Apricot export, CSV or JSON, or a folder of them.", metavar="FILE"),
    "browser": option(bool, "Open a browser.", "--browser/--no-browser", default=True),
    "port": option(int, "The port to listen on."),
    # Look.
    "checks": argument("[CHECK]...", _ALL, Many, []),
    "action": option(str, "Only actions that start with this.", metavar="PREFIX"),
    "audit run_id": option(str, "Only entries of this run.", "--run", metavar="RUN_ID"),
    "rollbacks": option(bool, "Only rollbacks."),
    "since": option(str, 'A date, a time (UTC), "this month", or an age like "30 days".', metavar="WHEN"),
    "by_operator": option(bool, "Imports per operator, this month or --since."),
    "summary": option(bool, "Number of entries per run and action."),
    "mapping": option(Files, "A tier policy or an importer's configuration file. [default: as configured]", metavar="FILE"),
    "problem": option(Many, f"Only this problem: wrong-person, duplicate, ... {_REPEATABLE}", metavar="PROBLEM"),
    "mappings wa_id": option(str, "Only this Wild Apricot id.", metavar="N"),
    "csv": option(Path, "Write the certain corrections, for `plan mapping --from`.", metavar="FILE"),
    "duplicates entity": option(Entity, "What to compare. [default: all three]"),
    "threshold": option(float, "The lowest probability to list. [default: 0.7]", min=0.01, max=1.0),
    "model": option(Path, "Trained parameters, a JSON file. [default: the built-in ones]", metavar="FILE"),
    "duplicates limit": option(int, "How many clusters and pairs to list. [default: 10; JSON: all]", min=1),
    "duplicates listing": option(Path, "Write the certain clusters, for `plan merge --from`.", "--to", metavar="FILE"),
    "engine": option(Literal["duckdb", "spark"], "Compare here or on Spark (extra `spark`, Java 17).", default="duckdb"),
    "master": option(str, "Spark's address. [default: this machine]", metavar="URL"),
    "others": option(Many, f"Find people who are members of another environment, too. {_REPEATABLE}", "--with", metavar="NAME"),
    "decide": option(tuple[str, str, str], "Decide about two records: same, different or unsure.", metavar="LEFT RIGHT WORD"),
    "decisions": option(bool, "List the decisions, and who made them."),
    "out": option(Path, "Write the model as JSON, for --model.", metavar="FILE"),
    "rules_asked": argument("[RULE]...", _ALL, Many, []),
    "rules": option(Path, "A folder of rules. [default: policies, or the starter set]", metavar="FOLDER"),
    "starter": option(Path, "Copy the starter set into a new folder, to edit it.", metavar="FOLDER"),
    "missing_at_most": option(str, "How many of each kind may be missing. [default: as configured, or 0]", metavar="N|N%"),
    "differs_at_most": option(str, "How many of each kind may differ. [default: as configured, or 0]", metavar="N|N%"),
    "extra_at_most": option(str, "How many may exist only here. [default: as configured, or 20%]", metavar="N|N%"),
    "time_zone": option(str, "Time zone of the export, such as America/Los_Angeles.", metavar="ZONE"),
    # Plan and apply.
    "plan_name": argument("PLAN", "A plan's id, the beginning of it, or its file."),
    "digest": option(str, "The SHA-256 of what you read.", metavar="SHA256", default=REQUIRED),
    "confirm": option(str, "On production: the environment's name.", metavar="ENVIRONMENT"),
    "sync_state": option(bool, "Also reset the sync state (guide §7.3)."),
    "of": option(Literal["tiers", "statuses"], "What to correct. [default: tiers, if the club has any]"),
    "level": option(Many, f"Only members of this Wild Apricot level. {_REPEATABLE}", metavar="LEVEL"),
    "entity": argument("ENTITY", "Member, Event or Registration.", default=None),
    "wa_id": argument("WA_ID", "The Wild Apricot id.", default=None),
    "new_id": argument("NEW_ID", "The record it should lead to.", default=None),
    "table": option(Path, "A CSV file with the columns entity, wa_id, new_id and reason.", "--from", metavar="FILE.csv"),
    "move_records": option(bool, "Also move registrations that were imported through the wrong mapping."),
    "whole_cycle": option(bool, "Also correct the rest of a swap or cycle."),
    "rebuild": option(bool, "Restore missing mappings, from the import's traces, --snapshot or --before."),
    "csv_records": option(bool, "With --rebuild: also map records that a CSV import created."),
    "canonical": argument("CANONICAL", "The record to keep.", default=None),
    "duplicates": argument("DUPLICATE...", "The records to merge into it.", Many, []),
    "listing": option(Path, "A CSV file of canonical,duplicate[,reason] or cluster,member[,reason].", "--from", metavar="FILE"),
    "choose": option(bool, "Keep the record with the most associations, then the oldest."),
    "left_out": option(Many, "Leave this record as it is.", "--except", metavar="ID"),
    "rule": option(Literal["canonical", "newest", "most-complete"], "Which record's value a field gets.", default="canonical"),
    "field": option(Many, "Another rule for one field, such as phone=newest.", metavar="NAME=RULE"),
    "by_hand": option(Many, "Take one field from this record, such as email=ID.", "--set", metavar="NAME=ID"),
    "keep": option(Many, "The row to keep where two become one and no rule decides.", metavar="ID"),
    "skip_blocked": option(bool, "Leave out merges that no rule decides, and list them."),
    "plan merge entity": option(Entity, "What the records are.", default="member"),
    # Snapshots and the application.
    "precedes": option(str, "The run it is taken before.", metavar="RUN"),
    "snapshot verify name": argument("SNAPSHOT", "A snapshot's name, its file, or `latest`.", default="latest"),
    "any_size": option(bool, "Accept a size that differs much from earlier snapshots."),
    "since_snapshot": argument("SNAPSHOT", f"{_SNAPSHOT}; or use --before.", default=None),
    "other": argument("OTHER", "A later snapshot to compare with. [default: the database]", default=None),
    "snapshot diff table": option(Many, f"Only this table. {_REPEATABLE}", metavar="NAME"),
    "snapshot diff limit": option(int, "How many rows of each change to show.", default=5, min=0),
    "snapshot losses limit": option(int, "How many rows of each change to show.", default=5, min=0),
    "full": option(bool, "Compare every row, even where the table digests agree."),
    "snapshot restore name": argument("[SNAPSHOT | REQUEST]", "What to request, or the approved request.", default=None),
    "in_place": option(bool, "Replace the contents in one transaction, without renaming databases."),
    "keep_sync_state": option(bool, "Keep the snapshot's sync state instead of resetting it (§7.3)."),
    "from_elsewhere": option(bool, "Accept a snapshot of another server."),
    "resume": option(bool, "Resume an interrupted restore."),
    "abandon": option(bool, "Abandon an interrupted restore."),
    "undo": option(bool, "Request to go back to the database that the last restore kept."),
    "wait": option(float, "How long to keep trying; 0 tries once. [default: app_health_limit]", metavar="SECONDS", min=0),
    # Before an import.
    "item": argument("ITEM", "An item of `workbench preflight`."),
    "says": argument("TEXT", "Your statement, without personal data."),
    "preflight waive reason": option(str, "Why it may stay open, without personal data.", metavar="TEXT", default=REQUIRED),
    "words": argument("-- COMMAND...", "The importer's command line.", Many),
    "report": option(Files, "Where the importer leaves its reports, besides import_reports.", metavar="PATH"),
    "dry-run review name": argument("[RUN]", "A dry run's name or run id. [default: the latest]", default=None),
    "approve": option(bool, "Record that you reviewed and approved it."),
    "files": argument("FILE|FOLDER...", "Exports, configuration, reports, logs.", Files),
    "output": option(Path, "Where to create the bundle. [default: backups]", metavar="DIR"),
    "bundle create run": option(str, "The import. [default: the one in its report]", metavar="RUN_ID"),
    "bundle verify name": argument("[BUNDLE]", "A bundle's folder or name. [default: all]", default=None),
    "bundle verify digest": option(str, "The SHA-256 that it should have.", metavar="SHA256"),
    "bundle verify environment": option(str, "Also compare with its audit log. [default: no database]", *_ENVIRONMENT, metavar="NAME"),
    "name": argument("BUNDLE", "A bundle's folder or name."),
    # Notebooks and reports.
    "report name": argument("NAME", "post-recovery, run, plan, or a notebook of your own."),
    "parameter": option(Many, f"A parameter of the report. {_REPEATABLE}", "--parameter", "-p", metavar="KEY VALUE"),
    "panel": argument("[PANEL]", "The first page: runs, plans, mappings, tiers, duplicates or preflight.", default="runs"),
    "host": option(str, "Listen on this address; other than loopback needs WORKBENCH_TOKEN.", default="127.0.0.1"),
    "members": option(int, "Size of the club.", default=2000, min=50, max=1_000_000),
    "dialect": option(Literal["guide", "application"], "Which schema it has.", default="application"),
    "seed": option(int, "The same seed makes the same club.", default=1),
    "healthy": option(bool, "Do not break anything."),
}
# fmt: on
"""By parameter; where a command uses the name for something else, by command and parameter."""


def exclusive(**given: object) -> None:
    """Refuse options that exclude each other: at most one may be given."""
    flags = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(flags) > 1:
        raise UsageError(f"{' and '.join(flags)} exclude each other.", "Give one of them.")


def pairs(given: Iterable[str], flag: str, form: str) -> dict[str, str]:
    """Parse ``NAME=VALUE``; `UsageError` if either is missing or a name comes twice."""
    parsed: dict[str, str] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value or name in parsed:
            raise UsageError(
                f"{flag} {text!r} is not of the form {form}, or repeats a name.", f"Write {form}."
            )
        parsed[name] = value
    return parsed


def normalize_arguments(arguments: Sequence[str]) -> list[str]:
    """Rewrite arguments for the option parser.

    ``-p KEY VALUE`` becomes ``-p KEY=VALUE``, and ``dry-run -- COMMAND`` the command ``run`` of the group ``dry-run``.
    """
    stop = (
        arguments.index("--") if "--" in arguments else len(arguments)
    )  # another program's arguments follow
    rest, normalized = list(arguments[:stop]), list[str]()
    has_subcommand = len(rest) > 1 and not rest[1].startswith("-")
    if rest[:1] == ["dry-run"] and stop < len(arguments) and not has_subcommand:
        rest.insert(1, "run")
    while rest:
        normalized.append(rest.pop(0))
        if normalized[-1] in {"-p", "--parameter"} and len(rest) > 1 and "=" not in rest[0]:
            normalized.append(f"{rest.pop(0)}={rest.pop(0)}")
    return [*normalized, *arguments[stop:]]


def is_request(name: str | None) -> bool:
    """Whether a name is that of a restore request."""
    return name is not None and Path(name).name.startswith("restore-") and not name.endswith(".dump")
