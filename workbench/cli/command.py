"""A command made of a function: its options out of one table, its answer printed one way, its exit code the answer's."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, wraps
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer
import typer.main
from typer.core import TyperGroup

import workbench
from workbench.answer import Answer
from workbench.cli.options import OPTIONS
from workbench.cli.output import asked_of, banner, print_answer, print_json, progress, warn
from workbench.errors import Refused

if TYPE_CHECKING:
    from workbench.plans.plan import Plan
    from workbench.workbench import Workbench

SECTIONS = {
    "looking": "Look",
    "planning": "Plan and apply",
    "restoring": "Snapshots and the application",
    "preparing": "Before an import",
    "notebooks": "Notebooks and reports",
}
"""What a user comes for, by the module that has its commands."""

_SHARED: dict[str, tuple[Any, Any]] = {
    "import_report": (list[str], []),
    "acting": (str | None, None),
    "unmask": (bool, False),
    "environment": (str | None, None),
    "json": (bool, False),
}
_NOT_IMPORTED = dict.fromkeys(("Workbench", "Plan"), object)
"""Types that a command's function names and that are too heavy to load before it is called."""


class Grouped(TyperGroup):
    """Lists its commands by what a user comes for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section of the help for each group of commands."""
        for section in SECTIONS.values():
            known: Any = self.commands
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
    cls=Grouped,
    help="See what an import into Murmurant did, find what is wrong, plan the correction, apply it and take it back."
    " Nothing is written to the club's data but by `apply`, `undo` and `snapshot restore`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 clean, 1 findings, 2 wrong usage, 3 refused, 4 failed. For example `workbench triage -e club`,"
    " `workbench plan rollback RUN_ID --snapshot latest -e club`, `workbench report post-recovery -e club`.",
)
_ALONE = ("preflight", "duplicates")
"""Groups that are a command themselves as well."""

_groups = {
    "plan": "Plan a correction: a file to read, approve and apply. Writes nothing else.",
    "snapshot": "Snapshots of the database: taken before a migration, proved by restoring, restored, pruned.",
    "app": "Stop or start the application by the environment's own commands, or ask how it is.",
    "dry-run": "Run an importer with DRY_RUN=1 and keep what it says: workbench dry-run -- npx tsx ... Then review it.",
    "bundle": "Seal what an import read and wrote by SHA-256, and verify it (guide §2.3).",
}
_made: dict[str, typer.Typer] = {}


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        typer.echo(f"murmurant-workbench {workbench.__version__}")
        raise typer.Exit


@cache
def program() -> Any:
    """Return all commands as one program; made once, for it takes longer than many a command."""
    return typer.main.get_command(app)


def answers(
    path: str, *shared: str, one_state: bool = True, opens: bool = True, hidden: bool = False
) -> Callable[[Callable[..., Answer | Plan | None]], Callable[..., None]]:
    """Make a function of a workbench a command that prints its answer, or explains its plan, and exits with its code.

    The function takes the opened workbench, then its own arguments and options, and perhaps ``advance``, which is told
    the progress, and ``as_json``. ``--environment`` and ``--json`` come by themselves.

    Parameters
    ----------
    path : str
        The command's name, behind its group's where it is of one: ``plan tiers``.
    shared : str
        What else of ``import_report``, ``acting`` and ``unmask`` the command takes; the function is not given them.
    one_state : bool
        Whether every question of the command sees the database as it was at the first one.
    opens : bool
        Whether a database is opened; else the function takes no workbench.
    """

    def register(act: Callable[..., Answer | Plan | None]) -> Callable[..., None]:
        hints = get_type_hints(act, localns=_NOT_IMPORTED)
        takes, silent = inspect.signature(act).parameters, hints["return"] is type(None)

        @wraps(act)
        def run(*, json: bool = False, context: typer.Context | None = None, **given: Any) -> None:
            if context is not None and context.invoked_subcommand:
                return
            asked_of(given.get("environment"))
            around = {name: given.pop(name) for name in shared}
            given |= {"as_json": json} if "as_json" in takes else {}
            answer: Any = _asked(act, takes, given, around, one_state, json) if opens else act(**given)
            if silent:
                return
            answer = replace(answer, unmask=around.get("unmask", False))
            if json:
                print_json(answer.as_json())
            else:
                print_answer(answer)
            raise typer.Exit(answer.code)

        section = SECTIONS[act.__module__.rpartition(".")[2]]
        own = {
            name: (hints[name], [] if parameter.default == () else parameter.default)
            for name, parameter in takes.items()
            if name not in ("wb", "advance", "as_json")
        }
        more = (*shared, *["environment"] * opens, *["json"] * (not silent))
        run.__annotations__ = {"context": typer.Context} if path in _ALONE else {}
        parameters = []
        for name, (kind, default) in (own | {name: _SHARED[name] for name in more}).items():
            if get_origin(kind) is Sequence:
                kind = list[get_args(kind)[0]]  # type: ignore[misc]
            described = OPTIONS.get(f"{path} {name}") or OPTIONS[name]
            run.__annotations__[name] = Annotated[kind, described(name)]
            parameters.append(_keyword(name, default=default))
        parameters += [_keyword("context")] * (path in _ALONE)
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [option.replace(annotation=run.__annotations__[option.name]) for option in parameters]
        )
        group, _, name = path.rpartition(" ")
        if path in _ALONE:
            _group(path, section).callback(invoke_without_command=True, help=act.__doc__)(run)
        else:
            of = _group(group, section) if group else app
            of.command(name, hidden=hidden, rich_help_panel=section)(run)
        return run

    return register


def _asked(
    act: Callable[..., Any],
    takes: Any,
    given: dict[str, Any],
    around: dict[str, Any],
    one_state: bool,
    quiet: bool,
) -> Any:
    """Open the environment, ask, and let the answer know where it comes from."""
    unmask, reports = around.get("unmask", False), around.get("import_report", ())
    opened = {"one_state": one_state, "unmask": unmask, "import_reports": reports}
    with open_as(given.pop("environment"), around.get("acting"), **opened) as wb:
        wb.session.people = unmask
        if not quiet:
            banner(wb.environment)
        with progress() as advance:
            if "advance" in takes:
                given["advance"] = advance
            elif "confirm" not in takes:  # which asks first
                advance("reading the database", 0, 0)
            try:
                answer = act(wb, **given)
            except KeyboardInterrupt as interrupt:
                warn(str(interrupt))  # what stands, and how to go on
                raise
        if answer is not None and not isinstance(answer, Answer):
            answer = wb.plans.explain(answer)
        return answer and replace(answer, environment=answer.environment or wb.environment.name)


def _keyword(name: str, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)


def _group(name: str, section: str) -> typer.Typer:
    if name not in _made:
        _made[name] = typer.Typer(cls=TyperGroup, help=_groups.get(name), no_args_is_help=name not in _ALONE)
        app.add_typer(_made[name], name=name, rich_help_panel=section)
    return _made[name]


def open_as(environment: str | None, acting: str | None, **options: Any) -> Workbench:
    """Open an environment in somebody's name; in the operator's where nobody is named."""
    from workbench.settings import load_settings

    settings = load_settings()
    if acting:
        settings = settings.model_copy(update={"operator": acting})
    return workbench.open_workbench(environment, settings=settings, **options)


def ask(question: str, yes: bool) -> None:
    """Ask whoever sits at the terminal; without an answer that is yes nothing is done (`Refused`)."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("Nobody is here to be asked.", "Add --yes to go on without a question.")
    if not typer.confirm(question, err=True):
        raise Refused("Not done: the answer was no.", "Nothing was changed.")
