"""The report files that importers leave on disk, read into one form.

Three formats: the API sync's ``wa_full_sync_report.json``, the CSV importer's
``migration-{dry-run,live}-<ts>.json`` (``-full.json`` lists every record), and its ``id-map-...json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.errors import ReportFileError
from workbench.murmurant.importers import importer_of
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

_SECTIONS = {"members": MEMBER, "events": EVENT, "registrations": REGISTRATION}
_ACTIONS = {"create": "created", "update": "updated", "skip": "existing"}
_COUNTS = {"created": "created", "updated": "updated", "skipped": "existing"}


@dataclass(frozen=True)
class ReportRecord:
    """One record that a report file names.

    Attributes
    ----------
    entity, action : str
        In the words of DESIGN §5.
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
    counts : dict of str to dict of str to int
        Entity to action to count, as the importer counted them.
    errors : dict of str to int
        Entity to the number of records it gave up on.
    fetched : dict of str to int
        Entity to the number of records it had to deal with.
    skip_reasons : dict of str to int
        Reason to count, the API sync's ``topSkipReasons``.
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
    started: datetime | None = None
    finished: datetime | None = None
    success: bool | None = None
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    fetched: dict[str, int] = field(default_factory=dict)
    skip_reasons: dict[str, int] = field(default_factory=dict)
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
    """Read one report file in any of the three formats.

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
    reasons = content.get("registrationDiagnostics", {}).get("topSkipReasons", [])
    return ImportReport(
        path=path,
        importer="api",
        counts={entity: _counts(stats[section]) for section, entity in _SECTIONS.items() if section in stats},
        errors={entity: int(stats[name]["errors"]) for name, entity in _SECTIONS.items() if name in stats},
        fetched={
            MEMBER: int(fetched.get("contacts", 0)),
            EVENT: int(fetched.get("events", 0)),
            REGISTRATION: int(fetched.get("registrations", 0)),
        },
        skip_reasons={str(each["reason"]): int(each["count"]) for each in reasons},
        **_head(content, finished="finishedAt"),
    )


def _csv(path: Path, content: dict[str, Any]) -> ImportReport:
    sections = {entity: content[name] for name, entity in _SECTIONS.items() if name in content}
    records = tuple(
        _record(entity, each)
        for entity, section in sections.items()
        if isinstance(section.get("records"), list)
        for each in section["records"]
        if not each.get("_errors")  # given up on: counted as an error, nothing was done
    )
    identities = tuple(
        (entity, str(each["waId"]), str(each["murmurantId"]))
        for name, entity in _SECTIONS.items()
        for each in (content.get("idMapping") or {}).get(name, [])
        if each.get("murmurantId")
    )
    return ImportReport(
        path=path,
        counts={entity: _counts(section) for entity, section in sections.items()},
        errors={entity: int(section.get("errors", 0)) for entity, section in sections.items()},
        fetched={entity: int(section["totalRows"]) for entity, section in sections.items()},
        files={entity: name for entity, each in sections.items() if (name := _word(each.get("file")))},
        records=records,
        identities=identities,
        **{"importer": importer_of(content["runId"]), **_head(content, finished="completedAt")},
    )


def _id_map(path: Path, content: dict[str, Any]) -> ImportReport:
    identities = tuple(
        (entity, str(each["waId"]), str(each["murmurantId"]))
        for name, entity in _SECTIONS.items()
        for each in (content.get(name) or {}).get("mappings", [])
    )
    return ImportReport(
        path=path,
        importer=importer_of(content["runId"]),
        identities=identities,
        **_head(content, finished=""),
    )


def _head(content: dict[str, Any], finished: str) -> dict[str, Any]:
    config = content.get("config")
    return {
        "run_id": content["runId"],
        "mode": "dry" if content["dryRun"] else "live",
        "started": _moment(content.get("startedAt")),
        "finished": _moment(content.get(finished)) if finished else None,
        "success": content.get("success"),
        "config": config if isinstance(config, dict) else {},
        "environment": _word(content.get("environment")),
        "operator": _word(content.get("operator")),
    }


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _record(entity: str, each: dict[str, Any]) -> ReportRecord:
    record_id = each.get("_murmurantId")
    return ReportRecord(
        entity=entity,
        action=_ACTIONS[each["_action"]],
        wa_id=str(each.get("_waId") or "") or None,
        record_id=None if record_id is None or str(record_id).startswith("dry-") else str(record_id),
        fields={name: value for name, value in each.items() if not name.startswith("_")},
    )


def _counts(section: dict[str, Any]) -> dict[str, int]:
    return {action: int(section[name]) for name, action in _COUNTS.items()}


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
