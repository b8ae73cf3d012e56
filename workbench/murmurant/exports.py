"""CSV files that people hand us: tables of corrections, and Wild Apricot's own exports."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from workbench.errors import UsageError, nearest
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
CONTACT_ID, EVENT_ID = "contactId", "eventWaId"
"""Under which names an export's registration tells whose it is."""

# Wild Apricot's heading of a column, and the importers' name for what stands there.
_EXPORTS: dict[str, tuple[str, str, dict[str, str]]] = {
    REGISTRATION: (
        "Registration ID",
        "Contact ID",
        {"Contact ID": CONTACT_ID, "Event ID": EVENT_ID},
    ),
    EVENT: ("Event ID", "Event name", {"Event name": "title", "Start date": "startTime"}),
    MEMBER: (
        "Contact ID",
        "Email",
        {
            "First name": "firstName",
            "Last name": "lastName",
            "Email": "email",
            "Phone": "phone",
            "Member since": "joinedAt",
        },
    ),
}
_DATES = ("%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")


class Line(NamedTuple):
    """One line of a table: its number in the file, and its cells by column."""

    number: int
    cells: dict[str, str]


def neutral(value: str) -> str:
    """Write a value so that no spreadsheet takes it for a formula; `plain_value` takes it back."""
    return f"'{value}" if _FORMULA.match(value) else value


def plain_value(cell: str) -> str:
    """Return what a cell written by `neutral` holds."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[Any, object]]) -> None:
    """Write a table as CSV in UTF-8, every value neutralised."""
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


def read_table(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> list[Line]:
    """Read a CSV table with a header, in UTF-8 with or without a byte order mark.

    Parameters
    ----------
    needed, optional : sequence of str
        The columns it must have, and may have; case and blanks around a heading do not matter.

    Raises
    ------
    UsageError
        For a file that cannot be read, is in another encoding, is empty, has no line below its header, or
        whose header lacks a column, with the nearest heading; for a line of another length, with its number.
    """
    rows = _rows(path)
    header = [name.strip().casefold() for _, row in rows[:1] for name in row]
    known = (*needed, *optional)
    wanted = {name.casefold(): name for name in known}
    for name in needed:
        if name.casefold() not in header:
            said = rows[0][1]
            close = nearest(name.casefold(), header, 1)
            what = f"; it has {close[0]!r}" if close else ""
            if len(said) == 1 and ";" in said[0]:
                what = "; its columns are separated by semicolons, not commas"
            raise UsageError(
                f"The table {path} has no column {name!r}{what}.",
                f"Its first line names the columns: {','.join(known)}.",
            )
    for name in header:
        if name not in wanted:
            close = nearest(name, wanted, 1)
            near = f"; the nearest is {close[0]!r}" if close else ""
            raise UsageError(
                f"The table {path} has a column {name!r} that means nothing here{near}.",
                f"Its first line names the columns: {','.join(known)}.",
            )
        if header.count(name) > 1:
            raise UsageError(f"The table {path} has the column {name!r} twice.", "Leave one of them out.")
    return _lines(path, rows, [wanted[name] for name in header])


def read_exports(paths: Iterable[Path]) -> tuple[ReportRecord, ...]:
    """Read Wild Apricot's CSV exports of members, events and registrations, and those in folders.

    Returns
    -------
    tuple of ReportRecord
        Without Murmurant's ids: an export knows none.

    Raises
    ------
    UsageError
        For a file that is none of the three.
    """
    found: list[ReportRecord] = []
    for path in paths:
        files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
        for each in files:
            found += _export(each)
    return tuple(found)


def _export(path: Path) -> Iterable[ReportRecord]:
    rows = _rows(path)
    header = [name.strip() for name in rows[0][1]]
    for entity, (key, sign, columns) in _EXPORTS.items():
        if key in header and sign in header:
            lines = _lines(path, rows, header)
            return [_told(entity, line.cells[key], line.cells, columns) for line in lines]
    raise UsageError(
        f"{path} is not one of Wild Apricot's exports: its columns are {', '.join(header[:6])}.",
        "An export of members has Contact ID and Email, one of events Event ID and Event name, one of"
        " registrations Registration ID and Contact ID.",
    )


def _told(entity: str, wa_id: str, cells: Mapping[str, str], columns: Mapping[str, str]) -> ReportRecord:
    fields: dict[str, Any] = {own: cells[name] for name, own in columns.items() if name in cells}
    for name in ("joinedAt", "startTime"):
        if name in fields:
            fields[name] = _moment(fields[name])
    return ReportRecord(entity, "existing", wa_id or None, None, fields)


def _moment(text: str) -> str:
    for form in _DATES:
        try:
            return datetime.strptime(text, form).isoformat()  # noqa: DTZ007 - nothing says which zone
        except ValueError:
            continue
    return ""


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"The table {path} cannot be read: {error.strerror}.", "Name a CSV file.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(
            f"The table {path} is not text in UTF-8 (line {line}).",
            'Save it as "CSV UTF-8" and give it again.',
        ) from None
    if "\0" in text:
        raise UsageError(f"The table {path} is not text in UTF-8.", 'Save it as "CSV UTF-8".')
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, list[str]]] = []
    at = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((at, row))
            at = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"The table {path} is damaged: line {reader.line_num}: {error}.", "Save it as CSV once more."
        ) from None
    if not rows:
        raise UsageError(f"The table {path} is empty.", "Its first line names the columns.")
    return rows


def _lines(path: Path, rows: Sequence[tuple[int, list[str]]], header: Sequence[str]) -> list[Line]:
    if len(rows) == 1:
        raise UsageError(f"The table {path} has a header and no line below it.", "There is nothing to do.")
    long = [number for number, row in rows[1:] if len(row) != len(header)]
    if long:
        raise UsageError(
            f"The table {path} has lines of another length than its header: {', '.join(map(str, long[:10]))}.",
            "A value with a comma in it stands between quotes.",
        )
    return [
        Line(number, {name: plain_value(cell.strip()) for name, cell in zip(header, row, strict=True)})
        for number, row in rows[1:]
    ]
