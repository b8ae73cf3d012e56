"""``workbench``: the command and its exit codes."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import NoReturn

from workbench import __version__
from workbench.errors import WorkbenchError

_BROKEN_PIPE = 141  # as a shell reports a program that SIGPIPE ended


def main() -> NoReturn:
    """Run the command line; every failure ends in one plain message and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal of fewer letters shows escapes, and goes on
            stream.reconfigure(errors="backslashreplace")
    if sys.argv[1:] == ["--version"]:  # a script asks it often, and needs no command loaded
        sys.stdout.write(f"murmurant-workbench {__version__}\n")
        sys.exit(0)
    from workbench.cli.app import program
    from workbench.cli.options import joined_parameters
    from workbench.cli.output import ReaderGoneError, complain, say_what_was_odd

    try:
        program()(joined_parameters(sys.argv[1:]), standalone_mode=True)
    except WorkbenchError as error:
        complain(error)
        sys.exit(error.exit_code)
    except ReaderGoneError:
        # The reader has seen enough; what would have been the answer's exit code is not known.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BROKEN_PIPE)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("WORKBENCH_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__
        hint = "WORKBENCH_DEBUG=1 shows where; please report it."
        complain(WorkbenchError(f"This failed in a way that was not foreseen ({what}).", hint))
        sys.exit(WorkbenchError.exit_code)
    finally:
        say_what_was_odd()
    sys.exit(0)
