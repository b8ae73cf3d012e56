"""People who are members of two clubs of a federation: looked at side by side, and never merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import pandas as pd

from workbench.answer import Answer, Table, many
from workbench.database.connection import raw
from workbench.database.databases import connect
from workbench.duplicates.matching.matching import BETWEEN, Club, match_clubs
from workbench.duplicates.records import describe_records
from workbench.errors import Refused, UsageError
from workbench.murmurant.schema import read_schema
from workbench.murmurant.spellings import MEMBER
from workbench.reporting.masking import mask
from workbench.session import Session

_NEVER = "People of two clubs are looked at and never merged: a plan changes one environment."
_PAIRS = ("left_environment", "left", "right_environment", "right", "probability", "why", "against")


def across_clubs(wb: Session, others: Sequence[str], limit: int | None, **options: Any) -> Answer:
    """Compare the members of an environment and of others, and tell of the pairs of which each is of another one.

    Parameters
    ----------
    limit : int, optional
        How many pairs are told; else ten, and all for machines.
    **options
        See `workbench.duplicates.matching.match_people`.

    Raises
    ------
    UsageError
        For an unknown environment, or one beside itself.
    SchemaGap
        Where members of one have no names.
    """
    here = wb.environment.name
    names = [here, *others]
    if len(set(names)) < len(names) or not others:
        raise UsageError(f"{here} is to be compared with other environments.", "Name each of them once.")
    with ExitStack() as opened:
        clubs = {here: Club(opened.enter_context(wb.reading()), wb.schema, wb.options.duplicate_fields)}
        for name in others:
            database = connect(name, wb.settings)
            connection = opened.enter_context(database.reading())
            schema = read_schema(raw(connection), database.address.schema)
            further = wb.settings.environment(name).duplicate_fields
            clubs[name] = Club(connection, schema, further)
        matches = match_clubs(clubs, **options)
        for side in ("left", "right"):
            parts = matches[side].str.split(BETWEEN, n=1)
            matches[f"{side}_environment"], matches[side] = parts.str[0], parts.str[1]
        between = matches["left_environment"] != matches["right_environment"]
        pairs = matches.loc[between, list(_PAIRS)].reset_index(drop=True)
        shown = pairs.head(limit or 10)
        records = pd.concat(_records(clubs, shown), ignore_index=True)
    compared = f"{matches.attrs['members']:,} members of {', '.join(names)} were compared by {options['on']}"
    within = f"{many(int((~between).sum()), 'pair')} within one club: see `duplicates` of each environment."
    facts = {
        "environments": names,
        "engine": options["on"],
        "members": matches.attrs["members"],
        "said": matches.attrs["said"],
        "counts": {"pairs": len(pairs), "within": int((~between).sum())},
        "pairs": pairs.head(limit or len(pairs)).to_dict("records"),
        "records": mask(records, wb.shows_people),
    }
    more = (
        f"{len(shown)} of {len(pairs):,} pairs; more: --limit {len(pairs)}. "
        if len(shown) < len(pairs)
        else ""
    )
    evidence = shown.assign(probability=shown["probability"].map("{:.1%}".format))
    evidence.insert(0, "pair", range(1, len(shown) + 1))
    return Answer(
        "" if len(pairs) else f"Nobody is a member of two of {', '.join(names)}.",
        {
            "compared": "\n".join(
                (f"{compared}; {within}", *(f"! {line}" for line in matches.attrs["said"]))
            ),
            "records": Table(
                records, "Probably one person in two clubs", "", ("pair", "environment", "record_id")
            ),
            "pairs": Table(
                evidence, "Why", "", ("pair", "why"), note=f"{more}{_NEVER}" if len(pairs) else ""
            ),
        },
        facts=facts,
        sample=0,
        code=int(len(pairs) > 0),
    )


def _records(clubs: dict[str, Club], pairs: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """Yield what people know each pair's members by: a row for each, by pair."""
    yield pd.DataFrame({"pair": [], "environment": [], "record_id": []})
    known = {
        name: describe_records(
            club.connection,
            club.schema,
            MEMBER,
            {
                *pairs.loc[pairs["left_environment"] == name, "left"],
                *pairs.loc[pairs["right_environment"] == name, "right"],
            },
        ).set_index("id")
        for name, club in clubs.items()
    }
    for number, pair in enumerate(pairs.to_dict("records"), 1):
        for side in ("left", "right"):
            name = pair[f"{side}_environment"]
            row = known[name].loc[[pair[side]]].reset_index(drop=True)
            yield row.assign(pair=number, environment=name, record_id=pair[side])


def refuse_across(wb: Session, request: pd.DataFrame) -> None:
    """Refuse to merge records that are named with their club.

    Raises
    ------
    Refused
        For an id that begins with an environment and a slash.
    """
    keys = {key for key in [*request["record"], *request["into"].dropna()] if BETWEEN in key}
    if clubs := sorted({key.partition(BETWEEN)[0] for key in keys} & {*wb.settings.environments}):
        raise Refused(
            f"Members of {', '.join(clubs)} are named with their club. {_NEVER}",
            "Name ids of one environment, as `duplicates` lists them there.",
        )
