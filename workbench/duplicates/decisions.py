"""Review decisions: what people said of two records, kept beside the reports, and respected the next time.

The latest one on a pair holds. A line of the file holds ids and no personal data; see `workbench.statements`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self, get_args

import pandas as pd
from pydantic import model_validator

from workbench.errors import UsageError, unknown
from workbench.murmurant.spellings import ENTITIES
from workbench.statements import Statement, signed

Word = Literal["same", "different", "unsure"]

Pair = tuple[str, str]

_COLUMNS = ["entity", "left", "right", "decision", "by", "at", "remark"]


class Decision(Statement):
    """What one person said of two records.

    Attributes
    ----------
    entity : str
        ``Member``, ``Event`` or ``Registration``.
    left, right : str
        Their ids, the smaller one first.
    decision : {"same", "different", "unsure"}
        ``unsure`` also takes an earlier word back.
    remark : str
        Why, without personal data.
    """

    noun = "review decisions"
    stem = "decisions"

    entity: str
    left: str
    right: str
    decision: Word
    remark: str

    @model_validator(mode="after")
    def _is_of_two(self) -> Self:
        if self.entity not in ENTITIES or not self.left < self.right:
            raise ValueError("not of two records of one kind")
        return self


def decide(entity: str, left: str, right: str, decision: str, *, by: str, remark: str = "") -> Decision:
    """Return a decision of this moment.

    Raises
    ------
    UsageError
        For a word that is none, a record beside itself, nobody's name, or a remark that is too long or
        names somebody's address.
    """
    if decision not in get_args(Word):
        raise unknown("decision", decision, get_args(Word))
    if left == right:
        raise UsageError(f"{left} is one record.", "Name the two that are, or are not, the same.")
    by, at, remark = signed(by, remark)
    left, right = sorted((left, right))
    return Decision(entity=entity, left=left, right=right, decision=decision, by=by, at=at, remark=remark)


def decisions_frame(decisions: Sequence[Decision]) -> pd.DataFrame:
    """List decisions, the latest last: a column for each attribute, and ``holds`` (nothing later was said)."""
    frame = pd.DataFrame([vars(decision) for decision in decisions], columns=_COLUMNS)
    return frame.assign(holds=~frame.duplicated(["entity", "left", "right"], keep="last"))
