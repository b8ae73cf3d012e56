"""``workbench``: the command and its exit codes (DESIGN §5)."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from workbench import __version__
from workbench.cli import looking, making, place
from workbench.cli.options import joined_parameters
from workbench.cli.output import complain
from workbench.errors import WorkbenchError

app = typer.Typer(
    name="workbench",
    help="See what an import into Murmurant did, find what is wrong, and report it. Nothing here writes to the club's data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 clean, 1 findings, 2 wrong usage, 3 refused, 4 failed.",
)

app.command()(making.demo)
app.command()(place.lab)
app.command()(place.doctor)
app.command()(looking.runs)
app.command()(looking.run)
app.command()(looking.check)
app.command()(looking.audit)
app.command()(making.report)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        typer.echo(f"murmurant-workbench {__version__}")
        raise typer.Exit


def main() -> NoReturn:
    """Run the command line; every failure of ours ends in one plain message and its exit code."""
    try:
        app(joined_parameters(sys.argv[1:]))
    except WorkbenchError as error:
        complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)
