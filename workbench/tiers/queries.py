"""The questions about tiers, each asked once: for the checks, the matrix and the planner alike (guide §1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pandas as pd
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    Subquery,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on

from workbench.database.connection import frame
from workbench.errors import SchemaGap
from workbench.murmurant.importers import IMPORT_SOURCE
from workbench.murmurant.schema import Schema, as_text, entity_of, is_one_of, same_id, values_table
from workbench.murmurant.spellings import MEMBER
from workbench.normalise import lookalike, nearest_name
from workbench.tiers.configuration import TierMapping

EVERYBODY, FEW = 0.9, 10
"""The share of members in one tier that counts as all of them, and the least members to judge by."""

RIGHT, WRONG, NONE, GONE = "right", "wrong", "none", "not there"
NO_LEVEL, UNKNOWN_LEVEL, IGNORED, OF_ITS_OWN = "no level", "unknown level", "ignored", "of its own"
"""What can be said of a member's tier. `GONE` is a reference to a tier that does not exist; `IGNORED` a level
that the configuration leaves out; `OF_ITS_OWN` a status that no line of the configuration gives, which an
importer has set by other rules."""

CORRECTABLE = (WRONG, NONE, GONE)
"""Where the configuration says which tier it should be, and it is another one."""

MATRIX = ["level", "expected", "actual", "members", "finding"]


@dataclass(frozen=True)
class InUse:
    """What tells the members apart here: tiers, statuses, or each of them in its own right.

    Attributes
    ----------
    kind : {"tier", "status"}
        Which of the two.
    codes : FromClause
        Their table.
    column : str
        Canonical name of the member's column that refers to it.
    counts : dict of str or None to int
        How many members have each code, most first; None for those who have none that exists.
    everybody : tuple of str, int, int, or None
        The code that nearly everybody has without a reason, how many have it, of how many who have any.
    """

    kind: Literal["tier", "status"]
    codes: FromClause
    column: str
    counts: dict[str | None, int] = field(default_factory=dict)
    everybody: tuple[str, int, int] | None = None


def in_use(connection: Connection, schema: Schema) -> InUse:
    """Return what tells the members apart first of all: tiers, or statuses where no tier was ever made.

    Raises
    ------
    SchemaGap
        When members have neither.
    """
    return _all_in_use(connection, schema)[0]


def _all_in_use(connection: Connection, schema: Schema) -> list[InUse]:
    def any_of(codes: FromClause) -> bool:
        return connection.execute(select(codes.c.id).limit(1)).first() is not None

    schema.refuse_unreadable("members", "tiers", "statuses")
    statuses = schema.has("statuses.code", "members.status_id")
    used = []
    if schema.has("tiers.code", "members.tier_id") and (not statuses or any_of(schema.tiers)):
        used.append(InUse("tier", schema.tiers, "tier_id"))
    if statuses and (not used or any_of(schema.statuses)):
        used.append(InUse("status", schema.statuses, "status_id"))
    if not used:
        raise SchemaGap(
            "Members have neither a tier nor a status here, so nothing can be compared.",
            "A migration of the application that creates them would supply it.",
        )
    return used


def comparisons(
    connection: Connection, schema: Schema, mappings: Sequence[TierMapping] = ()
) -> list[tuple[InUse, TierMapping | None]]:
    """Return what is used here, tiers first, each with the configuration that speaks of it.

    A tier policy speaks of tiers, also where none was seeded yet; the other two kinds speak of statuses, and
    of tiers only where members have no status at all, as in the guide's database.
    """
    in_order = _all_in_use(connection, schema)
    giving: dict[str, TierMapping] = {mapping.gives: mapping for mapping in mappings if mapping.enabled}
    if in_order[0].kind == "status" and "tier" in giving and schema.has("tiers.code", "members.tier_id"):
        in_order.insert(0, InUse("tier", schema.tiers, "tier_id"))
    if [used.kind for used in in_order] == ["tier"] and "status" in giving:
        giving.setdefault("tier", giving["status"])
    pairs = []
    for used in in_order:
        code = used.codes.c.code
        rows = connection.execute(
            select(code, func.count()).select_from(_holders(schema, used)).group_by(code)
        )
        counts = sorted(
            ((code, int(n)) for code, n in rows), key=lambda row: (-row[1], row[0] is None, row[0])
        )
        counted, mapping = replace(used, counts=dict(counts)), giving.get(used.kind)
        pairs.append((replace(counted, everybody=_everybody(connection, schema, counted, mapping)), mapping))
    return pairs


def _holders(schema: Schema, used: InUse) -> FromClause:
    """Join members with the code they have, if any."""
    members: FromClause = schema.members
    return members.outerjoin(used.codes, same_id(used.codes.c.id, members.c[used.column]))


def _everybody(
    connection: Connection, schema: Schema, used: InUse, mapping: TierMapping | None
) -> tuple[str, int, int] | None:
    """Return the code that nearly everybody has without a reason, how many have it, and of how many.

    There is a reason where a line of the configuration gives it to nearly all of them (a default does not: it is
    what a configuration without its lines gives), or Wild Apricot's own status of the contact does.
    """
    held = {code: count for code, count in used.counts.items() if code is not None}
    of = sum(held.values())
    code, most = next(iter(held.items()), ("", 0))
    if of < FEW or most < EVERYBODY * of:
        return None
    members, reasons = schema.members, []
    if mapping is not None and schema.has("members.level"):
        lines = [level for level, given in mapping.levels.items() if given == code]
        reasons.append(is_one_of(members.c.level, lines))
    if used.kind == "status" and schema.has("members.wa_raw"):
        reasons.append(_status_in_wa(schema) == code)
    if reasons:
        reasoned = select(func.count()).select_from(_holders(schema, used))
        reasoned = reasoned.where(used.codes.c.code == code, or_(*reasons))
        if int(connection.scalar(reasoned) or 0) >= EVERYBODY * most:
            return None
    return code, most, of


def _status_in_wa(schema: Schema) -> ColumnElement[Any]:
    """Return the status code that a sync gives a member by what Wild Apricot said of the contact; NULL for none.

    `NotAMember` becomes ``not_a_member``: the rule of the application's sync.
    """
    status = schema.members.c.wa_raw["status"].astext
    return func.lower(func.regexp_replace(status, "(?<!^)([A-Z])", r"_\1", "g"))


def without(schema: Schema, used: InUse) -> ColumnElement[bool]:
    """Whether a member has none, or one that does not exist."""
    held = schema.members.c[used.column]
    return or_(held.is_(None), ~exists().where(same_id(used.codes.c.id, held)))


def has_level(schema: Schema) -> ColumnElement[bool]:
    """Whether a member's Wild Apricot level is known."""
    return func.coalesce(func.btrim(schema.members.c.level), "") != ""


def judged(schema: Schema, used: InUse, mapping: TierMapping) -> Subquery:
    """Select every member with what the configuration says of them beside what they have.

    Returns
    -------
    Subquery
        ``key``, ``level``, ``expected``, ``actual`` (codes), ``held`` (the reference itself, as text),
        ``written`` (when the member's row was last written), ``as_in_wa`` (whether it is a status that Wild
        Apricot gave the contact) and ``finding``: `RIGHT`, `WRONG`, `NONE`, `GONE`, `NO_LEVEL`,
        `UNKNOWN_LEVEL`, `IGNORED`, `OF_ITS_OWN`.

    Raises
    ------
    SchemaGap
        Where members have no level.
    """
    schema.require("members.level")
    members, code = schema.members, used.codes.c.code
    held, level = members.c[used.column], members.c.level
    known = values_table("expected", level=list(mapping.levels), tier=list(mapping.levels.values()))
    wanted = case((has_level(schema), func.coalesce(known.c.tier, cast(literal(mapping.default), String))))
    # What nearly everybody has without a reason is no rule of its own.
    given = [*mapping.codes, *([used.everybody[0]] if used.everybody else [])]
    strange: Any = literal(False)
    as_in_wa: Any = literal(False)
    if used.kind == "status":
        strange = code.is_not(None) & ~is_one_of(code, given)
        if schema.has("members.wa_raw"):
            as_in_wa = func.coalesce(code == _status_in_wa(schema), False)
    finding = case(
        (~has_level(schema), NO_LEVEL),
        (is_one_of(level, mapping.ignored), IGNORED),
        (wanted.is_(None), UNKNOWN_LEVEL),
        (strange, OF_ITS_OWN),
        (code == wanted, RIGHT),
        (held.is_(None), NONE),
        (used.codes.c.id.is_(None), GONE),
        else_=WRONG,
    )
    return (
        select(
            as_text(members.c.id).label("key"),
            level.label("level"),
            wanted.label("expected"),
            code.label("actual"),
            as_text(held).label("held"),
            (members.c.updated_at if schema.has("members.updated_at") else null()).label("written"),
            as_in_wa.label("as_in_wa"),
            finding.label("finding"),
        )
        .select_from(_holders(schema, used).outerjoin(known, known.c.level == level))
        .subquery("judged")
    )


def tier_matrix(connection: Connection, schema: Schema, used: InUse, mapping: TierMapping) -> pd.DataFrame:
    """Count the members by level, expected and actual tier.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``expected``, ``actual`` (codes; None for none), ``members``, and ``finding``, see `judged`.
    """
    members = judged(schema, used, mapping)
    by = [members.c[name] for name in ("level", "expected", "actual", "finding")]
    counted = select(*by[:3], func.count().label("members"), by[3]).group_by(*by)
    rows = frame(connection, counted.order_by(*(column.collate("C") for column in by)))
    return rows.astype({"members": int}) if len(rows) else pd.DataFrame(columns=MATRIX)


def tells_of_members(schema: Schema) -> bool:
    """Whether the audit log names the record of an entry; the guide's own does not."""
    needed = ("audit.resource_type", "audit.resource_id", "audit.metadata", "audit.created_at")
    return schema.has(*needed, "audit.before") or schema.has(*needed, "audit.after")


def _last_changes(schema: Schema, used: InUse) -> Subquery:
    """Select, for each member whose tier the audit log speaks of, the last entry that does.

    ``key``, ``person`` (whether it was no import and no plan of the workbench), ``by`` (the member who did it), ``at``,
    ``was`` and ``became`` (references as text; NULL where the entry does not say), ``told`` (whether it says what it became).
    """
    audit, key = schema.audit, as_text(schema.audit.c.resource_id)
    column = schema.resolved["members"].spelling[used.column]
    before: Any = audit.c.before if schema.has("audit.before") else None
    after: Any = audit.c.after if schema.has("audit.after") else None
    later = [facts for facts in (after, audit.c.metadata["changes"]) if facts is not None]
    source = func.coalesce(audit.c.metadata["source"].astext, "")
    by_person = schema.audit_run.is_(None) & (source != IMPORT_SOURCE) & source.not_like("workbench%")
    speaks = [facts.has_key(column) for facts in later]
    return (
        select(
            key.label("key"),
            by_person.label("person"),
            (as_text(audit.c.member_id) if schema.has("audit.member_id") else cast(null(), String)).label(
                "by"
            ),
            audit.c.created_at.label("at"),
            (cast(null(), String) if before is None else before[column].astext).label("was"),
            func.coalesce(*(facts[column].astext for facts in later)).label("became"),
            func.coalesce(or_(*speaks), False).label("told"),
        )
        .ext(distinct_on(key))
        .where(
            entity_of(audit.c.resource_type) == MEMBER,
            or_(*speaks, *([] if before is None else [before.has_key(column)])),
        )
        .order_by(key, audit.c.created_at.desc(), as_text(audit.c.id).desc())
        .subquery("last_change")
    )


def mistiered(
    schema: Schema, used: InUse, mapping: TierMapping, levels: Sequence[str] = (), limit: int | None = None
) -> Select[Any]:
    """Select the members who have another tier than the configuration gives their level, or none, by their ids.

    What `judged` says of them; ``right`` (the reference they should have, NULL where its code is not here); and of the
    last entry of the audit log on their tier ``by``, ``at`` and ``was``. ``by_a_person`` is whether it is as a person
    set it: what they set it to is still there, or the entry does not say what it became and nothing later is logged.
    """
    members, code = judged(schema, used, mapping), used.codes.c.code
    codes = select(code, func.min(as_text(used.codes.c.id)).label("id")).group_by(code).subquery("should_be")
    source = members.outerjoin(codes, codes.c.code == members.c.expected)
    entry: list[Any] = [literal(False), null(), null(), null()]
    if tells_of_members(schema):
        last = _last_changes(schema, used)
        source = source.outerjoin(last, last.c.key == members.c.key)
        person = last.c.person & or_(~last.c.told, last.c.became.is_not_distinct_from(members.c.held))
        entry = [func.coalesce(person, False), last.c.by, last.c.at, last.c.was]
    names = ("by_a_person", "by", "at", "was")
    query = (
        select(
            *members.c,
            codes.c.id.label("right"),
            *(column.label(name) for column, name in zip(entry, names, strict=True)),
        )
        .select_from(source)
        .where(members.c.finding.in_(CORRECTABLE))
        .order_by(members.c.key.collate("C"))
        .limit(limit)
    )
    return query.where(is_one_of(members.c.level, levels)) if levels else query


def wrong_tiers(
    connection: Connection,
    schema: Schema,
    used: InUse,
    mapping: TierMapping,
    limit: int | None = None,
    levels: Sequence[str] = (),
) -> pd.DataFrame:
    """List the members who have another tier than the configuration gives their level, or none.

    Parameters
    ----------
    limit : int, optional
        The most to return.
    levels : sequence of str
        Only members of these Wild Apricot levels; of all, when empty.

    Returns
    -------
    pandas.DataFrame
        ``key`` (the member's id), ``level``, ``expected``, ``actual``, ``finding``, ``by_a_person``:
        whether the audit log says that somebody set it by hand; in the order of the ids.
    """
    rows = frame(connection, mistiered(schema, used, mapping, levels, limit))
    return rows[["key", "level", "expected", "actual", "finding", "by_a_person"]]


def unknown_levels(connection: Connection, schema: Schema, mapping: TierMapping) -> pd.DataFrame:
    """List the levels that no line of the configuration names, each with the nearest that one does.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``members``, ``nearest``, ``covered_by`` (the default), ``lookalike``: whether it
        differs from a named one only in case, accents or spaces.
    """
    schema.require("members.level")
    level, known = schema.members.c.level, [*mapping.levels, *mapping.ignored]
    rows = connection.execute(
        select(level, func.count()).where(has_level(schema)).group_by(level).order_by(level.collate("C"))
    )
    return levels_frame(
        [
            (name, members, nearest_name(name, known), mapping.default, lookalike(name, known) is not None)
            for name, members in rows
            if name not in known
        ]
    )


def unknown_codes(connection: Connection, used: InUse, mapping: TierMapping) -> pd.DataFrame:
    """List the codes of the configuration that are no tier here: misspelt, or never seeded.

    Returns
    -------
    pandas.DataFrame
        ``code``, ``levels`` (those that would get it), ``nearest``.
    """
    known = known_codes(connection, used)
    return codes_frame(
        [
            (code, ", ".join(mapping.levels_of(code)), nearest_name(code, known))
            for code in mapping.codes
            if code not in known
        ]
    )


def known_codes(connection: Connection, used: InUse) -> list[str]:
    """Return the codes there are, as often as there are, sorted."""
    return sorted(str(code) for code in connection.scalars(select(used.codes.c.code)))


def levels_frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Lay levels out as `unknown_levels` does."""
    levels = pd.DataFrame(
        rows, columns=["level", "members", "nearest", "covered_by", "lookalike"], dtype=object
    )
    return levels.astype({"members": int, "lookalike": bool})


def codes_frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Lay codes out as `unknown_codes` does."""
    return pd.DataFrame(rows, columns=["code", "levels", "nearest"], dtype=object)
