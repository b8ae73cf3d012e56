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
    """One thing that does not hold.

    Attributes
    ----------
    file : str
        The document's name.
    key : str
        Which record or field; no personal data.
    says : str
        What is wrong with it, in words.
    """

    file: str
    key: str
    says: str


class NotTold(Exception):
    """Raised where nothing is there to judge by; its text says what would be."""


@dataclass(frozen=True)
class Document:
    """A report or id map, read as JSON and no further.

    Attributes
    ----------
    name : str
        How the file is called.
    kind : {"api", "csv", "id map"}
        Which of the three forms it has.
    """

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
        value = self.content.get(name)
        return value if isinstance(value, dict) else {}

    def records(self, name: str) -> list[Content] | None:
        """Return the records it lists of one entity; None where it lists none or not all."""
        listed = self.section(name).get("records")
        if not isinstance(listed, list) or self.truncated(name):
            return None
        return [each for each in listed if isinstance(each, dict)]

    def truncated(self, name: str) -> bool:
        """Whether the importer says that it did not list all of an entity's records."""
        return self.section(name).get("truncated") is True

    def mappings(self, name: str) -> list[Content]:
        """Return the pairs of ids it states for one entity."""
        section = self.section(name) if self.kind == "id map" else self.content.get("idMapping")
        listed = (
            section.get("mappings" if self.kind == "id map" else name) if isinstance(section, dict) else None
        )
        return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


@dataclass(frozen=True)
class Evidence:
    """An import's files.

    Attributes
    ----------
    documents : tuple of Document
        By name.
    exports : dict of str to tuple of ReportRecord
        What Wild Apricot's exports list, by the file's name.
    unreadable : tuple of Violation
        What is named like a report, or given as one, and cannot be read.
    as_of : datetime
        No moment in them may be later (UTC).
    """

    documents: tuple[Document, ...]
    exports: Mapping[str, tuple[ReportRecord, ...]]
    unreadable: tuple[Violation, ...]
    as_of: datetime

    def of_run(self, run: str) -> Iterator[Document]:
        """Yield the documents of one run."""
        return (each for each in self.documents if each.run == run)

    def full_reports(self) -> list[tuple[Document, str, list[Content]]]:
        """List each section of which a report lists every record: the document, the section, its records."""
        return [
            (each, name, records)
            for each in self.documents
            if each.kind == "csv"
            for name in SECTIONS
            if (records := each.records(name)) is not None
        ]


def read_documents(reports: Iterable[Path], exports: Iterable[Path], as_of: datetime) -> Evidence:
    """Read an import's files; what cannot be read is noted, not raised.

    Parameters
    ----------
    as_of : datetime
        When they were sealed, or now; with its zone.
    """
    documents: list[Document] = []
    unreadable: list[Violation] = []
    for path in sorted(reports):
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            why = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            unreadable.append(Violation(path.name, "", f"it is cut short or damaged: {why}"))
            continue
        kind = _kind(content)
        if kind is None:
            unreadable.append(Violation(path.name, "", "it is no import report of a known form"))
        else:
            documents.append(Document(path.name, kind, content))
    listed: dict[str, tuple[ReportRecord, ...]] = {}
    for path in sorted(exports):
        try:
            listed[path.name] = read_exports([path])
        except UsageError as error:
            unreadable.append(Violation(path.name, "", error.what))
    return Evidence(tuple(documents), listed, tuple(unreadable), as_of.astimezone(UTC))


def file_name(value: object) -> str:
    """Return the name of a file that a report names by a path of the importer's machine."""
    return PurePosixPath(str(value).replace("\\", "/")).name


def given_up(record: Content) -> bool:
    """Whether the importer gave up on a record: it counts as an error, and nothing was done."""
    return bool(record.get("_errors"))


def key_of(record: Content, name: str) -> str:
    """Name a record by its Wild Apricot id, else by its line in the source."""
    wa_id = record.get("_waId") or record.get("waId")
    return (
        f"{SECTIONS[name]} {wa_id}" if wa_id else f"{SECTIONS[name]} of row {record.get('_sourceRow', '?')}"
    )


def _kind(content: object) -> Literal["api", "csv", "id map"] | None:
    if not isinstance(content, dict) or not content.get("runId"):
        return None
    if isinstance(content.get("stats"), dict):
        return "api"
    if isinstance(content.get("summary"), dict) and "members" in content:
        return "csv"
    return "id map" if "generatedAt" in content and isinstance(content.get("members"), dict) else None
