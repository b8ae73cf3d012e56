"""Options that several commands share, each spelled once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import workbench
from workbench.cli.output import asked_of
from workbench.errors import Refused, UsageError

if TYPE_CHECKING:
    from workbench.workbench import Workbench


def _note(environment: str | None) -> str | None:
    asked_of(environment)
    return environment


EnvironmentName = Annotated[
    str | None,
    typer.Option(
        "--environment",
        "-e",
        envvar="WORKBENCH_ENVIRONMENT",
        callback=_note,
        help="A name from workbench.toml. [default: demo]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Pure JSON on stdout.")]
ImportReports = Annotated[
    list[Path] | None,
    typer.Option(
        "--import-report", metavar="FILE", help="An importer's report file, or a folder of them, as evidence."
    ),
]
Acting = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who is acting; else the operator.")]
Before = Annotated[
    str | None,
    typer.Option(
        "--before",
        metavar="ENVIRONMENT",
        help="Instead of a snapshot: another environment that holds the state before, such as a branch. It is only read.",
    ),
]
Unmask = Annotated[bool, typer.Option("--unmask", help="Show personal data as they are.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer the questions a terminal would be asked.")]
Waivers = Annotated[
    list[str] | None,
    typer.Option("--waive", metavar="CHECK=REASON", help="Accept a check's finding, in the operator's name."),
]


def waivers(given: Sequence[str] | None) -> dict[str, str]:
    """Take ``CHECK=REASON`` apart; a waiver without a reason is a `UsageError`."""
    found = {}
    for each in given or ():
        check, _, reason = each.partition("=")
        if not reason.strip():
            raise UsageError(f"The waiver {each!r} gives no reason.", "Write it as CHECK=REASON.")
        found[check.strip()] = reason.strip()
    return found


def joined_parameters(arguments: Sequence[str]) -> list[str]:
    """Turn ``-p KEY VALUE`` into ``-p KEY=VALUE``, which is what the option parser can take repeatedly."""
    found: list[str] = []
    rest = list(arguments)
    while rest:
        found.append(rest.pop(0))
        if found[-1] == "--":  # what follows is another program's
            return found + rest
        if found[-1] in {"-p", "--parameter"} and len(rest) > 1 and "=" not in rest[0]:
            found.append(f"{rest.pop(0)}={rest.pop(0)}")
    return found


def ask(question: str, yes: bool) -> None:
    """Ask whoever sits at the terminal; without an answer that is yes nothing is done (`Refused`)."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("Nobody is here to be asked.", "Add --yes to go on without a question.")
    if not typer.confirm(question, err=True):
        raise Refused("Not done: the answer was no.", "Nothing was changed.")


def open_as(environment: str | None, acting: str | None, **options: Any) -> Workbench:
    """Open an environment in somebody's name; in the operator's where nobody is named.

    What it answers is masked where it is shown: each command has its ``--unmask``.
    """
    from workbench.settings import load_settings

    settings = load_settings()
    if acting:
        settings = settings.model_copy(update={"operator": acting})
    return workbench.open_workbench(environment, settings=settings, unmask=True, **options)
