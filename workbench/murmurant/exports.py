"""Wild Apricot's own exports, as CSV files: who its contacts, events and registrations are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.errors import UsageError
from workbench.murmurant.listings import read_csv
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

CONTACT_ID, EVENT_ID = "contactId", "eventWaId"
"""Under which names an export's registration tells whose it is."""

# Wild Apricot's heading of a column, and the importers' name for what stands there.
_EXPORTS: dict[str, tuple[str, str, dict[str, str]]] = {
    REGISTRATION: (
        "Registration ID",
        "Contact ID",
        {"Contact ID": CONTACT_ID, "Event ID": EVENT_ID},
    ),
    EVENT: ("Event ID", "Event name", {"Event name": "title", "Start date": "startTime"}),
    MEMBER: (
        "Contact ID",
        "Email",
        {
            "First name": "firstName",
            "Last name": "lastName",
            "Email": "email",
            "Phone": "phone",
            "Member since": "joinedAt",
        },
    ),
}
_DATES = ("%m/%d/%Y %H:%M", "%m/%d/%Y", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S")


def read_exports(paths: Iterable[Path]) -> tuple[ReportRecord, ...]:
    """Read Wild Apricot's CSV exports of members, events and registrations, and those in folders.

    Returns
    -------
    tuple of ReportRecord
        Without Murmurant's ids: an export knows none.

    Raises
    ------
    UsageError
        For a file that is none of the three.
    """
    found: list[ReportRecord] = []
    for path in paths:
        files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
        for each in files:
            found += _export(each)
    return tuple(found)


def _export(path: Path) -> Iterable[ReportRecord]:
    listing = read_csv(path)
    for entity, (key, sign, columns) in _EXPORTS.items():
        if key in listing.header and sign in listing.header:
            lines = listing.lines(listing.header)
            wrong = [f"line {each.number}: {each.problem}" for each in lines if each.problem]
            if wrong:
                raise UsageError("\n  ".join([f"{path} is damaged:", *wrong]), "Export it once more.")
            return [_told(entity, each.cells[key], each.cells, columns) for each in lines]
    raise UsageError(
        f"{path} is not one of Wild Apricot's exports: its columns are {', '.join(listing.header[:6])}.",
        "An export of members has Contact ID and Email, one of events Event ID and Event name, one of"
        " registrations Registration ID and Contact ID.",
    )


def _told(entity: str, wa_id: str, cells: Mapping[str, str], columns: Mapping[str, str]) -> ReportRecord:
    fields: dict[str, Any] = {own: cells[name] for name, own in columns.items() if name in cells}
    for name in ("joinedAt", "startTime"):
        if name in fields:
            fields[name] = _moment(fields[name])
    return ReportRecord(entity, "existing", wa_id or None, None, fields)


def _moment(text: str) -> str:
    for form in _DATES:
        try:
            return datetime.strptime(text, form).isoformat()  # noqa: DTZ007 - nothing says which zone
        except ValueError:
            continue
    return ""
