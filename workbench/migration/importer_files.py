"""An importer's files as they were written: nothing is converted, so that what is wrong with them can be told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from workbench.errors import UsageError
from workbench.murmurant.exports import read_exports
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

SECTIONS = {"members": MEMBER, "events": EVENT, "registrations": REGISTRATION}
"""An importer's names of the entities."""

Content = dict[str, Any]


class Violation(NamedTuple):
    """One thing that does not hold: in which file, of which record or field (no personal data), and what in words."""

    file: str
    key: str
    says: str


class Entry(NamedTuple):
    """One thing that a file lists by its Wild Apricot id.

    Attributes
    ----------
    file, key, entity : str
        Where, which one, and of what kind.
    how : {"processed", "mapped", "exported"}
        As a record of a report, as a pair of ids, or as a line of an export.
    wa_id, own_id : str
        Empty where there is none.
    fields : dict
        A record's.
    document : ImporterFile or None
        None for a line of an export.
    """

    file: str
    key: str
    entity: str
    how: str
    wa_id: str
    own_id: str
    fields: Content
    document: ImporterFile | None


@dataclass(frozen=True)
class ImporterFile:
    """A report or id map, read as JSON and no further; of one of three forms."""

    name: str
    kind: Literal["api", "csv", "id map"]
    content: Content = field(repr=False)

    @property
    def run(self) -> str:
        """The run's id; empty where it says none."""
        value = self.content.get("runId")
        return value if isinstance(value, str) else ""

    @property
    def dry(self) -> bool:
        """Whether it is of a dry run."""
        return self.content.get("dryRun") is True

    def section(self, name: str) -> Content:
        """Return what it says of one entity; empty where it says nothing."""
        return mapping(self.content.get(name))

    def truncated(self, name: str) -> bool:
        """Whether the importer says that it did not list all of an entity's records."""
        return self.section(name).get("truncated") is True

    def records(self, name: str) -> list[Content] | None:
        """Return the records it lists of one entity; None where it lists none or not all."""
        listed = self.section(name).get("records")
        if self.kind != "csv" or not isinstance(listed, list) or self.truncated(name):
            return None
        return [each for each in listed if isinstance(each, dict)]

    def mappings(self, name: str) -> list[Content]:
        """Return the pairs of ids it states for one entity."""
        if self.kind == "id map":
            listed = self.section(name).get("mappings")
        else:
            listed = self.section("idMapping").get(name)
        return [each for each in sequence(listed) if isinstance(each, dict)]

    def entries(self) -> Iterator[Entry]:
        """Yield the records that were processed, where all are listed, and the pairs of ids."""
        for name, entity in SECTIONS.items():
            for each in self.records(name) or ():
                if not given_up(each):
                    wa_id = str(each.get("_waId") or "")
                    key = f"{entity} {wa_id}" if wa_id else f"{entity} of row {each.get('_sourceRow', '?')}"
                    own_id = str(each.get("_murmurantId") or "")
                    yield Entry(self.name, key, entity, "processed", wa_id, own_id, each, self)
            for number, each in enumerate(self.mappings(name), 1):
                wa_id = str(each.get("waId") or "")
                key = f"{entity} {wa_id}" if wa_id else f"{entity} mapping {number}"
                yield Entry(
                    self.name, key, entity, "mapped", wa_id, str(each.get("murmurantId") or ""), {}, self
                )


@dataclass(frozen=True)
class ImportFiles:
    """An import's files.

    Attributes
    ----------
    documents : tuple of ImporterFile
        By name.
    exports : dict of str to tuple of ReportRecord
        What Wild Apricot's exports list, by the file's name.
    unreadable : tuple of Violation
        What is named like a report, or given as one, and cannot be read.
    as_of : datetime
        No moment in them may be later (UTC).
    """

    documents: tuple[ImporterFile, ...]
    exports: Mapping[str, tuple[ReportRecord, ...]]
    unreadable: tuple[Violation, ...]
    as_of: datetime

    def of_run(self, run: str) -> Iterator[ImporterFile]:
        """Yield the documents of one run."""
        return (each for each in self.documents if each.run == run)

    def entries(self) -> Iterator[Entry]:
        """Yield everything that is listed by its id: by the documents, and by the exports."""
        for document in self.documents:
            yield from document.entries()
        for file, lines in self.exports.items():
            for number, line in enumerate(lines, 2):
                key = f"{line.entity} {line.wa_id}" if line.wa_id else f"{line.entity} of row {number}"
                yield Entry(file, key, line.entity, "exported", line.wa_id or "", "", {}, None)


def read_files(reports: Iterable[Path], exports: Iterable[Path], as_of: datetime) -> ImportFiles:
    """Read an import's files; what cannot be read is noted, not raised.

    Parameters
    ----------
    as_of : datetime
        When they were sealed, or now; with its zone.
    """
    documents: list[ImporterFile] = []
    unreadable: list[Violation] = []
    for path in sorted(reports):
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            why = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            unreadable.append(Violation(path.name, "", f"it is cut short or damaged: {why}"))
            continue
        if (kind := _kind(content)) is None:
            unreadable.append(Violation(path.name, "", "it is no import report of a known form"))
        else:
            documents.append(ImporterFile(path.name, kind, content))
    lines: dict[str, tuple[ReportRecord, ...]] = {}
    for path in sorted(exports):
        try:
            lines[path.name] = read_exports([path])
        except UsageError as error:
            unreadable.append(Violation(path.name, "", error.what))
    return ImportFiles(tuple(documents), lines, tuple(unreadable), as_of.astimezone(UTC))


def mapping(value: object) -> Content:
    """Return a JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return a JSON array; an empty one for anything else."""
    return value if isinstance(value, list) else []


def file_name(value: object) -> str:
    """Return the name of a file that a report names by a path of the importer's machine."""
    return PurePosixPath(str(value).replace("\\", "/")).name


def given_up(record: Content) -> bool:
    """Whether the importer gave up on a record: it counts as an error, and nothing was done."""
    return bool(record.get("_errors"))


def _kind(content: object) -> Literal["api", "csv", "id map"] | None:
    if not isinstance(content, dict) or not content.get("runId"):
        return None
    if isinstance(content.get("stats"), dict):
        return "api"
    if isinstance(content.get("summary"), dict) and "members" in content:
        return "csv"
    return "id map" if "generatedAt" in content and isinstance(content.get("members"), dict) else None
