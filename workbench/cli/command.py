"""A command made of a function: its options out of one table, its answer printed one way, its exit code the answer's."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, wraps
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer
import typer.main
from typer.core import TyperGroup

import workbench
from workbench.answer import Answer
from workbench.cli.options import OPTIONS
from workbench.cli.output import asked_of, banner, print_answer, print_json, progress, stderr
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
        commands: dict[str, Any] = dict(self.commands)
        for section in SECTIONS.values():
            of_it = {n: each for n, each in commands.items() if each.rich_help_panel == section}
            width = formatter.width - 6 - max(map(len, of_it))
            with formatter.section(section):
                formatter.write_dl([(name, each.get_short_help_str(width)) for name, each in of_it.items()])


class WithDefault(TyperGroup):
    """A group that is a command as well: ``preflight``, ``dry-run -- COMMAND...``; that one is hidden among its commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the command there, where none of the others is called."""
        hidden = next(name for name, each in self.commands.items() if each.hidden)
        if not {*args[:1]} & {*self.commands, "--help", "-h"} and ("--" in args or not self.no_args_is_help):
            args = [hidden, *args]
        return super().parse_args(ctx, args)


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
_GROUPS = {
    "plan": "Plan a correction: a file to read, approve and apply. Writes nothing else.",
    "snapshot": "Snapshots of the database: taken before a migration, proved by restoring, restored, pruned.",
    "app": "Stop or start the application by the environment's own commands, or ask how it is.",
    "preflight": "Answer the checklist before a migration (guide §6); exit code 1 while anything is open.",
    "dry-run": "Run an importer with DRY_RUN=1 and keep what it says: workbench dry-run -- npx tsx ... Then review it.",
    "duplicates": "",  # a command with a command of its own
    "bundle": "Seal what an import read and wrote by SHA-256, and verify it (guide §2.3).",
}
_groups: dict[str, typer.Typer] = {}


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
    path: str,
    *shared: str,
    one_state: bool = True,
    opens: bool = True,
    hidden: bool = False,
    first: Callable[..., Answer | None] | None = None,
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
    first : callable, optional
        Asked with the command's own arguments before any database is opened; where it answers, none is.
    """

    def register(act: Callable[..., Answer | Plan | None]) -> Callable[..., None]:
        hints = get_type_hints(act, localns=_NOT_IMPORTED)
        takes, silent = inspect.signature(act).parameters, hints["return"] is type(None)

        @wraps(act)
        def run(*, json: bool = False, **given: Any) -> None:
            if path in _GROUPS and given.pop("context").invoked_subcommand:
                return
            asked_of(given.get("environment"))
            around = {name: given.pop(name) for name in shared}
            given |= {"as_json": json} if "as_json" in takes else {}
            answer: Any = first(**given) if first else None
            if answer is None and not opens:
                answer = act(**given)
            elif answer is None:
                acting, reports = around.get("acting"), around.get("import_report", ())
                with open_as(given.pop("environment"), acting, import_reports=reports, one_state=one_state,
                             unmask=around.get("unmask", False)) as wb:  # fmt: skip
                    wb.session.people = around.get("unmask", False)
                    if not json:
                        banner(wb.environment)
                    with progress() as advance, _saying_what_stands():
                        if not takes.keys() & {"advance", "confirm"}:  # else it says so itself, or asks first
                            advance("reading the database", 0, 0)
                        answer = act(wb, **given, **({"advance": advance} if "advance" in takes else {}))
                    if not isinstance(answer, Answer):
                        answer = wb.plans.explain(answer)
                    answer = replace(answer, environment=answer.environment or wb.environment.name)
            if silent:
                return
            answer = replace(answer, unmask=around.get("unmask", False))
            if json:
                print_json(answer.as_json())
            else:
                print_answer(answer)
            raise typer.Exit(answer.code)

        own = [
            (name, _typed(hints[name]), [] if each.default == () else each.default)
            for name, each in takes.items()
            if name not in ("wb", "advance", "as_json")
        ]
        more = (*shared, *["environment"] * opens, *["json"] * (not silent))
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=Annotated[kind, (OPTIONS.get(f"{path} {name}") or OPTIONS[name])(name)],
            )
            for name, kind, default in (*own, *((name, *_SHARED[name]) for name in more))
        ]
        if path in _GROUPS:
            context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
            parameters.append(context)
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {
            name: each.annotation for name, each in inspect.signature(run).parameters.items()
        }
        group, _, name = path.rpartition(" ")
        section = SECTIONS.get(act.__module__.rpartition(".")[2], "")
        if path in _GROUPS:
            _group(path, section).callback(invoke_without_command=True, help=act.__doc__)(run)
        else:
            (_group(group, section) if group else app).command(name, hidden=hidden, rich_help_panel=section)(
                run
            )
        return run

    return register


def _typed(kind: Any) -> Any:
    """Return a type as typer knows it."""
    return list[get_args(kind)[0]] if get_origin(kind) is Sequence else kind  # type: ignore[misc]


def _group(name: str, section: str) -> typer.Typer:
    if name not in _groups:
        kind = WithDefault if name in ("preflight", "dry-run") else TyperGroup
        alone = name in ("preflight", "duplicates")
        _groups[name] = typer.Typer(cls=kind, help=_GROUPS[name], no_args_is_help=not alone)
        app.add_typer(_groups[name], name=name, rich_help_panel=section)
    return _groups[name]


@contextmanager
def _saying_what_stands() -> Iterator[None]:
    """After ctrl-C, say what stands and how to go on, where whoever was interrupted knows it."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if interrupt.args:
            stderr().print(f"workbench: {interrupt}")
        raise


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
