"""How the commands speak: tables for people, JSON for programs, messages on stderr."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workbench.answer import Answer, many
from workbench.answer import Table as Rows
from workbench.errors import Drift, WorkbenchError
from workbench.hints import DEFAULT, aim, odd, on_environment, paths_below

if TYPE_CHECKING:
    import pandas as pd

    from workbench.checks import Finding
    from workbench.database.environment import Environment

_KIND_STYLE = {"production": "bold white on red", "staging": "bold black on yellow"}

_STATUS_STYLE = {
    "pass": "green", "completed": "green", "ok": "green",
    "warn": "yellow", "incomplete": "yellow", "interrupted": "yellow", "not run": "yellow", "note": "dim",
    "fail": "bold red", "failed": "bold red", "missing": "bold red", "unknown": "magenta", "waived": "cyan",
}  # fmt: skip

Advance = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""

_CLIP = 300
_LONG = 24  # letters a line, below which a sentence cannot be read
_FEW = 3  # rows that are laid out one cell a line rather than lose a column
_IDS = {"run", "key", "id", "record id", "check"}


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
    """Say on stderr what happened, to which rows, and what to do next."""
    from workbench.database.address import redact

    if isinstance(error, Drift) and error.rows:
        import pandas as pd

        rows = pd.DataFrame(error.rows, columns=["table", "key", "what is different"])
        _print_table(rows, "Not as it was seen", console=stderr())
    console = stderr()
    console.print(Text("workbench: ", style="bold red") + Text(redact(error.what)))
    if error.next_step:
        console.print(Text(f"  {redact(aim(error.next_step, _asked, _program()))}"))


def banner(environment: Environment) -> None:
    """Say on stderr which database this is; production stands out."""
    stderr().print(Text(f" {environment} ", style=_KIND_STYLE.get(environment.kind, "bold")))


def print_json(value: Any) -> None:
    """Write one JSON document to stdout, keys in the order given."""
    plain_ascii = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    write(json.dumps(value, ensure_ascii=plain_ascii, indent=2) + "\n")


def print_answer(answer: Answer) -> None:
    """Print what a question returned: its headline, its parts and findings in their order, and what to do next."""
    _say(*(answer.text(line) for line in answer.headline.splitlines()))
    for part in answer.parts.values():
        if isinstance(part, str):
            _say(*(answer.text(line) if line else "" for line in part.splitlines()))
        elif isinstance(part, Mapping):
            _say(*(f"{what}: {answer.text(fact)}" for what, fact in part.items()))
        elif isinstance(part, Rows):
            if len(part.frame) or part.empty:
                rows = answer.masked(part)
                of_all = max(part.total or 0, len(part.frame))
                more = f" ({len(rows):,} of {of_all:,})" if len(rows) < of_all else ""
                _print_table(rows, f"{part.caption}{more}", empty=part.empty, first=part.first)
            if part.note:
                _say(f"  {answer.text(part.note)}")
    for finding in answer.findings if answer.sample != 0 else ():
        _print_finding(finding, answer)
    if answer.next_steps:
        _say("", "Next:")
        for sentence, words in answer.next_steps:
            text = answer.text(sentence)
            if text:
                _say(f"  {text.rstrip('.:')}:" if words else f"  {text}")
            if words:
                _say(f"{'    ' if text else '  '}{command_line(words, answer.environment)}")


def _print_finding(finding: Finding, answer: Answer) -> None:
    """Print what a finding asks, what to do about it, and a sample of its rows."""
    from workbench.checks.finding import culprits
    from workbench.reporting.masking import mask

    if not finding.bad or finding.status == "not run":
        return
    rows, total, all_shown = finding.rows, finding.count or 0, culprits(finding.rows)
    of_rows = f", in {many(len(rows), 'row')}" if total == all_shown != len(rows) else ""
    _say("", f"{finding.guide} {finding.title} ({finding.check}): {finding.status}, {total:,}{of_rows}")
    _say(f"  {finding.question}", f"  {finding.remedy}")
    rows = rows if answer.sample is None else rows.head(answer.sample)
    _print_table(mask(rows, answer.unmask), first=("key", "why", "reason", "evidence", "run"))
    if total > (shown := culprits(rows)):
        more = command_line(f"{answer.asked_by} {finding.check} --limit {total}")
        _say(f"  {shown:,} of {total:,}; more: {more}")


def _print_table(
    frame: pd.DataFrame,
    title: str = "",
    empty: str = "none",
    *,
    first: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print a frame as a table on a terminal, where `first` are kept before others, and as tab-separated lines in a pipe."""
    import pandas as pd

    console, empty = console or stdout(), aim(empty, _asked, _program())
    if not console.file.isatty():
        lines = [f"# {title}"] if title else []
        lines.append("\t".join(map(str, frame.columns)) if len(frame) else empty)
        lines += ["\t".join(map(_cell, row)) for row in frame.itertuples(index=False)]
        write("\n".join(lines) + "\n", console.file)  # type: ignore[arg-type]  # rich would turn the tabs into spaces
        return
    if not len(frame):
        console.print(Text(": ".join(filter(None, (title, empty)))))
        return
    cells = frame.map(_cell).rename(columns=_named)
    names, left, shown = list(cells.columns), console.width + 2, set[str]()
    longest = {name: max(len(name), int(cells[name].str.len().max())) for name in names}
    # A sentence is folded, and nothing else: an id or a word that is broken in two cannot be read.
    folded = {
        name
        for name in names
        if longest[name] > _LONG and name not in _IDS and cells[name].str.contains(" ").any()
    }
    for name in dict.fromkeys([*(name for name in map(_named, first) if name in longest), *names]):
        room = (max(_LONG, len(name)) if name in folded else longest[name]) + 2
        if room <= left:
            left -= room
            shown.add(name)
    left_out = [name for name in names if name not in shown]
    if len(shown) < min(2, len(names)) or (left_out and len(frame) <= _FEW):
        _print_stacked(console, cells, title)
        return
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        header_style="bold",
        pad_edge=False,
        box=None,
    )
    for name, kind in zip(names, frame.dtypes, strict=True):
        if name in shown:
            number = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind)
            table.add_column(
                name, justify="right" if number else "left", overflow="fold", no_wrap=name not in folded
            )
    for row in cells[[name for name in names if name in shown]].itertuples(index=False):
        table.add_row(*map(_styled, row))
    console.print(table)
    if left_out:
        _say(f"  Not shown for want of room: {', '.join(left_out)}. A wider terminal or --json has them.")
        same = {name: cells[name].iloc[0] for name in left_out if cells[name].nunique() == 1}
        alike = [f"{name} {value}" for name, value in same.items() if value]
        _say(*[f"  The same in every row: {', '.join(alike)}."] if alike else [])


def _named(column: object) -> str:
    return str(column).replace("_", " ")


def _print_stacked(console: Console, cells: pd.DataFrame, title: str) -> None:
    """Lay rows out with one line a cell, and an empty line after each."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.title, table.title_justify = (Text(title) if title else None), "left"
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in cells.to_dict("records"):
        for name, text in row.items():
            if text:
                table.add_row(str(name), _styled(text))
        table.add_row()
    console.print(table)


def _styled(text: str) -> Text:
    return Text(text, style=_STATUS_STYLE.get(text, ""))


def _cell(value: Any) -> str:
    from workbench.reporting.tables import DASH, shorten, text_of

    if isinstance(value, dict):
        value = ", ".join(f"{key}: {one}" for key, one in value.items())
    text = text_of(value)
    return "" if text == DASH else shorten(text, _CLIP)


def _say(*lines: str) -> None:
    """Print lines to stdout; on a terminal they are broken between words, and never within a command."""
    console = stdout()
    for line in lines:
        text = aim(line, _asked, _program())
        console.print(Text(text if console.soft_wrap else _folded(text, console.width)), soft_wrap=True)


def _folded(text: str, width: int) -> str:
    """Break a line between words under its own indentation; a command, in backquotes or to a line's end, stays whole."""
    if text.lstrip().startswith(f"{_program()} "):
        return text
    whole = re.sub(rf"`[^`]*`|{re.escape(_program())} .*$", lambda found: found[0].replace(" ", "\0"), text)
    indent = " " * (len(text) - len(text.lstrip()))
    lines = wrap(whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


_asked = DEFAULT


def asked_of(environment: str | None) -> None:
    """Note which environment the command at hand was given, so that what it suggests asks the same one."""
    global _asked  # one command runs at a time
    _asked = environment or DEFAULT


def command_line(words: str, environment: str = "") -> str:
    """Return a suggested command as it can be pasted: for the environment at hand or another, by the program as it was called."""
    return f"{_program()} {words}{on_environment(environment or _asked)}"


def _program() -> str:
    called = Path(sys.argv[0])
    if called.name != "workbench":
        return "python -m workbench"
    return "workbench" if shutil.which("workbench") else paths_below([called])[0]


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
        names = f"`{command_line('check values-odd')}` names their rows."
        stderr().print(Text(f"{told} {names}", style="yellow"))
        odd.clear()


@contextmanager
def progress() -> Iterator[Advance]:
    """Show progress on a terminal, from the first that is told; say nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn()
    bar = Progress(*columns, console=stderr(), transient=True)
    task = bar.add_task("starting", total=None)

    def advance(what: str, done: int, total: int) -> None:
        bar.start()  # not before, for a question may be asked first
        bar.update(task, description=what, completed=done, total=total or None)

    try:
        yield advance
    finally:
        bar.stop()
