"""The importers' report files, read into one form.

Three formats: the API sync's ``wa_full_sync_report.json``, the CSV importer's ``migration-{dry-run,live}-<ts>.json``
(``-full.json`` lists every record), and its ``id-map-...json``. An incremental sync writes no report; a log of its output
is read instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from workbench.errors import DocumentError
from workbench.murmurant.importers import ENTITY_WORDS, Problem, ReportWarning, importer_of, read_moment
from workbench.murmurant.output import read_output
from workbench.murmurant.spellings import ENTITIES, EVENT, MEMBER, REGISTRATION

SECTIONS = {"members": MEMBER, "events": EVENT, "registrations": REGISTRATION}
"""The importers' names of the entities."""

PARTS = {"create": "created", "update": "updated", "skip": "skipped"}
"""What an importer may do with a record, and the name of that count; failures count as ``errors``."""


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value] if value else []


Id = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))]
Word = Annotated[
    str | None, BeforeValidator(lambda value: value if isinstance(value, str) and value else None)
]
Row = Annotated[int | None, BeforeValidator(lambda value: str(value) if str(value).isdecimal() else None)]
Moment = Annotated[
    datetime | None, BeforeValidator(lambda value: None if value is None else read_moment(value))
]


class Part(BaseModel):
    """A part of a report under the importer's own names; unknown keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel)

    def unread(self, path: str = "") -> Iterator[str]:
        """Yield the unknown keys at any level."""
        yield from (f"{path}{key}" for key in self.model_extra or ())
        for name, value in self.__dict__.items():
            inside = f"{path}{type(self).model_fields[name].alias}{'[]' if isinstance(value, list) else ''}."
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, Part):
                    yield from part.unread(inside)


def numbers(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, int]]:
    """Yield every number with its path, at any level outside lists."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{path}{key}.")
        elif type(value) is int:
            yield f"{path}{key}", value


class Notice(Part):
    """A warning of an importer, or the reason why a record failed."""

    code: Id = ""
    severity: Id = ""
    entity: Id = ""
    entity_type: Id = ""
    wa_id: Id = ""
    source_row: Row = None
    message: Id = ""
    error: Id = ""
    reason: Id = ""
    details: Any = None

    @model_validator(mode="before")
    @classmethod
    def _worded(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"message": str(value)}

    def warning(self) -> ReportWarning:
        """Return it as a warning, with its subject."""
        about = " ".join(filter(None, (self.entity, self.entity_type, self.wa_id)))
        if self.source_row:
            about = f"{about} in row {self.source_row}".strip()
        message = self.message or "no reason given"
        return ReportWarning(self.code, self.severity, f"{about}: {message}" if about else message)

    def problem(self) -> Problem:
        """Return it as the failure of a record."""
        word = self.entity or self.entity_type
        message = self.message or self.error or self.reason
        return Problem(ENTITY_WORDS.get(word.lower(), word), self.wa_id or None, self.source_row, message)


Notices = Annotated[list[Notice], BeforeValidator(_listed)]


class Diagnostics(Part):
    """What happened to a sync's registrations: counts, and the ten most frequent reasons for skipping one."""

    events_processed: int | None = None
    events_skipped_unmapped: int | None = None
    registration_fetch_calls: int | None = None
    registrations_fetched_total: int | None = None
    registrations_transformed_ok: int | None = None
    registrations_skipped_missing_event: int | None = None
    registrations_skipped_missing_member: int | None = None
    registrations_skipped_transform_error: int | None = None
    registrations_upserted: int | None = None
    top_skip_reasons: list[SkipReason] = []

    @property
    def lost(self) -> tuple[int, int] | None:
        """How many had no member or event, and how many were refused; None where a count is missing."""
        member, event = self.registrations_skipped_missing_member, self.registrations_skipped_missing_event
        refused = self.registrations_skipped_transform_error
        return None if member is None or event is None or refused is None else (member + event, refused)


class SkipReason(Part):
    """A reason why a sync skipped registrations, and how many it skipped."""

    reason: Id
    count: int


class Record(Part):
    """A row of an export as the CSV importer transformed it; the record's fields have no ``_``."""

    source_row: Annotated[Row, Field(alias="_sourceRow")] = None
    wa_id: Annotated[Id, Field(alias="_waId")] = ""
    action: Annotated[Literal["create", "update", "skip"], Field(alias="_action")]
    murmurant_id: Annotated[Id, Field(alias="_murmurantId")] = ""
    errors: Annotated[list[Id], BeforeValidator(_listed), Field(alias="_errors")] = []
    """A record with errors failed: it counts as an error, and nothing was written."""

    def unread(self, path: str = "") -> Iterator[str]:
        """Yield unknown keys of the importer; keys without ``_`` are the record's fields."""
        yield from (f"{path}{key}" for key in self.model_extra or () if key.startswith("_"))

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that were written, or would have been."""
        return {name: value for name, value in (self.model_extra or {}).items() if name[:1] != "_"}


class Pair(Part):
    """A Wild Apricot id and the record it became."""

    wa_id: Id = ""
    murmurant_id: Id = ""
    email: Any = None
    title: Any = None
    identifier: Any = None


Pairs = Annotated[list[Pair], BeforeValidator(_listed)]


class IdMapCounts(Part):
    """The counts of an id map's entity."""

    total: int | None = None
    mapped: int | None = None
    missing: int | None = None
    duplicates: int | None = None


class Section(Part):
    """The counts and records of one entity, or an id map's pairs.

    Attributes
    ----------
    records : list of Record, str or None
        A list in a full report; else their number, such as ``[60]``.
    """

    created: int | None = None
    updated: int | None = None
    skipped: int | None = None
    errors: int = 0
    total_rows: int | None = None
    parsed: int | None = None
    file: Word = None
    truncated: bool | None = None
    records: list[Record] | str | None = None
    mappings: Pairs = []
    counts: IdMapCounts = IdMapCounts()
    duplicate_wa_ids: list[Id] = []
    missing_wa_ids: list[Id] = []

    @property
    def listed(self) -> list[Record]:
        """The listed records."""
        return self.records if isinstance(self.records, list) else []

    @property
    def total(self) -> int:
        """The number of all records."""
        return sum(count or 0 for count in (self.created, self.updated, self.skipped, self.errors))

    def cells(self) -> dict[str, int]:
        """Return the counts. Skipped records may exist already or have been refused: this is decided later."""
        skipped = "skipped" if self.skipped else "existing"
        return {"created": self.created or 0, "updated": self.updated or 0, skipped: self.skipped or 0}


class Sections(Part):
    """The sections of all entities."""

    members: Section | None = None
    events: Section | None = None
    registrations: Section | None = None

    @property
    def sections(self) -> dict[str, Section]:
        """The sections that are present, by name."""
        return {name: section for name in SECTIONS if (section := getattr(self, name)) is not None}


class Fetched(Part):
    """The number of records that a sync fetched."""

    contacts: int = 0
    events: int = 0
    registrations: int = 0


class Summary(Part):
    """The sums over all entities."""

    total_records: int | None = None
    created: int | None = None
    updated: int | None = None
    skipped: int | None = None
    errors: int | None = None
    duration_ms: Annotated[int | None, Field(alias="duration_ms")] = None


class PairsOfEach(Part):
    """A summary's pairs of ids."""

    members: Pairs = []
    events: Pairs = []
    registrations: Pairs = []


class Written(Sections):
    """A report file: with ``stats`` from the API sync, with a ``summary`` from the CSV importer, else an id map."""

    run_id: Annotated[str, Field(min_length=1)]
    started_at: Moment = None
    ended_at: Annotated[
        Moment, Field(validation_alias=AliasChoices("finishedAt", "completedAt", "generatedAt"))
    ] = None
    dry_run: bool
    success: bool | None = None
    config: Annotated[
        dict[str, Any], BeforeValidator(lambda value: value if isinstance(value, dict) else {})
    ] = {}
    environment: Word = None
    operator: Word = None
    truncated: Any = None
    warnings: Notices = []
    errors: Notices = []
    version: Any = None
    duration_ms: int | None = None
    fetched: Fetched = Fetched()
    stats: Sections | None = None
    registration_diagnostics: Diagnostics = Diagnostics()
    total_error_count: int | None = None
    summary: Summary | None = None
    id_mapping: Annotated[PairsOfEach, BeforeValidator(lambda value: {} if value is None else value)] = (
        PairsOfEach()
    )

    @model_validator(mode="after")
    def _whole(self) -> Written:
        """Refuse a report that lacks a section or a count."""
        if self.form == "csv" and self.members is None:
            raise ValueError("it has no members")
        for name, section in self.of_each.items() if self.form != "map" else ():
            needed = ["created", "updated", "skipped", *["total_rows"] * (self.form == "csv")]
            if lacking := [field for field in needed if getattr(section, field) is None]:
                raise ValueError(f"{name} has no {to_camel(lacking[0])}")
        return self

    @property
    def form(self) -> Literal["api", "csv", "map"]:
        """Which of the three formats it is."""
        return "api" if self.stats is not None else "csv" if self.summary is not None else "map"

    @property
    def of_each(self) -> dict[str, Section]:
        """The sections with counts, by name."""
        return self.stats.sections if self.stats is not None else self.sections

    @property
    def pairs(self) -> dict[str, list[Pair]]:
        """The pairs of ids, by the section's name."""
        return {
            name: [*self.sections.get(name, Section()).mappings, *getattr(self.id_mapping, name)]
            for name in SECTIONS
        }

    def facts(self) -> dict[str, Any]:
        """Return the fields of an `ImportReport`."""
        api, diagnostics = self.form == "api", self.registration_diagnostics
        sections = {SECTIONS[name]: section for name, section in self.of_each.items()}
        listed = [(entity, row) for entity, section in sections.items() for row in section.listed]
        records = tuple(_record(entity, row) for entity, row in listed if not row.errors)
        identities = tuple(
            (SECTIONS[name], pair.wa_id, pair.murmurant_id)
            for name, pairs in self.pairs.items()
            for pair in pairs
            if pair.murmurant_id
        )
        counts = {entity: section.cells() for entity, section in sections.items() if self.form != "map"}
        for entity, cells in counts.items():
            skipped, lost = cells.get("skipped", 0), diagnostics.lost if entity == REGISTRATION else None
            paired = max(
                sum(record.entity == entity and record.action == "existing" for record in records),
                sum(pair[0] == entity for pair in identities) - cells["created"] - cells["updated"],
            )
            if skipped and (lost and skipped >= sum(lost) if api else paired >= skipped):
                cells["existing"] = cells.pop("skipped") - sum(lost or ())
                cells |= {
                    name: count
                    for name, count in zip(("unlinked", "refused"), lost or (), strict=False)
                    if count
                }
        given_up = [
            Problem(entity, row.wa_id or None, row.source_row, message)
            for entity, row in listed
            for message in row.errors
        ]
        twice = [
            ReportWarning(
                "DUPLICATE_WA_ID", "medium", f"{entity} {wa_id} stands more than once in the export."
            )
            for entity, section in sections.items()
            for wa_id in section.duplicate_wa_ids
        ]
        fetched = self.fetched.contacts, self.fetched.events, self.fetched.registrations
        rows = {
            entity: section.total_rows
            for entity, section in sections.items()
            if section.total_rows is not None
        }
        return {
            "run_id": self.run_id,
            "importer": "api" if api else importer_of(self.run_id),
            "mode": "dry" if self.dry_run else "live",
            "sync": "full" if api else "",  # an incremental sync writes none
            "started": self.started_at,
            "finished": self.ended_at if self.form != "map" else None,
            "success": self.success,
            "counts": counts,
            "errors": {entity: sections[entity].errors for entity in counts},
            "fetched": dict(zip(ENTITIES, fetched, strict=True)) if api else rows,
            "skip_reasons": {reason.reason: reason.count for reason in diagnostics.top_skip_reasons},
            "warnings": (*(notice.warning() for notice in self.warnings), *twice),
            "problems": tuple(dict.fromkeys([*(notice.problem() for notice in self.errors), *given_up])),
            "missing": tuple(
                (entity, wa_id) for entity, part in sections.items() for wa_id in part.missing_wa_ids
            ),
            "diagnostics": dict(numbers(diagnostics.model_dump(by_alias=True))),
            "unread": tuple(dict.fromkeys(self.unread())),
            "files": {entity: section.file for entity, section in sections.items() if section.file},
            "records": records,
            "identities": identities,
            **{name: getattr(self, name) for name in ("config", "environment", "operator")},
        }


def _is_report(content: Any) -> bool:
    """Whether it has the keys of an importer's report."""
    if not isinstance(content, dict) or not isinstance(content.get("runId"), str):
        return False
    of_all = [isinstance(content.get(key), dict) for key in ("stats", "summary", "members")]
    return of_all[0] or (of_all[1] and "members" in content) or ("generatedAt" in content and of_all[2])


@dataclass(frozen=True)
class ReportRecord:
    """A record in a report file.

    Attributes
    ----------
    entity, action : str
        Such as ``Member`` and ``created``.
    wa_id : str or None
        Wild Apricot's id, where the report has it.
    record_id : str or None
        Murmurant's id; None in a dry run.
    fields : dict
        What the importer wrote or would have written, under its own field names.
    """

    entity: str
    action: str
    wa_id: str | None
    record_id: str | None
    fields: dict[str, Any]


@dataclass(frozen=True)
class ImportReport:
    """The content of one report file. Times are UTC without zone.

    Attributes
    ----------
    sync : {"full", "incremental", ""}
        What a sync fetched; see `workbench.murmurant.importers.Run`.
    counts : dict of str to dict of str to int
        Entity to action to count, by the importer.
    errors : dict of str to int
        Entity to the number of records that failed.
    fetched : dict of str to int
        Entity to the number of records in the source.
    skip_reasons : dict of str to int
        The API sync's ``topSkipReasons``, reason to count: the ten most frequent.
    warnings : tuple of ReportWarning
        The importer's warnings.
    problems : tuple of Problem
        The listed failures; they may be fewer than `errors` counts.
    missing : tuple of (entity, wa_id)
        The ids without a record in an id map.
    diagnostics : dict of str to int
        The API sync's ``registrationDiagnostics``, under its own names.
    unread : tuple of str
        Unknown keys of the file, such as ``stats.members.merged``.
    files : dict of str to str
        Entity to the export file that the CSV importer names.
    records : tuple of ReportRecord
        Empty in a summary.
    identities : tuple of (entity, wa_id, record_id)
        The pairs of an id map or of a summary's ``idMapping``, which do not say what was done.
    written : Written or None
        The parsed file; None for a log.
    """

    path: Path
    run_id: str
    importer: str
    mode: str
    sync: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    success: bool | None = None
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    fetched: dict[str, int] = field(default_factory=dict)
    skip_reasons: dict[str, int] = field(default_factory=dict)
    warnings: tuple[ReportWarning, ...] = ()
    problems: tuple[Problem, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    diagnostics: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    environment: str | None = None
    operator: str | None = None
    records: tuple[ReportRecord, ...] = ()
    identities: tuple[tuple[str, str, str], ...] = ()
    written: Written | None = field(default=None, repr=False)


def read_reports(paths: Iterable[Path]) -> tuple[ImportReport, ...]:
    """Read report files, and those in folders, ordered by run and name.

    Other JSON files in a folder are ignored; a file that is named must be a report.

    Raises
    ------
    DocumentError
        For a named file that does not exist or is no report, and for a damaged report.
    """
    reports: dict[Path, ImportReport] = {}
    for path in paths:
        for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            try:
                reports[file.resolve()] = read_report(file)
            except NotAReportError:
                if file == path:
                    raise
    return tuple(sorted(reports.values(), key=lambda report: (report.run_id, report.path.name)))


class NotAReportError(DocumentError):
    """The file is valid JSON, but no importer's report."""


def read_report(path: Path) -> ImportReport:
    """Read a report file in any of the three formats, or the log of an incremental sync.

    Raises
    ------
    DocumentError
        For a file that cannot be read, is damaged, or is something else.
    """
    again = "Give a whole file as the importer wrote it."
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if facts := read_output(text):
            return ImportReport(path=path, run_id="" if facts["mode"] == "live" else path.stem, **facts)
        state = "is cut short or damaged" if text.lstrip()[:1] in {"", "{"} else "is not JSON"
        raise DocumentError(f"The report file {path} {state}: {error}.", again) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"The report file {path} cannot be read: {error}.", again) from None
    if not _is_report(content):
        known = "API sync report, CSV import report or id map, with its runId"
        raise NotAReportError(f"{path} is not an import report of a known form ({known}).", again)
    try:
        written = Written.model_validate(content)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise DocumentError(f"The report file {path} is invalid: {problems[0]}.", again) from None
    return ImportReport(path=path, written=written, **written.facts())


def _record(entity: str, record: Record) -> ReportRecord:
    own_id = record.murmurant_id
    action = PARTS[record.action] if record.action != "skip" else "existing" if own_id else "skipped"
    record_id = None if not own_id or own_id.startswith("dry-") else own_id
    return ReportRecord(entity, action, record.wa_id or None, record_id, record.fields)
