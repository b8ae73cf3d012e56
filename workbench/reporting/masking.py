"""Mask personal data: columns known to be personal, and the text of all columns not known to be harmless.

Ids, Wild Apricot ids, titles and counts stay, so that authorised people can look a person up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Literal

import pandas as pd

DOTS = "•••"

Kind = Literal["name", "email", "phone", "text", "unknown"]

# fmt: off
_PERSONAL: dict[Kind, set[str]] = {
    "name": {
        "name", "names", "firstname", "lastname", "fullname", "surname", "nickname", "username", "told", "claimed",
        "contact", "person", "guest", "spouse", "partner",
    },
    "email": {
        "email", "emails", "mail", "gmail",
    },
    "phone": {
        "phone", "phones", "mobile", "cell", "tel", "telephone", "fax",
    },
    "text": {
        "address", "street", "city", "zip", "postcode", "postal", "birthday", "birth", "dob", "note", "notes",
        "comment", "comments", "content", "bio", "biography", "remark", "remarks", "message", "diet", "dietary",
        "allergies", "medical", "emergency", "password", "token",
    },
}
"""Words in the names of personal columns, by the kind of data."""

# "table_name" is the name of a thing, "person_id" an id: neither is personal.
_OF_THINGS = {
    "table", "column", "file", "tier", "event", "check", "level", "environment", "report", "importer", "key", "id",
    "ids", "count", "tag",
}
_IDENTIFIERS = {"id", "run", "ids", "key", "uuid", "target"}
_HARMLESS = _OF_THINGS | _IDENTIFIERS | {
    "title", "uuid", "status", "code", "kind", "type", "state", "mode", "sync", "operation", "action", "fate",
    "decision", "strength", "severity", "risk", "outcome", "entity", "event", "events", "member", "members",
    "registration", "registrations", "import", "mapping", "tiers", "photo", "cluster", "cycle", "left", "right",
    "operator", "importer", "by", "who", "author", "authors", "through", "back", "since", "at", "when", "started",
    "finished", "moment", "version", "why", "reason", "because", "evidence", "finding", "problem", "failure",
    "symptom", "guide", "item", "subject", "section", "question", "remedy", "what", "would", "should", "said",
    "says", "asks", "agrees", "differs", "lacks", "live", "targets", "source", "child", "modes", "ways",
    "commands", "missing", "holds", "bundles", "files", "verified", "role", "redacted", "export", "trace",
    "config", "duration", "start", "end", "against", "surely", "how", "it", "here", "be", "actual", "expected",
    "nearest", "found", "canonical", "stays", "survives", "rehearsed", "dry", "way", "step", "rule", "policy",
    "waived", "plan", "command", "change", "changes", "row", "record", "records", "detail", "value", "values",
    "sha256", "digest", "size", "database", "schema", "server", "snapshot", "backup", "bundle", "path", "request",
    "setting", "where", "columns", "compared", "levels", "newer", "next", "field", "invariant", "verdict", "runs",
}
"""Words in the names of harmless columns; the text of any other column may be personal."""

_DOCUMENTS = {"metadata", "before", "after", "changes"}
"""Columns with JSON documents of any shape."""

_DOCUMENTED = {
    "syncRunId", "run_id", "runId", "importRunId", "waId", "mode", "source", "operator", "environment", "oldStatus",
    "newStatus", "status", "entityType", "resourceType", "migrationAction", "version", "target", "file", "request",
    "restored_from", "backup_sha256", "backup_created_at", "safety_backup", "cutoff", "export_file", "snapshot",
    "outcome", "kind", "plan", "undone_plan", "root_plan", "digest", "approved_by", "records_affected",
    "configuration", "configuration_sha256", "column", "corrected", "rule", "fix", "rules", "rules_sha256",
    "records", "bundle", "bundle_sha256", "dry_run", "content_sha256", "entity", "canonical", "duplicates",
    "records_moved", "records_deleted", "oldMurmurantId", "newMurmurantId", "backup_file", "restore_time",
    "last_batch", "duration",
}
"""Harmless keys of such documents."""
# fmt: on

_KIND_OF: dict[str, Kind] = {word: kind for kind, words in _PERSONAL.items() for word in words}
_VALUES = {"export", "here", "before", "run", "now", "would_be", "after_import"}
"""Columns of values whose field is named in the row, in ``field`` or ``column``."""

NOT_KNOWN = "not known"
"""What a plan writes for a value that is not known."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(UTC|Z|[+-]\d\d(:?\d\d)?))?)?")
_PLAIN = re.compile(
    r"\W*\d[\d,]{0,5}(\.\d+)?\W*|true|false|[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    rf"|{_MOMENT.pattern}|\W*"
)
"""Text that is harmless in any column: a small number, a digest, an id, a time."""

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\"'/\\|=]+@[^\s@<>()\[\],;:\"'/\\|=]+")


def kind_of(column: object) -> Kind | None:
    """Return the kind of personal data in a column: None for a harmless one, ``unknown`` for an unknown name."""
    words = words_of(column)
    if _OF_THINGS & set(words):
        return None
    known = next((_KIND_OF[word] for word in reversed(words) if word in _KIND_OF), None)
    return known or (None if _HARMLESS & set(words) else "unknown")


def words_of(column: object) -> list[str]:
    """Split a column's name, in snake_case or camelCase, into lower-case words."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", str(column)).lower().replace("e-mail", "email")
    return re.findall(r"[^\W_]+", apart)


def is_identifier(column: object) -> bool:
    """Whether a column holds ids or keys: not masked, digits not grouped."""
    words = set(words_of(column))
    return bool(_IDENTIFIERS & words) and "title" not in words


def mask(frame: pd.DataFrame, unmask: bool = False) -> pd.DataFrame:
    """Mask the personal data in a frame.

    Columns are judged by their names; the text of unknown ones is masked, unless ``frame.attrs["harmless"]`` lists them.
    In JSON documents everything is masked except known keys. E-mail addresses are masked everywhere, and the names
    in a row also in the other texts of that row.

    Parameters
    ----------
    frame : pandas.DataFrame
        The frame to show; it is not changed.
    unmask : bool
        Do not mask anything.

    Returns
    -------
    pandas.DataFrame
        A copy with the same columns and rows.
    """
    if unmask:
        return frame.copy()
    columns = list(frame.columns)
    harmless = frame.attrs.get("harmless", ())
    judged = ["code" if name in harmless and kind_of(name) == "unknown" else name for name in columns]
    rows = [_mask_row(judged, row) for row in frame.itertuples(index=False, name=None)]
    masked = pd.DataFrame(rows, index=frame.index, columns=range(len(columns)), dtype=object)
    for position, column in enumerate(columns):
        # Harmless numbers and dates keep their type.
        if frame.dtypes.iloc[position].kind in "iufbM" and kind_of(column) in (None, "unknown"):
            masked[position] = frame.iloc[:, position]
    masked.columns, masked.attrs = frame.columns, dict(frame.attrs)
    return masked


def mask_text(text: str) -> str:
    """Mask every e-mail address in a text."""
    return _EMAIL.sub(lambda match: _mask_email(match[0]), text)


def _mask_row(columns: list[Any], row: tuple[Any, ...]) -> list[Any]:
    cells = list(zip(columns, row, strict=True))
    of = next((str(value) for column, value in cells if column in ("field", "column")), "")
    if of:  # a value is as personal as its field
        kind = "full_name" if of == "person" else of
        cells = [(kind if column in _VALUES else column, value) for column, value in cells]
    own = [
        value
        for column, value in cells
        if isinstance(value, str) and kind_of(column) not in (None, "unknown")
    ]
    return [_mask_cell(column, value, own) for column, value in cells]


def _mask_cell(column: object, value: Any, own: Iterable[str] = ()) -> Any:
    kind = kind_of(column)
    if isinstance(value, dict):
        if _DOCUMENTS & set(words_of(column)):
            return _mask_document(value)
        own_kind = kind in (None, "unknown")
        return {key: _mask_cell(key if own_kind else column, inner, own) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_mask_cell(column, inner, own) for inner in value]
    if value is None or value is pd.NaT or value is pd.NA or value != value or isinstance(value, bool):
        return value
    if kind not in (None, "unknown"):
        return _mask_value(kind, str(value))
    if not isinstance(value, str):
        return value
    if value[:1] in "{[" and (parsed := _json(value)) is not None:
        return json.dumps(_mask_cell(column, parsed, own), ensure_ascii=False)
    if kind == "unknown":
        return value if _PLAIN.fullmatch(value) else DOTS
    value = mask_text(value)
    if is_identifier(column) or "title" in words_of(column):
        return value
    for name in own:
        if len(name) > 2 and name in value:
            value = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", DOTS, value)
    return value


def _mask_document(value: Any, key: str = "") -> Any:
    """Mask all text of a document except under known keys."""
    if isinstance(value, dict):
        return {inner: _mask_document(item, inner) for inner, item in value.items()}
    if isinstance(value, list):
        return [_mask_document(item, key) for item in value]
    harmless = not isinstance(value, str) or key in _DOCUMENTED or re.fullmatch(r"[0-9a-f]{64}|", value)
    return value if harmless else DOTS


def _mask_value(kind: Kind | None, value: str) -> str:
    if DOTS in value or value == NOT_KNOWN:
        return value  # already masked
    if kind == "name" and _MOMENT.fullmatch(value):
        return value  # a time, as in "lastContactSync"
    if not value.strip():
        return value if len(value) <= 2 else DOTS
    if kind == "email" and "@" in value:
        return _mask_email(value)
    if kind == "phone":
        digits = re.sub(r"[^0-9]", "", value)
        return DOTS + (digits[-2:] if len(digits) > 4 else "")
    if kind == "text":
        return DOTS
    return (value.strip()[0] if value.strip()[0].isalnum() else "") + DOTS


def _mask_email(value: str) -> str:
    local, _, domain = value.strip().rpartition("@")
    first = local[0] if len(local) > 1 and local[0].isalnum() else ""
    # The part after the @ is shown only if it is a plain domain.
    return f"{first}{DOTS}@{domain if re.fullmatch(r'[A-Za-z0-9.-]+', domain) else DOTS}"


def _json(text: str) -> Any:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict | list) else None
