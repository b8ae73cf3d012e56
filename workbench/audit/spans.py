"""Moments as people say them: ``30 days``, ``this month``, ``2026-01-31``."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta

from workbench.errors import UsageError

_SPAN = re.compile(r"(\d{1,6})\s*(hour|day|week|month|year)s?", re.IGNORECASE)
_DAYS = {"hour": 1 / 24, "day": 1, "week": 7}


def moment_of(said: str, now: datetime) -> datetime:
    """Return the moment that a text means.

    Parameters
    ----------
    said : str
        A date or a moment (UTC unless it names a zone), ``today``, ``this month``, ``this year``, or how
        long ago: ``30 days``, ``2 years``.
    now : datetime
        In UTC, without zone.

    Returns
    -------
    datetime
        In UTC, without zone.

    Raises
    ------
    UsageError
        For anything else.
    """
    text = said.strip()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    begun = {
        "today": midnight,
        "this month": midnight.replace(day=1),
        "this year": midnight.replace(month=1, day=1),
    }
    if text.lower() in begun:
        return begun[text.lower()]
    if span := _SPAN.fullmatch(text):
        return before(now, int(span[1]), span[2].lower(), said)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _unclear(said) from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def before(now: datetime, count: int, unit: str, said: str = "") -> datetime:
    """Return the moment so many hours, days, weeks, months or years earlier, as a calendar counts them."""
    try:
        if unit in _DAYS:
            return now - timedelta(days=count * _DAYS[unit])
        months = now.year * 12 + now.month - 1 - count * (12 if unit == "year" else 1)
        year, month = divmod(months, 12)
        return now.replace(year=year, month=month + 1, day=min(now.day, monthrange(year, month + 1)[1]))
    except (OverflowError, ValueError):  # before the year 1
        raise _unclear(said) from None


def _unclear(said: str) -> UsageError:
    return UsageError(
        f"{said!r} is no moment.",
        'Write a date (2026-01-31), "today", "this month", or how long ago: "30 days", "2 years".',
    )
