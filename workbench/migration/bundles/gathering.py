"""What was given to be sealed: every file, what it was to the import, and which run it speaks of."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import BundleError, ReportFileError
from workbench.migration.bundles.manifest import problem_of_name
from workbench.murmurant.reports import ImportReport, NotAReportError, read_report

LARGEST_REPORT = 256 << 20
"""A JSON file larger than this is sealed unread: the importers list at most 20,000 records of a kind."""

_REPORT_NAME = re.compile(r"(wa_full_sync_report|migration-(dry-run|live)-|id-map-).*\.json$")
_DRY_RUN_LOG = re.compile(r"dry_run_\d{8}_\d{6}.*\.log$")
_CONFIGURATION = {".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".env", ".properties"}
_EXPORTS, _LOGS = {".csv", ".tsv", ".xlsx", ".xls"}, {".log", ".txt", ".out", ".err"}


@dataclass(frozen=True)
class Given:
    """A file that was given.

    Attributes
    ----------
    path : Path
        Where it is.
    name : str
        How it is called in a bundle: its name, or its path below the folder that was given.
    role : str
        See `workbench.migration.bundles.manifest.ROLES`.
    report : ImportReport or None
        What it says, where it is an importer's report or id map that can be read.
    size, changed : int
        When it was looked at: bytes, and nanoseconds since 1970.
    """

    path: Path
    name: str
    role: str
    report: ImportReport | None
    size: int
    changed: int


def gather(paths: Iterable[Path], beside: Path) -> tuple[list[Given], list[Path]]:
    """Look at files, and those in folders at any depth.

    Parameters
    ----------
    beside : Path
        Where bundles are kept: where it lies in a folder that was given, it is passed over.

    Returns
    -------
    list of Given
        In the order given, those of a folder by name; each file once.
    list of Path
        Hidden files and folders in the folders given, and `beside`, which are passed over.

    Raises
    ------
    BundleError
        Naming every file that is not there, not a regular file, a link, or has a name that no list of digests
        can carry; and for folders without any file.
    """
    found: dict[tuple[int, int], Given] = {}
    hidden: list[Path] = []
    wrong: list[str] = []
    for path in paths:
        files = 0
        try:
            for each, name in _files(path, beside.resolve(), hidden):
                files += 1
                if problem := _problem(each, name):
                    wrong.append(problem)
                    continue
                state = each.stat()
                found.setdefault((state.st_dev, state.st_ino), _given(each, name, state))
        except OSError as error:
            shown = str(error.filename or path)
            wrong.append(f"{_printable(shown)} cannot be read: {error.strerror}")
        if not files and not wrong:
            wrong.append(f"{_printable(str(path))} has no file in it")
    if wrong:
        raise BundleError(
            "\n  ".join([f"{len(wrong)} of what was given cannot be sealed:", *wrong[:20]]),
            "Nothing was sealed. Leave these out, or put them right.",
        )
    return list(found.values()), hidden


def _files(path: Path, beside: Path, hidden: list[Path]) -> Iterator[tuple[Path, str]]:
    if path.is_symlink() or not path.is_dir():
        yield path, path.name
        return

    def stop(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(path, onerror=stop, followlinks=False):
        here = Path(place)
        hidden += [here / each for each in sorted([*folders, *names]) if each.startswith(".")]
        own = [each for each in folders if (here / each).resolve() == beside]
        hidden += [here / each for each in own]
        links = [each for each in folders if (here / each).is_symlink()]
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in [*links, *own]
        )
        for each in sorted([*names, *links]):
            if not each.startswith("."):
                yield here / each, (here / each).relative_to(path).as_posix()


def _problem(path: Path, name: str) -> str:
    shown = _printable(str(path))
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return f"{shown} is not there"
    except OSError as error:
        return f"{shown} cannot be read: {error.strerror}"
    if stat.S_ISLNK(mode):
        return f"{shown} is a symbolic link; name the file that it leads to"
    if not stat.S_ISREG(mode):
        return f"{shown} is no regular file"
    if problem := problem_of_name(name):
        return f"{shown} {problem}; rename it"
    return "" if os.access(path, os.R_OK) else f"{shown} cannot be read: Permission denied"


def _given(path: Path, name: str, state: os.stat_result) -> Given:
    role, report = _role(path, state.st_size)
    return Given(path, name, role, report, state.st_size, state.st_mtime_ns)


def _role(path: Path, size: int) -> tuple[str, ImportReport | None]:
    ending, name = path.suffix.lower(), path.name
    if ending == ".json":
        return _json_role(path, size)
    if _DRY_RUN_LOG.fullmatch(name):
        return "dry-run log", None
    if ending in _EXPORTS:
        return "export", None
    if ending in _CONFIGURATION or name.startswith(".env"):
        return "configuration", None
    return ("log" if ending in _LOGS else "other"), None


def _json_role(path: Path, size: int) -> tuple[str, ImportReport | None]:
    named = "id map" if path.name.startswith("id-map-") else "report"
    by_name = named if _REPORT_NAME.match(path.name) else "other"
    if size > LARGEST_REPORT:
        return by_name, None
    try:
        report = read_report(path)
    except NotAReportError:
        return ("dry-run manifest" if _of_a_dry_run(path) else "configuration"), None
    except ReportFileError:
        return by_name, None  # cut short, it is evidence all the same: what a killed importer left
    return ("report" if report.counts else "id map"), report


def _of_a_dry_run(path: Path) -> bool:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    return isinstance(content, dict) and "workbench_dry_run" in content


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
