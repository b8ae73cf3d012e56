"""What people called the same, gathered: the records that may be merged on their word, and no others (guide §4.4)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.clusters import duplicate_clusters
from workbench.duplicates.decisions import Decision, Pair, pairs_called
from workbench.duplicates.pairs import gather, those_there
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF

REVIEWED_COLUMNS = ["cluster", "size", "members", "canonical", "by", "associations", "decided_by"]


def called_same(
    connection: Connection, schema: Schema, entity: str, decisions: Mapping[Pair, Decision]
) -> pd.DataFrame:
    """Gather records that were called the same, by nothing but these words.

    However alike records are, one that nobody said anything of is in none of these clusters. Records that were
    called the same, some of them beside a third, are one; where somebody was unsure of two of them none are.

    Parameters
    ----------
    decisions : mapping
        The decision that holds for each pair of the entity.

    Returns
    -------
    pandas.DataFrame
        `REVIEWED_COLUMNS`: as of `workbench.duplicates.clusters.duplicate_clusters`, and who decided.
        ``attrs["said"]`` lists what contradicts itself, and is therefore left out.
    """
    schema.require(CONCEPT_OF[entity])
    pairs = gather({}, decisions, those_there(connection, schema, CONCEPT_OF[entity], decisions))
    clusters = duplicate_clusters(connection, schema, pairs, entity).sort_values("cluster", ignore_index=True)
    said, doubtful = list(pairs.attrs["said"]), []
    for place, members in enumerate(clusters["members"]):
        for left, right in pairs_called(decisions, "unsure"):
            if {left, right} <= set(members):
                doubtful.append(place)
                said.append(
                    f"{left} and {right} were both called the same as a third, but somebody was unsure of the two:"
                    " look at them again."
                )
    by = pairs.groupby("cluster")["decided_by"].agg(lambda names: ", ".join(sorted(set(names))))
    clusters["decided_by"] = [by.get(each, "") for each in clusters["cluster"]]
    found = clusters.drop(index=doubtful).reset_index(drop=True)[REVIEWED_COLUMNS]
    found.attrs["said"] = said
    return found
