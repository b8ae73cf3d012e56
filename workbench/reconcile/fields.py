"""What an export and the database say differently of one record, field by field, and which of the two is newer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
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
_QUARTER, _DAY, _MOST = 15, 24 * 60, 14 * 60  # minutes
_ZONES_APART = pd.Timedelta(hours=14)


class Shift(NamedTuple):
    """One time zone too many: a difference of hours that most moments of an entity have alike.

    Attributes
    ----------
    hours : float
        How much later it is here; of two, for summer and winter, the more frequent.
    also : float or None
        The other one.
    """

    entity: str
    fields: str
    hours: float
    also: float | None
    rows: int
    of: int

    def in_words(self, things: str) -> str:
        """Say what it is, and what to do."""
        hours, *also = (
            f"{abs(shift):g} hours {'later' if shift > 0 else 'earlier'}"
            for shift in (self.hours, self.also)
            if shift is not None
        )
        winter = f" ({also[0]} in the other half of the year)" if also else ""
        return (
            f"{self.rows:,} of {self.of:,} {things} have {self.fields} {hours} here{winter}: a time zone too many; or the"
            " database is in UTC and the export is not, then say its --time-zone."
        )


def read_moments(
    texts: pd.Series[str], order: Order, zone: str | None, ours: pd.Series | None = None
) -> pd.DataFrame:
    """Read an export's moments; where nothing tells day from month, as agrees with the database.

    Parameters
    ----------
    zone : str or None
        In which the export's times are, to be turned into UTC.
    here : pandas.Series, optional
        The database's own moments of the same rows, to decide by.
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
        read["unread"] |= local & read["moment"].isna()  # an hour that the clocks repeat
    return read


def compare_texts(
    rows: pd.DataFrame, entity: str, field: str, statuses: Mapping[str, Any]
) -> tuple[pd.Series, pd.Series]:
    """Tell which rows differ in a field, and which of them can be compared.

    Parameters
    ----------
    rows : pandas.DataFrame
        With the export's ``field`` and the database's ``field_here``.
    statuses : mapping
        The importer's configuration of registrations' statuses.
    """
    exported, ours = rows[field], rows[f"{field}_here"]
    comparable = pd.Series(data=True, index=rows.index)
    if field == "status":
        exported, ours = _status_codes(rows, entity, statuses)
        comparable = exported.notna() & ours.notna()
    elif field in ("email", "level"):
        exported, ours = folded(exported), folded(ours)
        comparable = comparable if field == "email" else ours != ""  # the CSV importer keeps no level
    elif field == "phone":
        exported, ours = (tidy(texts).str.replace(r"\D+", "", regex=True) for texts in (exported, ours))
    elif field == "capacity":
        exported = exported.str.replace(r"[\s.,](?=\d{3})", "", regex=True)
        exported, ours = (pd.to_numeric(texts, errors="coerce").fillna(0) for texts in (exported, ours))
    else:
        exported, ours = tidy(exported), tidy(ours)
    differs = comparable & (exported != ours)  # of a capacity no limit is 0 to one, nothing to the other
    if field == "phone":
        differs &= ~pd.Series(list(map(_same_number, exported, ours)), index=rows.index, dtype=bool)
    elif field == "status":
        # Booked, cancelled and booked again: two rows there, one here, which agrees with one of them.
        differs &= ~rows["record_id"].isin(rows.loc[comparable & ~differs, "record_id"])
    return differs, comparable


def _status_codes(
    rows: pd.DataFrame, entity: str, statuses: Mapping[str, Any]
) -> tuple[pd.Series, pd.Series]:
    """Return the codes of both sides' statuses, None of what has none."""
    codes = (
        dict(zip(_MEMBER_STATUS, _MEMBER_STATUS, strict=True)) if entity == MEMBER else _REGISTRATION_STATUS
    )
    own = {} if entity == MEMBER else {_squashed(name): str(code) for name, code in statuses.items()}
    exported = rows["status"]
    if "waitlisted" in rows:  # the API has a mark of its own for it
        exported = exported.mask(rows["waitlisted"] == "true", "WaitList")
    exported, ours = (texts.map(_squashed).astype(object) for texts in (exported, rows["status_here"]))
    return exported.map(codes | own), ours.map(codes)


def compare_moments(
    rows: pd.DataFrame, entity: str, fields: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, pd.Series], list[Shift]]:
    """Return which rows differ in which field, and the shifts of a time zone that most of them have alike.

    Parameters
    ----------
    rows : pandas.DataFrame
        With the database's moments as ``field_here``.
    fields : mapping of str to pandas.DataFrame
        Each field's moments in the export: see `read_moments`.
    """
    differing: dict[str, pd.Series] = {}
    alike: dict[tuple[float, float | None], list[tuple[str, int, int]]] = {}
    for field, read in fields.items():
        ours, exported = pd.to_datetime(rows[f"{field}_here"]).astype("datetime64[us]"), read["moment"]
        difference = (ours - exported).dt.total_seconds() / 60
        timed = read["timed"] & (field != "joined")  # a day has no hour
        difference = difference.where(timed | ~difference.between(0, _DAY, inclusive="left"), 0)
        # An importer puts its own moment where Wild Apricot knows not when somebody joined.
        one_sided = ours.isna() & exported.notna() | ours.notna() & exported.isna() & (field != "joined")
        shifted = _shifted(difference, exported)
        differing[field] = (difference.fillna(0).ne(0) | one_sided & ~read["unread"]) & ~shifted
        if shifted.any():
            hours = [*(difference[shifted] / 60).value_counts().index.astype(float), None]
            numbers = field, int(shifted.sum()), int(difference.notna().sum())
            alike.setdefault((hours[0], hours[1]), []).append(numbers)
    shifts = []
    for (most, also), shifted_fields in alike.items():
        names, counts, of = zip(*shifted_fields, strict=True)
        shifts.append(Shift(entity, ", ".join(names), most, also, max(counts), max(of)))
    return differing, shifts


def _shifted(difference: pd.Series, moment: pd.Series) -> pd.Series:
    """Tell whose difference is the time zone's: hours that at least half have, an hour more or less in summer."""
    none = pd.Series(data=False, index=difference.index)
    whole = difference[(difference != 0) & (difference % _QUARTER == 0) & (difference.abs() <= _MOST)]
    if not len(whole):
        return none
    usual = whole.value_counts().index[0]
    beside = whole[(whole - usual).abs() == 60].value_counts()
    both = {usual, *beside.index[:1]}
    shifted = difference.isin(both)
    if shifted.sum() < 2 or shifted.sum() * 2 < difference.notna().sum():
        return none
    # Summer and winter come one after the other: one that agrees with neither neighbour was moved by an hour.
    inner = difference[shifted][moment[shifted].sort_values(kind="stable").index]
    agrees = inner.eq(inner.shift()) | inner.eq(inner.shift(-1))
    shifted.loc[agrees.index] = agrees
    return shifted


def newer(rows: pd.DataFrame, read: pd.DataFrame) -> pd.Series:
    """Tell which side was written last, where the export says when it was, and the time zone cannot turn it round.

    Parameters
    ----------
    read : pandas.DataFrame
        The export's moments of the last change: see `read_moments`.
    """
    ours = pd.to_datetime(rows["updated_at_here"]).astype("datetime64[us]")
    difference = ours - read["moment"]
    known = (difference.abs() > _ZONES_APART) | (read["zoned"] & difference.notna())
    answer = pd.Series([None] * len(rows), index=rows.index, dtype=object)
    return answer.mask(known & (difference > pd.Timedelta(0)), NEWER_HERE).mask(
        known & (difference < pd.Timedelta(0)), NEWER_THERE
    )


def _same_number(left: str, right: str) -> bool:
    """Compare two numbers' digits; with and without the country's code it is one number."""
    long = min(len(left), len(right)) >= 7
    return left == right or (long and (left.endswith(right) or right.endswith(left)))


def _squashed(text: object) -> str:
    return re.sub(r"[\W_]+", "", str(text).casefold())


FIELDS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined", "level", "status"),
    EVENT: ("title", "start", "end", "capacity"),
    REGISTRATION: ("status",),
}
"""What is compared, besides whose a registration is."""

MOMENTS = {"joined", "start", "end"}
