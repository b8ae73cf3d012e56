"""Give members the tier, or the status, of their Wild Apricot level: exactly those who have another (guide §4.3).

Nobody's own decision is undone: a tier that a person set after the import stays, as the audit log
tells it, unless it is asked for. Only the reference to the tier changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import select

from workbench.errors import Refused, UsageError, unknown
from workbench.murmurant.spellings import MEMBER
from workbench.normalise import nearest_name
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.tiers.configuration import TierMapping
from workbench.tiers.queries import (
    IGNORED,
    NO_LEVEL,
    OF_ITS_OWN,
    UNKNOWN_LEVEL,
    InUse,
    comparisons,
    judged,
    known_codes,
    mistiered,
    tells_of_members,
)
from workbench.tiers.review import Of, TierReview, compared, review_tiers

CORRECTED = "migration:tiers:corrected"
"""How the audit log names it, in the spirit of guide §5.1."""


def plan_tiers(
    context: PlanContext,
    mappings: Sequence[TierMapping],
    *,
    of: Of | None = None,
    levels: Sequence[str] = (),
    on_conflict: Literal["keep", "restore"] = "keep",
    reason: str | None = None,
    last_import: datetime | None = None,
) -> Plan:
    """Plan the correction of the tiers.

    Parameters
    ----------
    mappings : sequence of TierMapping
        Which tier or status each level becomes.
    of : {"tiers", "statuses"}, optional
        What is corrected; else tiers, or statuses where no tier was ever made.
    levels : sequence of str
        Only these; all when empty.
    on_conflict : {"keep", "restore"}
        What becomes of a tier that a person set after the import.
    reason : str, optional
        Why, in the operator's words.
    last_import : datetime, optional
        When the last live run ended, UTC, without zone: members written to since are counted.

    Raises
    ------
    UsageError
        When the configuration names a tier that is not here, or a level is asked for that nobody has.
    Refused
        When no configuration speaks of what is to be corrected, it leaves a level open, a tier cannot be told
        apart, or nothing is wrong.
    """
    if on_conflict not in ("keep", "restore"):
        raise unknown("way with conflicts", on_conflict, ("keep", "restore"))
    if reason is not None and not reason.strip():
        raise UsageError("The reason is empty.", "Say why, or leave --reason out.")
    connection, schema, levels = context.connection, context.schema, sorted(set(levels))
    first = comparisons(connection, schema, mappings)[0][0].kind
    used, mapping = compared(connection, schema, mappings, of or ("tiers" if first == "tier" else "statuses"))
    review = review_tiers(connection, schema, mappings).both[used.kind]
    _refuse_unknown_codes(review, mapping, Counter(known_codes(connection, used)))
    _refuse_open_levels(review, mapping, levels)
    table, column = schema.table_of(MEMBER), schema.resolved["members"].spelling[used.column]
    corrected, since = Counter[str](), 0
    with Draft(
        context,
        "tiers",
        parameters={
            "mapping": mapping.name,
            "mapping_sha256": mapping.sha256,
            "corrects": used.kind,
            "levels": levels,
            "on_conflict": on_conflict,
        },
        evidence=[f"{mapping.kind} {mapping.name}, SHA-256 {mapping.sha256}"],
        nothing=f"Nothing to correct: nobody has another {review.kind} than their level's",
        hint="`workbench tiers` shows them.",
    ) as draft:
        for key, why, remedy in _undecided(context, used, mapping):
            draft.unresolved(table, key, why, remedy)
        for row in connection.execute(mistiered(schema, used, mapping, levels)):
            if row.by_a_person:
                who = f"member {row.by}" if row.by else "a person"
                when = f" on {row.at:%Y-%m-%d}" if row.at else ""
                why = f"{who} changed it{when}, says the audit log; the configuration gives {row.expected}"
                way = (
                    "restore" if on_conflict == "restore" else "keep (--on-conflict restore would change it)"
                )
                draft.conflict(table, row.key, column, None, row.was, row.held, f"{why}; {way}")
                if on_conflict == "keep":
                    draft.keep(table, row.key, f"{column}: {why}")
                    continue
            draft.update(table, row.key, {column: row.right})
            corrected[f"{row.actual or 'none'} -> {row.expected}"] += 1
            since += bool(last_import and row.written and row.written > last_import)
        among = f" of the level {', '.join(map(repr, levels))}" if levels else ""
        draft.reasons.append(
            f"Gives {draft.total:,} of {review.members:,} members{among} the membership {review.kind} that"
            f" {mapping.name} gives their Wild Apricot level (guide §4.3)."
        )
        draft.reasons += [reason.strip()] if reason else []
        draft.notes += [f"{change}: {count:,}." for change, count in sorted(corrected.items())]
        draft.notes += _notes(review, mapping, levels, column, used, asked=of is not None)
        if not tells_of_members(schema):
            draft.note(
                "The audit log here does not say who changed a member, so a tier set by hand cannot be told apart."
            )
        if since:
            draft.note(
                f"{since:,} of them were written to after the last import; nothing says that it was their {review.kind}."
            )
        draft.log(
            CORRECTED,
            configuration=mapping.name,
            configuration_sha256=mapping.sha256,
            corrected=dict(sorted(corrected.items())),
            column=column,
            records_affected=draft.total,
        )
    return draft.plan


def _undecided(context: PlanContext, used: InUse, mapping: TierMapping) -> Iterator[tuple[str, str, str]]:
    """Yield members of whom nobody can say which tier they should have: key, why, what would tell."""
    members = judged(context.schema, used, mapping)
    query = select(members.c.key, members.c.level, members.c.finding).where(
        members.c.finding.in_((NO_LEVEL, UNKNOWN_LEVEL))
    )
    near: dict[str, str] = {}
    for key, level, finding in context.connection.execute(query):
        if finding == NO_LEVEL:
            yield key, "their Wild Apricot level is not known", "a sync, which brings the level"
            continue
        if level not in near:
            name = nearest_name(level, mapping.levels)
            near[level] = f" (nearest: {name!r})" if name else ""
        why = f"{mapping.name} does not name their level {level!r}{near[level]}"
        yield key, why, "a line for the level in the configuration"


def _refuse_unknown_codes(review: TierReview, mapping: TierMapping, known: Counter[str]) -> None:
    if not known:
        raise Refused(
            f"There is no membership {review.kind} here at all.", "Seed them before members are corrected."
        )
    strange = review.unknown_codes
    if len(strange):
        listed = "; ".join(
            f"{code!r} (for {levels}){f', nearest: {near}' if near else ''}"
            for code, levels, near in strange.itertuples(index=False)
        )
        raise UsageError(
            f"The configuration names {review.kind} codes that have no row here: {listed}.",
            f"Correct the codes, or seed the rows ({', '.join(known)} are here). Nothing was planned.",
        )
    twice = [code for code in mapping.codes if known[code] > 1]
    if twice:
        raise Refused(
            f"There is more than one {review.kind} {twice[0]!r}, so nobody can tell which is meant.",
            "Merge them first.",
        )


def _refuse_open_levels(review: TierReview, mapping: TierMapping, levels: Sequence[str]) -> None:
    present = {level for level in review.matrix["level"] if isinstance(level, str)}
    for level in levels:
        if level not in present:
            close = nearest_name(level, present)
            raise UsageError(
                f"No member has the level {level!r}.",
                f"Nearest: {close!r}." if close else "See `workbench tiers`.",
            )
    open_levels = review.open_levels
    if levels:
        open_levels = open_levels[open_levels["level"].isin(levels)]
    if len(open_levels):
        listed = "; ".join(
            f"{level!r} of {members:,} members"
            + (f", nearest: {near!r}" if near else ", nothing near it")
            + (f" (the default would make it {default})" if default else "")
            for level, members, near, default, _ in open_levels.itertuples(index=False)
        )
        raise Refused(
            f"The configuration {mapping.name} does not name the level {listed}.",
            "Add a line for it, letter by letter, or correct only the levels you name with --level. Nothing was planned.",
        )


def _notes(
    review: TierReview, mapping: TierMapping, levels: Sequence[str], column: str, used: InUse, *, asked: bool
) -> Iterator[str]:
    yield (
        f"Only {column} changes: updatedAt stays, since a plan holds no clock; the journal and the audit"
        " entry say when it was applied."
    )
    if used.kind == "status":
        if not asked:
            yield "No tier was ever made here, so it corrects the membership status."
        if own := review.count(OF_ITS_OWN):
            yield (
                f"{own:,} members with a status that the configuration does not give, which an importer set by"
                " other rules, are left alone."
            )
    if review.as_in_wa:
        yield (
            f"{review.as_in_wa:,} members have the status that Wild Apricot itself gave their contact, and"
            f" {mapping.name} gives their level another: be sure that it is meant so."
        )
    if mapping.ignored:
        yield (
            f"{review.count(IGNORED):,} members of levels that {mapping.name} ignores"
            f" ({', '.join(mapping.ignored)}) are left alone."
        )
    yield from mapping.remarks
    for level, members, _, default, _ in review.unknown_levels.itertuples(index=False):
        if default and (not levels or level in levels):
            yield f"No line names the level {level!r} of {members:,} members; the default makes it {default}."
