"""CSV files from users: every line with its number, and what is wrong with it."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import Refused, UsageError

_SEPARATORS = ",;\t"
csv.field_size_limit(2**31 - 1)  # the default refuses a description of 150 kB
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


class Line(NamedTuple):
    """A line of a CSV file.

    Attributes
    ----------
    number : int
        The line of the file on which it begins.
    cells : dict of str to str
        Column to stripped value; empty if the line is invalid.
    problem : str
        Why it is invalid; empty if it is valid.
    """

    number: int
    cells: dict[Any, str]
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """A CSV file.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Of its bytes.
    header : list of str
        The stripped headings.
    rows : list of (int, list of str)
        The lines below it that are not empty, with their line numbers.
    """

    path: Path
    sha256: str
    header: list[str]
    rows: list[tuple[int, list[str]]]

    def lines(self, columns: Sequence[Any]) -> list[Line]:
        """Return the lines below the header, with cells under these column names."""
        lines = []
        for number, row in self.rows:
            cells = {name: plain_value(cell.strip()) for name, cell in zip(columns, row, strict=False)}
            problem = f"it has {len(row)} columns where the header has {len(columns)}; a cell with a separator in it needs quotes"
            lines.append(Line(number, cells) if len(row) == len(columns) else Line(number, {}, problem))
        return lines

    def columns(self, needed: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
        """Return the name of each heading's column, ignoring case.

        Raises
        ------
        UsageError
            For a column that is missing, unknown or repeated.
        """
        header = [name.casefold() for name in self.header]
        known = {name.casefold(): name for name in (*needed, *optional)}
        wrong = [f"has no column {name!r}" for name in needed if name.casefold() not in header]
        wrong += [f"has an unknown column {name!r}" for name in header if name not in known]
        wrong += [f"has the column {name!r} twice" for name in header if header.count(name) > 1]
        if wrong:
            raise UsageError(
                f"{self.path} {wrong[0]}.", f"Its first line names the columns: {','.join(known.values())}."
            )
        return [known[name] for name in header]


def read_csv(path: Path, wide: bool = False) -> Listing:
    """Read a CSV file in UTF-8, separated by commas, semicolons or tabs.

    Parameters
    ----------
    wide : bool
        Whether UTF-16, in which spreadsheets save "Unicode text", is accepted.

    Raises
    ------
    UsageError
        For a file that cannot be read, has another encoding, is damaged or is empty.
    Refused
        For a file with a header only.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Name a CSV file.") from None
    text = decoded(path, data, wide)
    separator = max(_SEPARATORS, key=text.lstrip().split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, list[str]]] = []
    begins = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((begins, row))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"{path} is damaged: line {reader.line_num}: {error}.", "Save it as CSV once more."
        ) from None
    if not rows:
        raise UsageError(f"{path} is empty.", "Its first line names the columns.")
    (_, header), *below = rows
    if not below:
        raise Refused(f"{path} has a header and no lines below it.", "There is nothing to do.")
    return Listing(path, hashlib.sha256(data).hexdigest(), [name.strip() for name in header], below)


def decoded(path: Path, data: bytes, wide: bool = False) -> str:
    """Decode the content of a file; `UsageError` for another encoding: see `read_csv`."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        if wide:
            return data.decode("utf-16", errors="replace")
        raise UsageError(f"{path} is in UTF-16.", "Save it as UTF-8 (in Excel: CSV UTF-8).")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path} is not in UTF-8: line {line} has the byte 0x{data[error.start]:02x}.",
            "Save it as UTF-8 (in Excel: CSV UTF-8).",
        ) from None
    if "\0" in text:
        raise UsageError(f"{path} is not a text file: it has a zero byte.", "Save it as CSV in UTF-8.")
    return text


def neutral(value: str) -> str:
    """Escape a value that a spreadsheet would take for a formula; `plain_value` is the inverse."""
    return f"'{value}" if _FORMULA.match(value) else value


def plain_value(cell: str) -> str:
    """Return the value of a cell that `neutral` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[Any, object]]) -> None:
    """Write rows as CSV in UTF-8, with formulas escaped."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([neutral(str(row[name])) for name in columns] for row in rows)
    try:
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(
            f"The file {path} cannot be written: {error.strerror}.", "Name a file in an existing folder."
        ) from None
