"""Problems of mappings as values, and as one frame, worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from workbench.investigate.mappings.circles import Place
from workbench.investigate.mappings.contacts import Known
from workbench.investigate.mappings.lookup import MappingRow
from workbench.investigate.mappings.misplaced import Misplaced
from workbench.investigate.mappings.scoring import SURE, Facts, Judgement

PROBLEMS = {
    "wrong-person": "the id of a contact leads to somebody else",
    "wrong-event": "the id of an event leads to another event",
    "wrong-registration": "the id of a registration leads to another registration",
    "wrong-type": "the record it leads to is of another entity",
    "missing-target": "the record it leads to does not exist",
    "unknown-type": "its entity type is none that Murmurant has",
    "duplicate": "the same id is mapped more than once",
    "no-mapping": "an import made a record for the id, and no mapping leads there",
    "two-records": "the id became two records, of which its mapping leads to one",
    "shared-target": "two ids lead to one record",
}
"""What can be wrong with a mapping, and what that means; in the order of their weight."""

COLUMNS = (
    *("problem", "entity", "wa_id", "mapping", "target", "score", "sure", "evidence", "agrees", "differs"),
    *("should_be", "because", "cycle", "cycle_size", "position", "contact", "person", "title"),
    *("registrations", "other_record"),
)


@dataclass(frozen=True)
class Problem:
    """One problem of one mapping: see `workbench.investigate.mappings.problems.MappingFindings`."""

    problem: str
    row: MappingRow
    evidence: str
    judged: Judgement
    should_be: str = ""
    because: str = ""
    place: Place | None = None
    other_record: str = ""

    @property
    def sure(self) -> bool:
        """Whether the right record is known, and this one wrong, surely enough to plan the correction."""
        score = self.judged.score
        moves = self.should_be != self.row.target or self.problem == "duplicate"
        return bool(self.should_be and moves and score and score >= SURE)


def problems_frame(
    found: Iterable[Problem], known: Mapping[str, Known], through: Iterable[Misplaced]
) -> pd.DataFrame:
    """Lay problems out as a table, worst first; the mappings of a cycle side by side, in its own order."""
    counts = Counter(each.through for each in through if each.moves)
    names = list(PROBLEMS)
    rows: list[dict[str, Any]] = []
    for each in found:
        row, place = each.row, each.place
        of_it = known.get(row.entity, Known())
        contact, record = of_it.contacts.get(row.wa_id, Facts()), of_it.records.get(row.target, Facts())
        rows.append(
            {
                "problem": each.problem,
                "entity": row.entity,
                "wa_id": row.wa_id,
                "mapping": row.id,
                "target": row.target,
                "score": each.judged.score,
                "sure": each.sure,
                "evidence": each.evidence,
                "agrees": each.judged.agrees,
                "differs": each.judged.differs,
                "should_be": each.should_be,
                "because": each.because,
                "cycle": place.cycle if place else "",
                "cycle_size": place.size if place else None,
                "position": place.position if place else None,
                "contact": contact.name,
                "person": record.name,
                "title": " / ".join(filter(None, dict.fromkeys((contact.title, record.title)))),
                "registrations": counts[row.key],
                "other_record": each.other_record,
            }
        )
    worst: dict[str, float] = {}
    for one in rows:
        worst[one["cycle"]] = max(worst.get(one["cycle"], 0.0), one["score"] or 0.0)

    def weight(one: dict[str, Any]) -> tuple[Any, ...]:
        score = worst[one["cycle"]] if one["cycle"] else one["score"] or 0.0
        group = one["cycle"] or f"{one['entity']}/{one['wa_id']}"
        # Among what is sure, the gravest problem comes first; below that, what is surest.
        sure = score >= SURE
        order = names.index(one["problem"])
        return (not sure, order if sure else 0, -score, order, group, one["position"] or 0, one["mapping"])

    rows.sort(key=weight)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"score": "float64", "cycle_size": "Int64", "position": "Int64", "sure": "bool"})


def sure_corrections(problems: pd.DataFrame) -> pd.DataFrame:
    """Return the corrections that may be planned without asking anybody else.

    A cycle is among them as a whole or not at all.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``new_id``, ``reason``: the table that ``plan mapping --from`` reads.
    """
    sure = problems[problems["sure"]]
    counts = sure[sure["cycle"] != ""].groupby("cycle").size()
    whole = [
        not cycle or counts[cycle] == size
        for cycle, size in zip(sure["cycle"], sure["cycle_size"], strict=True)
    ]
    rows = sure[pd.Series(whole, index=sure.index, dtype=bool)].drop_duplicates(["entity", "wa_id"])
    found = rows[["entity", "wa_id", "should_be", "evidence"]].reset_index(drop=True)
    return found.set_axis(["entity", "wa_id", "new_id", "reason"], axis=1)


def cycles_of(problems: pd.DataFrame) -> list[list[str]]:
    """Return each swap or cycle as its keys in order: each leads to the record of the next, the last to the first's."""
    part = problems[(problems["cycle"] != "") & problems["position"].notna()]
    part = part.drop_duplicates(["entity", "wa_id"]).sort_values(["cycle", "position"])
    return [
        [f"{entity}/{wa_id}" for entity, wa_id in zip(rows["entity"], rows["wa_id"], strict=True)]
        for _, rows in part.groupby("cycle", sort=True)
    ]
