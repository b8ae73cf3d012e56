"""The checklist itself: each item by its evidence and by who vouches for it; pure, the clock is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import pandas as pd

from workbench.migration.preflight.attestations import Attestation
from workbench.migration.preflight.evidence import Evidence

State = Literal["ok", "open", "waived"]


class Wanted(NamedTuple):
    """What the guide asks of an item, and whether evidence alone can settle it."""

    title: str
    asks: str
    by_evidence: bool


ITEMS = {
    "backup": Wanted("Backup created", "pg_dump completed and verified", True),
    "dry-run": Wanted("Dry run executed", "results reviewed and approved", True),
    "config": Wanted("Config reviewed", "tier and status mappings checked", False),
    "window": Wanted("Maintenance window", "scheduled if needed", False),
    "rollback": Wanted("Rollback plan", "level 1 or 2 predetermined", False),
    "operator": Wanted("Operator identified", "who is running this, logged", True),
    "stakeholders": Wanted("Stakeholders notified", "board and operations aware of the migration", False),
    "environment": Wanted("Environment verified", "the target is the one that is meant", True),
}
"""Guide §6's seven items, and its verification of the environment as an eighth."""


@dataclass(frozen=True)
class Item:
    """One item of the checklist.

    Attributes
    ----------
    id, title, asks : str
        Which, and what the guide asks.
    state : {"ok", "open", "waived"}
        What is not known is open.
    evidence, by, next_step : str
        What was found; who vouches for it, or waived it and why; what would settle it.
    """

    id: str
    title: str
    asks: str
    state: State
    evidence: str
    by: str
    next_step: str


@dataclass(frozen=True)
class Preflight:
    """The checklist, answered."""

    items: tuple[Item, ...]

    @property
    def open(self) -> tuple[Item, ...]:
        """What still has to be settled."""
        return tuple(each for each in self.items if each.state == "open")

    @property
    def clear(self) -> bool:
        """Whether the migration may begin."""
        return not self.open

    def table(self) -> pd.DataFrame:
        """Return it as a frame: ``item``, ``title``, ``asks``, ``state``, ``evidence``, ``by``, ``next_step``."""
        columns = ["item", "title", "asks", "state", "evidence", "by", "next_step"]
        rows = [tuple(vars(each).values()) for each in self.items]
        return pd.DataFrame(rows, columns=columns)


def holding(
    made: Sequence[Attestation], hours: float, last_import: datetime | None, now: datetime
) -> dict[str, Attestation]:
    """Return the word that holds for each item: the last one, young enough, and given for this migration.

    What was said before the last import was said of that one.
    """
    found: dict[str, Attestation] = {}
    for each in made:
        if now - each.at > timedelta(hours=hours) or (last_import is not None and each.at < last_import):
            continue
        if each.kind == "withdrawn":
            found.pop(each.item, None)
        else:
            found[each.item] = each
    return found


def judge(evidence: Mapping[str, Evidence], words: Mapping[str, Attestation]) -> Preflight:
    """Answer the checklist.

    Parameters
    ----------
    evidence : mapping of str to Evidence
        Item to what was found; an item without any is a person's to know.
    words : mapping of str to Attestation
        Item to the word that holds: see `holding`.
    """
    nothing = Evidence(None, "only a person knows")
    return Preflight(
        tuple(
            _judged(name, wanted, evidence.get(name, nothing), words.get(name))
            for name, wanted in ITEMS.items()
        )
    )


def _judged(name: str, wanted: Wanted, found: Evidence, word: Attestation | None) -> Item:
    vouch = f'`workbench preflight attest {name} "..." --as NAME`'
    who = f"{word.kind} by {word.by}: {word.says}" if word else ""
    if word is not None and word.kind == "waived":
        return Item(name, wanted.title, wanted.asks, "waived", found.says, who, "")
    if word is not None and word.about and found.about and word.about != found.about:
        word, who = None, f"{who} (of another state than it is in now)"
    # Nobody's word makes true what evidence contradicts: that takes a waiver, with a reason.
    settled = found.holds is True if wanted.by_evidence and found.holds is not None else word is not None
    if found.holds is False:
        settled = False
    next_step = "" if settled else found.next_step or vouch
    return Item(name, wanted.title, wanted.asks, "ok" if settled else "open", found.says, who, next_step)
