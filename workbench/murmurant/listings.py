"""CSV files that people hand us, read whole: every line by its number, and what is wrong with it."""

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
csv.field_size_limit(2**31 - 1)  # else a description of 150 kB ends it
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


class Line(NamedTuple):
    """One line of a listing.

    Attributes
    ----------
    number : int
        Of the line in the file on which it begins.
    cells : dict of str to str
        Column to value, without blanks around it; empty where the line has a problem.
    problem : str
        Why it cannot be read; empty where it can.
    """

    number: int
    cells: dict[Any, str]
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """A CSV file as it was read.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Of its bytes.
    header : list of str
        The headings, as they stand there but for blanks around them.
    rows : list of (int, list of str)
        The lines below it that say something, by the number of the line they begin on.
    """

    path: Path
    sha256: str
    header: list[str]
    rows: list[tuple[int, list[str]]]

    def lines(self, columns: Sequence[Any]) -> list[Line]:
        """Return its lines, with the cells under these names, in the order of the header."""
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
    """Read a CSV file in UTF-8, with or without a byte order mark; commas, semicolons or tabs part the columns.

    Parameters
    ----------
    wide : bool
        Whether UTF-16, as spreadsheets save "Unicode text", is read too.

    Raises
    ------
    UsageError
        When it cannot be read, is in another encoding, is damaged or is empty.
    Refused
        When it has nothing below its header: there is nothing to do.
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
    """Return a file's text; what it is not in, if it is no UTF-8, is a `UsageError`: see `read_csv`."""
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
    """Write a value so that no spreadsheet takes it for a formula; `plain_value` takes it back."""
    return f"'{value}" if _FORMULA.match(value) else value


def plain_value(cell: str) -> str:
    """Return what a cell written by `neutral` holds."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[Any, object]]) -> None:
    """Write rows as CSV in UTF-8, every value neutralised."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([neutral(str(row[name])) for name in columns] for row in rows)
    try:
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(
            f"The file {path} cannot be written: {error.strerror}.", "Name a file in a folder that is there."
        ) from None
