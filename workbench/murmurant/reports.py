"""The report files that importers leave on disk, read into one form.

Three formats: the API sync's ``wa_full_sync_report.json``, the CSV importer's
``migration-{dry-run,live}-<ts>.json`` (``-full.json`` lists every record), and its ``id-map-...json``. An incremental
sync writes none; a log of what it printed is read in their place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.errors import ReportFileError
from workbench.murmurant.importers import Problem, ReportWarning, importer_of
from workbench.murmurant.output import read_output
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

_SECTIONS = {"members": MEMBER, "events": EVENT, "registrations": REGISTRATION}
_ACTIONS = {"create": "created", "update": "updated", "skip": "existing"}
_COUNTS = ("created", "updated", "skipped")
_ENTITY_WORDS = {
    "member": MEMBER, "contact": MEMBER, "event": EVENT, "registration": REGISTRATION, "eventregistration": REGISTRATION,
}  # fmt: skip

_HEAD = dict.fromkeys(
    ("runId", "startedAt", "dryRun", "success", "config", "environment", "operator", "truncated")
)
_WARNING = dict.fromkeys(("code", "severity", "message", "entity", "entityType", "waId", "sourceRow"))
_PROBLEM = dict.fromkeys(
    ("entity", "entityType", "waId", "sourceRow", "message", "error", "reason", "details")
)
_PARTS = dict.fromkeys((*_COUNTS, "errors"))
_DIAGNOSTICS = dict.fromkeys(
    (
        "eventsProcessed", "eventsSkippedUnmapped", "registrationFetchCalls", "registrationsFetchedTotal",
        "registrationsTransformedOk", "registrationsSkippedMissingEvent", "registrationsSkippedMissingMember",
        "registrationsSkippedTransformError", "registrationsUpserted",
    )
)  # fmt: skip
_PAIR = dict.fromkeys(("waId", "murmurantId", "email", "title", "identifier"))
_RECORD = dict.fromkeys(("_sourceRow", "_waId", "_action", "_murmurantId", "_errors"))
_API_KEYS: dict[str, Any] = {
    **_HEAD,
    **dict.fromkeys(("version", "finishedAt", "durationMs", "totalErrorCount")),
    "fetched": dict.fromkeys(("contacts", "events", "registrations")),
    "warnings": _WARNING,
    "stats": dict.fromkeys(_SECTIONS, _PARTS),
    "registrationDiagnostics": {**_DIAGNOSTICS, "topSkipReasons": dict.fromkeys(("reason", "count"))},
    "errors": _PROBLEM,
}
_SECTION_KEYS = {**_PARTS, **dict.fromkeys(("totalRows", "parsed", "file", "truncated")), "records": _RECORD}
_CSV_KEYS: dict[str, Any] = {
    **_HEAD,
    "completedAt": None,
    "summary": {**_PARTS, "totalRecords": None, "duration_ms": None},
    **dict.fromkeys(_SECTIONS, _SECTION_KEYS),
    "warnings": _WARNING,
    "errors": _PROBLEM,
    "idMapping": dict.fromkeys(_SECTIONS, _PAIR),
}
_ID_MAP_SECTION = {
    "mappings": _PAIR,
    "counts": dict.fromkeys(("total", "mapped", "missing", "duplicates")),
    **dict.fromkeys(("duplicateWaIds", "missingWaIds")),
}
_ID_MAP_KEYS: dict[str, Any] = {
    **_HEAD,
    "generatedAt": None,
    **dict.fromkeys(_SECTIONS, _ID_MAP_SECTION),
}
"""What the three formats are known to say; any other key is shown by its name, for nobody reads it."""


@dataclass(frozen=True)
class ReportRecord:
    """One record that a report file names.

    Attributes
    ----------
    entity, action : str
        As people say them: ``Member``, ``created``.
    wa_id : str or None
        Wild Apricot's id, where the report gives it.
    record_id : str or None
        Murmurant's; None in a dry run.
    fields : dict
        What the importer wrote or would have written, by its own field names.
    """

    entity: str
    action: str
    wa_id: str | None
    record_id: str | None
    fields: dict[str, Any]


@dataclass(frozen=True)
class ImportReport:
    """What one report file says of one run. Times are UTC, without zone.

    Attributes
    ----------
    sync : {"full", "incremental", ""}
        What a sync fetched; see `workbench.murmurant.importers.Run`.
    counts : dict of str to dict of str to int
        Entity to action to count, as the importer counted them.
    errors : dict of str to int
        Entity to the number of records it gave up on.
    fetched : dict of str to int
        Entity to the number of records it had to deal with.
    skip_reasons : dict of str to int
        Reason to count, the API sync's ``topSkipReasons``: the ten most frequent.
    warnings : tuple of ReportWarning
        What the importer warns of.
    problems : tuple of Problem
        Every record that it says it gave up on. It may list fewer than `errors` counts.
    missing : tuple of (entity, wa_id)
        What an id map could pair with nothing.
    diagnostics : dict of str to int
        The API sync's ``registrationDiagnostics``, by its own names.
    unread : tuple of str
        Keys of the file that nobody reads, such as ``stats.members.merged``.
    files : dict of str to str
        Entity to the export file it was read from, as the CSV importer names it.
    records : tuple of ReportRecord
        Empty in a summary.
    identities : tuple of (entity, wa_id, record_id)
        What an id map or a summary's ``idMapping`` pairs, without saying what was done.
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


def read_reports(paths: Iterable[Path]) -> tuple[ImportReport, ...]:
    """Read report files, and those in folders, ordered by run and name.

    A folder may hold other JSON files as well, which are passed over; a file that was named must
    be a report.

    Raises
    ------
    ReportFileError
        For a named file that is not there, not a report, or cut short.
    """
    found: dict[Path, ImportReport] = {}
    for path in paths:
        if path.is_dir():
            for each in sorted(path.glob("*.json")):
                try:
                    found[each.resolve()] = read_report(each)
                except NotAReportError:
                    continue  # a folder may hold anything; a report that is cut short still raises
        else:
            found[path.resolve()] = read_report(path)
    return tuple(sorted(found.values(), key=lambda report: (report.run_id, report.path.name)))


class NotAReportError(ReportFileError):
    """The file is sound JSON, but no importer's report."""


def read_report(path: Path) -> ImportReport:
    """Read one report file in any of the three formats, or a log of an incremental sync.

    Raises
    ------
    ReportFileError
        When it cannot be read, is cut short, or is something else.
    """
    again = "Give a file that the importer wrote, whole."
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ReportFileError(f"The report file {path} cannot be read: {error.strerror}.", again) from None
    except UnicodeDecodeError:
        raise ReportFileError(f"The report file {path} is not text in UTF-8.", again) from None
    except json.JSONDecodeError as error:
        if facts := read_output(error.doc):
            return ImportReport(path=path, run_id="" if facts["mode"] == "live" else path.stem, **facts)
        begun = error.doc.lstrip()[:1] in {"", "{"}
        state = "is cut short or damaged" if begun else "is not JSON"
        raise ReportFileError(
            f"The report file {path} {state} (line {error.lineno}: {error.msg}).", again
        ) from None
    known = "API sync report, CSV import report or id map"
    if not isinstance(content, dict) or not isinstance(content.get("runId"), str) or not content["runId"]:
        raise NotAReportError(f"{path} is not an import report: no runId ({known}).", again)
    try:
        if isinstance(content.get("stats"), dict):
            return _api(path, content)
        if isinstance(content.get("summary"), dict) and "members" in content:
            return _csv(path, content)
        if "generatedAt" in content and isinstance(content.get("members"), dict):
            return _id_map(path, content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReportFileError(
            f"The report file {path} is not in the form it claims: {type(error).__name__} at {error}.", again
        ) from None
    raise NotAReportError(f"{path} is not an import report of a known form ({known}).", again)


def _api(path: Path, content: dict[str, Any]) -> ImportReport:
    stats = content["stats"]
    fetched = content.get("fetched", {})
    told = content.get("registrationDiagnostics", {})
    diagnostics = {name: value for name, value in told.items() if type(value) is int}
    counts = {entity: _counts(stats[section]) for section, entity in _SECTIONS.items() if section in stats}
    if REGISTRATION in counts and counts[REGISTRATION].get("skipped"):
        counts[REGISTRATION] = _told_apart(counts[REGISTRATION], diagnostics)
    return ImportReport(
        path=path,
        importer="api",
        sync="full",  # an incremental sync writes none
        counts=counts,
        errors={entity: int(stats[name]["errors"]) for name, entity in _SECTIONS.items() if name in stats},
        fetched={
            MEMBER: int(fetched.get("contacts", 0)),
            EVENT: int(fetched.get("events", 0)),
            REGISTRATION: int(fetched.get("registrations", 0)),
        },
        skip_reasons={str(each["reason"]): int(each["count"]) for each in told.get("topSkipReasons", [])},
        diagnostics=diagnostics,
        problems=_problems(content),
        unread=tuple(_unread(content, _API_KEYS)),
        **_head(content, finished="finishedAt"),
    )


def _told_apart(cells: dict[str, int], diagnostics: dict[str, int]) -> dict[str, int]:
    """Tell what was skipped for want of a member or event from what was refused and what was there already."""
    lost = ("MissingMember", "MissingEvent", "TransformError")
    if not all(f"registrationsSkipped{each}" in diagnostics for each in lost):
        return cells
    member, event, refused = (diagnostics[f"registrationsSkipped{each}"] for each in lost)
    existing = cells["skipped"] - member - event - refused
    if existing < 0:
        return cells  # it contradicts itself
    parts = {"unlinked": member + event, "refused": refused}
    written = {"created": cells["created"], "updated": cells["updated"], "existing": existing}
    return {**written, **{action: count for action, count in parts.items() if count}}


def _csv(path: Path, content: dict[str, Any]) -> ImportReport:
    sections = {entity: content[name] for name, entity in _SECTIONS.items() if name in content}
    listed = [
        (entity, each)
        for entity, section in sections.items()
        if isinstance(section.get("records"), list)
        for each in section["records"]
    ]
    # One with errors was given up on: counted as an error, and nothing was done.
    records = tuple(_record(entity, each) for entity, each in listed if not each.get("_errors"))
    identities = tuple(
        (entity, str(each["waId"]), str(each["murmurantId"]))
        for name, entity in _SECTIONS.items()
        for each in (content.get("idMapping") or {}).get(name, [])
        if each.get("murmurantId")
    )
    given_up = tuple(
        Problem(entity, _id(each.get("_waId")), _row(each.get("_sourceRow")), str(message))
        for entity, each in listed
        for message in _as_list(each.get("_errors"))
    )
    counts = {entity: _counts(section) for entity, section in sections.items()}
    for entity, cells in counts.items():
        # An export's row that was skipped was there already, where the report pairs it with a record.
        paired = max(
            sum(each.entity == entity and each.action == "existing" for each in records),
            sum(each[0] == entity for each in identities) - cells["created"] - cells["updated"],
        )
        if "skipped" in cells and paired >= cells["skipped"]:
            cells["existing"] = cells.pop("skipped")
    return ImportReport(
        path=path,
        counts=counts,
        errors={entity: int(section.get("errors", 0)) for entity, section in sections.items()},
        fetched={entity: int(section["totalRows"]) for entity, section in sections.items()},
        files={entity: name for entity, each in sections.items() if (name := _word(each.get("file")))},
        records=records,
        identities=identities,
        problems=tuple(dict.fromkeys((*_problems(content), *given_up))),
        unread=tuple(_unread(content, _CSV_KEYS)),
        **{"importer": importer_of(content["runId"]), **_head(content, finished="completedAt")},
    )


def _id_map(path: Path, content: dict[str, Any]) -> ImportReport:
    sections = {entity: content[name] for name, entity in _SECTIONS.items() if content.get(name)}
    identities = tuple(
        (entity, str(each["waId"]), str(each["murmurantId"]))
        for entity, section in sections.items()
        for each in section.get("mappings", [])
    )
    head = _head(content, finished="")
    head["warnings"] += tuple(
        ReportWarning("DUPLICATE_WA_ID", "medium", f"{entity} {wa_id} stands more than once in the export.")
        for entity, section in sections.items()
        for wa_id in section.get("duplicateWaIds", [])
    )
    return ImportReport(
        path=path,
        importer=importer_of(content["runId"]),
        identities=identities,
        missing=tuple(
            (entity, str(wa_id))
            for entity, section in sections.items()
            for wa_id in section.get("missingWaIds", [])
        ),
        unread=tuple(_unread(content, _ID_MAP_KEYS)),
        **head,
    )


def _head(content: dict[str, Any], finished: str) -> dict[str, Any]:
    config = content.get("config")
    return {
        "run_id": content["runId"],
        "mode": "dry" if content["dryRun"] else "live",
        "started": _moment(content.get("startedAt")),
        "finished": _moment(content.get(finished)) if finished else None,
        "success": content.get("success"),
        "warnings": tuple(map(_warning, _as_list(content.get("warnings")))),
        "config": config if isinstance(config, dict) else {},
        "environment": _word(content.get("environment")),
        "operator": _word(content.get("operator")),
    }


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _record(entity: str, each: dict[str, Any]) -> ReportRecord:
    record_id = each.get("_murmurantId")
    action = _ACTIONS[each["_action"]]
    return ReportRecord(
        entity=entity,
        action=action if record_id or action != "existing" else "skipped",
        wa_id=str(each.get("_waId") or "") or None,
        record_id=None if record_id is None or str(record_id).startswith("dry-") else str(record_id),
        fields={name: value for name, value in each.items() if not name.startswith("_")},
    )


def _counts(section: dict[str, Any]) -> dict[str, int]:
    """Read the counts; what was skipped may have been there already, or be refused, and nothing is called by either yet."""
    created, updated, skipped = (int(section[name]) for name in _COUNTS)
    return {"created": created, "updated": updated, "skipped" if skipped else "existing": skipped}


def _warning(each: object) -> ReportWarning:
    if not isinstance(each, dict):
        return ReportWarning("", "", str(each))
    about = " ".join(str(each[name]) for name in ("entity", "entityType", "waId") if each.get(name))
    if each.get("sourceRow"):
        about = f"{about} in row {each['sourceRow']}".strip()
    message = str(each.get("message") or "no reason given")
    return ReportWarning(
        str(each.get("code") or ""),
        str(each.get("severity") or ""),
        f"{about}: {message}" if about else message,
    )


def _problems(content: dict[str, Any]) -> tuple[Problem, ...]:
    found = []
    for each in _as_list(content.get("errors")):
        if isinstance(each, dict):
            word = str(each.get("entity") or each.get("entityType") or "")
            entity = _ENTITY_WORDS.get(word.lower(), word)
            message = str(each.get("message") or each.get("error") or each.get("reason") or "")
            found.append(Problem(entity, _id(each.get("waId")), _row(each.get("sourceRow")), message))
        else:
            found.append(Problem("", None, None, str(each)))
    return tuple(found)


def _unread(value: object, known: dict[str, Any] | None, path: str = "") -> Iterator[str]:
    """Yield the keys, at any level, that no part of this module reads, each once."""
    if not known:
        return
    if isinstance(value, list):
        names = (name for each in value for name in _unread(each, known, f"{path}[]"))
        yield from dict.fromkeys(names)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key in known:
                yield from _unread(each, known[key], f"{path}.{key}".lstrip("."))
            elif known is not _RECORD or key.startswith("_"):  # the others are the record's own fields
                yield f"{path}.{key}".lstrip(".")


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _id(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


def _row(value: object) -> int | None:
    return int(str(value)) if str(value).isdecimal() else None


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
