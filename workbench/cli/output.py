"""How the commands speak: tables for people, JSON for programs, messages on stderr."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from workbench.errors import WorkbenchError
from workbench.hints import DEFAULT, aim, odd, on_environment

if TYPE_CHECKING:
    import pandas as pd

    from workbench.database.environment import Environment

_KIND_STYLE = {"production": "bold white on red", "staging": "bold black on yellow"}

STATUS_STYLE = {
    "pass": "green", "completed": "green", "ok": "green",
    "warn": "yellow", "incomplete": "yellow", "interrupted": "yellow", "not run": "yellow", "note": "dim",
    "fail": "bold red", "failed": "bold red", "missing": "bold red", "unknown": "magenta", "waived": "cyan",
}  # fmt: skip

Advance = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""

_CLIP = 300
_LEAST, _LONG = (8, 20), 60  # letters a line, below which a short and a long text cannot be read
_IDS = {"run", "key", "id", "record_id", "check"}


class ReaderGoneError(Exception):
    """Whoever read the answer has closed the pipe; no `OSError`, which would be taken for a failure on the way."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise ReaderGoneError


def write(text: str, stream: TextIO | None = None) -> None:
    """Write to stdout, or another stream, as it is."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise ReaderGoneError from None


def stdout() -> Console:
    """Return the console for answers; in a pipe it neither wraps nor colours."""
    return _Console(soft_wrap=not sys.stdout.isatty(), highlight=False, markup=False)


def stderr() -> Console:
    """Return the console for messages."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def complain(error: WorkbenchError) -> None:
    """Say on stderr what happened and what to do next."""
    from workbench.database.address import redact

    console = stderr()
    console.print(Text("workbench: ", style="bold red") + Text(redact(error.what)))
    if error.next_step:
        console.print(Text(f"  {redact(aim(error.next_step, _asked, command()))}"))


def banner(environment: Environment) -> None:
    """Say on stderr which database this is; production stands out."""
    stderr().print(Text(f" {environment} ", style=_KIND_STYLE.get(environment.kind, "bold")))


def print_json(value: Any) -> None:
    """Write one JSON document to stdout, keys in the order given."""
    plain_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    write(json.dumps(plain(value), ensure_ascii=plain_ascii, indent=2) + "\n")


def plain(value: Any) -> Any:
    """Turn frames, times and exact numbers into what JSON has."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return [plain(row) for row in value.to_dict("records")]
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, str | bool | None.__class__):
        return value
    if pd.isna(value):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if hasattr(value, "item"):
        return value.item()
    return value if isinstance(value, int | float) else str(value)


def print_table(
    frame: pd.DataFrame,
    title: str = "",
    empty: str = "none",
    *,
    as_message: bool = False,
    limit: int | None = None,
) -> None:
    """Print a frame as a table on a terminal, and as tab-separated lines in a pipe.

    Parameters
    ----------
    as_message : bool
        Whether it goes with the messages, to stderr.
    limit : int, optional
        How many rows are shown; that there are more is said in the title.
    """
    import pandas as pd

    if limit is not None and len(frame) > limit:
        title = f"{title} ({limit} of {len(frame):,}; all with --json)"
        frame = frame.head(limit)
    empty = aim(empty, _asked, command())
    stream = sys.stderr if as_message else sys.stdout
    console = stderr() if as_message else stdout()
    if not stream.isatty():
        lines = [f"# {title}"] if title else []
        lines.append("\t".join(map(str, frame.columns)) if len(frame) else empty)
        lines += ["\t".join(_cell(value) for value in row) for row in frame.itertuples(index=False)]
        write("\n".join(lines) + "\n", stream)  # rich would turn the tabs into spaces
        return
    if not len(frame):
        console.print(Text(f"{title}: {empty}" if title else empty))
        return
    if _too_wide(frame, console.width):
        console.print(_stacked(frame, title))
        return
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        header_style="bold",
        pad_edge=False,
        box=None,
    )
    for name in frame.columns:
        number = pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        whole = name in _IDS  # an id that is broken in two cannot be copied
        justify: Literal["left", "right"] = "right" if number else "left"
        table.add_column(str(name).replace("_", " "), justify=justify, overflow="fold", no_wrap=whole)
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_cell(value), style=STATUS_STYLE.get(str(value), "")) for value in row))
    console.print(table)


def _too_wide(frame: pd.DataFrame, width: int) -> bool:
    """Whether a column of text would be left with a few letters a line, beside ids that are not broken."""
    needed = 2 * (len(frame.columns) - 1)
    for name in frame.columns:
        longest = max(len(str(name)), *(len(_cell(value)) for value in frame[name]))
        needed += longest if name in _IDS else min(longest, _LEAST[longest > _LONG])
    return needed > width


def _stacked(frame: pd.DataFrame, title: str) -> Table:
    """Lay a frame out with one line a cell, and an empty line between its rows."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.title, table.title_justify = (Text(title) if title else None), "left"
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for number, row in enumerate(frame.to_dict("records")):
        if number:
            table.add_row()
        for name, value in row.items():
            if text := _cell(value):
                table.add_row(str(name).replace("_", " "), Text(text, style=STATUS_STYLE.get(str(value), "")))
    return table


def narrow() -> bool:
    """Whether answers go to a terminal with too little room for a wide table."""
    return sys.stdout.isatty() and stdout().width < 120


_asked = DEFAULT


def asked_of(environment: str | None) -> None:
    """Note which environment the command at hand was given, so that what it suggests asks the same one."""
    global _asked  # one command runs at a time
    _asked = environment or DEFAULT


def on(environment: str | None = None) -> str:
    """Return the option that lets a suggested command ask an environment: the one at hand, or another."""
    return on_environment(environment or _asked)


def command() -> str:
    """Return how the command was called, so that what is proposed can be pasted."""
    called = Path(sys.argv[0])
    if called.name != "workbench":
        return "python -m workbench"
    return "workbench" if shutil.which("workbench") else paths_below([called])[0]


def say(*lines: str) -> None:
    """Print lines to stdout as they are; one with a command to paste is never broken."""
    console, program = stdout(), f"{command()} "
    for line in lines:
        text = aim(line, _asked, command())
        console.print(Text(text), soft_wrap=program in text or console.soft_wrap)


def say_not_logged(why: str) -> None:
    """Say on stderr that what was done is not in the audit log, where that is so."""
    if why:
        stderr().print(Text(f"Not in the audit log: {why}", style="yellow"))


def say_what_was_odd() -> None:
    """Name on stderr the dates that were read and are in no calendar, however the question was answered."""
    if odd:
        few = ", ".join(sorted(odd)[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        told = (
            f"Dates outside the years 1 to 9999 were met, and taken for very early or very late ones: {few}."
        )
        stderr().print(Text(f"{told} `workbench check values-odd{on()}` names their rows.", style="yellow"))
        odd.clear()


def paths_below(paths: Sequence[Path], folder: Path | None = None) -> list[str]:
    """Show paths relative to the working directory where they lie below it."""
    here = (folder or Path.cwd()).resolve()
    return [
        str(path.resolve().relative_to(here)) if path.resolve().is_relative_to(here) else str(path)
        for path in paths
    ]


def _cell(value: Any) -> str:
    import pandas as pd

    if value is None or (not isinstance(value, str | list | dict) and pd.isna(value)):
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    # Control characters of a value must not steer the terminal, nor break a line of a table.
    text = "".join(letter if letter.isprintable() else "�" for letter in str(value))
    return text if len(text) <= _CLIP else text[: _CLIP - 1] + "…"


@contextmanager
def progress_bar() -> Iterator[Advance]:
    """Show progress on a terminal; say nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
