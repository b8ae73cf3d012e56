"""Give members the tier, or the status, of their Wild Apricot level: exactly those who have another (guide §4.3).

Nobody's own decision is undone: a tier that a person set after the import stays, as the audit log
tells it, unless it is asked for. Only the reference to the tier changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from workbench.errors import Refused, UsageError
from workbench.murmurant.spellings import MEMBER
from workbench.normalise import nearest_name
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.tiers.configuration import TierMapping
from workbench.tiers.review import (
    CORRECTABLE,
    NO_LEVEL,
    UNKNOWN_LEVEL,
    TierReview,
    members_of,
    tells_of_members,
)

CORRECTED = "migration:tiers:corrected"
"""How the audit log names it, in the spirit of guide §5.1."""


def plan_tiers(
    context: PlanContext,
    review: TierReview,
    mapping: TierMapping,
    *,
    levels: Sequence[str],
    on_conflict: str,
    reason: str | None,
    last_import: datetime | None,
) -> Plan:
    """Plan the correction of what was reviewed; members written to since the last import are counted."""
    schema, levels = context.schema, sorted(set(levels))
    _refuse_to_guess(review, mapping, levels)
    table, column = schema.table_of(MEMBER), schema.resolved["members"].spelling[f"{review.kind}_id"]
    corrected, since = Counter[str](), 0
    wanted: dict[str, dict[str, str]] = {}
    with Draft(
        context,
        "tiers",
        parameters={
            "mapping": mapping.name,
            "mapping_sha256": mapping.sha256,
            "corrects": review.kind,
            "levels": levels,
            "on_conflict": on_conflict,
        },
        evidence=[f"{mapping.kind} {mapping.name}, SHA-256 {mapping.sha256}"],
        nothing=f"Nothing to correct: nobody has another {review.kind} than their level's",
        hint="`workbench tiers` shows them.",
    ) as draft:
        nearest = review.unknown_levels.set_index("level")["nearest"].to_dict()
        sought = (*CORRECTABLE, NO_LEVEL, UNKNOWN_LEVEL)
        rows: Any = members_of(context.connection, schema, review, sought).itertuples()
        for row in rows:
            if row.finding not in CORRECTABLE:
                near = f" (nearest: {nearest[row.level]!r})" if nearest.get(row.level) else ""
                why, remedy = {
                    NO_LEVEL: ("their Wild Apricot level is not known", "a sync, which brings the level"),
                    UNKNOWN_LEVEL: (
                        f"{mapping.name} does not name their level {row.level!r}{near}",
                        "a line for the level in the configuration",
                    ),
                }[row.finding]
                draft.unresolved(table, row.key, why, remedy)
                continue
            if levels and row.level not in levels:
                continue
            if row.by_a_person:
                who = f"member {row.by}" if row.by else "a person"
                when = f" on {row.at:%Y-%m-%d}" if row.at else ""
                why = f"{who} changed it{when}, says the audit log; the configuration gives {row.expected}"
                way = {"keep": "keep (--on-conflict restore would change it)"}.get(on_conflict, on_conflict)
                draft.conflict(table, row.key, column, None, row.was, row.held, f"{why}; {way}")
                if on_conflict == "keep":
                    draft.keep(table, row.key, f"{column}: {why}")
                    continue
            wanted[row.key] = {column: review.ids[row.expected][0]}
            corrected[f"{row.actual or 'none'} -> {row.expected}"] += 1
            since += bool(last_import and row.written and row.written > last_import)
        draft.update(table, wanted)
        among = f" of the level {', '.join(map(repr, levels))}" if levels else ""
        draft.reasons.append(
            f"Gives {draft.total:,} of {review.members:,} members{among} the membership {review.kind} that"
            f" {mapping.name} gives their Wild Apricot level (guide §4.3)."
        )
        draft.reasons += [reason.strip()] if reason else []
        draft.notes += [f"{change}: {count:,}." for change, count in sorted(corrected.items())]
        draft.notes += _notes(review, levels, column)
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


def _refuse_to_guess(review: TierReview, mapping: TierMapping, levels: Sequence[str]) -> None:
    kind, held = review.kind, {level for level in review.held["level"] if level is not None}
    if not review.ids:
        raise Refused(
            f"There is no membership {kind} here at all.", "Seed them before members are corrected."
        )
    if codes := review.told_codes():
        seeded = ", ".join(sorted(review.ids))
        raise UsageError(
            " ".join(codes), f"Correct the codes, or seed the rows ({seeded} are here). Nothing was planned."
        )
    if twice := [code for code in mapping.codes if len(review.ids[code]) > 1]:
        raise Refused(
            f"There is more than one {kind} {twice[0]!r}, so nobody can tell which is meant.",
            "Merge them first.",
        )
    if strange := [level for level in levels if level not in held]:
        close = nearest_name(strange[0], held)
        hint = f"Nearest: {close!r}." if close else "See `workbench tiers`."
        raise UsageError(f"No member has the level {strange[0]!r}.", hint)
    if told := review.told_levels(levels):
        raise Refused(
            " ".join(told),
            f"Add a line to {mapping.name}, letter by letter, or correct only the levels you name with --level."
            " Nothing was planned.",
        )


def _notes(review: TierReview, levels: Sequence[str], column: str) -> Iterator[str]:
    yield (
        f"Only {column} changes: updatedAt stays, since a plan holds no clock; the journal and the audit"
        " entry say when it was applied."
    )
    yield from review.remarks
    for level, members, _, default, _ in review.unknown_levels.itertuples(index=False):
        if default and (not levels or level in levels):
            yield f"No line names the level {level!r} of {members:,} members; the default makes it {default}."
