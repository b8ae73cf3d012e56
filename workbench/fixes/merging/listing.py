"""A list of merges as a CSV file: read whole, every bad line named."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import UsageError, nearest
from workbench.fixes.merging.asking import Asked, Named, Problem

PAIRS = ("canonical", "duplicate")
CLUSTERS = ("cluster", "member")
OPTIONAL = ("reason", "size")
"""Columns that may stand beside; ``size`` is what a list of clusters has, and says nothing here."""

_FORMS = "canonical,duplicate[,reason], or cluster,member[,reason]"
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Listing:
    """What a file asks for.

    Attributes
    ----------
    name, sha256 : str
        The file's name, without folders, and the digest of its bytes.
    asked : list of Asked
        In the file's order.
    problems : list of Problem
        Its bad lines, by their number.
    """

    name: str
    sha256: str
    asked: list[Asked]
    problems: list[Problem]


def read_listing(path: Path) -> Listing:
    """Read a CSV file of merges, in UTF-8, with or without a byte order mark.

    Either one line for each duplicate (``canonical,duplicate``), or one for each member of a cluster
    (``cluster,member``), whose canonical record is then chosen by the rule of guide §4.4. A ``reason`` may
    stand beside. Commas, semicolons or tabs part the columns.

    Raises
    ------
    UsageError
        When it cannot be read, is empty, of another encoding, or its header is none of the two.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Name a CSV file.") from None
    lines = list(_lines(_decoded(path, data)))
    if not lines:
        raise UsageError(f"{path} is empty.", f"Its first line names the columns: {_FORMS}.")
    (_, names), *rows = lines
    header = _header(path, [each.strip().lower() for each in names])
    if not rows:
        raise UsageError(f"{path} has a header and no lines below it.", "There is nothing to merge.")
    problems: list[Problem] = []
    cells: list[tuple[str, dict[str, str]]] = []
    for number, row in rows:
        where = f"line {number}"
        if len(row) != len(header):
            said = f"it has {len(row)} columns where the header has {len(header)}"
            problems.append(Problem(where, f"{said}. A cell with a separator in it needs quotes."))
            continue
        cell = dict(zip(header, (each.strip() for each in row), strict=True))
        wanted = PAIRS if PAIRS[0] in header else CLUSTERS
        problems += [Problem(where, f"it names no {each}.") for each in wanted if not cell[each]]
        if all(cell[each] for each in wanted):
            cells.append((where, cell))
    asked, more = _pairs(cells) if PAIRS[0] in header else _clusters(cells)
    return Listing(path.name, hashlib.sha256(data).hexdigest(), asked, problems + more)


def _decoded(path: Path, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
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


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that say something, by the number of the line they begin on."""
    first = text.lstrip().split("\n", 1)[0]
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    begins = 1
    for row in reader:
        if any(each.strip() for each in row):
            yield begins, row
        begins = reader.line_num + 1


def _header(path: Path, names: list[str]) -> list[str]:
    known = (*PAIRS, *CLUSTERS, *OPTIONAL)
    for each in names:
        if each not in known:
            close = nearest(each, known, 1)
            meant = f"Did you mean {close[0]!r}? " if close else ""
            raise UsageError(
                f"{path} has a column {each!r} that means nothing here.", f"{meant}Columns: {_FORMS}."
            )
    if len(set(names)) != len(names):
        raise UsageError(f"{path} names a column twice.", f"Columns: {_FORMS}.")
    forms = [form for form in (PAIRS, CLUSTERS) if set(form) & set(names)]
    if len(forms) != 1 or not set(forms[0]) <= set(names):
        missing = ", ".join(each for form in forms[:1] for each in form if each not in names)
        what = f"has no column {missing}" if missing else "mixes two forms" if forms else "names no records"
        raise UsageError(f"{path} {what}.", f"Columns: {_FORMS}.")
    return names


def _pairs(cells: list[tuple[str, dict[str, str]]]) -> tuple[list[Asked], list[Problem]]:
    asked = [
        Asked(Named(cell["canonical"], where), (Named(cell["duplicate"], where),), cell.get("reason", ""))
        for where, cell in cells
    ]
    return asked, []


def _clusters(cells: list[tuple[str, dict[str, str]]]) -> tuple[list[Asked], list[Problem]]:
    found: dict[str, list[Named]] = {}
    reasons: dict[str, dict[str, None]] = {}
    for where, cell in cells:
        found.setdefault(cell["cluster"], []).append(Named(cell["member"], where))
        reasons.setdefault(cell["cluster"], {})[cell.get("reason", "")] = None
    problems = [
        Problem(members[0].where, f"the cluster {name!r} has no other member, so there is nothing to merge.")
        for name, members in found.items()
        if len(members) == 1
    ]
    asked = [
        Asked(None, tuple(members), "; ".join(filter(None, reasons[name])))
        for name, members in found.items()
        if len(members) > 1
    ]
    return asked, problems
