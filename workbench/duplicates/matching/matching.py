"""Which members are probably one person: the whole way from the table to the frame."""

from __future__ import annotations

import tempfile

import numpy as np
import pandas as pd
from sqlalchemy import Connection

from workbench.duplicates.matching import contacts, names
from workbench.duplicates.matching.blocking import Blocks
from workbench.duplicates.matching.frequencies import count_frequencies
from workbench.duplicates.matching.model import DEFAULT_THRESHOLD, OFFER_THRESHOLD, Model
from workbench.duplicates.matching.people import People, read_people
from workbench.duplicates.matching.scoring import COMPARISONS, Scores, probability, score_pairs
from workbench.duplicates.matching.why import explain
from workbench.murmurant.schema import Schema


def match_members(
    connection: Connection,
    schema: Schema,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    model: Model | None = None,
) -> pd.DataFrame:
    """Find members who are probably one person (guide §1.4).

    Parameters
    ----------
    threshold : float
        The least probability, 0 to 1.
    model : Model, optional
        Trained parameters; else those shipped.

    Returns
    -------
    pandas.DataFrame
        One row per pair, the most probable first: ``left`` and ``right`` (ids, left < right byte by
        byte), ``probability``, ``offered`` (sure enough to be offered for merging without review),
        ``why`` and ``against`` in words, and a ``weight_`` column per comparison in bits of evidence,
        which add up to the log2 odds. ``attrs["said"]`` lists what was left out: columns that this
        database lacks, groups too large to compare everybody in.

    Raises
    ------
    SchemaGap
        When the members have no names.
    ValueError
        When the threshold is not between 0 and 1.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"A probability is between 0 and 1; the threshold {threshold} is not.")
    return match_people(read_people(connection, schema), threshold=threshold, model=model)


def match_people(
    people: People,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    model: Model | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Find who is probably one person among people read already; see `match_members`."""
    model = model or Model.shipped()
    seen = count_frequencies(people, model)
    found: list[Scores] = []
    with tempfile.TemporaryDirectory(prefix="workbench-matching-") as directory:
        blocks = Blocks(people, threads=threads, directory=directory)
        try:
            for left, right in blocks.portions():
                scores = score_pairs(people, seen, model, left, right)
                found.append(scores.only(probability(scores.odds).round(6) >= threshold))
        finally:
            blocks.close()
    frame = _frame(people, found)
    frame.attrs["said"] = [*people.left_out, *map(str, blocks.skipped)]
    return frame


def _frame(people: People, found: list[Scores]) -> pd.DataFrame:
    frames = [_rows(people, scores) for scores in found if len(scores.left)]
    if not frames:
        empty = np.empty(0, dtype=np.int64)
        nothing = {name: np.empty(0) for name in COMPARISONS}
        levels = {name: np.empty(0, dtype=np.int8) for name in COMPARISONS}
        frames = [_rows(people, Scores(empty, empty, nothing, levels, np.empty(0, dtype=np.bool_)))]
    together = pd.concat(frames, ignore_index=True)
    return together.sort_values(
        ["probability", "left", "right"], ascending=[False, True, True], kind="stable", ignore_index=True
    )


def _rows(people: People, scores: Scores) -> pd.DataFrame:
    why, against = explain(scores)
    share = probability(scores.odds).round(6)
    columns: dict[str, object] = {
        "left": pd.Series([people.ids[at] for at in scores.left.tolist()], dtype="str"),
        "right": pd.Series([people.ids[at] for at in scores.right.tolist()], dtype="str"),
        "probability": share,
        "offered": (share >= OFFER_THRESHOLD) & _nothing_serious(scores),
        "why": pd.Series(why, dtype="str"),
        "against": pd.Series(against, dtype="str"),
    }
    columns.update({f"weight_{name}": scores.bits[name] for name in COMPARISONS})
    return pd.DataFrame(columns)


def _nothing_serious(scores: Scores) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether names and address leave no doubt that a person would want to look into."""
    levels = scores.levels
    named = ~np.isin(levels["given"], (names.DIFFERENT, names.UNKNOWN, names.INITIAL))
    named &= ~np.isin(levels["family"], (names.DIFFERENT, names.UNKNOWN))
    reached = np.isin(levels["email"], (contacts.SAME, contacts.RESPELLED, contacts.DOTTED, contacts.SIMILAR))
    reached |= np.isin(levels["phone"], (contacts.SAME, contacts.RESPELLED))
    undisputed = levels["generation"] == contacts.UNKNOWN
    return np.asarray(named & reached & undisputed)
