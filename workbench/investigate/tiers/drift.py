"""What became of the tiers since an earlier report: which gained, which lost, and who moved."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Connection, String, bindparam, case, cast, func, null, or_, select
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.audit import audit_entries
from workbench.database.connection import Identity, frame
from workbench.errors import UsageError
from workbench.investigate.tiers.people import last_changes
from workbench.investigate.tiers.reviewing import tier_distribution
from workbench.investigate.tiers.statements import in_use
from workbench.murmurant.importers import MIGRATION_PREFIX
from workbench.murmurant.schema import Schema, as_text, same_id

MOST_MEMBERS = 20_000
"""How large a club may be for a report to keep who was in which tier, and not only how many."""

_MOST_ENTRIES = 10
_AGAIN = "Name the JSON verdict of `workbench report tiers`, or what `workbench tiers --json` printed."


@dataclass(frozen=True)
class Earlier:
    """What a report or a saved answer said.

    Attributes
    ----------
    name : str
        The file.
    kind : {"tier", "status"}
        What was counted.
    counts : dict of str or None to int
        Members by code; None for none.
    held : dict of str to str or None, or None
        Member's id to code; None where only the numbers were kept.
    made_at : str
        When; empty where it does not say.
    system_identifier, database : str
        The database it was about; empty where it does not say.
    """

    name: str
    kind: str
    counts: dict[str | None, int]
    held: dict[str, str | None] | None
    made_at: str = ""
    system_identifier: str = ""
    database: str = ""


@dataclass(frozen=True)
class TierDrift:
    """What changed since.

    Attributes
    ----------
    earlier : Earlier
        What it is compared with.
    tiers : pandas.DataFrame
        ``code``, ``before``, ``now``, ``change``; by code.
    moved : pandas.DataFrame or None
        ``key`` (the member's id), ``before``, ``now``, ``what`` (``moved``, ``new``, ``gone``) and
        ``by``, as far as the audit log tells; None where the earlier report kept numbers only.
    notes : tuple of str
        What to know about the comparison.
    """

    earlier: Earlier
    tiers: pd.DataFrame
    moved: pd.DataFrame | None
    notes: tuple[str, ...] = ()


def tiers_kept(connection: Connection, schema: Schema) -> dict[str, Any]:
    """Return what a report keeps for a later one: the distribution, in clubs of a usual size with the ids.

    Returns
    -------
    dict
        ``kind`` and ``distribution``, a list of ``code``, ``members`` and ``ids`` (None in a large club).
    """
    found = tier_distribution(connection, schema)
    kind = str(found["kind"].iloc[0]) if len(found) else "tier"
    ids: dict[str | None, list[str]] | None = None
    if len(found) and int(found["members"].sum()) <= MOST_MEMBERS:
        used, members = in_use(connection, schema), schema.members
        key = as_text(members.c.id)
        query = (
            select(used.codes.c.code, func.array_agg(key))
            .select_from(members.outerjoin(used.codes, same_id(used.codes.c.id, members.c[used.column])))
            .group_by(used.codes.c.code)
        )
        ids = {code: sorted(keys) for code, keys in connection.execute(query)}
    rows = [
        {"code": code, "members": members, "ids": None if ids is None else ids[code]}
        for code, members in _counts(found).items()
    ]
    return {"kind": kind, "distribution": rows}


def read_earlier(path: Path) -> Earlier:
    """Read an earlier report's verdict, or a saved answer of `workbench tiers --json`.

    Raises
    ------
    UsageError
        When the file is no JSON or says nothing of tiers.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"The earlier report {path} cannot be read: {error.strerror}.", _AGAIN) from None
    except (ValueError, RecursionError):
        raise UsageError(f"The earlier report {path} is no JSON in UTF-8.", _AGAIN) from None
    whole = found if isinstance(found, dict) else {}
    facts = whole.get("tiers", whole)
    try:
        rows = [
            (_code(each["code"]), _number(each["members"]), each.get("ids")) for each in facts["distribution"]
        ]
        kind = {"tier": "tier", "status": "status"}[facts["kind"]]
        counts = {code: members for code, members, _ in rows}
        held = None
        if all(ids is not None for *_, ids in rows):
            held = {str(key): code for code, _, ids in rows for key in ids}
        if len(counts) < len(rows) or (held is not None and len(held) != sum(counts.values())):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(f"The earlier report {path} does not say who was in which tier.", _AGAIN) from None
    database = whole.get("database")
    database = database if isinstance(database, dict) else {}
    return Earlier(
        path.name,
        kind,
        counts,
        held,
        str(whole.get("made_at", "")),
        str(database.get("system_identifier", "")),
        str(database.get("database", "")),
    )


def tier_drift(connection: Connection, schema: Schema, earlier: Earlier, here: Identity) -> TierDrift:
    """Compare the tiers with what they were.

    Raises
    ------
    UsageError
        When the one counts tiers and the other statuses.
    """
    found = tier_distribution(connection, schema)
    kind = str(found["kind"].iloc[0]) if len(found) else earlier.kind
    if kind != earlier.kind:
        raise UsageError(
            f"The earlier report {earlier.name} counts members by {earlier.kind}; here they have a {kind}.",
            "They cannot be compared.",
        )
    now = _counts(found)
    rows = [
        (code, earlier.counts.get(code, 0), now.get(code, 0), now.get(code, 0) - earlier.counts.get(code, 0))
        for code in sorted({*earlier.counts, *now}, key=lambda each: (each is None, each or ""))
    ]
    notes = []
    if earlier.system_identifier and (earlier.system_identifier, earlier.database) != (
        here.system_identifier,
        here.database,
    ):
        notes.append(
            f"{earlier.name} is about database {earlier.database!r} of server {earlier.system_identifier};"
            f" this is {here.database!r} of server {here.system_identifier}."
        )
    notes += _logged(connection, schema, earlier.made_at)
    moved = None
    if earlier.held is None:
        notes.append(f"{earlier.name} kept numbers only, so who moved is not known.")
    else:
        moved = _moved(connection, schema, earlier.held)
    tiers = pd.DataFrame(rows, columns=["code", "before", "now", "change"], dtype=object)
    tiers = tiers.astype({"before": int, "now": int, "change": int})
    return TierDrift(earlier, tiers, moved, tuple(notes))


def _logged(connection: Connection, schema: Schema, made_at: str) -> list[str]:
    """Say what imports and corrections the audit log tells of since a moment: they move people."""
    try:
        since = datetime.fromisoformat(made_at)
    except ValueError:
        return []
    if not schema.has("audit.action", "audit.metadata", "audit.created_at"):
        return []
    moment = since.astimezone(UTC).replace(tzinfo=None) if since.tzinfo else since
    found = audit_entries(connection, schema, action=MIGRATION_PREFIX, since=moment, limit=_MOST_ENTRIES)
    told = []
    for at, action, run, metadata in found[["at", "action", "run", "metadata"]].itertuples(index=False):
        facts = metadata if isinstance(metadata, dict) else {}
        what = facts.get("plan") or (run if isinstance(run, str) else "")
        rows = facts.get("records_affected")
        told.append(
            f"Since then, on {at:%Y-%m-%d %H:%M} UTC: {action}{f' ({what})' if what else ''}"
            + (f", {rows:,} rows." if isinstance(rows, int) else ".")
        )
    return told


def _moved(connection: Connection, schema: Schema, held: dict[str, str | None]) -> pd.DataFrame:
    used, members = in_use(connection, schema), schema.members
    arrays = (
        bindparam("ids", list(held), type_=ARRAY(String())),
        bindparam("codes", list(held.values()), type_=ARRAY(String())),
    )
    was = func.unnest(*arrays).table_valued("key", "code", name="was").render_derived()
    now = (
        select(
            as_text(members.c.id).label("key"),
            used.codes.c.code,
            as_text(members.c[used.column]).label("held"),
        )
        .select_from(members.outerjoin(used.codes, same_id(used.codes.c.id, members.c[used.column])))
        .subquery("now")
    )
    key = func.coalesce(was.c.key, now.c.key)
    changes = last_changes(schema, used)
    told: Any = cast(null(), String)
    source: Any = was.outerjoin(now, now.c.key == was.c.key, full=True)
    if changes is not None:
        # An entry that says the tier became another than it is tells of an earlier change.
        still = or_(~changes.c.told, changes.c.became.is_not_distinct_from(now.c.held))
        source = source.outerjoin(changes, (changes.c.key == key) & still)
        told = case(
            (changes.c.person & changes.c.by.is_not(None), func.concat("member ", changes.c.by)),
            (changes.c.person, "a person"),
            (changes.c.run.is_not(None), func.concat("run ", changes.c.run)),
        )
    what = case((was.c.key.is_(None), "new"), (now.c.key.is_(None), "gone"), else_="moved")
    return frame(
        connection,
        select(key.label("key"), was.c.code.label("before"), now.c.code.label("now"), what.label("what"),
               case((was.c.key.is_not(None) & now.c.key.is_not(None), told)).label("by"))
        .select_from(source)
        .where(
            or_(was.c.key.is_(None), now.c.key.is_(None), was.c.code.is_distinct_from(now.c.code))
        )
        .order_by(key.collate("C")),
    )  # fmt: skip


def _counts(distribution: pd.DataFrame) -> dict[str | None, int]:
    return {
        None if pd.isna(code) else str(code): int(members)
        for code, members in distribution[["code", "members"]].itertuples(index=False)
    }


def _code(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError
    return value
