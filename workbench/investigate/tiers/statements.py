"""The statements about tiers, each said once: for the checks, the matrix and the planner alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    Subquery,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from workbench.errors import SchemaGap
from workbench.investigate.tiers.configuration import TierMapping
from workbench.murmurant.schema import Schema, as_text, same_id

_TEXTS = ARRAY(String())

EVERYBODY, FEW = 0.9, 10
"""The share of members in one tier that counts as all of them, and the least members to judge by."""

RIGHT, WRONG, NONE, GONE = "right", "wrong", "none", "not there"
NO_LEVEL, UNKNOWN_LEVEL, IGNORED, OF_ITS_OWN = "no level", "unknown level", "ignored", "of its own"
"""What can be said of a member's tier. `GONE` is a reference to a tier that does not exist; `IGNORED` a level
that the configuration leaves out; `OF_ITS_OWN` a status that no line of the configuration gives, which an
importer has set by other rules."""

CORRECTABLE = (WRONG, NONE, GONE)
"""Where the configuration says which tier it should be, and it is another one."""


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
    everybody : tuple of str, int, int, or None
        The code that nearly everybody has without a reason, how many have it, of how many who have any.
    """

    kind: Literal["tier", "status"]
    codes: FromClause
    column: str
    everybody: tuple[str, int, int] | None = None

    @property
    def concept(self) -> str:
        """The table among the concepts of the schema."""
        return "tiers" if self.kind == "tier" else "statuses"


def in_use(connection: Connection, schema: Schema) -> InUse:
    """Return what tells the members apart first of all: tiers, or statuses where no tier was ever made.

    Raises
    ------
    SchemaGap
        When members have neither.
    """
    return all_in_use(connection, schema)[0]


def all_in_use(connection: Connection, schema: Schema) -> list[InUse]:
    """Find out what is used here: tiers where any was seeded, and statuses; `SchemaGap` for neither."""

    def any_of(codes: FromClause) -> bool:
        return connection.execute(select(codes.c.id).limit(1)).first() is not None

    schema.refuse_unreadable("members", "tiers", "statuses")
    statuses = schema.has("statuses.code", "members.status_id")
    found = []
    if schema.has("tiers.code", "members.tier_id") and (not statuses or any_of(schema.tiers)):
        found.append(InUse("tier", schema.tiers, "tier_id"))
    if statuses and (not found or any_of(schema.statuses)):
        found.append(InUse("status", schema.statuses, "status_id"))
    if not found:
        raise SchemaGap(
            "Members have neither a tier nor a status here, so nothing can be compared.",
            "A migration of the application that creates them would supply it.",
        )
    return found


def comparisons(
    connection: Connection, schema: Schema, mappings: Sequence[TierMapping] = ()
) -> list[tuple[InUse, TierMapping | None]]:
    """Return what is used here, tiers first, each with the configuration that speaks of it.

    A tier policy speaks of tiers, also where none was seeded yet; the other two kinds speak of statuses, and
    of tiers only where members have no status at all, as in the guide's database.
    """
    used = all_in_use(connection, schema)
    giving = {each.gives: each for each in mappings if each.enabled}
    if used[0].kind == "status" and "tier" in giving and schema.has("tiers.code", "members.tier_id"):
        used.insert(0, InUse("tier", schema.tiers, "tier_id"))
    if [each.kind for each in used] == ["tier"]:
        giving.setdefault("tier", giving.get("status"))  # type: ignore[arg-type]
    pairs = [(each, giving.get(each.kind)) for each in used]
    return [
        (replace(each, everybody=everybody_in_one(connection, schema, each, mapping)), mapping)
        for each, mapping in pairs
    ]


def everybody_in_one(
    connection: Connection, schema: Schema, used: InUse, mapping: TierMapping | None
) -> tuple[str, int, int] | None:
    """Return the code that nearly everybody has without a reason, how many have it, and of how many.

    There is a reason where a line of the configuration gives it to nearly all of them (a default does not: it is
    what a configuration without its lines gives), or Wild Apricot's own status of the contact does.
    """
    codes, members = used.codes, schema.members
    holders = members.join(codes, same_id(codes.c.id, members.c[used.column]))
    rows = connection.execute(select(codes.c.code, func.count()).select_from(holders).group_by(codes.c.code))
    counts = {str(code): int(count) for code, count in rows}
    of = sum(counts.values())
    code = min(counts, key=lambda each: (-counts[each], each), default="")
    if of < FEW or counts[code] < EVERYBODY * of:
        return None
    reasons = []
    if mapping is not None and schema.has("members.level"):
        lines = [level for level, given in mapping.levels.items() if given == code]
        reasons.append(
            members.c.level.in_(select(func.unnest(bindparam("lines", lines, type_=_TEXTS, unique=True))))
        )
    if used.kind == "status" and schema.has("members.wa_raw"):
        reasons.append(status_in_wa(schema) == code)
    if reasons:
        reasoned = select(func.count()).select_from(holders).where(codes.c.code == code, or_(*reasons))
        if int(connection.scalar(reasoned) or 0) >= EVERYBODY * counts[code]:
            return None
    return code, counts[code], of


def status_in_wa(schema: Schema) -> ColumnElement[Any]:
    """Return the status code that a sync gives a member by what Wild Apricot said of the contact; NULL for none.

    `NotAMember` becomes ``not_a_member``: the rule of the application's sync.
    """
    said = schema.members.c.wa_raw["status"].astext
    return func.lower(func.regexp_replace(said, "(?<!^)([A-Z])", r"_\1", "g"))


def without(schema: Schema, used: InUse) -> ColumnElement[bool]:
    """Whether a member has none, or one that does not exist."""
    held = schema.members.c[used.column]
    return or_(held.is_(None), ~exists().where(same_id(used.codes.c.id, held)))


def expected_tiers(mapping: TierMapping) -> Any:
    """Return the configuration as a table of ``level`` and ``tier``."""
    arrays = (
        bindparam("levels", list(mapping.levels), type_=_TEXTS, unique=True),
        bindparam("tiers", list(mapping.levels.values()), type_=_TEXTS, unique=True),
    )
    return func.unnest(*arrays).table_valued("level", "tier", name="expected").render_derived()


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
    members, codes = schema.members, used.codes
    held, known = members.c[used.column], expected_tiers(mapping)
    default: Any = null() if mapping.default is None else literal(mapping.default)
    ignored = members.c.level.in_(
        select(func.unnest(bindparam("ignored", list(mapping.ignored), type_=_TEXTS, unique=True)))
    )
    wanted = case((has_level(schema), func.coalesce(known.c.tier, cast(default, String))))
    # What nearly everybody has without a reason is no rule of its own.
    given = [*mapping.codes, *([used.everybody[0]] if used.everybody else [])]
    ours = codes.c.code.in_(select(func.unnest(bindparam("given", given, type_=_TEXTS, unique=True))))
    strange = codes.c.code.is_not(None) & ~ours if used.kind == "status" else literal(False)
    as_in_wa = (
        func.coalesce(codes.c.code == status_in_wa(schema), False)
        if used.kind == "status" and schema.has("members.wa_raw")
        else literal(False)
    )
    finding = case(
        (~has_level(schema), NO_LEVEL),
        (ignored, IGNORED),
        (wanted.is_(None), UNKNOWN_LEVEL),
        (strange, OF_ITS_OWN),
        (codes.c.code == wanted, RIGHT),
        (held.is_(None), NONE),
        (codes.c.id.is_(None), GONE),
        else_=WRONG,
    )
    return (
        select(
            as_text(members.c.id).label("key"),
            members.c.level.label("level"),
            wanted.label("expected"),
            codes.c.code.label("actual"),
            as_text(held).label("held"),
            (members.c.updated_at if schema.has("members.updated_at") else null()).label("written"),
            as_in_wa.label("as_in_wa"),
            finding.label("finding"),
        )
        .select_from(
            members.outerjoin(codes, same_id(codes.c.id, held)).outerjoin(
                known, known.c.level == members.c.level
            )
        )
        .subquery("judged")
    )


def levels_not_named(schema: Schema, mapping: TierMapping) -> Select[Any]:
    """Select ``level`` and ``members`` for each level that the configuration does not name."""
    schema.require("members.level")
    level = schema.members.c.level
    named = func.unnest(bindparam("named", [*mapping.levels, *mapping.ignored], type_=_TEXTS, unique=True))
    return (
        select(level.label("level"), func.count().label("members"))
        .where(has_level(schema), level.not_in(select(named)))
        .group_by(level)
        .order_by(level.collate("C"))
    )
