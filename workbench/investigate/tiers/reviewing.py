"""Who is in which tier, and who should be: the distribution, the matrix and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
from sqlalchemy import Connection, func, literal, select

from workbench.database.connection import frame
from workbench.errors import Refused, SchemaGap
from workbench.investigate.tiers.configuration import TierMapping
from workbench.investigate.tiers.names import lookalike, nearest_name
from workbench.investigate.tiers.people import is_a_person_s, last_changes
from workbench.investigate.tiers.statements import (
    CORRECTABLE,
    GONE,
    IGNORED,
    NO_LEVEL,
    OF_ITS_OWN,
    RIGHT,
    InUse,
    comparisons,
    in_use,
    judged,
    levels_not_named,
)
from workbench.murmurant.schema import Schema, same_id

MATRIX = ["level", "expected", "actual", "members", "finding"]
UNKNOWN = ["level", "members", "nearest", "covered_by", "lookalike"]


Of = Literal["tiers", "statuses"]
KINDS = {"tiers": "tier", "statuses": "status"}
"""What may be asked for by name, and the kind each is."""


@dataclass(frozen=True)
class TierReview:
    """What was found of the tiers of a club, or of its statuses.

    Attributes
    ----------
    kind : {"tier", "status"}
        What is reviewed; statuses stand in where no tier was ever made.
    mapping : TierMapping or None
        What they were compared with.
    distribution : pandas.DataFrame
        ``kind``, ``code``, ``members``.
    matrix : pandas.DataFrame
        ``level``, ``expected``, ``actual``, ``members``, ``finding``; empty without a mapping.
    unknown_levels : pandas.DataFrame
        ``level``, ``members``, ``nearest``, ``covered_by`` (the default's code): levels no line names.
    unknown_codes : pandas.DataFrame
        ``code``, ``levels``, ``nearest``: codes of the configuration that the database does not have.
    everybody : tuple of str, int, int, or None
        The code that nearly everybody has without a reason, how many have it, and of how many who have any.
    not_compared : str
        Why there is no mapping; empty where there is one.
    as_in_wa : int
        Of those with another status than their level's, how many have the one Wild Apricot gave the contact.
    beside : tuple of TierReview
        The other of tiers and statuses, where the database has both.
    """

    kind: str
    mapping: TierMapping | None
    distribution: pd.DataFrame
    matrix: pd.DataFrame
    unknown_levels: pd.DataFrame
    unknown_codes: pd.DataFrame
    everybody: tuple[str, int, int] | None = None
    not_compared: str = ""
    as_in_wa: int = 0
    beside: tuple[TierReview, ...] = ()

    @property
    def both(self) -> dict[str, TierReview]:
        """Each review by its kind, tiers first."""
        return {
            each.kind: each for each in sorted((self, *self.beside), key=lambda each: each.kind != "tier")
        }

    @property
    def members(self) -> int:
        """How many members there are."""
        return int(self.distribution["members"].sum())

    @property
    def none(self) -> int:
        """How many have none that exists."""
        return int(self.distribution.loc[self.distribution["code"].isna(), "members"].sum())

    def count(self, *findings: str) -> int:
        """Count the members of whom one of these is said."""
        return int(self.matrix.loc[self.matrix["finding"].isin(findings), "members"].sum())

    @property
    def not_judged(self) -> dict[str, int]:
        """How many members the configuration says nothing of, by the reason."""
        reasons = {
            OF_ITS_OWN: f"whose {self.kind} it does not give",
            IGNORED: "whose level it ignores",
            NO_LEVEL: "whose level is not known",
        }
        return {why: count for finding, why in reasons.items() if (count := self.count(finding))}

    @property
    def correctable(self) -> int:
        """How many have another than the configuration gives their level."""
        return self.count(*CORRECTABLE)

    @property
    def open_levels(self) -> pd.DataFrame:
        """Unknown levels that need a line: no default covers them, or they look like one that is named."""
        found = self.unknown_levels
        return found[found["covered_by"].isna() | found["lookalike"]]

    @property
    def findings(self) -> list[str]:
        """What is wrong, a sentence each; nothing when all is well."""
        return list(_findings(self))


def tier_distribution(connection: Connection, schema: Schema) -> pd.DataFrame:
    """Count the members in each tier: the question of guide §4.3, with those who have none.

    Where tiers are not used (the application's importers fill statuses only) statuses stand in.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (``tier`` or ``status``), ``code`` (None for none), ``members``, most first.
    """
    try:
        return _distribution(connection, schema, in_use(connection, schema))
    except SchemaGap:
        return pd.DataFrame(columns=["kind", "code", "members"])


def review_tiers(connection: Connection, schema: Schema, mappings: Sequence[TierMapping] = ()) -> TierReview:
    """Look at tiers and statuses, each beside what its own configuration says where there is one.

    Returns
    -------
    TierReview
        Of what a configuration speaks of, tiers before statuses; the other one is ``beside`` it.
    """
    found = [
        _review(connection, schema, used, mapping, why_not_compared(used.kind, mappings))
        for used, mapping in comparisons(connection, schema, mappings)
    ]
    first, *rest = sorted(found, key=lambda each: each.mapping is None)
    return replace(first, beside=tuple(rest))


def compared(
    connection: Connection, schema: Schema, mappings: Sequence[TierMapping], of: Of | None = None
) -> tuple[InUse, TierMapping]:
    """Return what is compared, and with which configuration.

    Parameters
    ----------
    of : {"tiers", "statuses"}, optional
        Which of the two, where the database has both; else what a configuration speaks of, tiers first.

    Raises
    ------
    Refused
        When no configuration speaks of it, or it is not there.
    """
    pairs = comparisons(connection, schema, mappings)
    kinds = [used.kind for used, _ in pairs]
    kind = KINDS[of] if of else next((used.kind for used, mapping in pairs if mapping is not None), kinds[0])
    for used, mapping in pairs:
        if used.kind == kind and mapping is not None:
            return used, mapping
    if kind not in kinds:
        raise Refused(f"No membership {kind} was ever made here.", "See `workbench tiers`.")
    raise Refused(
        f"Nothing says which {kind} a level becomes: {why_not_compared(kind, mappings)}.", _REMEDY[kind]
    )


_REMEDY = {
    "tier": "Name a tier policy (membership.tiers.waMapping); --of statuses corrects statuses.",
    "status": "Name the importer's configuration (membership_status_mapping) or a membership_levels_mapping.json.",
}


def why_not_compared(kind: str, mappings: Sequence[TierMapping]) -> str:
    """Say why no configuration speaks of tiers, or of statuses."""
    told = [
        f"{each.name} ({each.kind}) gives statuses, and members have a status besides their tier here"
        if each.gives == "status"
        else f"{each.name} ({each.kind}) gives tiers"
        if kind == "status"
        else f"membership.tiers.enabled is false in {each.name}"
        for each in mappings
        if each.gives != kind or not each.enabled
    ]
    return "; ".join(told) or f"no {kind} mapping is configured"


def _review(
    connection: Connection, schema: Schema, used: InUse, mapping: TierMapping | None, why: str
) -> TierReview:
    distribution = _distribution(connection, schema, used)
    if mapping is None:
        levels = pd.DataFrame(columns=UNKNOWN).astype({"lookalike": bool})
        codes = pd.DataFrame(columns=["code", "levels", "nearest"])
        matrix = pd.DataFrame(columns=MATRIX)
        return TierReview(used.kind, None, distribution, matrix, levels, codes, used.everybody, why)
    each = judged(schema, used, mapping)
    as_in_wa = select(func.count()).where(each.c.finding.in_(CORRECTABLE), each.c.as_in_wa)
    return TierReview(
        used.kind,
        mapping,
        distribution,
        tier_matrix(connection, schema, used, mapping),
        unknown_levels(connection, schema, mapping),
        unknown_codes(connection, used, mapping),
        used.everybody,
        as_in_wa=int(connection.scalar(as_in_wa) or 0) if used.kind == "status" else 0,
    )


def tier_matrix(connection: Connection, schema: Schema, used: InUse, mapping: TierMapping) -> pd.DataFrame:
    """Count the members by level, expected and actual tier.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``expected``, ``actual`` (codes; None for none), ``members``, and ``finding``, see
        `workbench.investigate.tiers.statements.judged`.
    """
    each = judged(schema, used, mapping)
    by = (each.c.level, each.c.expected, each.c.actual, each.c.finding)
    found = frame(
        connection,
        select(*by[:3], func.count().label("members"), by[3])
        .group_by(*by)
        .order_by(*(column.collate("C") for column in by)),
    )
    return found.astype({"members": int}) if len(found) else pd.DataFrame(columns=MATRIX)


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
    each, changes = judged(schema, used, mapping), last_changes(schema, used)
    person = literal(False) if changes is None else is_a_person_s(changes, each.c.held)
    source = each if changes is None else each.outerjoin(changes, changes.c.key == each.c.key)
    columns = (each.c.key, each.c.level, each.c.expected, each.c.actual, each.c.finding)
    return frame(
        connection,
        select(*columns, func.coalesce(person, False).label("by_a_person"))
        .select_from(source)
        .where(each.c.finding.in_(CORRECTABLE), *([each.c.level.in_(levels)] if levels else []))
        .order_by(each.c.key.collate("C"))
        .limit(limit),
    )


def unknown_levels(connection: Connection, schema: Schema, mapping: TierMapping) -> pd.DataFrame:
    """List the levels that no line of the configuration names, each with the nearest that one does.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``members``, ``nearest``, ``covered_by`` (the default), ``lookalike``: whether it
        differs from a named one only in case, accents or spaces.
    """
    known = [*mapping.levels, *mapping.ignored]
    rows = [
        (level, members, nearest_name(level, known), mapping.default, lookalike(level, known) is not None)
        for level, members in connection.execute(levels_not_named(schema, mapping))
    ]
    return pd.DataFrame(rows, columns=UNKNOWN, dtype=object).astype({"members": int, "lookalike": bool})


def unknown_codes(connection: Connection, used: InUse, mapping: TierMapping) -> pd.DataFrame:
    """List the codes of the configuration that are no tier here: misspelt, or never seeded.

    Returns
    -------
    pandas.DataFrame
        ``code``, ``levels`` (those that would get it), ``nearest``.
    """
    known = known_codes(connection, used)
    rows = [
        (code, ", ".join(mapping.levels_of(code)), nearest_name(code, known))
        for code in mapping.codes
        if code not in known
    ]
    return pd.DataFrame(rows, columns=["code", "levels", "nearest"], dtype=object)


def known_codes(connection: Connection, used: InUse) -> list[str]:
    """Return the codes there are, as often as there are, sorted."""
    return sorted(str(code) for code in connection.scalars(select(used.codes.c.code)))


def _distribution(connection: Connection, schema: Schema, used: InUse) -> pd.DataFrame:
    members, codes = schema.members, used.codes
    found = frame(
        connection,
        select(codes.c.code, func.count().label("members"))
        .select_from(members.outerjoin(codes, same_id(codes.c.id, members.c[used.column])))
        .group_by(codes.c.code)
        .order_by(func.count().desc(), codes.c.code),
    )
    found.insert(0, "kind", used.kind)
    return found


def _findings(found: TierReview) -> Sequence[str]:
    kind, told = found.kind, []
    if found.everybody:
        code, members, of = found.everybody
        told.append(f"Nearly everybody has the same {kind}: {members:,} of {of:,} have {code}.")
    if found.none:
        gone = found.count(GONE)
        there = f" ({gone:,} of them one that is not there)" if gone else ""
        told.append(f"{found.none:,} members have no {kind}{there}.")
    for code, levels, near in found.unknown_codes.itertuples(index=False):
        hint = f"nearest: {near}" if near else "nothing here is near it; it may never have been seeded"
        told.append(f"The {kind} {code!r} (for {levels}) does not exist here; {hint}.")
    for level, members, near, default, alike in found.open_levels.itertuples(index=False):
        hint = f"nearest: {near!r}" if near else "no line is near it"
        covered = f", so it would become {default}" if default else ""
        only = " (they differ only in case, accents or spaces)" if alike else ""
        told.append(f"No line maps the level {level!r} of {members:,} members{covered}; {hint}{only}.")
    compared = found.count(RIGHT, *CORRECTABLE)
    if found.not_judged and (not compared or found.count(OF_ITS_OWN) > compared):
        others = ", ".join(f"{count:,} {why}" for why, count in found.not_judged.items())
        told.append(f"Only {compared:,} of {found.members:,} members could be compared: there are {others}.")
    wrong = found.correctable
    if wrong:
        told.append(
            f"{wrong:,} {'members have' if wrong != 1 else 'member has'} another {kind} than their level says, or none."
        )
    return told
