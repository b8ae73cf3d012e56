"""Names that are nearly the same: offered to people, never taken for each other."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from workbench.errors import nearest


def folded(name: str) -> str:
    """Return a name without case, accents and the difference between spaces."""
    apart = unicodedata.normalize("NFKD", name)
    return " ".join("".join(each for each in apart if not unicodedata.combining(each)).casefold().split())


def lookalike(wanted: str, known: Iterable[str]) -> str | None:
    """Return the known name that differs only in case, accents or spaces, if there is one."""
    mine = folded(wanted)
    return next((each for each in sorted(known) if each != wanted and folded(each) == mine), None)


def nearest_name(wanted: str, known: Iterable[str]) -> str | None:
    """Return the known name nearest to one that is not known; None when nothing is near."""
    by_fold: dict[str, str] = {}
    for each in sorted(known):
        by_fold.setdefault(folded(each), each)
    mine = folded(wanted)
    found = [mine] if mine in by_fold else nearest(mine, by_fold, 1)
    return by_fold[found[0]] if found else None
