"""Review decisions: what people said of two records, kept beside the reports, and respected the next time.

The latest one on a pair holds. A line of the file holds ids and no personal data; see `workbench.statements`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import pandas as pd

from workbench.errors import DecisionsError, UsageError, unknown
from workbench.murmurant.spellings import ENTITIES
from workbench.settings import Settings
from workbench.statements import add_statement, read_statements

Word = Literal["same", "different", "unsure"]
WORDS: tuple[str, ...] = get_args(Word)
LONGEST_REMARK = 500

Pair = tuple[str, str]
WHAT = "review decisions"


@dataclass(frozen=True)
class Decision:
    """What one person said of two records.

    Attributes
    ----------
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    left, right : str
        Their ids, the smaller one first.
    decision : {"same", "different", "unsure"}
        ``unsure`` also takes an earlier word back.
    by : str
        Who said so.
    at : datetime
        When (UTC).
    remark : str
        Why, without personal data.
    """

    entity: str
    left: str
    right: str
    decision: str
    by: str
    at: datetime
    remark: str = ""

    @classmethod
    def made(
        cls, entity: str, left: str, right: str, decision: str, *, by: str, remark: str = ""
    ) -> Decision:
        """Return a decision of this moment.

        Raises
        ------
        UsageError
            For a word that is none, a record beside itself, nobody's name, or a remark that is too long or
            names somebody's address.
        """
        if decision not in WORDS:
            raise unknown("decision", decision, WORDS)
        if left == right:
            raise UsageError(f"{left} is one record.", "Name the two that are, or are not, the same.")
        if not by.strip():
            raise UsageError("A decision needs a name.", "Give it with --as NAME.")
        if len(remark) > LONGEST_REMARK:
            raise UsageError(
                f"The remark has {len(remark):,} characters; {LONGEST_REMARK} are kept.", "Make it shorter."
            )
        if re.search(r"\S@\S", remark):
            raise UsageError(
                "The remark holds an e-mail address, and decisions hold no personal data.",
                "Say it without: the ids already tell whose records these are.",
            )
        one, other = sorted((left, right))
        now = datetime.now(UTC).replace(microsecond=0)
        return cls(entity, one, other, decision, by.strip(), now, remark.strip())


def decisions_file(settings: Settings, environment: str) -> Path:
    """Return where the decisions about an environment's records are kept."""
    return settings.reports / f"decisions-{quote(environment, safe='')}.jsonl"


def read_decisions(path: Path) -> list[Decision]:
    """Read every decision, in the order they were made; none when there is no file yet.

    Raises
    ------
    DecisionsError
        When it cannot be read, or a line is not a decision; it names the line.
    """
    return read_statements(path, WHAT, _decision, DecisionsError)


def record_decision(path: Path, decision: Decision) -> None:
    """Add a decision to the file; two sessions at once do not lose one.

    Raises
    ------
    DecisionsError
        When the file is broken: nothing is added to it.
    WorkbenchError
        When it cannot be written.
    """
    add_statement(path, WHAT, asdict(decision), lambda: read_decisions(path))


def standing(decisions: Iterable[Decision], entity: str) -> dict[Pair, Decision]:
    """Return the decision that holds for each pair of an entity's records."""
    return {(each.left, each.right): each for each in decisions if each.entity == entity}


def pairs_called(decisions: Mapping[Pair, Decision], word: Word) -> list[Pair]:
    """Return the pairs of which this was said last, sorted."""
    return sorted(pair for pair, each in decisions.items() if each.decision == word)


def decisions_frame(decisions: Iterable[Decision]) -> pd.DataFrame:
    """List decisions, the latest last: a column for each attribute, and ``holds`` (nothing later was said)."""
    made = list(decisions)
    last = {(each.entity, each.left, each.right): place for place, each in enumerate(made)}
    rows = [
        {**asdict(each), "holds": last[each.entity, each.left, each.right] == place}
        for place, each in enumerate(made)
    ]
    return pd.DataFrame(rows, columns=[*(each.name for each in fields(Decision)), "holds"])


def _decision(facts: Any) -> Decision:
    found = Decision(**{**facts, "at": datetime.fromisoformat(facts["at"])})
    words = [getattr(found, each.name) for each in fields(Decision) if each.name != "at"]
    if not all(isinstance(word, str) for word in words) or found.at.tzinfo is None:
        raise ValueError("a value of another kind")
    if found.entity not in ENTITIES or found.decision not in WORDS or not found.left < found.right:
        raise ValueError("a word that is none")
    return found
