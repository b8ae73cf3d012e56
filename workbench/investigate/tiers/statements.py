"""The statements about tiers, each said once: for the checks, the matrix and the planner alike."""

from __future__ import annotations

from dataclasses import dataclass
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

EVERYBODY, FEW = 0.9, 10
"""The share of members in one tier that counts as all of them, and the least members to judge by."""

RIGHT, WRONG, NONE, GONE = "right", "wrong", "none", "not there"
NO_LEVEL, UNKNOWN_LEVEL, OF_ITS_OWN = "no level", "unknown level", "of its own"
"""What can be said of a member's tier. `GONE` is a reference to a tier that does not exist; `OF_ITS_OWN`
a status that no line of the configuration gives, which an importer has set by other rules."""

CORRECTABLE = (WRONG, NONE, GONE)
"""Where the configuration says which tier it should be, and it is another one."""


@dataclass(frozen=True)
class InUse:
    """What tells the members' levels apart here: tiers, or statuses where no tier was ever made.

    Attributes
    ----------
    kind : {"tier", "status"}
        Which of the two.
    codes : FromClause
        Their table.
    column : str
        Canonical name of the member's column that refers to it.
    """

    kind: Literal["tier", "status"]
    codes: FromClause
    column: str

    @property
    def concept(self) -> str:
        """The table among the concepts of the schema."""
        return "tiers" if self.kind == "tier" else "statuses"


def in_use(connection: Connection, schema: Schema) -> InUse:
    """Find out whether tiers are used here: the application's own importers fill statuses only.

    Raises
    ------
    SchemaGap
        When members have neither.
    """
    statuses = schema.has("statuses.code", "members.status_id")
    if schema.has("tiers.code", "members.tier_id") and (
        not statuses or connection.execute(select(schema.tiers.c.id).limit(1)).first() is not None
    ):
        return InUse("tier", schema.tiers, "tier_id")
    if statuses:
        return InUse("status", schema.statuses, "status_id")
    raise SchemaGap(
        "Members have neither a tier nor a status here, so nothing can be compared.",
        "A migration of the application that creates them would supply it.",
    )


def spread(schema: Schema, used: InUse) -> Subquery:
    """Select ``key`` (a code), ``members`` and ``of``, those who have any."""
    codes, members = used.codes, schema.members
    return (
        select(
            codes.c.code.label("key"),
            func.count().label("members"),
            func.sum(func.count()).over().label("of"),
        )
        .select_from(members.join(codes, same_id(codes.c.id, members.c[used.column])))
        .group_by(codes.c.code)
        .subquery("spread")
    )


def everybody_in_one(schema: Schema, used: InUse) -> Select[Any]:
    """Select the code that nearly everybody has, if there is one."""
    found = spread(schema, used)
    return select(found).where(found.c.of >= FEW, found.c.members >= EVERYBODY * found.c.of).order_by("key")


def without(schema: Schema, used: InUse) -> ColumnElement[bool]:
    """Whether a member has none, or one that does not exist."""
    held = schema.members.c[used.column]
    return or_(held.is_(None), ~exists().where(same_id(used.codes.c.id, held)))


def expected_tiers(mapping: TierMapping) -> Any:
    """Return the configuration as a table of ``level`` and ``tier``."""
    arrays = (
        bindparam("levels", list(mapping.levels), type_=ARRAY(String())),
        bindparam("tiers", list(mapping.levels.values()), type_=ARRAY(String())),
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
        ``written`` (when the member's row was last written) and ``finding``: `RIGHT`, `WRONG`, `NONE`, `GONE`, `NO_LEVEL`, `UNKNOWN_LEVEL`, `OF_ITS_OWN`.

    Raises
    ------
    SchemaGap
        Where members have no level.
    """
    schema.require("members.level")
    members, codes = schema.members, used.codes
    held, known = members.c[used.column], expected_tiers(mapping)
    default: Any = null() if mapping.default is None else literal(mapping.default)
    wanted = case((has_level(schema), func.coalesce(known.c.tier, cast(default, String))))
    ours = codes.c.code.in_(
        select(func.unnest(bindparam("given", list(mapping.codes), type_=ARRAY(String()))))
    )
    strange = codes.c.code.is_not(None) & ~ours if used.kind == "status" else literal(False)
    finding = case(
        (~has_level(schema), NO_LEVEL),
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
    level, known = schema.members.c.level, expected_tiers(mapping)
    return (
        select(level.label("level"), func.count().label("members"))
        .where(has_level(schema), ~exists().where(known.c.level == level))
        .group_by(level)
        .order_by(level.collate("C"))
    )
