"""Which members are probably one person: the whole way from the table to the frame."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from math import log2
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import Connection, column, select, table

from workbench.duplicates.matching.fields import FIELDS, Comparison, explanation, further_columns, spoken
from workbench.duplicates.matching.model import (
    DEFAULT_THRESHOLD,
    OFFER_THRESHOLD,
    Model,
    changed,
    comparisons,
    splink_settings,
)
from workbench.murmurant.schema import Schema, as_text, explain_gap
from workbench.murmurant.spellings import MEMBER

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FETCH = 20_000
_MEMORY = "2GB"  # what does not fit is spilt to disk
_HOUSEMATES = "could be two people of one household"


def match_members(
    connection: Connection,
    schema: Schema,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    model: Model | None = None,
    further: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Find members who are probably one person (guide §1.4).

    Parameters
    ----------
    threshold : float
        The least probability, 0 to 1.
    model : Model, optional
        Trained parameters; else those shipped, with what the members themselves say.
    further : mapping of str to str, optional
        Columns to compare besides those that are known, each with its kind.

    Returns
    -------
    pandas.DataFrame
        One row per pair, the most probable first: ``left`` and ``right`` (ids, left < right byte by
        byte), ``probability``, ``offered`` (sure enough to be offered for merging without review),
        ``why`` and ``against`` in words, and a ``weight_`` column per comparison in bits of evidence,
        which add up to the log2 odds. ``attrs["said"]`` lists what was left out: columns that this
        database lacks, groups too large to compare everybody in. ``attrs["noted"]`` is what of it hides no pair.

    Raises
    ------
    SchemaGap
        When the members have no names.
    ValueError
        When the threshold is not between 0 and 1.
    """
    check_threshold(threshold)
    schema.require("members.id", "members.first_name", "members.last_name")
    members = schema.members
    missing = set(schema.missing(*(f"members.{column}" for column in FIELDS)))
    there = {column: kind for column, kind in FIELDS.items() if f"members.{column}" not in missing}
    more, said = further_columns(schema, further or {})
    question = select(as_text(members.c.id), *(members.c[column] for column in there))
    if more:
        key = schema.resolved["members"].spelling["id"]
        whole = table(schema.table_of(MEMBER), column(key), *(column(real) for real, _ in more.values()))
        question = question.add_columns(*(as_text(whole.c[real]) for real, _ in more.values()))
        question = question.join_from(members, whole, members.c.id == whole.c[key])
    rows = connection.execute(question.execution_options(stream_results=True, yield_per=_FETCH))
    fields = {**there, **{field: kind for field, (_, kind) in more.items()}}
    found = match_people(rows, fields, threshold=threshold, model=model)
    said += [f"{' '.join(explain_gap(need))} It is not compared." for need in sorted(missing)]
    for words in ("said", "noted"):
        found.attrs[words] = [*said, *found.attrs[words]]
    return found


def check_threshold(threshold: float) -> None:
    """Raise ValueError for a threshold that is no probability."""
    if not 0 <= threshold <= 1:
        raise ValueError(f"A probability is between 0 and 1; the threshold {threshold} is not.")


def match_people(
    rows: Iterable[Sequence[Any]],
    fields: Mapping[str, str] = FIELDS,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    model: Model | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Find who is probably one person among rows of an id and the values of some fields; see `match_members`.

    ``attrs["model"]`` is the model that was used: the one given, else the shipped one with what `refine` estimated;
    ``attrs["members"]`` and ``attrs["pairs"]`` are how many were compared, ``attrs["shares"]`` those that are not as
    shipped: comparison, level, and its m and u before and after.

    Raises
    ------
    ValueError
        When two rows have one id, or the threshold is not between 0 and 1.
    """
    import duckdb

    from workbench.duplicates.matching.prepare import prepare
    from workbench.duplicates.matching.training import ENOUGH, FLOOR, count_random, refine

    check_threshold(threshold)
    used = model or Model.shipped()
    with tempfile.TemporaryDirectory(prefix="workbench-matching-") as folder, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{_MEMORY}'; SET preserve_insertion_order = false")
        connection.execute("SET temp_directory = ?", [folder])
        if threads is not None:
            connection.execute(f"SET threads = {int(threads)}")
        counts = prepare(connection, rows, fields, used)
        members, noted = counts.members, list(counts.noted)
        ((pairs,),) = connection.execute("SELECT count(*) FROM pairs").fetchall()
        shipped, compared = (
            comparisons(each, max(members, 2), counts.named_addresses, counts.kinds)
            for each in (Model.shipped(), used)
        )
        told_apart = not {"date", "identifier"}.isdisjoint(counts.kinds.values())
        compared = count_random(connection, compared, members, used)
        found = _weigh(
            connection, used, compared, members, threshold if model else min(threshold, FLOOR), told_apart
        )
        if model is None:
            refined = refine(found, compared, members, used, shares=members >= ENOUGH, told_apart=told_apart)
            noted += estimates(used, refined, members)
            if refined != used:
                used, compared = refined, [changed(each, refined) for each in compared]
                connection.register("likely", found[["place_l", "place_r"]])
                connection.execute(
                    "CREATE OR REPLACE TABLE pairs AS SELECT pairs.* FROM pairs"
                    " JOIN likely ON join_key_l = place_l AND join_key_r = place_r"
                )
                found = _weigh(connection, used, compared, members, threshold, told_apart)
    frame = _judge(found, compared, threshold)
    shares = [
        (each.name, before.label, before.m, after.m, before.u, after.u)
        for one, each in zip(shipped, compared, strict=True)
        for before, after in zip(one.levels, each.levels, strict=True)
        if (before.m, before.u) != (after.m, after.u)
    ]
    frame.attrs |= {"said": [*noted, *counts.said], "noted": noted, "model": used}
    frame.attrs |= {"members": members, "pairs": pairs, "shares": shares}
    return frame


def estimates(shipped: Model, refined: Model, members: int) -> Iterable[str]:
    """Say what was estimated from the members, and how many they are."""
    if refined.duplicates_each > shipped.duplicates_each:
        yield (
            f"Duplicates are taken to be as frequent as these {members:,} members show: {refined.duplicates_each:.2f}"
            f" further records of a member on average, not {shipped.duplicates_each}."
        )
    if count := sum(map(len, refined.shares.values())):
        yield f"{count} shares of the model were estimated from these {members:,} members."


def _weigh(
    connection: DuckDBPyConnection,
    model: Model,
    compared: list[Comparison],
    members: int,
    threshold: float,
    told_apart: bool,
) -> pd.DataFrame:
    """Weigh all pairs, against strangers or against housemates; in the order of their ids."""
    strangers = log2(model.duplicates_each / max(members - 1, 1))
    # Where nothing tells housemates apart, two who may live together are as likely two however many duplicates there are.
    each = (
        model.duplicates_each if told_apart else min(model.duplicates_each, Model.shipped().duplicates_each)
    )
    housemates = log2(each / model.housemates_each)
    found = [
        _predict(connection, model, compared, odds, threshold, home=home).assign(
            weight_prior=strangers, weight_household=odds - strangers
        )
        for home, odds in ((False, strangers), (True, housemates))
    ]
    return pd.concat(found, ignore_index=True).sort_values(["place_l", "place_r"], ignore_index=True)


def evidence(pair: pd.Series[Any]) -> dict[str, float]:
    """Return what each comparison of a pair weighs, in bits, by what people call it."""
    words = {"prior": "before anything is compared", "household": "what housemates share"}
    names = [str(name).removeprefix("weight_") for name in pair.index if str(name).startswith("weight_")]
    return {words.get(name, spoken(name)): float(pair[f"weight_{name}"]) for name in names}


def _predict(
    connection: DuckDBPyConnection,
    model: Model,
    compared: list[Comparison],
    odds: float,
    threshold: float,
    *,
    home: bool,
) -> pd.DataFrame:
    """Weigh the pairs by Splink: ids, the probability, and of each comparison the level and the bits.

    A level is its place in the comparison, or -1 for what is missing.
    """
    from splink import DuckDBAPI, Linker

    side = "home" if home else "NOT home"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW weighed AS SELECT * FROM pairs WHERE {side}")
    engine = DuckDBAPI(connection=connection)
    settings = splink_settings(model, compared, 1 / (1 + 2**-odds), home=home)
    logging.getLogger("splink").setLevel(logging.ERROR)
    linker = Linker(engine.register("people"), settings, log_level=None, validate_settings=False)
    terms = dict.fromkeys(level.term for each in compared for level in each.levels if level.term)
    for term in terms:
        linker.table_management.register_term_frequency_lookup(engine.register(f"tf_{term}"), term)
    linker.table_management.register_blocked_pairs_for_predict(engine.register("weighed"))
    # A little below the threshold, so that what rounds up to it is there.
    scored = linker.inference.predict(max(threshold - 1e-6, 0) or None, warning_mode="never")
    columns = [
        f"{len(each.levels) - 1} - gamma_{each.name} AS level_{each.name}, mw_{each.name}"
        + (
            f" + mw_tf_adj_{each.name}"
            if any(level.term and not (home and level.home) for level in each.levels)
            else ""
        )
        + f" AS weight_{each.name}"
        for each in compared
    ]
    return connection.execute(
        f"""SELECT place_l, place_r, l.id AS "left", r.id AS "right", match_probability AS probability, {", ".join(columns)}
        FROM {scored.physical_name} JOIN people AS l ON l.place = place_l JOIN people AS r ON r.place = place_r"""
    ).df()


def _judge(found: pd.DataFrame, compared: list[Comparison], threshold: float) -> pd.DataFrame:
    """Say of each pair why, and whether it is sure enough to be offered; the most probable first."""
    found["probability"] = found["probability"].round(6)
    found = found[found["probability"] >= threshold]
    found = found.sort_values(
        ["probability", "left", "right"], ascending=[False, True, True], kind="stable", ignore_index=True
    )
    why, against, sure = [], [], []
    for pair in found.to_dict("records"):
        levels = {
            each.name: each.levels[place]
            if (place := int(pair[f"level_{each.name}"])) < len(each.levels)
            else None
            for each in compared
        }
        told = [
            (float(pair[f"weight_{name}"]), explanation(name, level), level)
            for name, level in levels.items()
            if level
        ]
        told.sort(key=lambda one: (-one[0], one[1]))
        speaks = [label for bits, label, level in told if bits > 0 or level.sure]
        doubts = [label for bits, label, level in reversed(told) if not (bits > 0 or level.sure)]
        if pair["weight_household"] and pair["weight_first_name"] < 7:
            doubts.append(_HOUSEMATES)
        why.append("; ".join(speaks))
        against.append("; ".join(doubts))
        reached = any(level and level.sure for level in (levels["email"], levels["phone"]))
        names = all(level.sure if level else True for level in (levels["first_name"], levels["surname"]))
        undisputed = levels["generation"] is None or levels["generation"].sure
        sure.append(bool(reached and names and undisputed))
    return pd.DataFrame(
        {
            "left": found["left"].astype("str"),
            "right": found["right"].astype("str"),
            "probability": found["probability"],
            "offered": (found["probability"] >= OFFER_THRESHOLD) & pd.Series(sure, dtype="bool"),
            "why": pd.Series(why, dtype="str"),
            "against": pd.Series(against, dtype="str"),
            **{
                f"weight_{name}": found[f"weight_{name}"]
                for name in ("prior", *(each.name for each in compared), "household")
            },
        }
    )
