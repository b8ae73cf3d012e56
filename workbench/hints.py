"""Commands that are suggested: each is one line that can be pasted, for the environment it was suggested for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

odd: set[str] = set()
"""Dates that were read and are in no calendar, as the database writes them; a command says so when it ends."""

DEFAULT = "demo"
"""The environment that a command asks where none is named."""

OF_NO_ENVIRONMENT = ("demo", "bundle check", "bundle list")
"""Commands that take no ``--environment``."""

_COMMAND = re.compile(r"`workbench (?P<words>[a-z][^`\n]*)`")
_TAIL = re.compile(r" (-- |> ).*$")


def on_environment(environment: str) -> str:
    """Return the option that names an environment, where it is not the default one."""
    return "" if environment == DEFAULT else f" -e {quote(environment)}"


def aim(text: str, environment: str, program: str = "workbench") -> str:
    """Let every command that stands in backquotes in a text ask an environment, by the program as it was called.

    Another program's command behind ``--`` and a redirection stay last; a command that names an environment itself,
    or takes none, gets no other.
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
    """Show paths relative to the working directory where they lie below it."""
    here = (folder or Path.cwd()).resolve()
    return [
        str(path.resolve().relative_to(here)) if path.resolve().is_relative_to(here) else str(path)
        for path in paths
    ]
