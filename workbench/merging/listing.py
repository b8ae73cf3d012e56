"""A list of merges as a CSV file: read whole, every bad line named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench.errors import UsageError, nearest
from workbench.merging.request import Asked, Named, Problem
from workbench.murmurant.listings import read_csv

PAIRS = ("canonical", "duplicate")
CLUSTERS = ("cluster", "member")
OPTIONAL = ("reason", "size")
"""Columns that may stand beside; ``size`` is what a list of clusters has, and says nothing here."""

_FORMS = "canonical,duplicate[,reason], or cluster,member[,reason]"


@dataclass(frozen=True)
class MergeList:
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


def read_merges(path: Path) -> MergeList:
    """Read a CSV file of merges.

    Either one line for each duplicate (``canonical,duplicate``), or one for each member of a cluster
    (``cluster,member``), whose canonical record is then chosen by the rule of guide §4.4. A ``reason`` may
    stand beside.

    Raises
    ------
    UsageError
        When it cannot be read (see `workbench.murmurant.listings.read_csv`), or its header is none of the two.
    """
    listing = read_csv(path)
    header = _header(path, [each.lower() for each in listing.header])
    wanted = PAIRS if PAIRS[0] in header else CLUSTERS
    problems: list[Problem] = []
    cells: list[tuple[str, dict[str, str]]] = []
    for line in listing.lines(header):
        where = f"line {line.number}"
        if line.problem:
            problems.append(Problem(where, f"{line.problem}."))
            continue
        problems += [Problem(where, f"it names no {each}.") for each in wanted if not line.cells[each]]
        if all(line.cells[each] for each in wanted):
            cells.append((where, line.cells))
    asked, more = _pairs(cells) if wanted == PAIRS else _clusters(cells)
    return MergeList(path.name, listing.sha256, asked, problems + more)


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
