"""Print answers as text and tables or as JSON, and messages to stderr."""

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
from workbench.answer import Table as AnswerTable
from workbench.errors import Drift, WorkbenchError
from workbench.hints import DEFAULT, aim, odd, on_environment, paths_below

if TYPE_CHECKING:
    import pandas as pd

    from workbench.checks import Finding
    from workbench.database.environment import Environment

Advance = Callable[[str, int, int], None]
"""Progress callback: what begins, how many steps are done, how many there are."""

_KIND_STYLE = {"production": "bold white on red", "staging": "bold black on yellow"}
_STATUS_STYLE = {
    **dict.fromkeys(("pass", "completed", "ok"), "green"),
    **dict.fromkeys(("warn", "incomplete", "interrupted", "not run"), "yellow"),
    **dict.fromkeys(("fail", "failed", "missing"), "bold red"),
    "note": "dim",
    "unknown": "magenta",
    "waived": "cyan",
}
_LONGEST_CELL = 300
_WRAP_FROM = 24  # characters: longer sentences are wrapped, down to this width
_FEW_ROWS = 3  # printed as lists rather than without some columns
_NEVER_WRAPPED = {"run", "key", "id", "record id", "check"}

_environment = DEFAULT  # of the running command


class ClosedPipeError(Exception):
    """The reader closed the pipe. Not an `OSError`, which would be reported as a failure."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise ClosedPipeError


def write(text: str, stream: TextIO | None = None) -> None:
    """Write text to stdout or another stream, unchanged."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        raise ClosedPipeError from None


def stdout() -> Console:
    """Return the console for answers; in a pipe it neither wraps nor colours."""
    return _Console(soft_wrap=not sys.stdout.isatty(), highlight=False, markup=False)


def stderr() -> Console:
    """Return the console for messages."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def print_error(error: WorkbenchError) -> None:
    """Print an error to stderr: what happened, to which rows, and what to do."""
    from workbench.database.address import redact

    if isinstance(error, Drift) and error.rows:
        import pandas as pd

        rows = pd.DataFrame(error.rows, columns=["table", "key", "difference"])
        _print_table(rows, "Changed since the plan was made", console=stderr())
    stderr().print(Text("workbench: ", style="bold red") + Text(redact(error.what)))
    if error.next_step:
        stderr().print(Text(f"  {redact(_with_commands(error.next_step))}"))


def banner(environment: Environment) -> None:
    """Print to stderr which database this is; production stands out."""
    stderr().print(Text(f" {environment} ", style=_KIND_STYLE.get(environment.kind, "bold")))


def print_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    write(json.dumps(value, ensure_ascii=ascii_only, indent=2) + "\n")


def print_answer(answer: Answer) -> None:
    """Print an answer: headline, parts, findings, next steps."""
    _print_lines(*(answer.text(line) for line in answer.headline.splitlines()))
    for part in answer.parts.values():
        if isinstance(part, str):
            _print_lines(*(answer.text(line) if line else "" for line in part.splitlines()))
        elif isinstance(part, Mapping):
            _print_lines(*(f"{title}: {answer.text(fact)}" for title, fact in part.items() if fact))
        elif isinstance(part, AnswerTable):
            if len(part.frame) or part.empty:
                rows, total = answer.masked(part), max(part.total or 0, len(part.frame))
                more = f" ({len(rows):,} of {total:,})" if len(rows) < total else ""
                _print_table(rows, f"{part.caption}{more}", empty=part.empty, first=part.first)
            if part.note:
                _print_lines(f"  {answer.text(part.note)}")
    for finding in answer.findings if answer.sample != 0 else ():
        if finding.bad and finding.status != "not run":
            _print_finding(finding, answer)
    if answer.next_steps:
        _print_lines("", "Next:")
    for sentence, words in answer.next_steps:
        text = answer.text(sentence)
        if text:
            _print_lines(f"  {text.rstrip('.:')}:" if words else f"  {text}")
        if words:
            _print_lines(f"{'    ' if text else '  '}{command_line(words, answer.environment)}")


def _print_finding(finding: Finding, answer: Answer) -> None:
    """Print a finding's question, remedy and sample rows."""
    from workbench.checks.finding import culprits
    from workbench.reporting.masking import mask

    total, counted = finding.count or 0, culprits(finding.rows)
    in_rows = f", in {many(len(finding.rows), 'row')}" if total == counted != len(finding.rows) else ""
    _print_lines(
        "", f"{finding.guide} {finding.title} ({finding.check}): {finding.status}, {total:,}{in_rows}"
    )
    _print_lines(f"  {finding.question}", f"  {finding.remedy}")
    rows = finding.rows if answer.sample is None else finding.rows.head(answer.sample)
    _print_table(mask(rows, answer.unmask), first=("key", "why", "reason", "evidence", "run"))
    if total > (shown := culprits(rows)):
        more = command_line(f"{answer.asked_by} {finding.check} --limit {total}")
        _print_lines(f"  {shown:,} of {total:,}; more: {more}")


def _print_table(
    frame: pd.DataFrame,
    title: str = "",
    empty: str = "none",
    *,
    first: Sequence[str] = (),
    console: Console | None = None,
) -> None:
    """Print a frame: on a terminal as many columns as fit, `first` ones first; in a pipe as tab-separated lines."""
    console, empty = console or stdout(), _with_commands(empty)
    cells = frame.map(_cell)
    if not console.file.isatty():
        lines = [f"# {title}"] if title else []
        lines.append("\t".join(map(str, frame.columns)) if len(frame) else empty)
        lines += map("\t".join, cells.itertuples(index=False, name=None))
        write("\n".join(lines) + "\n", console.file)  # type: ignore[arg-type]  # rich would expand the tabs
        return
    if not len(frame):
        console.print(Text(": ".join(filter(None, (title, empty)))))
        return
    if title:
        console.print()
    cells.columns = names = [str(name).replace("_", " ") for name in frame]
    longest = {name: max(len(name), int(cells[name].str.len().max())) for name in names}
    wrapped = {
        name
        for name in names
        if longest[name] > _WRAP_FROM and name not in _NEVER_WRAPPED and cells[name].str.contains(" ").any()
    }
    room, shown = console.width + 2, set[str]()
    preferred = [name.replace("_", " ") for name in first]
    for name in dict.fromkeys([*filter(longest.__contains__, preferred), *names]):
        width = (max(_WRAP_FROM, len(name)) if name in wrapped else longest[name]) + 2
        if width <= room:
            room -= width
            shown.add(name)
    left_out = [name for name in names if name not in shown]
    if len(shown) < min(2, len(names)) or (left_out and len(frame) <= _FEW_ROWS):
        _print_lists(console, cells, title)
        return
    table = Table(title=Text(title) if title else None, header_style="bold", pad_edge=False, box=None)
    table.title_justify = "left"
    for name, kind in zip(names, frame.dtypes, strict=True):
        if name in shown:
            side = "right" if kind.kind in "iuf" else "left"
            table.add_column(name, justify=side, overflow="fold", no_wrap=name not in wrapped)  # type: ignore[arg-type]
    for row in cells[[name for name in names if name in shown]].itertuples(index=False, name=None):
        table.add_row(*map(_styled, row))
    console.print(table)
    if left_out:
        _print_lines(f"  Too narrow for: {', '.join(left_out)}. Use a wider terminal or --json.")


def _print_lists(console: Console, cells: pd.DataFrame, title: str) -> None:
    """Print each row as a list of columns and values."""
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
    return "" if text == DASH else shorten(text, _LONGEST_CELL)


def _print_lines(*lines: str) -> None:
    """Print lines to stdout; on a terminal they wrap between words, but not within a command."""
    console = stdout()
    for line in lines:
        text = _with_commands(line)
        console.print(Text(text if console.soft_wrap else _wrap(text, console.width)), soft_wrap=True)


def _wrap(text: str, width: int) -> str:
    """Wrap a line, keeping its indentation and commands in one piece."""
    program = _program()
    if text.lstrip().startswith(f"{program} "):
        return text
    glued = re.sub(rf"`[^`]*`|{re.escape(program)} .*$", lambda match: match[0].replace(" ", "\0"), text)
    indent = " " * (len(text) - len(text.lstrip()))
    lines = wrap(glued, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def set_environment(environment: str | None) -> None:
    """Set the environment of the running command, for the commands that it suggests."""
    global _environment
    _environment = environment or DEFAULT


def command_line(words: str, environment: str = "") -> str:
    """Return a suggested command as it can be pasted."""
    return f"{_program()} {words}{on_environment(environment or _environment)}"


def _with_commands(text: str) -> str:
    """Complete the commands in a text with program and environment."""
    return aim(text, _environment, _program())


def _program() -> str:
    called = Path(sys.argv[0])
    if called.name != "workbench":
        return "python -m workbench"
    return "workbench" if shutil.which("workbench") else paths_below([called])[0]


def warn(sentence: str) -> None:
    """Print a warning to stderr; nothing for an empty one."""
    if sentence:
        stderr().print(Text(_with_commands(sentence), style="yellow"))


def warn_about_odd_dates() -> None:
    """Warn about dates outside the calendar that were read."""
    if odd:
        few = ", ".join(sorted(odd)[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        warn(
            f"Dates outside the years 1 to 9999 were read as the earliest or latest date: {few}."
            " `workbench check values-odd` lists their rows."
        )
        odd.clear()


@contextmanager
def progress() -> Iterator[Advance]:
    """Show a progress bar on a terminal, from the first call of the callback; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn()
    bar = Progress(*columns, console=stderr(), transient=True)
    task = bar.add_task("starting", total=None)

    def advance(what: str, done: int, total: int) -> None:
        bar.start()
        bar.update(task, description=what, completed=done, total=total or None)

    try:
        yield advance
    finally:
        bar.stop()
