"""Suggested commands: each is one line to paste, with the option of its environment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

odd: set[str] = set()
"""Dates that Python cannot represent, as the database writes them; a command reports them at its end."""

DEFAULT = "demo"
"""The environment that commands use by default."""

OF_NO_ENVIRONMENT = ("demo", "bundle check", "bundle list")
"""Commands that take no ``--environment``."""

_COMMAND = re.compile(r"`workbench (?P<words>[a-z][^`\n]*)`")
_TAIL = re.compile(r" (-- |> ).*$")


def on_environment(environment: str) -> str:
    """Return the option for an environment; empty for the default one."""
    return "" if environment == DEFAULT else f" -e {quote(environment)}"


def aim(text: str, environment: str, program: str = "workbench") -> str:
    """Add the environment's option to every command between backquotes, and call the program by its actual name.

    The option precedes a redirection and another program's command after ``--``. Commands that name an environment, or
    take none, are left alone.
    """
    option = on_environment(environment)

    def aimed(match: re.Match[str]) -> str:
        words = match["words"]
        named = " -e " in words or "--environment" in words
        if not option or named or words.startswith(OF_NO_ENVIRONMENT):
            return f"`{program} {words}`"
        tail = _TAIL.search(words)
        return (
            f"`{program} {words[: tail.start()]}{option}{tail[0]}`"
            if tail
            else f"`{program} {words}{option}`"
        )

    return _COMMAND.sub(aimed, text)


def paths_below(paths: Sequence[Path], folder: Path | None = None) -> list[str]:
    """Return paths, relative to the working directory where they are below it."""
    here = (folder or Path.cwd()).resolve()
    return [
        str(path.resolve().relative_to(here)) if path.resolve().is_relative_to(here) else str(path)
        for path in paths
    ]
