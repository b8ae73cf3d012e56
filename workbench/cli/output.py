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
    **dict.fromkeys(("pass", "completed", "ok"), "green"),
    **dict.fromkeys(("warn", "incomplete", "interrupted", "not run"), "yellow"),
    **dict.fromkeys(("fail", "failed", "missing"), "bold red"),
    "note": "dim",
    "unknown": "magenta",
    "waived": "cyan",
}

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
        _print_table(rows, "Not as the plan saw it", console=stderr())
    stderr().print(Text("workbench: ", style="bold red") + Text(redact(error.what)))
    if error.next_step:
        stderr().print(Text(f"  {redact(aim(error.next_step, _asked, _program()))}"))


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
            _say(*(f"{title}: {answer.text(fact)}" for title, fact in part.items()))
        elif isinstance(part, Rows):
            if len(part.frame) or part.empty:
                rows, total = answer.masked(part), max(part.total or 0, len(part.frame))
                more = f" ({len(rows):,} of {total:,})" if len(rows) < total else ""
                _print_table(rows, f"{part.caption}{more}", empty=part.empty, first=part.first)
            if part.note:
                _say(f"  {answer.text(part.note)}")
    for finding in answer.findings if answer.sample != 0 else ():
        if finding.bad and finding.status != "not run":
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

    rows, total, standing_for = finding.rows, finding.count or 0, culprits(finding.rows)
    of_rows = f", in {many(len(rows), 'row')}" if total == standing_for != len(rows) else ""
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
    console, empty = console or stdout(), aim(empty, _asked, _program())
    cells = frame.map(_cell)
    if not console.file.isatty():
        lines = [f"# {title}"] if title else []
        lines.append("\t".join(map(str, frame.columns)) if len(frame) else empty)
        lines += map("\t".join, cells.itertuples(index=False, name=None))
        write("\n".join(lines) + "\n", console.file)  # type: ignore[arg-type]  # rich would turn the tabs into spaces
        return
    if not len(frame):
        console.print(Text(": ".join(filter(None, (title, empty)))))
        return
    if title:
        console.print()
    names = [_named(name) for name in frame]
    cells.columns = names
    longest = {name: max(len(name), int(cells[name].str.len().max())) for name in names}
    # A sentence is folded, and nothing else: an id or a word that is broken in two cannot be read.
    folded = {
        name
        for name in names
        if longest[name] > _LONG and name not in _IDS and cells[name].str.contains(" ").any()
    }
    room, shown = console.width + 2, set[str]()
    for name in dict.fromkeys([*map(_named, first), *names]):
        width = (max(_LONG, len(name)) if name in folded else longest.get(name, room)) + 2
        if width <= room:
            room -= width
            shown.add(name)
    left_out = [name for name in names if name not in shown]
    if len(shown) < min(2, len(longest)) or (left_out and len(frame) <= _FEW):
        _print_stacked(console, cells, title)
        return
    table = Table(title=Text(title) if title else None, header_style="bold", pad_edge=False, box=None)
    table.title_justify = "left"
    for name, kind in zip(names, frame.dtypes, strict=True):
        if name in shown:
            side = "right" if kind.kind in "iuf" else "left"
            table.add_column(name, justify=side, overflow="fold", no_wrap=name not in folded)  # type: ignore[arg-type]
    for row in cells[[name for name in names if name in shown]].itertuples(index=False, name=None):
        table.add_row(*map(_styled, row))
    console.print(table)
    if left_out:
        _say(f"  Not shown for want of room: {', '.join(left_out)}. A wider terminal or --json has them.")


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
        value = ", ".join(f"{key}: {inner}" for key, inner in value.items())
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
    program = _program()
    if text.lstrip().startswith(f"{program} "):
        return text
    whole = re.sub(rf"`[^`]*`|{re.escape(program)} .*$", lambda command: command[0].replace(" ", "\0"), text)
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


def warn(sentence: str) -> None:
    """Say on stderr what should be known, if there is anything."""
    if sentence:
        stderr().print(Text(aim(sentence, _asked, _program()), style="yellow"))


def say_what_was_odd() -> None:
    """Name on stderr the dates that were read and are in no calendar, however the question was answered."""
    if odd:
        few = ", ".join(sorted(odd)[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        warn(
            f"Dates outside the years 1 to 9999 were taken for very early or very late ones: {few}."
            " `workbench check values-odd` names their rows."
        )
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
