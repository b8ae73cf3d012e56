"""Every option of every command, each spelled once: its name in a function, its words for whoever asks for help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import typer

from workbench.errors import UsageError

Option = Callable[[str], Any]
"""Given the name of a parameter, it makes what typer wants to know of it."""


def option(help: str, *flags: str, **how: Any) -> Option:
    """Describe an option; its flag is the parameter's name unless another is given."""
    return lambda name: typer.Option(*(flags or [f"--{name.replace('_', '-')}"]), help=help, **how)


def argument(metavar: str, help: str = "") -> Option:
    """Describe an argument."""
    return lambda name: typer.Argument(metavar=metavar, help=help or None, show_default=False)


_ALL, _MANY = "All when none is named.", "Repeatable."

OPTIONS: dict[str, Option] = {
    # Of several commands.
    "environment": option(
        "A name from workbench.toml. [default: demo]",
        "--environment",
        "-e",
        envvar="WORKBENCH_ENVIRONMENT",
        show_default=False,
    ),
    "json": option("Pure JSON on stdout."),
    "acting": option("Who is acting; else the operator.", "--as", metavar="NAME"),
    "unmask": option("Show personal data as they are."),
    "import_report": option("An importer's report file, or a folder of them, as evidence.", metavar="FILE"),
    "yes": option("Answer the questions a terminal would be asked.", "--yes", "-y"),
    "limit": option("How many rows of each kind to show; all are counted.", min=1),
    "waive": option("Accept a check's finding, in the operator's name.", metavar="CHECK=REASON"),
    "reason": option("Why, in your words, for whoever approves it.", metavar="TEXT"),
    "remark": option("What should be known besides, without personal data.", metavar="TEXT"),
    "run": option(f"A bad run, whose doing is not counted. {_MANY}", metavar="RUN_ID"),
    "run_id": argument("RUN_ID", "As `workbench runs` shows it, or its beginning."),
    "before": option(
        "Instead of a snapshot: another environment with the state before.", metavar="ENVIRONMENT"
    ),
    "snapshot": option("A snapshot's name, its file, `latest`, or any dump of pg_dump.", metavar="SNAPSHOT"),
    "on_conflict": option("What becomes of what both a run and somebody after it changed."),
    "min_evidence": option("What is tied to the run more weakly is left alone, and listed."),
    "export": option("An export of Wild Apricot, CSV or JSON, or a folder of them.", metavar="FILE"),
    "browser": option("Open a browser as well.", "--browser/--no-browser"),
    "port": option("Where to listen."),
    # To look.
    "checks": argument("[CHECK]...", _ALL),
    "action": option("Only actions that begin with this: migration:rollback."),
    "audit run_id": option("Only entries of this run.", "--run", metavar="RUN_ID"),
    "audit limit": option("How many entries to list, the latest.", min=1),
    "rollbacks": option("Only rollbacks, of either level."),
    "since": option('A date, a moment (UTC), "this month", or how long ago: "30 days".', metavar="WHEN"),
    "by_operator": option("Who ran imports, how many, how long; this month, or --since."),
    "operators": option("The same, of all time."),
    "summary": option("Entries counted by run and action."),
    "mapping": option(
        "A tier policy, the importer's configuration or a membership_levels_mapping.json; twice for tiers and statuses."
        " [default: the environment's tier_mapping and status_mapping]",
        metavar="FILE",
        show_default=False,
    ),
    "problem": option(f"Only this: wrong-person, duplicate, ... {_MANY}", metavar="PROBLEM"),
    "mappings wa_id": option("Only this Wild Apricot id.", metavar="N"),
    "csv": option("Write the sure corrections for `plan mapping --from`.", metavar="FILE"),
    "duplicates entity": option("Of what; else of all three."),
    "threshold": option("The least probability of a pair. [default: 0.7]", min=0.01, max=1.0),
    "model": option("Trained parameters as JSON; else those shipped.", metavar="FILE"),
    "duplicates limit": option("How many clusters and pairs to list. [default: 10; JSON: all]", min=1),
    "duplicates listing": option("Write the sure clusters for `plan merge --from`.", "--to", metavar="FILE"),
    "engine": option(
        "Where members are compared: on this machine, or on Spark (the extra `spark`, Java 17)."
    ),
    "master": option("Spark's address; else this machine.", metavar="URL"),
    "others": option(
        f"Who is a member here and there? Another environment. {_MANY}", "--with", metavar="NAME"
    ),
    "decide": option("Say of two records that they are: same, different, unsure.", metavar="LEFT RIGHT WORD"),
    "decisions": option("List what was decided, and by whom."),
    "duplicates train out": option("Write the model as JSON, for --model.", metavar="FILE"),
    "rules_asked": argument("[RULE]...", _ALL),
    "rules": option("A folder of rules; else policies, else the starter set.", metavar="FOLDER"),
    "starter": option("Copy the starter set into a new folder, to be edited.", metavar="FOLDER"),
    "missing_at_most": option(
        "How many of each kind may be missing here. [as configured: 0]", metavar="N|N%"
    ),
    "differs_at_most": option("How many of each kind may differ. [as configured: 0]", metavar="N|N%"),
    "extra_at_most": option("How many may be here alone. [as configured: 20%]", metavar="N|N%"),
    "time_zone": option("Of the export's times: America/Los_Angeles.", metavar="ZONE"),
    # To plan and apply.
    "plan_name": argument("PLAN", "A plan's id, an unambiguous beginning of it, or its file's path."),
    "digest": option("The SHA-256 of what was read.", metavar="SHA256"),
    "confirm": option("On production: the environment's name.", metavar="ENVIRONMENT"),
    "sync_state": option("Reset the sync state as well (guide §7.3)."),
    "of": option("What is corrected. [default: tiers, unless none was ever made]", show_default=False),
    "level": option(f"Only members of this Wild Apricot level. {_MANY}", metavar="LEVEL"),
    "entity": argument("ENTITY", "Member, Event or Registration."),
    "wa_id": argument("WA_ID"),
    "new_id": argument("NEW_ID", "The record it should lead to."),
    "table": option("Many at once: columns entity, wa_id, new_id, reason.", "--from", metavar="FILE.csv"),
    "move_records": option("Move the registrations that came through the wrong mapping too."),
    "whole_cycle": option("Correct the rest of a swap or cycle with the part that is named."),
    "rebuild": option("Put missing mappings back: by their traces, --snapshot or --before."),
    "csv_records": option("With --rebuild: map what a CSV import made, too."),
    "canonical": argument("CANONICAL", "The record that stays."),
    "duplicates": argument("DUPLICATE...", "The records that go into it."),
    "listing": option(
        "CSV of canonical,duplicate[,reason] or cluster,member[,reason].", "--from", metavar="FILE"
    ),
    "choose": option("Let the rule choose which one stays: most associations, then the oldest."),
    "left_out": option("Leave this record as it is.", "--except", metavar="ID"),
    "rule": option("Whose value a field has: the canonical record's, the newest, or any rather than none."),
    "field": option("Another rule for one field (phone=newest).", metavar="NAME=RULE"),
    "by_hand": option("Take one field from the record named (email=ID).", "--set", metavar="NAME=ID"),
    "keep": option("The row that stays where two become one and no rule can tell.", metavar="ID"),
    "skip_blocked": option("Leave out merges that no rule can decide, and list them."),
    "plan merge entity": option("What the records are."),
    # Of snapshots.
    "precedes": option("The run it is taken before.", metavar="RUN"),
    "snapshot verify name": argument("SNAPSHOT", "Its name, its file, or latest."),
    "any_size": option("Accept a size out of its predecessors' range."),
    "dry_run": option("Only show what would go; so does neither option."),
    "since_snapshot": argument("SNAPSHOT", "Its name, its file, `latest`, or any dump; or give --before."),
    "other": argument("OTHER", "A later snapshot; else the database as it is."),
    "snapshot diff table": option(f"Only this table. {_MANY}", metavar="NAME"),
    "snapshot diff limit": option("How many rows to show of each change; all are counted.", min=0),
    "snapshot losses limit": option("How many rows to show of each change; all are counted.", min=0),
    "full": option("Compare every row, whatever the snapshot's digests say."),
    "snapshot restore name": argument(
        "[SNAPSHOT | REQUEST]", "To ask for its restore; or, approved, to carry it out."
    ),
    "in_place": option("Replace the contents in one transaction; nothing is renamed."),
    "keep_sync_state": option("Leave the sync state as the snapshot has it (§7.3)."),
    "from_elsewhere": option("A snapshot of another server will do: the club has moved."),
    "resume": option("Go on with one that was interrupted."),
    "abandon": option("Give up one that was interrupted."),
    "undo": option("Ask to put the database back that the last one kept."),
    "wait": option("How long to go on asking; 0 asks once. [app_health_limit]", metavar="SECONDS", min=0),
    # Before an import.
    "item": argument("ITEM", "As `workbench preflight` names it."),
    "says": argument("TEXT", "What you attest, without personal data."),
    "words": argument("-- COMMAND...", "The importer, as in a shell."),
    "report": option("Where it leaves its reports, besides import_reports.", metavar="PATH"),
    "dry-run review name": argument("[RUN]", "A dry run's name or run id; else the latest."),
    "approve": option("Record that you read it and approve of it, in your name."),
    "sample": option("How many records to show of each kind.", min=0),
    "files": argument("FILE|FOLDER...", "Exports, configuration, logs; else what belongs to --run."),
    "output": option("Where the bundle's folder is made. [default: backups]", metavar="DIR"),
    "bundle create run": option("The import; else the one its report names.", metavar="RUN_ID"),
    "bundle verify name": argument("[BUNDLE]", "A folder, a name or a digest; else all of them."),
    "bundle verify environment": option(
        "Compare with its audit log, too. [default: no database]", "--environment", "-e"
    ),
    "name": argument("BUNDLE", "A folder, a name or a digest."),
    # Of notebooks and the demo.
    "report name": argument("NAME", "post-recovery, run, plan, or a notebook of your own in notebooks/"),
    "parameter": option(f"A parameter of the report. {_MANY}", "--parameter", "-p", metavar="KEY VALUE"),
    "panel": argument(
        "[PANEL]", "With which it begins: runs, plans, mappings, tiers, duplicates or preflight."
    ),
    "host": option("Where else than on this machine: only with a token in WORKBENCH_TOKEN."),
    "members": option("Size of the club.", min=50, max=1_000_000),
    "dialect": option("Whose tables it has."),
    "seed": option("The same seed makes the same club."),
    "healthy": option("Leave it as it should be."),
}
"""By the parameter's name; where a command means something else by it, by the command and the name."""


def exclusive(**given: object) -> None:
    """Refuse options, by their names, that ask different questions: at most one may be given."""
    flags = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(flags) > 1:
        raise UsageError(f"{' and '.join(flags)} are different questions.", "Ask one at a time.")


def pairs(given: Iterable[str], flag: str, form: str) -> dict[str, str]:
    """Take ``NAME=VALUE`` apart; `UsageError` where one of the two is missing, or a name comes twice."""
    taken: dict[str, str] = {}
    for text in given:
        name, _, value = (part.strip() for part in text.partition("="))
        if not name or not value or name in taken:
            raise UsageError(
                f"{flag} {text!r} is not of the form {form}, or names {name!r} twice.", f"Write {form}."
            )
        taken[name] = value
    return taken


def joined_parameters(arguments: Sequence[str]) -> list[str]:
    """Write the arguments as the option parser takes them.

    ``-p KEY VALUE`` becomes ``-p KEY=VALUE``, and ``dry-run -- COMMAND`` the command ``run`` of the group ``dry-run``.
    """
    stop = arguments.index("--") if "--" in arguments else len(arguments)  # what follows is another program's
    rest, joined = list(arguments[:stop]), list[str]()
    named = len(rest) > 1 and not rest[1].startswith("-")
    if rest[:1] == ["dry-run"] and stop < len(arguments) and not named:
        rest.insert(1, "run")
    while rest:
        joined.append(rest.pop(0))
        if joined[-1] in {"-p", "--parameter"} and len(rest) > 1 and "=" not in rest[0]:
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return [*joined, *arguments[stop:]]


def is_request(name: str | None) -> bool:
    """Tell whether a name is that of a request to restore, and not of a plan or a snapshot."""
    return name is not None and Path(name).name.startswith("restore-") and not name.endswith(".dump")
