"""``workbench``: the entry point and its exit codes."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import NoReturn

from workbench import __version__
from workbench.errors import WorkbenchError

_BROKEN_PIPE = 141  # as a shell reports a program that SIGPIPE ended


def main() -> NoReturn:
    """Run the command line; every failure ends with one plain message and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.argv[1:] == ["--version"]:  # answered without loading any command
        sys.stdout.write(f"murmurant-workbench {__version__}\n")
        sys.exit(0)
    from workbench.cli.command import program
    from workbench.cli.options import normalize_arguments
    from workbench.cli.output import ClosedPipeError, print_error, warn_about_odd_dates

    try:
        program()(normalize_arguments(sys.argv[1:]), standalone_mode=True)
    except WorkbenchError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except ClosedPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BROKEN_PIPE)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__
        hint = "Set WORKBENCH_DEBUG=1 to see where, and please report it."
        print_error(WorkbenchError(f"Unexpected error ({what}).", hint))
        sys.exit(WorkbenchError.exit_code)
    finally:
        warn_about_odd_dates()
    sys.exit(0)
