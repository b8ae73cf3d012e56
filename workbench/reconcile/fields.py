"""Fields in which an export and the database differ, and which of the two is newer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pandas as pd

from workbench.murmurant.exports import moments
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.reconcile.matching import folded, tidy

Order = Literal["", "month", "day"]

NEWER_THERE, NEWER_HERE = "Wild Apricot", "here"

_REGISTRATION_STATUS = {
    "confirmed": "CONFIRMED", "registered": "CONFIRMED", "cancelled": "CANCELLED", "canceled": "CANCELLED",
    "declined": "CANCELLED", "waitlist": "WAITLISTED", "waitlisted": "WAITLISTED", "onwaitlist": "WAITLISTED",
    "noshow": "NO_SHOW", "pendingpayment": "PENDING_PAYMENT", "pending": "PENDING",
}  # fmt: skip
_MEMBER_STATUS = "active", "lapsed", "pendingnew", "pendingrenewal", "suspended", "notamember"
_ZONES_APART = pd.Timedelta(hours=14)


def read_moments(
    texts: pd.Series[str], order: Order, zone: str | None, ours: pd.Series | None = None
) -> pd.DataFrame:
    """Read an export's times; an ambiguous order of day and month is decided by what agrees with the database.

    Parameters
    ----------
    zone : str or None
        The time zone of the export's times, which are converted to UTC.
    ours : pandas.Series, optional
        The database's times of the same rows.
    """
    slashes = not order and bool(texts.str.match(r"\d{1,2}[/-]").any())
    orders: tuple[Order, ...] = ("month", "day") if slashes else (order,)

    def wrong(read: pd.DataFrame) -> tuple[int, int]:
        difference = (
            (read["moment"] - ours).abs() > pd.Timedelta(days=2) if ours is not None else read["unread"]
        )
        return int(read["unread"].sum()), int(difference.sum())

    read = min((moments(texts, form) for form in orders), key=wrong)
    if zone:
        local = read["timed"] & ~read["zoned"] & read["moment"].notna()
        exported = read.loc[local, "moment"].dt.tz_localize(
            ZoneInfo(zone), ambiguous="NaT", nonexistent="shift_forward"
        )
        read.loc[local, "moment"] = exported.dt.tz_convert("UTC").dt.tz_localize(None)
        read["unread"] |= local & read["moment"].isna()  # ambiguous when the clocks change
    return read


def compare_texts(
    rows: pd.DataFrame, entity: str, field: str, statuses: Mapping[str, Any]
) -> tuple[pd.Series, pd.Series]:
    """Return which rows differ in a field, and which can be compared.

    Parameters
    ----------
    rows : pandas.DataFrame
        With the export's ``field`` and the database's ``field_here``.
    statuses : mapping
        The importer's configuration of registration statuses.
    """
    exported, ours = rows[field], rows[f"{field}_here"]
    comparable = pd.Series(data=True, index=rows.index)
    if field == "status":
        exported, ours = _status_codes(rows, entity, statuses)
        comparable = exported.notna() & ours.notna()
    elif field in ("email", "level"):
        exported, ours = folded(exported), folded(ours)
        comparable = comparable if field == "email" else ours != ""  # the CSV importer stores no level
    elif field == "phone":
        exported, ours = (tidy(texts).str.replace(r"\D+", "", regex=True) for texts in (exported, ours))
    elif field == "capacity":
        exported = exported.str.replace(r"[\s.,](?=\d{3})", "", regex=True)
        exported, ours = (pd.to_numeric(texts, errors="coerce").fillna(0) for texts in (exported, ours))
    else:
        exported, ours = tidy(exported), tidy(ours)
    differs = comparable & (exported != ours)
    if field == "phone":
        differs &= ~pd.Series(list(map(_same_number, exported, ours)), index=rows.index, dtype=bool)
    elif field == "status":
        # Booked, cancelled and booked again: two rows in the export, one record that agrees with one of them.
        differs &= ~rows["record_id"].isin(rows.loc[comparable & ~differs, "record_id"])
    return differs, comparable


def _status_codes(
    rows: pd.DataFrame, entity: str, statuses: Mapping[str, Any]
) -> tuple[pd.Series, pd.Series]:
    """Return the codes of both sides' statuses; None for unknown ones."""
    codes = (
        dict(zip(_MEMBER_STATUS, _MEMBER_STATUS, strict=True)) if entity == MEMBER else _REGISTRATION_STATUS
    )
    own = {} if entity == MEMBER else {_squashed(name): str(code) for name, code in statuses.items()}
    exported = rows["status"]
    if "waitlisted" in rows:  # the API has a separate flag for it
        exported = exported.mask(rows["waitlisted"] == "true", "WaitList")
    exported, ours = (texts.map(_squashed).astype(object) for texts in (exported, rows["status_here"]))
    return exported.map(codes | own), ours.map(codes)


def compare_moments(rows: pd.DataFrame, field: str, read: pd.DataFrame) -> tuple[pd.Series, str]:
    """Return which rows differ in a time, and a note where most differ by the same number of hours.

    Parameters
    ----------
    rows : pandas.DataFrame
        With the database's times as ``field_here``.
    read : pandas.DataFrame
        The export's times: see `read_moments`.
    """
    ours, exported = pd.to_datetime(rows[f"{field}_here"]).astype("datetime64[us]"), read["moment"]
    hours = (ours - exported).dt.total_seconds() / 3600
    timed = read["timed"] & (field != "joined")  # a date without a time matches the whole day
    hours = hours.where(timed | ~hours.between(0, 24, inclusive="left"), 0)
    # An importer stores the time of the import where Wild Apricot does not know when somebody joined.
    one_sided = ours.isna() & exported.notna() | ours.notna() & exported.isna() & (field != "joined")
    differs = hours.fillna(0).ne(0) | one_sided & ~read["unread"]
    same = hours[hours.fillna(0).ne(0)].value_counts()
    if len(same) and same.iloc[0] > 1 and same.iloc[0] * 2 >= hours.notna().sum():
        by, count = same.index[0], same.iloc[0]
        when = f"{abs(by):g} hours {'later' if by > 0 else 'earlier'} here"
        return (
            differs,
            f"{field} of {count:,} is {when}: a time zone. If it is the export's, name it with --time-zone.",
        )
    return differs, ""


def newer(rows: pd.DataFrame, read: pd.DataFrame) -> pd.Series:
    """Return which side was written last, where the export says when and no time zone could reverse the answer.

    Parameters
    ----------
    read : pandas.DataFrame
        The export's times of the last change: see `read_moments`.
    """
    ours = pd.to_datetime(rows["updated_at_here"]).astype("datetime64[us]")
    difference = ours - read["moment"]
    known = (difference.abs() > _ZONES_APART) | (read["zoned"] & difference.notna())
    answer = pd.Series([None] * len(rows), index=rows.index, dtype=object)
    return answer.mask(known & (difference > pd.Timedelta(0)), NEWER_HERE).mask(
        known & (difference < pd.Timedelta(0)), NEWER_THERE
    )


def _same_number(left: str, right: str) -> bool:
    """Compare two numbers' digits, with or without a country code."""
    long = min(len(left), len(right)) >= 7
    return left == right or (long and (left.endswith(right) or right.endswith(left)))


def _squashed(text: object) -> str:
    return re.sub(r"[\W_]+", "", str(text).casefold())


FIELDS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined", "level", "status"),
    EVENT: ("title", "start", "end", "capacity"),
    REGISTRATION: ("status",),
}
"""The compared fields, besides the member and event of a registration."""

MOMENTS = {"joined", "start", "end"}
