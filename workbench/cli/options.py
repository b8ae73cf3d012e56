"""What commands share: options, each spelled once, and the one way from a question's answer to the terminal."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

import workbench
from workbench.cli.output import asked_of, banner, print_answer, print_json, progress_bar
from workbench.errors import Refused, UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
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


def is_request(name: str) -> bool:
    """Tell whether a name is that of a request to restore, and not of a plan or a snapshot."""
    return Path(name).name.startswith("restore-") and not name.endswith(".dump")


def open_as(environment: str | None, acting: str | None, **options: Any) -> Workbench:
    """Open an environment in somebody's name; in the operator's where nobody is named.

    What it answers is masked where it is shown: each command has its ``--unmask``.
    """
    from workbench.settings import load_settings

    settings = load_settings()
    if acting:
        settings = settings.model_copy(update={"operator": acting})
    return workbench.open_workbench(environment, settings=settings, unmask=True, **options)


_SHARED: dict[str, tuple[Any, Any]] = {
    "import_report": (ImportReports, None),
    "acting": (Acting, None),
    "unmask": (Unmask, False),
    "environment": (EnvironmentName, None),
    "json": (AsJson, False),
}


def answers(
    *shared: str, one_state: bool = True, first: Callable[..., Answer | None] | None = None
) -> Callable[[Callable[..., Answer | None]], Callable[..., None]]:
    """Turn a function of a workbench into a command that prints its answer and exits with its code.

    The function takes the opened workbench, then its own arguments and options, and perhaps ``advance``, which is told
    the progress. ``--environment`` and ``--json`` come by themselves.

    Parameters
    ----------
    shared : str
        What else of ``import_report``, ``acting`` and ``unmask`` the command takes; the function is not given them.
    one_state : bool
        Whether every question of the command sees the database as it was at the first one.
    first : callable, optional
        Asked with the command's own arguments before any database is opened; where it answers, none is.
    """
    names = [*shared, "environment", "json"]

    def register(act: Callable[..., Answer | None]) -> Callable[..., None]:
        signature = inspect.signature(act)
        hints = get_type_hints(act, localns=_NOT_IMPORTED, include_extras=True)
        own = [
            parameter.replace(annotation=hints[name])
            for name, parameter in signature.parameters.items()
            if name not in ("wb", "advance")
        ]
        more = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, annotation=_SHARED[name][0], default=_SHARED[name][1]
            )
            for name in names
        ]

        @wraps(act)
        def command(**given: Any) -> None:
            environment, acting, reports, json, unmask = (
                given.pop(name, None) for name in ("environment", "acting", "import_report", "json", "unmask")
            )
            answer = first(**given) if first else None
            if answer is None:
                with open_as(environment, acting, import_reports=reports or (), one_state=one_state) as wb:
                    wb.session.people = bool(unmask)
                    if not json:
                        banner(wb.environment)
                    if "advance" in signature.parameters:
                        with progress_bar() as advance:
                            answer = act(wb, **given, advance=advance)
                    else:
                        answer = act(wb, **given)
                    if answer is not None:
                        answer = replace(answer, environment=answer.environment or wb.environment.name)
            if answer is None:
                return
            answer = replace(answer, unmask=bool(unmask))
            if json:
                print_json(answer.as_json())
            else:
                print_answer(answer)
            raise typer.Exit(answer.code)

        command.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in (*own, *more)}
        return command

    return register


_NOT_IMPORTED = {"Workbench": object, "Answer": object, "Advance": object}
"""Types that a command's function names and that are too heavy to load before it is called."""
