"""What was given to be sealed: every file, what it was to the import, and which run it speaks of."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from workbench.errors import ReportFileError, UsageError
from workbench.murmurant.reports import ImportReport, NotAReportError, read_report

LARGEST_REPORT = 256 << 20
"""A JSON file larger than this is sealed unread: the importers list at most 20,000 records of a kind."""

_SHOWN = 20
_REPORT_NAME = re.compile(r"(wa_full_sync_report|migration-(dry-run|live)-|id-map-).*\.json$")
_ROLE_OF_NAME = (
    (re.compile(r"dry_run\.json"), "dry-run manifest"),
    (re.compile(r"dry_run_\d{8}_\d{6}.*\.log"), "dry-run log"),
    (re.compile(r".*\.(csv|tsv|xlsx|xls)", re.IGNORECASE), "export"),
    (re.compile(r"\.env.*|.*\.(ya?ml|toml|ini|cfg|conf|env|properties)", re.IGNORECASE), "configuration"),
    (re.compile(r".*\.(log|txt|out|err)", re.IGNORECASE), "log"),
)


class Input(NamedTuple):
    """A file that was given: its name in a bundle, its role, what it says where it is an importer's report, and its state."""

    path: Path
    name: str
    role: str
    report: ImportReport | None
    state: os.stat_result


def gather(paths: Iterable[Path], beside: Path) -> tuple[list[Input], list[Path]]:
    """Look at files, and those in folders at any depth.

    Parameters
    ----------
    beside : Path
        Where bundles are kept: where it lies in a folder that was given, it is passed over.

    Returns
    -------
    list of Input
        In the order given, those of a folder by name; each file once.
    list of Path
        Hidden files and folders in the folders given, and `beside`, which are passed over.

    Raises
    ------
    UsageError
        Naming every file that is not there, not a regular file, a link, or has a name that no list of digests
        can carry; and for folders without any file.
    """
    inputs: dict[tuple[int, int], Input] = {}
    hidden: list[Path] = []
    problems: list[str] = []
    for given in paths:
        count = len(problems)
        try:
            for path, name in _files(given, beside.resolve(), hidden):
                if problem := _problem(path, name):
                    problems.append(f"{printable(str(path))} {problem}")
                    continue
                state = path.stat()
                inputs.setdefault((state.st_dev, state.st_ino), Input(path, name, *_role(path, state), state))
                count = -1
        except OSError as error:
            problems.append(f"{printable(str(error.filename or given))} cannot be read: {error.strerror}")
        if count == len(problems):
            problems.append(f"{printable(str(given))} has no file in it")
    if problems:
        raise UsageError(
            "\n  ".join([f"{len(problems)} of what was given cannot be sealed:", *problems[:_SHOWN]]),
            "Nothing was sealed. Leave these out, or put them right.",
        )
    return list(inputs.values()), hidden


def printable(text: str) -> str:
    """Escape the letters that would steer a terminal, or break a line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _files(given: Path, beside: Path, hidden: list[Path]) -> Iterator[tuple[Path, str]]:
    if given.is_symlink() or not given.is_dir():
        yield given, given.name
        return

    def stop(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(given, onerror=stop):
        paths = [Path(place) / name for name in sorted([*folders, *names])]
        passed_over = [path for path in paths if path.name.startswith(".") or path.resolve() == beside]
        hidden += passed_over
        folders[:] = sorted(
            path.name for path in paths if path.is_dir() and not path.is_symlink() and path not in passed_over
        )
        for path in paths:
            if path not in passed_over and path.name not in folders:
                yield path, path.relative_to(given).as_posix()


def _problem(path: Path, name: str) -> str:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "is not there"
    if stat.S_ISLNK(mode):
        return "is a symbolic link; name the file that it leads to"
    if not stat.S_ISREG(mode):
        return "is no regular file"
    if not name.isprintable():  # lone surrogates are what is no UTF-8
        return "has a line break, a control character or bytes that are no UTF-8 in its name; rename it"
    if "\\" in name or name.endswith(" ") or re.search("%0[AD]", name, re.IGNORECASE):
        return r"has a \, a %0A or %0D, or a space at the end of its name, which lists of digests escape; rename it"
    return "" if os.access(path, os.R_OK) else "cannot be read: Permission denied"


def _role(path: Path, state: os.stat_result) -> tuple[str, ImportReport | None]:
    role = next((role for pattern, role in _ROLE_OF_NAME if pattern.fullmatch(path.name)), "other")
    if role != "other" or path.suffix.lower() != ".json":
        return role, None
    if _REPORT_NAME.match(path.name):
        role = "id map" if path.name.startswith("id-map-") else "report"
    if state.st_size > LARGEST_REPORT:
        return role, None
    try:
        report = read_report(path)
    except NotAReportError:
        return "configuration", None
    except ReportFileError:
        return role, None  # cut short, it is evidence all the same: what a killed importer left
    return ("report" if report.counts else "id map"), report
