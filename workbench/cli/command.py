"""Turn functions into commands: options from one table, one way to print the answer, the exit code of the answer."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

import workbench
from workbench.answer import Answer
from workbench.cli.options import OPTIONS, REQUIRED
from workbench.cli.output import banner, print_answer, print_json, progress, set_environment, warn
from workbench.errors import Refused

if TYPE_CHECKING:
    from workbench.plans.plan import Plan
    from workbench.workbench import Workbench

SECTIONS = {
    "questions": "Look",
    "plans": "Plan and apply",
    "snapshots": "Snapshots and the application",
    "migration": "Before an import",
    "notebooks": "Notebooks and reports",
}
"""The sections of the help, by the module that defines their commands."""

_GROUPS = {
    "plan": "Write a plan for a correction, to read and approve.",
    "snapshot": "Take, verify, compare and restore snapshots.",
    "app": "Stop or start the application, or check its health.",
    "dry-run": "Run an importer with DRY_RUN=1, and review the result.",
    "bundle": "Seal the files of an import, and verify them.",
}
_WITH_SUBCOMMANDS = ("preflight", "duplicates")
"""Commands that are also groups."""


class Sections(TyperGroup):
    """A group whose help lists its commands by section."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help."""
        known: dict[str, Any] = dict(self.commands)
        for section in SECTIONS.values():
            commands = {
                name: command for name, command in known.items() if command.rich_help_panel == section
            }
            width = formatter.width - 6 - max(map(len, commands))
            with formatter.section(section):
                formatter.write_dl(
                    [(name, command.get_short_help_str(width)) for name, command in commands.items()]
                )


app = typer.Typer(
    name="workbench",
    cls=Sections,
    add_completion=False,
    help="Find out what an import into Murmurant did, what went wrong, and correct it."
    " Only `apply`, `undo` and `snapshot restore` change the club's data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 clean, 1 findings, 2 wrong usage, 3 refused, 4 failed. For example `workbench triage -e club`,"
    " `workbench plan rollback RUN_ID --snapshot latest -e club`, `workbench report post-recovery -e club`.",
)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        typer.echo(f"murmurant-workbench {workbench.__version__}")
        raise typer.Exit


@cache
def program() -> Any:
    """Return the program with all its commands."""
    for module in SECTIONS:
        import_module(f"workbench.cli.{module}")
    return typer.main.get_command(app)


def command(
    path: str, *names: str, one_state: bool = True, opens: bool = True, hidden: bool = False, **defaults: Any
) -> Callable[[Callable[..., Answer | Plan | None]], Callable[..., None]]:
    """Make a command of a function that takes an opened workbench and returns an answer or a plan.

    The function is called with the command's options by name, except those that the decorator handles itself:
    ``import_report``, ``acting`` and ``unmask`` where they are named, ``environment`` and ``json`` always. A parameter
    ``advance`` receives the progress callback, ``as_json`` whether JSON was asked for.

    Parameters
    ----------
    path : str
        The command's name, after its group's if it belongs to one: ``plan tiers``.
    names : str
        Its options, as `workbench.cli.options.OPTIONS` describes them.
    one_state : bool
        Whether all queries of the command run in one snapshot of the database.
    opens : bool
        Whether to open a database; otherwise the function gets all of the options and no workbench.
    hidden : bool
        Whether the help leaves the command out.
    defaults
        Defaults of options that differ from the table's.
    """

    def register(act: Callable[..., Answer | Plan | None]) -> Callable[..., None]:
        silent = act.__annotations__["return"] == "None"
        options = (*names, *["environment"] * opens, *["json"] * (not silent))

        def run(context: typer.Context, **given: Any) -> None:
            if context.invoked_subcommand:
                return
            set_environment(given.get("environment"))
            as_json = given.pop("json", False)
            answer: Any = _ask(act, given, one_state, as_json) if opens else act(**given)
            if silent:
                return
            if as_json:
                print_json(answer.as_json())
            else:
                print_answer(answer)
            raise typer.Exit(answer.code)

        positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter("context", positional, annotation=typer.Context)]
        parameters += [_parameter(path, name, defaults) for name in options]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        section = SECTIONS[act.__module__.rpartition(".")[2]]
        group, _, name = path.rpartition(" ")
        if path in _WITH_SUBCOMMANDS:
            _group(path, section).callback(invoke_without_command=True, help=act.__doc__)(run)
        else:
            parent = _group(group, section) if group else app
            parent.command(name, help=act.__doc__, hidden=hidden, rich_help_panel=section)(run)
        return run

    return register


def _parameter(path: str, name: str, defaults: dict[str, Any]) -> inspect.Parameter:
    """Describe an option as a parameter of a function, which is what typer reads."""
    described = OPTIONS.get(f"{path} {name}") or OPTIONS[name]
    default = defaults.get(name, described.default)
    kind = described.kind | None if default is None else described.kind
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is REQUIRED else default,
        annotation=Annotated[kind, described.info(name)],
    )


@cache
def _group(name: str, section: str) -> typer.Typer:
    group = typer.Typer(cls=TyperGroup, help=_GROUPS.get(name), no_args_is_help=name not in _WITH_SUBCOMMANDS)
    app.add_typer(group, name=name, rich_help_panel=section)
    return group


def _ask(act: Callable[..., Any], given: dict[str, Any], one_state: bool, as_json: bool) -> Answer:
    """Open the environment and call the function."""
    takes = inspect.signature(act).parameters
    environment, acting = given.pop("environment"), given.pop("acting", None)
    unmask, reports = given.pop("unmask", False), given.pop("import_report", ())
    with open_as(environment, acting, one_state=one_state, unmask=unmask, import_reports=reports) as wb:
        wb.session.people = unmask
        if "as_json" in takes:
            given["as_json"] = as_json
        if not as_json:
            banner(wb.environment)
        with progress() as advance:
            if "advance" in takes:
                given["advance"] = advance
            elif "confirm" not in given:  # it may prompt first
                advance("reading the database", 0, 0)
            try:
                answer = act(wb, **given)
            except KeyboardInterrupt as interrupt:
                warn(str(interrupt))  # what was left, and how to resume
                raise
        if not isinstance(answer, Answer):
            answer = wb.plans.explain(answer)
        return replace(answer, unmask=unmask, environment=answer.environment or wb.environment.name)


def open_as(environment: str | None, acting: str | None, **options: Any) -> Workbench:
    """Open an environment, acting as somebody; as the configured operator by default."""
    from workbench.settings import load_settings

    settings = load_settings()
    if acting:
        settings = settings.model_copy(update={"operator": acting})
    return workbench.open_workbench(environment, settings=settings, **options)


def ask(question: str, yes: bool) -> None:
    """Ask for confirmation; `Refused` unless the answer is yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("This needs a confirmation, and there is no terminal to ask on.", "Add --yes.")
    if not typer.confirm(question, err=True):
        raise Refused("Cancelled.", "Nothing was changed.")
