"""Which record each row of an export is: by its mapping, by other traces of its import, or by what it says."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import pandas as pd
import psycopg
from sqlalchemy import Connection

from workbench.murmurant.canonical import Canonical, ask
from workbench.murmurant.reports import ImportReport
from workbench.murmurant.schema import Schema
from workbench.murmurant.spellings import CONCEPT_OF, EVENT, MEMBER, REGISTRATION

BY_MAPPING, BY_RAW_DATA, BY_REPORT = "mapping", "raw data", "import report"
GONE, UNTRACED = "its mapping leads to no record", "neither a record nor a mapping exists"

_COLUMNS = {
    MEMBER: ("first_name", "last_name", "email", "phone", "joined_at", "level", "updated_at"),
    EVENT: ("title", "start", "end", "capacity", "updated_at"),
    REGISTRATION: ("member_id", "event_id", "status", "updated_at"),
}
_MAPPED = "SELECT entity_type AS entity, wa_id, target AS record_id FROM mappings ORDER BY wa_id, target"
_RAW = "SELECT wa_raw ->> 'waContactId' AS wa_id, id AS record_id FROM members ORDER BY 1, 2"
_IDS = ["entity", "wa_id", "record_id", "by"]
_YES = {"yes", "true", "1", "y", "x", "ja", "oui", "si", "sí"}
_FARTHEST = pd.Timedelta(hours=26)  # two time zones apart, and a day's end
_NEEDED = {
    MEMBER: {"email": "e-mail address", "first_name": "first name", "last_name": "last name"},
    EVENT: {"title": "title"},
    REGISTRATION: {},
}


def records(connection: Connection, schema: Schema, entity: str) -> pd.DataFrame | None:
    """Return every record of an entity with its comparable columns; None where the table is absent."""
    relation, canonical = CONCEPT_OF[entity], Canonical(schema)
    if not schema.has(relation):
        return None
    columns = [f'thing."{name}"' for name in _COLUMNS[entity] if schema.has(f"{relation}.{name}")]
    source = f"{relation} AS thing"
    if entity == MEMBER and schema.has("members.status_id", "statuses.code"):
        columns.append("statuses.code AS status")
        source += " LEFT JOIN statuses ON statuses.id = thing.status_id"
    query = f"SELECT {', '.join(['thing.id AS record_id', *columns])} FROM {source} ORDER BY record_id"
    table = ask(connection, canonical, query)[1].astype(object).rename(columns={"joined_at": "joined"})
    for name in {"joined", "start", "end", "updated_at"} & set(table):
        table[name] = pd.to_datetime(table[name], errors="coerce").astype("datetime64[us]")
    return table


def known_ids(
    connection: Connection, schema: Schema, reports: Iterable[ImportReport]
) -> tuple[pd.DataFrame, list[str]]:
    """Return the record that each Wild Apricot id became, and what could not be read.

    Returns
    -------
    pandas.DataFrame
        ``entity``, ``wa_id``, ``record_id``, ``by``: mappings first, then members' raw data, then import reports and id
        maps, the newest first. The record may be gone.
    list of str
        Notes.
    """
    parts, unread, canonical = [pd.DataFrame(columns=_IDS, dtype=object)], [], Canonical(schema)
    if schema.has("mappings.entity_type", "mappings.wa_id", "mappings.target"):
        parts.append(ask(connection, canonical, _MAPPED)[1].assign(by=BY_MAPPING))
    if schema.has("members.id", "members.wa_raw"):
        try:
            parts.append(ask(connection, canonical, _RAW)[1].assign(entity=MEMBER, by=BY_RAW_DATA))
        except (psycopg.DataError, psycopg.ProgrammingError):
            unread.append("Members' raw Wild Apricot data cannot be read and were not used.")
    rows = []
    for report in sorted(reports, key=lambda report: str(report.started or ""), reverse=True):
        if report.mode == "live":
            rows += [(record.entity, record.wa_id, record.record_id, BY_REPORT) for record in report.records]
            rows += [(*identity, BY_REPORT) for identity in report.identities]
    parts.append(pd.DataFrame(rows, columns=_IDS, dtype=object))
    return pd.concat(parts, ignore_index=True)[_IDS].astype(object).dropna(), unread


def match_by_id(rows: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Match each row with the existing record of its id.

    Returns
    -------
    pandas.DataFrame
        The rows with ``record_id`` (None for none), ``found_by``, and ``gone``: whether its record no longer exists.
    """
    present = known["record_id"].isin(records["record_id"])
    first, lost = keyed(known[present], "wa_id"), known.loc[~present, "wa_id"]
    record = look_up(rows["wa_id"], first["record_id"])
    return rows.assign(
        record_id=record,
        found_by=look_up(rows["wa_id"], first["by"]),
        gone=record.isna() & rows["wa_id"].isin(lost),
    )


def match_by_email(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Match unmatched members with the only record of their e-mail address, unless that is somebody else's."""
    record = _by_address(pairs, records)
    if {"first_name"} <= set(pairs) & set(records):
        names = look_up(record, keyed(records, "record_id")["first_name"])
        record = record.mask(
            record.isin(pairs["record_id"].dropna()) & (folded(names) != folded(pairs["first_name"]))
        )
    return _matched(pairs, record, "e-mail")


def match_by_title(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Match unmatched events with the record of the same title and about the same start."""
    if not {"title", "start"} <= set(records):
        return pairs
    rows = pairs[pairs["record_id"].isna()].rename(columns={"start_moment": "moment"})
    near = _same_title(rows, records[~records["record_id"].isin(pairs["record_id"].dropna())])
    near = near.drop_duplicates("wa_id").drop_duplicates("record_id_here")
    return _matched(pairs, look_up(pairs["wa_id"], keyed(near, "wa_id")["record_id_here"]), "title and start")


def match_by_place(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Find the registration of a row's member for its event (``right``), and match unmatched rows with it."""
    if not {"member_id", "event_id"} <= set(records):
        return pairs.assign(right=None)
    places = records.drop_duplicates(["member_id", "event_id"]).set_index(["member_id", "event_id"])[
        "record_id"
    ]
    record = places.reindex(pd.MultiIndex.from_frame(pairs[["member", "at"]]))
    right = pd.Series(record.to_numpy(), index=pairs.index, dtype=object)
    return _matched(pairs.assign(right=right.where(right.notna(), None)), right, "member and event")


def somebody_else(pairs: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Find the members that are matched with another person's record, and their own records.

    A name or an address changes when people marry or move; both at once is somebody else. So is a match where another
    record was made for the contact, and where two contacts with different names share a record.

    Returns
    -------
    pandas.DataFrame
        ``wrong``, ``should_be`` (None where unknown), ``shared`` (whether another row fits the record better).
    """
    differs = {
        name: (folded(pairs[name]) != folded(pairs[f"{name}_here"])) & (pairs[name] != "")
        if {name, f"{name}_here"} <= set(pairs)
        else pd.Series(data=False, index=pairs.index)
        for name in ("first_name", "last_name", "email")
    }
    first, last, email = differs.values()
    imported = known[(known["by"] == BY_RAW_DATA) & known["record_id"].isin(records["record_id"])]
    own = look_up(pairs["wa_id"], keyed(imported, "wa_id")["record_id"])
    should_be = own.fillna(_by_address(pairs, records))
    elsewhere = should_be.notna() & (should_be != pairs["record_id"])
    wrong = (email & first & last) | (elsewhere & (email | own.notna()) & (first | last))
    # Of several contacts on one record the most similar one owns it; a nickname does not make another person.
    unlike = first.astype(int) + last.astype(int) + email.astype(int) + 3 * wrong.astype(int)
    by_likeness = pairs.assign(unlike=unlike).sort_values(["unlike", "wa_id"])
    shared = by_likeness["record_id"].duplicated().sort_index()
    nickname = pd.Series(data=False, index=pairs.index)
    if {"first_name", "first_name_here"} <= set(pairs):
        names = zip(folded(pairs["first_name"]), folded(pairs["first_name_here"]), strict=True)
        alike = [actual.startswith(name) or name.startswith(actual) for actual, name in names]
        nickname = pd.Series(alike, index=pairs.index, dtype=bool)
    wrong |= shared & (last | (first & ~nickname))
    return pd.DataFrame(
        {"wrong": wrong, "should_be": should_be.where(wrong & elsewhere, None), "shared": shared}
    )


def left_out(rows: pd.DataFrame, entity: str) -> pd.Series:
    """Return why the importer skips a row by design; empty where it does not."""
    why = pd.Series("", index=rows.index, dtype=object)
    for name, words in _NEEDED[entity].items():
        if name in rows:
            lacks = ~rows[name].str.contains("@") if name == "email" else rows[name] == ""
            why = why.mask((why == "") & lacks, f"no {words} in Wild Apricot")
    if entity == EVENT:
        why = why.mask((why == "") & rows["start_moment"].isna(), "no start that can be read in Wild Apricot")
    for name in {"archived", "suspended"} & set(rows):
        why = why.mask((why == "") & rows[name].str.casefold().isin(_YES), f"{name} in Wild Apricot")
    if entity == MEMBER and "status" in rows:
        why = why.mask((why == "") & (folded(rows["status"]) == "suspended"), "suspended in Wild Apricot")
    return why


def look_up(keys: pd.Series, known: pd.Series) -> pd.Series:
    """Return the value of each key; None for unknown keys."""
    values = keys.map(known).astype(object)
    return values.where(values.notna(), None)


def keyed(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the first row of each value of a column, indexed by it."""
    return frame.drop_duplicates(column).set_index(column)


def folded(texts: pd.Series) -> pd.Series:
    """Return texts without differences of case, blanks and Unicode form."""
    return tidy(texts).str.casefold()


def tidy(texts: pd.Series) -> pd.Series:
    """Return texts with single blanks in one Unicode form; empty for missing ones."""
    plain = ["" if pd.isna(text) else " ".join(str(text).split()) for text in texts]
    return pd.Series([unicodedata.normalize("NFC", text) for text in plain], index=texts.index, dtype=object)


def _by_address(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.Series:
    if not {"email"} <= set(pairs) & set(records):
        return pd.Series(None, index=pairs.index, dtype=object)
    addresses = records.assign(email=folded(records["email"])).drop_duplicates("email", keep=False)
    return look_up(
        folded(pairs["email"]), addresses[addresses["email"] != ""].set_index("email")["record_id"]
    )


def _same_title(rows: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Pair rows and records of the same title, the nearest in time first."""
    left = pd.DataFrame({"wa_id": rows["wa_id"], "title": folded(rows["title"]), "moment": rows["moment"]})
    right = pd.DataFrame(
        {"record_id_here": records["record_id"], "title": folded(records["title"]), "start": records["start"]}
    )
    pairs = left.merge(right, on="title")
    apart = pairs["moment"] - pairs["start"]
    pairs = pairs.assign(apart=apart.abs())[apart.abs() <= _FARTHEST]
    return pairs.sort_values(["apart", "wa_id", "record_id_here"])


def _matched(pairs: pd.DataFrame, record: pd.Series, by: str) -> pd.DataFrame:
    which = pairs["record_id"].isna() & record.notna()
    return pairs.assign(
        record_id=pairs["record_id"].mask(which, record), found_by=pairs["found_by"].mask(which, by)
    )
