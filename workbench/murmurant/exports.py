"""Wild Apricot's own exports of contacts, events and registrations, from its screens (CSV) and its API (JSON).

Headings vary with the screen, the language and the API. They are compared by letters and digits only; headings in the
importer's configuration take precedence. A file with unknown headings is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workbench.errors import UsageError
from workbench.murmurant.listings import decoded, read_csv
from workbench.murmurant.reports import ReportRecord
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

CONTACT_ID, EVENT_ID = "contactId", "eventWaId"
"""The names of an export's fields for the contact and event of a registration."""

Headings = Mapping[str, Mapping[str, str]]
"""Entity to field to its heading in this club's exports."""

# The headings of each entity's fields, reduced to letters and digits; the first one that exists is used.
_HEADINGS = {
    MEMBER: {
        "wa_id": "contactid userid useridakamemberid memberid id",
        "first_name": "firstname givenname",
        "last_name": "lastname surname familyname",
        "email": "email emailaddress",
        "phone": "phone phonenumber phonephone mobilephone mobile cellphone telephone",
        "joined": "membersince",
        "level": "membershiplevel membershiplevelname level",
        "status": "membershipstatus memberstatus status",
        "updated": "profilelastupdated profilelastupdate lastupdated",
        "archived": "archived isarchived",
        "suspended": "suspended suspendedmember issuspendedmember",
    },
    EVENT: {
        "wa_id": "eventid id",
        "title": "eventname eventtitle name title event",
        "start": "startdate eventstartdate startdateandtime start starttime",
        "end": "enddate eventenddate enddateandtime end endtime",
        "capacity": "registrationlimit registrationslimit eventregistrationlimit capacity limit",
    },
    REGISTRATION: {
        "wa_id": "registrationid eventregistrationid id",
        "contact": "contactid userid useridakamemberid memberid contact",
        "event": "eventid event",
        "status": "registrationstatus status",
        "waitlisted": "onwaitlist",
        "first_name": "firstname",
        "last_name": "lastname",
    },
}
# The fields that an entity needs besides its id: all of the first, one of the second.
_NEEDED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    REGISTRATION: (("contact", "event"), ()),
    EVENT: (("title", "start"), ()),
    MEMBER: ((), ("email", "first_name", "last_name")),
}
_IMPORTERS = {
    "first_name": "firstName", "last_name": "lastName", "email": "email", "phone": "phone", "joined": "joinedAt",
    "title": "title", "start": "startTime", "contact": CONTACT_ID, "event": EVENT_ID,
}  # fmt: skip
_CONFIGURED = {
    MEMBER: ("member_fields", {"_wa_contact_id": "wa_id", "firstName": "first_name", "lastName": "last_name", "email": "email",
                               "phone": "phone", "joinedAt": "joined", "membershipStatusId": "level"}),
    EVENT: ("event_fields", {"_wa_event_id": "wa_id", "title": "title", "startTime": "start", "endTime": "end",
                             "capacity": "capacity"}),
    REGISTRATION: ("registration_fields", {"_wa_registration_id": "wa_id", "memberId": "contact", "eventId": "event",
                                           "status": "status"}),
}  # fmt: skip
_LISTS = {
    "contacts": MEMBER,
    "events": EVENT,
    "registrations": REGISTRATION,
    "eventregistrations": REGISTRATION,
}
_OF_PEOPLE = {"contactid", "userid", "memberid", "firstname", "lastname", "email"}
_SHEETS = {".xls", ".xlsx", ".ods", ".xml"}


@dataclass(frozen=True)
class Export:
    """The rows of an export file.

    Attributes
    ----------
    path : Path
        The file.
    entity : {"Member", "Event", "Registration"}
        The entity of its rows.
    rows : pandas.DataFrame
        In the order of the file, with the existing fields as text: always ``wa_id``; of a member ``first_name``, ``last_name``, ``email``, ``phone``, ``joined``, ``level``, ``status``,
        ``updated``, ``archived``, ``suspended``; of an event ``title``, ``start``, ``end``, ``capacity``; of a
        registration ``contact``, ``event`` (their WA ids), ``status``, ``waitlisted``.
    """

    path: Path
    entity: str
    rows: pd.DataFrame


def read_export_files(paths: Iterable[Path], headings: Headings | None = None) -> tuple[Export, ...]:
    """Read Wild Apricot's exports, CSV or JSON, and those in folders.

    Parameters
    ----------
    headings : mapping, optional
        This club's headings from the importer's configuration: see `configured_headings`.

    Raises
    ------
    UsageError
        For a file that is no export, is damaged or is empty, and for a folder without exports.
    """
    exports: list[Export] = []
    for path in paths:
        files = [path]
        if path.is_dir():
            files = sorted(
                file for file in path.iterdir() if file.suffix.lower() in {".csv", ".tsv", ".json", *_SHEETS}
            )
            if not files:
                raise UsageError(
                    f"There is no export in the folder {path}.", "Name CSV or JSON files, or their folder."
                )
        for file in files:
            exports += _read(file, headings or {})
    return tuple(exports)


def read_exports(paths: Iterable[Path], headings: Headings | None = None) -> tuple[ReportRecord, ...]:
    """Read exports as records under the importers' field names, without Murmurant's ids."""
    records: list[ReportRecord] = []
    for export in read_export_files(paths, headings):
        rows = export.rows.drop(columns="wa_id").filter(items=list(_IMPORTERS)).rename(columns=_IMPORTERS)
        for name in {"joinedAt", "startTime"} & set(rows):
            read = moments(rows[name])["moment"]
            rows[name] = read.dt.strftime("%Y-%m-%dT%H:%M:%S").where(read.notna(), "")
        fields_of: list[dict[str, Any]] = [
            {str(key): value for key, value in row.items()} for row in rows.to_dict("records")
        ]
        ids = export.rows["wa_id"]
        records += [
            ReportRecord(export.entity, "existing", wa_id or None, None, fields)
            for wa_id, fields in zip(ids, fields_of, strict=True)
        ]
    return tuple(records)


def configured_headings(configuration: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the headings in the importer's configuration, by entity and field."""
    headings: dict[str, dict[str, str]] = {}
    for entity, (section, fields) in _CONFIGURED.items():
        named = configuration.get(section)
        for name, value in named.items() if isinstance(named, Mapping) else ():
            source = value.get("source") if isinstance(value, Mapping) else value
            if name in fields and isinstance(source, str) and source.strip():
                headings.setdefault(entity, {})[fields[name]] = source
    return headings


def moments(texts: pd.Series[str], order: Literal["", "month", "day"] = "") -> pd.DataFrame:
    """Parse dates from Wild Apricot's screens, in any language, and its API.

    Parameters
    ----------
    order : {"", "month", "day"}
        Which comes first in ``03/04/2026``. By default this follows from other dates in the column, else the month does.

    Returns
    -------
    pandas.DataFrame
        ``moment`` (without zone; NaT if invalid), ``zoned`` (it had a zone and is in UTC now), ``timed`` (it had a time of
        day) and ``unread`` (it is invalid).
    """
    text = texts.astype(str).str.strip()
    parts = text.str.extract(_MOMENT)
    year_first = parts["a"].str.len() == 4
    dotted = ~year_first & text.str.match(r"\d+\.")  # 24.12.2026: always the day first
    numbers = parts[["a", "b", "c", "hour", "minute", "second"]].apply(pd.to_numeric).astype(float)
    short = ~year_first & parts["a"].notna() & ~dotted
    first, second = numbers["a"].where(short), numbers["b"].where(short)
    day_first = order == "day" or (not order and bool((first > 12).any()) and not bool((second > 12).any()))
    month, day = (second, first) if day_first else (first, second)
    month, day = month.mask(dotted, numbers["b"]), day.mask(dotted, numbers["a"])
    hour = numbers["hour"].fillna(0)
    half = parts["half"].str.lower()
    hour = hour.mask(half.notna() & (hour == 12), 0) + 12 * (half == "p")
    year = numbers["a"].where(year_first, numbers["c"])
    dates = {
        "year": year.mask(year < 100, year + 2000).mask(year.between(70, 99), year + 1900),
        "month": numbers["b"].where(year_first, month),
        "day": numbers["c"].where(year_first, day),
        "hour": hour,
        "minute": numbers["minute"].fillna(0),
        "second": numbers["second"].fillna(0),
    }
    moment = pd.to_datetime(pd.DataFrame(dates), errors="coerce").astype("datetime64[us]")
    offset = parts["zone"].str.extract(r"([+-])(\d\d):?(\d\d)")
    minutes = (pd.to_numeric(offset[1]) * 60 + pd.to_numeric(offset[2])).fillna(0)
    moment = moment - pd.to_timedelta(minutes.where(offset[0] != "-", -minutes), unit="min")
    worded = moment.isna() & text.str.contains(r"(?:[^\W\d_]{3}.*\d|\d.*[^\W\d_]{3})", regex=True)
    if worded.any():  # 10 Jan 2026, January 10, 2026 6:00 PM
        read = pd.to_datetime(text[worded], format="mixed", errors="coerce", utc=True).dt.tz_localize(None)
        moment.loc[worded] = read.astype("datetime64[us]")
    timed = parts["hour"].notna() | (worded & text.str.contains(":"))
    return pd.DataFrame(
        {
            "moment": moment,
            "zoned": parts["zone"].notna(),
            "timed": timed,
            "unread": moment.isna() & (text != ""),
        }
    )


_MOMENT = re.compile(
    r"^(?P<a>\d{1,4})[/.-](?P<b>\d{1,2})[/.-](?P<c>\d{1,4})\.?(?:(?:\s*[T,]\s*|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,]\d+)?)?\s*(?:(?P<half>[AaPp])\.?\s?[Mm]\.?)?)?\s*(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?$"
)


def _read(path: Path, headings: Headings) -> Iterator[Export]:
    suffix = path.suffix.lower()
    if suffix in _SHEETS:
        raise UsageError(
            f"{path} is a spreadsheet or XML, not CSV.",
            "Export it from Wild Apricot as CSV, or save it as CSV UTF-8.",
        )
    if suffix == ".json":
        for rows, entity in _json_rows(path):
            yield _export(path, rows, headings, entity)
        return
    listing = read_csv(path, wide=True)
    lines = listing.lines(range(len(listing.header)))
    wrong = [f"line {line.number}: {line.problem}" for line in lines if line.problem]
    if wrong:
        more = [f"and {len(wrong) - 5:,} lines more"] if len(wrong) > 5 else []
        raise UsageError("\n  ".join([f"{path} is damaged:", *wrong[:5], *more]), "Export it once more.")
    cells = pd.DataFrame([line.cells for line in lines], dtype=object).set_axis(listing.header, axis=1)
    yield _export(path, cells, headings)


def _export(path: Path, cells: pd.DataFrame, headings: Headings, entity: str = "") -> Export:
    """Recognise the entity by the headings, and select the known columns."""
    known = {kind: _columns(cells.columns, kind, headings.get(kind, {})) for kind in _NEEDED}
    fit = [kind for kind in _NEEDED if _fits(kind, known[kind])]
    if entity:
        fit = [entity] if entity in fit else []
    named = set(map(_squashed, cells.columns))
    if "eventid" in named and named & {"eventname", "eventtitle"} and not named & _OF_PEOPLE:
        fit = fit or [EVENT]  # a selection of columns, without the start
    listed = REGISTRATION not in fit and "eventid" in named and bool({"contactid", "userid"} & named)
    if not fit or listed:
        names = ", ".join(map(str, cells.columns[:8]))
        what = "lists registrations without their ids" if listed else "is not one of Wild Apricot's exports"
        raise UsageError(
            f"{path} {what}: its columns are {names}{', ...' if len(cells.columns) > 8 else ''}.",
            "An export of members has Contact ID or User ID and Email, one of events Event ID and Event name, one of"
            " registrations Registration ID, Contact ID and Event ID; other headings are known where the importer's"
            " configuration names them (tier_mapping or status_mapping in workbench.toml leads to it).",
        )
    columns = known[fit[0]]
    rows = cells.iloc[:, list(columns.values())].set_axis(list(columns), axis=1).astype(object)
    for field in {"wa_id", "contact", "event"} & set(rows):  # a spreadsheet may have made 50012.0 of an id
        rows[field] = rows[field].str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    return Export(path, fit[0], rows)


def _fits(entity: str, columns: Mapping[str, int]) -> bool:
    every, some = _NEEDED[entity]
    return {"wa_id", *every} <= set(columns) and (not some or bool(set(some) & set(columns)))


def _columns(header: Iterable[object], entity: str, own: Mapping[str, str]) -> dict[str, int]:
    """Return the position of each field; a heading belongs to one field, and the club's own headings come first."""
    places: dict[str, int] = {}
    for at, name in enumerate(header):
        places.setdefault(_squashed(name), at)
    columns: dict[str, int] = {}
    for field, spellings in _HEADINGS[entity].items():
        wanted = (*([_squashed(own[field])] if field in own else ()), *spellings.split())
        if free := [
            places[name] for name in wanted if name in places and places[name] not in columns.values()
        ]:
            columns[field] = free[0]
    return columns


def _squashed(heading: object) -> str:
    return re.sub(r"[\W_]+", "", str(heading).casefold())


def _json_rows(path: Path) -> Iterator[tuple[pd.DataFrame, str]]:
    """Yield the lists in a response of Wild Apricot's API as flat frames, each with the entity that its name implies."""
    try:
        document = json.loads(decoded(path, path.read_bytes(), wide=True))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Name an export.") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {error}.", "Export it once more.") from None
    lists: dict[str, Any] = {"": document}
    if isinstance(document, dict):
        lists = {name: rows for name, rows in document.items() if _squashed(name) in _LISTS}
        lists = lists or {"": [document]}
    for name, rows in lists.items():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise UsageError(
                f"{path} is no list of contacts, events or registrations.",
                "Save what the API answered, whole.",
            )
        if not rows:
            raise UsageError(f"{path} is empty: {name or 'its list'} has no entry.", "Export it once more.")
        flat = pd.DataFrame([_flat(row) for row in rows], dtype=object)
        yield flat.where(flat.notna(), ""), _LISTS.get(_squashed(name), "")


def _flat(row: Mapping[str, Any]) -> dict[str, str]:
    """Return an entry's values by name, nested values by both names, and custom fields by theirs."""
    fields = [field for field in row.get("FieldValues") or () if isinstance(field, Mapping)]
    values = {str(field["FieldName"]): field.get("Value") for field in fields if field.get("FieldName")}
    flat = {
        name: field.get("Label") if isinstance(field, Mapping) else field for name, field in values.items()
    }
    for name, value in row.items():
        parts = (
            {f"{name} {inner}": part for inner, part in value.items()}
            if isinstance(value, Mapping)
            else {name: value}
        )
        flat |= {key: part for key, part in parts.items() if not isinstance(part, list | Mapping)}
    return {name: _text(value) for name, value in flat.items()}


def _text(value: Any) -> str:
    if value is None or isinstance(value, list | Mapping):
        return ""
    return (str(value).lower() if isinstance(value, bool) else str(value)).strip()
