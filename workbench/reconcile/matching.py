"""Which record each row of an export is: by its mapping, else by what is left of its import, else by what it says."""

from __future__ import annotations

import unicodedata

import pandas as pd

from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION
from workbench.reconcile.queries import BY_RAW_DATA

GONE, UNTRACED = "its mapping leads to no record", "neither a record nor a mapping is here"

_YES = {"yes", "true", "1", "y", "x", "ja", "oui", "si", "sí"}
_FARTHEST = pd.Timedelta(hours=26)  # what two time zones can make of one moment, and a day's end
_NEEDED = {
    MEMBER: {"email": "e-mail address", "first_name": "first name", "last_name": "last name"},
    EVENT: {"title": "title"},
    REGISTRATION: {},
}


def lead(rows: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Lead each row to the record that is known of its id, and still there.

    Returns
    -------
    pandas.DataFrame
        The rows with ``record_id`` (None where there is none), ``found_by``, and ``gone``: something leads to a
        record that is no longer there.
    """
    present = known["record_id"].isin(records["record_id"])
    first, lost = keyed(known[present], "wa_id"), known.loc[~present, "wa_id"]
    record = look_up(rows["wa_id"], first["record_id"])
    return rows.assign(
        record_id=record,
        found_by=look_up(rows["wa_id"], first["by"]),
        gone=record.isna() & rows["wa_id"].isin(lost),
    )


def lead_by_email(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Lead members of whom nothing else tells to the one record with their address, unless it is somebody else's."""
    record = _by_address(pairs, records)
    if {"first_name"} <= set(pairs) & set(records):
        names = look_up(record, keyed(records, "record_id")["first_name"])
        record = record.mask(
            record.isin(pairs["record_id"].dropna()) & (folded(names) != folded(pairs["first_name"]))
        )
    return _led(pairs, record, "e-mail")


def lead_by_title(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Lead events of which nothing else tells to the record of their title that starts at the same time, or nearly."""
    if not {"title", "start"} <= set(records):
        return pairs
    rows = pairs[pairs["record_id"].isna()].rename(columns={"start_moment": "moment"})
    near = _same_title(rows, records[~records["record_id"].isin(pairs["record_id"].dropna())])
    near = near.drop_duplicates("wa_id").drop_duplicates("record_id_here")
    return _led(pairs, look_up(pairs["wa_id"], keyed(near, "wa_id")["record_id_here"]), "title and start")


def lead_by_place(pairs: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Tell which registration a row's member has for its event (``right``), and lead to it where nothing else tells."""
    if not {"member_id", "event_id"} <= set(records):
        return pairs.assign(right=None)
    places = records.drop_duplicates(["member_id", "event_id"]).set_index(["member_id", "event_id"])[
        "record_id"
    ]
    record = places.reindex(pd.MultiIndex.from_frame(pairs[["member", "at"]]))
    right = pd.Series(record.to_numpy(), index=pairs.index, dtype=object)
    return _led(pairs.assign(right=right.where(right.notna(), None)), right, "member and event")


def somebody_else(pairs: pd.DataFrame, records: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Tell which members are led to another person's record, and to whose they should be.

    One of name and address changes when people marry or move; both at once is somebody else. So it is where another
    record was made for this contact, and where two contacts of different names share one record.

    Returns
    -------
    pandas.DataFrame
        ``wrong``, ``should_be`` (None where nothing tells), ``shared`` (another row speaks for the record).
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
    # Of several contacts on one record the likest speaks for it.
    unlike = first.astype(int) + last.astype(int) + email.astype(int) + 3 * wrong.astype(int)
    shared = (
        pairs.assign(unlike=unlike).sort_values(["unlike", "wa_id"])["record_id"].duplicated().sort_index()
    )
    akin = pd.Series(data=True, index=pairs.index)
    if {"first_name", "first_name_here"} <= set(pairs):
        names = zip(folded(pairs["first_name"]), folded(pairs["first_name_here"]), strict=True)
        alike = [present.startswith(name) or name.startswith(present) for present, name in names]
        akin = pd.Series(alike, index=pairs.index, dtype=bool)
    wrong |= shared & (last | ~akin)
    return pd.DataFrame(
        {"wrong": wrong, "should_be": should_be.where(wrong & elsewhere, None), "shared": shared}
    )


def left_out(rows: pd.DataFrame, entity: str) -> pd.Series:
    """Say why an importer passes a row over by design; empty where it does not."""
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
    """Return what is known of each key, None of others."""
    values = keys.map(known).astype(object)
    return values.where(values.notna(), None)


def keyed(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the first row of each value of a column, by it."""
    return frame.drop_duplicates(column).set_index(column)


def folded(texts: pd.Series) -> pd.Series:
    """Return texts as they are compared where case, blanks and Unicode form do not matter."""
    return tidy(texts).str.casefold()


def tidy(texts: pd.Series) -> pd.Series:
    """Return texts with single blanks and one Unicode form; nothing is an empty text."""
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
    """Pair rows and records of one title, the nearest in time first."""
    left = pd.DataFrame({"wa_id": rows["wa_id"], "title": folded(rows["title"]), "moment": rows["moment"]})
    right = pd.DataFrame(
        {"record_id_here": records["record_id"], "title": folded(records["title"]), "start": records["start"]}
    )
    pairs = left.merge(right, on="title")
    apart = pairs["moment"] - pairs["start"]
    pairs = pairs.assign(apart=apart.abs())[apart.abs() <= _FARTHEST]
    return pairs.sort_values(["apart", "wa_id", "record_id_here"])


def _led(pairs: pd.DataFrame, record: pd.Series, by: str) -> pd.DataFrame:
    which = pairs["record_id"].isna() & record.notna()
    return pairs.assign(
        record_id=pairs["record_id"].mask(which, record), found_by=pairs["found_by"].mask(which, by)
    )
