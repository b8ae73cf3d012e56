"""Find which members are probably one person, from the members' table to pairs with their evidence, and to clusters."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log2
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import Connection, column, select, table

from workbench.duplicates.matching.engines import Engine, engine
from workbench.duplicates.matching.model import (
    DEFAULT_THRESHOLD,
    FIELDS,
    OFFER_THRESHOLD,
    Comparison,
    Model,
    comparisons,
    explanation,
    further_columns,
    splink_settings,
    spoken,
)
from workbench.duplicates.matching.training import ENOUGH, FLOOR, count_random, refine, set_probability
from workbench.murmurant.schema import Schema, as_text, explain_gap
from workbench.murmurant.spellings import MEMBER

_FETCH = 20_000
_HOUSEMATES = "could be two people of one household"
BETWEEN = "/"
"""Separates the club from the member's id if several clubs are compared."""


class Club(NamedTuple):
    """Where to read a club's members, and additional columns to compare with their kinds."""

    connection: Connection
    schema: Schema
    further: Mapping[str, str] = {}


def match_members(
    connection: Connection,
    schema: Schema,
    *,
    further: Mapping[str, str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Find members who are probably one person (guide §1.4).

    Parameters
    ----------
    further : mapping of str to str, optional
        Columns to compare besides those that are known, each with its kind.
    **options
        See `match_people`.

    Returns
    -------
    pandas.DataFrame
        As `match_people`; ``attrs["said"]`` tells of columns that this database lacks, too.

    Raises
    ------
    SchemaGap
        When the members have no names.
    ValueError
        When the threshold is not between 0 and 1.
    """
    return match_clubs({"": Club(connection, schema, further or {})}, **options)


def match_clubs(clubs: Mapping[str, Club], **options: Any) -> pd.DataFrame:
    """Find members of several clubs who are probably one person, within a club or in two; see `match_members`.

    Parameters
    ----------
    clubs : mapping of str to Club
        By name. An id is preceded by its club's name and a slash, unless the name is empty.
    """
    fields: dict[str, str] = {}
    missing: list[str] = []
    questions = []
    for name, club in clubs.items():
        question, kinds, lacking = _question(club)
        fields = kinds | fields
        missing += [f"{name}: {line}" if name else line for line in lacking]
        questions.append((f"{name}{BETWEEN}" if name else "", club, question, list(kinds)))

    def rows() -> Iterator[Sequence[Any]]:
        for prefix, club, question, own in questions:
            places = [1 + own.index(field) if field in own else None for field in fields]
            stream = question.execution_options(stream_results=True, yield_per=_FETCH)
            for row in club.connection.execute(stream):
                yield (f"{prefix}{row[0]}", *(None if at is None else row[at] for at in places))

    pairs = match_people(rows(), fields, **options)
    for words in ("said", "noted"):
        pairs.attrs[words] = [*missing, *pairs.attrs[words]]
    return pairs


def _question(club: Club) -> tuple[Any, dict[str, str], list[str]]:
    """Return the query of a club's members, its fields with their kinds, and notes on what is not compared."""
    schema = club.schema
    schema.require("members.id", "members.first_name", "members.last_name")
    members = schema.members
    gaps = sorted(schema.missing(*(f"members.{field}" for field in FIELDS)))
    fields = {field: kind for field, kind in FIELDS.items() if f"members.{field}" not in gaps}
    question = select(as_text(members.c.id), *(members.c[field] for field in fields))
    further, notes = further_columns(schema, club.further)
    if further:
        key = schema.resolved["members"].spelling["id"]
        whole = table(schema.table_of(MEMBER), column(key), *(column(real) for real, _ in further.values()))
        question = question.add_columns(*(as_text(whole.c[real]) for real, _ in further.values()))
        question = question.join_from(members, whole, members.c.id == whole.c[key])
        fields |= {field: kind for field, (_, kind) in further.items()}
    return question, fields, [*notes, *(f"{' '.join(explain_gap(gap))} It is not compared." for gap in gaps)]


def match_people(
    rows: Iterable[Sequence[Any]],
    fields: Mapping[str, str] = FIELDS,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    model: Model | None = None,
    on: str = "duckdb",
    master: str | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Find who is probably one person among rows of an id and the values of some fields.

    Parameters
    ----------
    threshold : float
        The least probability, 0 to 1.
    model : Model, optional
        Trained parameters; else those shipped, with what the members themselves say.
    on, master, threads
        See `workbench.duplicates.matching.engines.engine`.

    Returns
    -------
    pandas.DataFrame
        One row per pair, the most probable first: ``left`` and ``right`` (ids, left < right byte by
        byte), ``probability``, ``offered`` (sure enough to be offered for merging without review),
        ``why`` and ``against`` in words, and a ``weight_`` column per comparison in bits of evidence,
        which add up to the log2 odds. ``attrs["said"]`` lists what was left out: columns that this
        database lacks, groups too large to compare everybody in. ``attrs["noted"]`` is what of it hides no pair.
        ``attrs["model"]`` is the model that was used: the one given, else the shipped one with what `refine` estimated;
        ``attrs["members"]`` and ``attrs["pairs"]`` are how many were compared, ``attrs["shares"]`` those that are not as
        shipped: comparison, level, and its m and u before and after.

    Raises
    ------
    ValueError
        When two rows have one id, or the threshold is not between 0 and 1.
    UsageError
        When the engine is not there.
    """
    from workbench.duplicates.matching.prepare import prepare

    if not 0 <= threshold <= 1:
        raise ValueError(f"A probability is between 0 and 1; the threshold {threshold} is not.")
    used = model or Model()
    with engine(on, master, threads) as (running, folder):
        club = prepare(running, folder, rows, fields, used)
        members, noted = club.members, club.noted
        of_club = max(members, 2), club.named_addresses, club.kinds
        compared = count_random(running, comparisons(used, *of_club), used)
        told_apart = not {"date", "identifier"}.isdisjoint(club.kinds.values())
        least = threshold if model else min(threshold, FLOOR)
        pairs = _weigh(running, used, compared, members, least, told_apart)
        if model is None:
            enough = members >= ENOUGH
            used, compared = refine(pairs, compared, members, used, shares=enough, told_apart=told_apart)
            noted += _estimates(used, members)
    frame = _judge(pairs, compared, threshold)
    shares = [
        (comparison.name, before.label, before.m, after.m, before.u, after.u)
        for shipped, comparison in zip(comparisons(Model(), *of_club), compared, strict=True)
        for before, after in zip(shipped.levels, comparison.levels, strict=True)
        if (before.m, before.u) != (after.m, after.u)
    ]
    frame.attrs |= {"said": [*noted, *club.notes], "noted": noted, "model": used}
    frame.attrs |= {"members": members, "pairs": club.pairs, "shares": shares}
    return frame


def _estimates(refined: Model, members: int) -> Iterator[str]:
    """Yield notes on what was estimated from the members."""
    shipped = Model()
    if refined.duplicates_each > shipped.duplicates_each:
        yield (
            f"Duplicates are taken to be as frequent as these {members:,} members show: {refined.duplicates_each:.2f}"
            f" further records of a member on average, not {shipped.duplicates_each}."
        )
    if count := sum(map(len, refined.shares.values())):
        yield f"{count} shares of the model were estimated from these {members:,} members."


def _weigh(
    running: Engine,
    model: Model,
    compared: list[Comparison],
    members: int,
    threshold: float,
    told_apart: bool,
) -> pd.DataFrame:
    """Let Splink weigh the pairs: ids, probability, and for each comparison the level (-1 for missing) and its weight in bits."""
    from splink import Linker

    splink = running.splink()
    logging.getLogger("splink").setLevel(logging.ERROR)
    settings = splink_settings(model, compared, members, told_apart=told_apart)
    linker = Linker(splink.register("people"), settings, log_level=None, validate_settings=False)
    for term in sorted({level.term for comparison in compared for level in comparison.levels if level.term}):
        linker.table_management.register_term_frequency_lookup(splink.register(f"tf_{term}"), term)
    linker.table_management.register_blocked_pairs_for_predict(splink.register("pairs"))
    # Slightly below the threshold, to include what rounds up to it.
    scored = linker.inference.predict(max(threshold - 1e-6, 0) or None, warning_mode="never")
    columns = [
        f"ascii(substr(scored.match_key, {place}, 1)) - ascii('b') AS level_{comparison.name}, mw_{comparison.name}"
        + (f" + mw_tf_adj_{comparison.name}" if any(level.term for level in comparison.levels) else "")
        + f" AS weight_{comparison.name}"
        for place, comparison in enumerate(compared, start=2)
    ]
    pairs: pd.DataFrame = running.rows(
        f"""SELECT l.id AS "left", r.id AS "right", {", ".join(columns)}, mw_household AS weight_household
        FROM {scored.physical_name} AS scored JOIN people AS l ON l.place = place_l JOIN people AS r ON r.place = place_r
        ORDER BY place_l, place_r"""
    ).to_pandas()
    pairs["weight_prior"] = log2(model.duplicates_each / max(members - 1, 1))
    set_probability(pairs)
    return pairs


def evidence(pair: pd.Series[Any]) -> dict[str, float]:
    """Return the weight of each comparison of a pair, in bits, by its label."""
    words = {"prior": "before anything is compared", "household": "what housemates share"}
    names = [str(name).removeprefix("weight_") for name in pair.index if str(name).startswith("weight_")]
    return {words.get(name, spoken(name)): float(pair[f"weight_{name}"]) for name in names}


def _judge(pairs: pd.DataFrame, compared: list[Comparison], threshold: float) -> pd.DataFrame:
    """Add the reasons for and against each pair and whether it is offered; sort by probability."""
    pairs["probability"] = pairs["probability"].round(6)
    pairs = pairs[pairs["probability"] >= threshold]
    pairs = pairs.sort_values(
        ["probability", "left", "right"], ascending=[False, True, True], kind="stable", ignore_index=True
    )
    why, against, sure = [], [], []
    for pair in pairs.to_dict("records"):
        reached = {
            comparison.name: comparison.levels[place]
            for comparison in compared
            if (place := pair[f"level_{comparison.name}"]) >= 0
        }
        weighed = [
            (pair[f"weight_{name}"], explanation(name, level), level.sure) for name, level in reached.items()
        ]
        weighed.sort(key=lambda line: (-line[0], line[1]))
        doubts = [label for bits, label, certain in reversed(weighed) if bits <= 0 and not certain]
        if pair["weight_household"] and pair["weight_first_name"] < 7:
            doubts.append(_HOUSEMATES)
        why.append("; ".join(label for bits, label, certain in weighed if bits > 0 or certain))
        against.append("; ".join(doubts))
        contact = any(reached[name].sure for name in ("email", "phone") if name in reached)
        names = all(reached[name].sure for name in ("first_name", "surname", "generation") if name in reached)
        sure.append(contact and names)
    weights = ("prior", *(comparison.name for comparison in compared), "household")
    return pd.DataFrame(
        {
            "left": pairs["left"].astype("str"),
            "right": pairs["right"].astype("str"),
            "probability": pairs["probability"],
            "offered": (pairs["probability"] >= OFFER_THRESHOLD) & pd.Series(sure, dtype="bool"),
            "why": pd.Series(why, dtype="str"),
            "against": pd.Series(against, dtype="str"),
            **{f"weight_{name}": pairs[f"weight_{name}"] for name in weights},
        }
    )


def cluster_pairs(pairs: pd.DataFrame, apart: Iterable[tuple[str, str]] = ()) -> pd.DataFrame:
    """Gather pairs into clusters.

    Pairs are taken from the most probable on; one that would bring two members together whom a reviewer
    called different is cut, so it is always the weakest link between them that gives way.

    Parameters
    ----------
    pairs : pandas.DataFrame
        Columns ``left``, ``right``, ``probability``, as `match_members` gives.
    apart : iterable of (str, str)
        Members who never end up in one cluster.

    Returns
    -------
    pandas.DataFrame
        ``cluster`` (its smallest member id), ``member``, ``size``; sorted by cluster and member. Members
        without any link left are in no cluster.
    """
    clusters: dict[str, set[str]] = {}  # by member; the members of a cluster share one set
    foes: dict[str, set[str]] = {}
    for left, right in apart:
        foes.setdefault(left, set()).add(right)
        foes.setdefault(right, set()).add(left)
    order = ["probability", "left", "right"]
    links = pairs.sort_values(order, ascending=[False, True, True], kind="stable")
    for left, right in zip(links["left"].tolist(), links["right"].tolist(), strict=True):
        first, second = (clusters.setdefault(member, {member}) for member in (left, right))
        small, large = sorted((first, second), key=len)
        if first is second or any(foes.get(member, set()) & large for member in small):
            continue
        large |= small
        clusters |= dict.fromkeys(small, large)
    rows = [
        (min(cluster), member, len(cluster))
        for cluster in {id(cluster): cluster for cluster in clusters.values()}.values()
        for member in cluster
        if len(cluster) > 1
    ]
    return pd.DataFrame(sorted(rows), columns=["cluster", "member", "size"]).astype(
        {"cluster": "str", "member": "str", "size": "int64"}
    )
