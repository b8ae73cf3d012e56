"""Mappings found by what somebody types: a WA id, or the person or event that it leads to (guide §4.2, step 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, and_, or_, select

from workbench.investigate.mappings.statements import NEEDS
from workbench.investigate.people import HAPPENING, PERSON, records_in_words
from workbench.investigate.searching import BY_WA_ID, ENOUGH, can_be_there, hits, is_one_of, sought
from workbench.murmurant.schema import Schema, as_text, entity_of
from workbench.murmurant.spellings import CONCEPT_OF, ENTITIES, ENTITY_TYPES, EVENT, MEMBER

_SHOWN = ("first_name", "last_name", "email", "title", "start")
_COLUMNS = {MEMBER: PERSON, EVENT: HAPPENING}


def find_mappings(connection: Connection, schema: Schema, text: str, limit: int = 50) -> pd.DataFrame:
    """Find mappings by a WA id, or by the person or event they lead to.

    Parameters
    ----------
    text : str
        A WA id; or an id, words of a name, of an e-mail address, of a title, as `find_people` takes them.
    limit : int
        The most to return.

    Returns
    -------
    pandas.DataFrame
        ``mapping_key`` (``Member/50012``), ``entity``, ``wa_id``, ``mapping`` (its own id), ``target``; of the
        record it leads to ``first_name``, ``last_name``, ``email``, ``title``, ``start``, with gaps where there
        is no such record; ``found_by``. ``attrs["found"]`` is how many there are, counted up to `ENOUGH`,
        ``attrs["more"]`` whether there may be more.

    Raises
    ------
    UsageError
        When nothing was typed, or the limit is below 1.
    SchemaGap
        When there is no table of mappings to be read.
    """
    schema.require("mappings.id", *NEEDS)
    wanted = sought(text, limit)
    by_wa_id = is_one_of(schema.mappings.c.wa_id, [wanted])
    found = _rows(connection, schema, by_wa_id, limit) if can_be_there(wanted) else []
    ways = {row["mapping"]: BY_WA_ID for row in found}
    count, more = len(found), False
    if not found:
        by: dict[tuple[str, str], str] = {}
        for entity in ENTITIES:
            if schema.has(CONCEPT_OF[entity]):
                met = hits(connection, schema, entity, wanted, _COLUMNS.get(entity, ()))
                more = more or len(met) >= ENOUGH
                by |= {(entity, each.key): each.by for each in met}
        leading = [
            and_(
                schema.mappings.c.entity_type.in_(ENTITY_TYPES[entity]),
                is_one_of(schema.mappings.c.target, keys),
            )
            for entity in ENTITIES
            if (keys := [key for kind, key in by if kind == entity])
        ]
        places = {pair: place for place, pair in enumerate(by)}
        found = _rows(connection, schema, or_(*leading), ENOUGH) if leading else []
        count = len(found)
        found = sorted(found, key=lambda row: places.get((row["entity"], row["target"]), len(places)))[:limit]
        ways = {row["mapping"]: by.get((row["entity"], row["target"]), "") for row in found}
    frame = _laid_out(connection, schema, found, ways)
    frame.attrs |= {"found": count, "more": more or count >= ENOUGH}
    return frame


def _rows(
    connection: Connection, schema: Schema, condition: ColumnElement[bool], limit: int
) -> list[dict[str, Any]]:
    mappings = schema.mappings
    rows = connection.execute(
        select(
            (entity_of(mappings.c.entity_type) + "/" + as_text(mappings.c.wa_id)).label("mapping_key"),
            entity_of(mappings.c.entity_type).label("entity"),
            as_text(mappings.c.wa_id).label("wa_id"),
            as_text(mappings.c.id).label("mapping"),
            as_text(mappings.c.target).label("target"),
        )
        .where(condition)
        .order_by("entity", mappings.c.wa_id, "mapping")
        .limit(limit)
    )
    return [dict(row) for row in rows.mappings()]


def _laid_out(
    connection: Connection,
    schema: Schema,
    found: Sequence[dict[str, Any]],
    ways: dict[str, str],
) -> pd.DataFrame:
    words = {
        entity: records_in_words(
            connection, schema, entity, [row["target"] for row in found if row["entity"] == entity]
        )
        for entity in ENTITIES
    }
    laid = [
        {
            **row,
            **{name: words.get(row["entity"], {}).get(row["target"], {}).get(name) for name in _SHOWN},
            "found_by": ways[row["mapping"]],
        }
        for row in found
    ]
    columns = ["mapping_key", "entity", "wa_id", "mapping", "target", *_SHOWN, "found_by"]
    return pd.DataFrame(laid, columns=columns, dtype=object)
