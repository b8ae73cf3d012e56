"""How the commands speak: tables for people, JSON for programs, messages on stderr."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from numbers import Integral
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from workbench.errors import WorkbenchError
from workbench.hints import DEFAULT, aim, odd, on_environment
from workbench.hints import paths_below as paths_below

if TYPE_CHECKING:
    import pandas as pd

    from workbench.answer import Answer
    from workbench.checks import Finding
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
_LONG = 24  # letters a line, below which a sentence cannot be read
_FEW = 3  # rows that are laid out one cell a line rather than lose a column
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
    from workbench.answer import plain

    plain_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    write(json.dumps(plain(value), ensure_ascii=plain_ascii, indent=2) + "\n")


def print_table(
    frame: pd.DataFrame,
    title: str = "",
    empty: str = "none",
    *,
    first: Sequence[str] = (),
    as_message: bool = False,
    limit: int | None = None,
) -> None:
    """Print a frame as a table on a terminal, and as tab-separated lines in a pipe.

    Parameters
    ----------
    first : sequence of str
        The columns that are kept on a terminal without room for all.
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
    chosen = _chosen(frame, first, console.width)
    if len(chosen) < min(2, len(frame.columns)) or (len(chosen) < len(frame.columns) and len(frame) <= _FEW):
        console.print(_stacked(frame, title))
        return
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        header_style="bold",
        pad_edge=False,
        box=None,
    )
    for name in chosen:
        number = pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        justify: Literal["left", "right"] = "right" if number else "left"
        whole = _room(frame, name) == _longest(
            frame, name
        )  # an id or a word that is broken in two cannot be read
        table.add_column(_words(name), justify=justify, overflow="fold", no_wrap=whole)
    for row in frame[chosen].itertuples(index=False):
        table.add_row(*(Text(_cell(value), style=STATUS_STYLE.get(str(value), "")) for value in row))
    console.print(table)
    if left_out := [name for name in frame.columns if name not in chosen]:
        names = ", ".join(map(_words, left_out))
        say(f"  Not shown for want of room: {names}. A wider terminal or --json has them.")
        values = {name: frame[name].map(_cell) for name in left_out}
        alike = [f"{_words(name)} {cells.iloc[0]}" for name, cells in values.items() if cells.nunique() == 1]
        say(f"  The same in every row: {', '.join(alike)}." if alike else "")


def _chosen(frame: pd.DataFrame, first: Sequence[str], width: int) -> list[Any]:
    """Return the columns for which there is room, in the frame's order; those to be kept are taken first."""
    room, taken = width + 2, set()
    for name in dict.fromkeys([*(each for each in first if each in frame), *frame.columns]):
        needed = _room(frame, name) + 2
        if needed <= room:
            room -= needed
            taken.add(name)
    return [name for name in frame.columns if name in taken]


def _room(frame: pd.DataFrame, name: Any) -> int:
    """Return the letters a line that a column needs at least: a sentence is folded, and nothing else."""
    longest = _longest(frame, name)
    sentence = longest > _LONG and name not in _IDS and any(" " in _cell(value) for value in frame[name])
    return max(_LONG, len(_words(name))) if sentence else longest


def _longest(frame: pd.DataFrame, name: Any) -> int:
    return max(len(_words(name)), *(len(_cell(value)) for value in frame[name]))


def _words(name: Any) -> str:
    return str(name).replace("_", " ")


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
                table.add_row(_words(name), Text(text, style=STATUS_STYLE.get(str(value), "")))
    return table


def print_answer(answer: Answer) -> None:
    """Print what a question returned: its headline, its parts and findings in their order, and what to do next."""
    from workbench.answer import Table as Rows

    say(*(answer.text(line) for line in answer.headline.splitlines()))
    for part in answer.parts.values():
        if isinstance(part, str):
            say(*(answer.text(line) if line else "" for line in part.splitlines()))
        elif isinstance(part, Mapping):
            say(*(f"{what}: {answer.text(fact)}" for what, fact in part.items()))
        elif isinstance(part, Rows):
            if len(part.frame) or part.empty:
                rows = answer.masked(part)
                of_all = max(part.total or 0, len(part.frame))
                more = f" ({len(rows):,} of {of_all:,})" if len(rows) < of_all else ""
                print_table(rows, f"{part.caption}{more}", empty=part.empty, first=part.first)
            if part.note:
                say(f"  {answer.text(part.note)}")
    for finding in answer.findings if answer.sample != 0 else ():
        _print_finding(finding, answer)
    if answer.next_steps:
        say("", "Next:")
        for sentence, words in answer.next_steps:
            text = answer.text(sentence)
            if text:
                say(f"  {text.rstrip('.:')}:" if words else f"  {text}")
            if words:
                say(f"{'    ' if text else '  '}{command()} {words}{on(answer.environment)}")


def _print_finding(finding: Finding, answer: Answer) -> None:
    """Print what a finding asks, what to do about it, and a sample of its rows."""
    from workbench.answer import many
    from workbench.checks.finding import culprits
    from workbench.reporting.masking import mask

    if not finding.bad or finding.status == "not run":
        return
    rows, total, all_shown = finding.rows, finding.count or 0, culprits(finding.rows)
    of_rows = f", in {many(len(rows), 'row')}" if total == all_shown != len(rows) else ""
    say("", f"{finding.guide} {finding.title} ({finding.check}): {finding.status}, {total:,}{of_rows}")
    say(f"  {finding.question}", f"  {finding.remedy}")
    rows = rows if answer.sample is None else rows.head(answer.sample)
    print_table(mask(rows, answer.unmask), first=("key", "why", "reason", "evidence", "run"))
    if total > (shown := culprits(rows)):
        more = f"{command()} {answer.asked_by} {finding.check} --limit {total}{on()}"
        say(f"  {shown:,} of {total:,}; more: {more}")


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
    """Print lines to stdout; on a terminal they are broken between words, and never within a command."""
    console = stdout()
    for line in lines:
        text = aim(line, _asked, command())
        if not console.soft_wrap:
            text = "\n".join(_folded(text, console.width))
        console.print(Text(text), soft_wrap=True)


def _folded(text: str, width: int) -> list[str]:
    """Break a line between words under its own indentation; a command, in backquotes or to a line's end, stays whole."""
    if text.lstrip().startswith(f"{command()} "):
        return [text]
    whole = re.sub(rf"`[^`]*`|{re.escape(command())} .*$", lambda found: found[0].replace(" ", "\0"), text)
    indent = " " * (len(text) - len(text.lstrip()))
    lines = wrap(
        whole,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    return [each.replace("\0", " ") for each in lines] or [""]


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


def _cell(value: Any) -> str:
    import pandas as pd

    if value is None or (not isinstance(value, str | list | dict) and pd.isna(value)):
        return ""
    if isinstance(value, dict):
        value = ", ".join(f"{key}: {one}" for key, one in value.items())
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
