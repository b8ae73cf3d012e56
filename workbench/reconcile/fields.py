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
_MEMBER_STATUS = {
    each: each for each in ("active", "lapsed", "pendingnew", "pendingrenewal", "suspended", "notamember")
}
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
            f"{abs(each):g} hours {'later' if each > 0 else 'earlier'}"
            for each in (self.hours, self.also)
            if each is not None
        )
        other = f" ({also[0]} in the other half of the year)" if also else ""
        return (
            f"{self.rows:,} of {self.of:,} {things} have {self.fields} {hours} here{other}: a time zone too many; or the"
            " database is in UTC and the export is not, then say its --time-zone."
        )


def read_moments(
    texts: pd.Series[str], order: Order, zone: str | None, here: pd.Series | None = None
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
    tried = [moments(texts, each) for each in orders]

    def wrong(said: pd.DataFrame) -> tuple[int, int]:
        apart = (said["moment"] - here).abs() > pd.Timedelta(days=2) if here is not None else said["unread"]
        return int(said["unread"].sum()), int(apart.sum())

    said = min(tried, key=wrong)
    if zone:
        local = said["timed"] & ~said["zoned"] & said["moment"].notna()
        there = said.loc[local, "moment"].dt.tz_localize(
            ZoneInfo(zone), ambiguous="NaT", nonexistent="shift_forward"
        )
        said.loc[local, "moment"] = there.dt.tz_convert("UTC").dt.tz_localize(None)
        said["unread"] |= local & said["moment"].isna()  # an hour that the clocks repeat
    return said


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
    there, here = rows[field], rows[f"{field}_here"]
    comparable = pd.Series(data=True, index=rows.index)
    if field in ("email", "level"):
        differs = folded(there) != folded(here)
        comparable = comparable if field == "email" else tidy(here) != ""  # the CSV importer keeps no level
    elif field == "phone":
        one, other = (tidy(each).str.replace(r"\D+", "", regex=True) for each in (there, here))
        differs = ~pd.Series(list(map(_same_number, one, other)), index=rows.index, dtype=bool)
    elif field == "capacity":
        said = there.str.replace(r"[\s.,](?=\d{3})", "", regex=True)
        limit, own = (pd.to_numeric(each, errors="coerce").fillna(0) for each in (said, here))
        differs = limit != own  # no limit is 0 to one, nothing to the other
    elif field == "status":
        known = _MEMBER_STATUS if entity == MEMBER else _REGISTRATION_STATUS
        own_codes = (
            {} if entity == MEMBER else {_squashed(name): str(code) for name, code in statuses.items()}
        )
        if "waitlisted" in rows:  # the API has a mark of its own for it
            there = there.mask(rows["waitlisted"] == "true", "WaitList")
        said = there.map(lambda each: own_codes.get(_squashed(each)) or known.get(_squashed(each)))
        code = here.map(lambda each: known.get(_squashed(each)))
        comparable = said.notna() & code.notna()
        differs = said != code
        # Booked, cancelled and booked again: two rows there, one here, which agrees with one of them.
        differs &= ~rows["record_id"].isin(rows.loc[comparable & ~differs, "record_id"])
    else:
        differs = tidy(there) != tidy(here)
    return differs & comparable, comparable


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
    for field, said in fields.items():
        here, there = pd.to_datetime(rows[f"{field}_here"]).astype("datetime64[us]"), said["moment"]
        apart = (here - there).dt.total_seconds() / 60
        timed = said["timed"] & (field != "joined")  # a day has no hour
        apart = apart.where(timed | ~apart.between(0, _DAY, inclusive="left"), 0)
        # An importer puts its own moment where Wild Apricot knows not when somebody joined.
        one_sided = here.isna() & there.notna() | here.notna() & there.isna() & (field != "joined")
        shifted = _shifted(apart, there)
        differing[field] = (apart.fillna(0).ne(0) | one_sided & ~said["unread"]) & ~shifted
        if shifted.any():
            hours = [*(apart[shifted] / 60).value_counts().index.astype(float), None]
            told = field, int(shifted.sum()), int(apart.notna().sum())
            alike.setdefault((hours[0], hours[1]), []).append(told)
    shifts = []
    for (most, also), told_alike in alike.items():
        names, counts, of = zip(*told_alike, strict=True)
        shifts.append(Shift(entity, ", ".join(names), most, also, max(counts), max(of)))
    return differing, shifts


def _shifted(apart: pd.Series, moment: pd.Series) -> pd.Series:
    """Tell whose difference is the time zone's: hours that at least half have, an hour more or less in summer."""
    none = pd.Series(data=False, index=apart.index)
    whole = apart[(apart != 0) & (apart % _QUARTER == 0) & (apart.abs() <= _MOST)]
    if not len(whole):
        return none
    usual = whole.value_counts().index[0]
    beside = whole[(whole - usual).abs() == 60].value_counts()
    both = {usual, *beside.index[:1]}
    shifted = apart.isin(both)
    if shifted.sum() < 2 or shifted.sum() * 2 < apart.notna().sum():
        return none
    # Summer and winter come one after the other: one that agrees with neither neighbour was moved by an hour.
    inner = apart[shifted][moment[shifted].sort_values(kind="stable").index]
    agrees = inner.eq(inner.shift()) | inner.eq(inner.shift(-1))
    shifted.loc[agrees.index] = agrees
    return shifted


def newer(rows: pd.DataFrame, said: pd.DataFrame) -> pd.Series:
    """Tell which side was written last, where the export says when it was, and the time zone cannot turn it round.

    Parameters
    ----------
    said : pandas.DataFrame
        The export's moments of the last change: see `read_moments`.
    """
    here = pd.to_datetime(rows["updated_at_here"]).astype("datetime64[us]")
    apart = here - said["moment"]
    known = (apart.abs() > _ZONES_APART) | (said["zoned"] & apart.notna())
    answer = pd.Series([None] * len(rows), index=rows.index, dtype=object)
    return answer.mask(known & (apart > pd.Timedelta(0)), NEWER_HERE).mask(
        known & (apart < pd.Timedelta(0)), NEWER_THERE
    )


def _same_number(one: str, other: str) -> bool:
    """Compare two numbers' digits; with and without the country's code it is one number."""
    long = min(len(one), len(other)) >= 7
    return one == other or (long and (one.endswith(other) or other.endswith(one)))


def _squashed(text: object) -> str:
    return re.sub(r"[\W_]+", "", str(text).casefold())


FIELDS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined", "level", "status"),
    EVENT: ("title", "start", "end", "capacity"),
    REGISTRATION: ("status",),
}
"""What is compared, besides whose a registration is."""

MOMENTS = {"joined", "start", "end"}
