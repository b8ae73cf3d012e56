"""Give members the tier, or the status, of their Wild Apricot level: exactly those who have another (guide §4.3).

Nobody's own decision is undone: a tier that a person set after the import stays, as the audit log
tells it, unless it is asked for. Only the reference to the tier changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from workbench.errors import Refused, UsageError
from workbench.murmurant.spellings import MEMBER
from workbench.normalise import nearest_name
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.tiers.configuration import TierMapping
from workbench.tiers.review import CORRECTABLE, NO_LEVEL, UNKNOWN_LEVEL, TierReview, members_of

CORRECTED = "migration:tiers:corrected"
"""How the audit log names it, in the spirit of guide §5.1."""


def plan_tiers(
    context: PlanContext,
    review: TierReview,
    levels: Sequence[str],
    on_conflict: str,
    reason: str,
) -> Plan:
    """Plan the correction of what was reviewed, beside its mapping."""
    schema, levels, mapping = context.schema, sorted(set(levels)), review.mapping
    assert mapping is not None  # or it had been refused
    _refuse_to_guess(review, mapping, levels)
    table, column = schema.table_of(MEMBER), schema.resolved["members"].spelling[f"{review.kind}_id"]
    corrected = Counter[str]()
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
        sought = (*CORRECTABLE, NO_LEVEL, UNKNOWN_LEVEL)
        members: Any = members_of(context.connection, schema, review, sought)
        for row in members.itertuples():
            if row.finding == NO_LEVEL:
                sync = "a sync, which brings the level"
                draft.unresolved(table, row.key, "their Wild Apricot level is not known", sync)
            elif row.finding == UNKNOWN_LEVEL:
                line = f"a line for the level {row.level!r} in {mapping.name}"
                draft.unresolved(table, row.key, "no line names their level", line)
            elif levels and row.level not in levels:
                continue
            else:
                if row.by_a_person:
                    who = f"member {row.by}" if row.by else "a person"
                    when = f" on {row.at:%Y-%m-%d}" if row.at else ""
                    why = (
                        f"{who} changed it{when}, says the audit log; the configuration gives {row.expected}"
                    )
                    draft.conflict(table, row.key, column, None, row.was, row.held, f"{why}; {on_conflict}")
                    if on_conflict == "keep":
                        draft.keep(table, row.key, f"{column}: {why} (--on-conflict restore would change it)")
                        continue
                wanted[row.key] = {column: review.ids[row.expected][0]}
                corrected[f"{row.actual or 'none'} -> {row.expected}"] += 1
        draft.update(table, wanted)
        among = f" of the level {', '.join(map(repr, levels))}" if levels else ""
        draft.reasons.append(
            f"Gives {draft.total:,} of {review.members:,} members{among} the membership {review.kind} that"
            f" {mapping.name} gives their Wild Apricot level (guide §4.3)."
        )
        draft.reasons += [reason.strip()] if reason.strip() else []
        draft.notes += [f"{change}: {count:,}." for change, count in sorted(corrected.items())]
        in_wa = review.counts["in_wa"] & review.counts["finding"].isin(CORRECTABLE)
        if as_in_wa := int(review.counts.loc[in_wa, "members"].sum()):
            draft.note(
                f"{as_in_wa:,} members have the status that Wild Apricot itself gave their contact, and the"
                " configuration gives their level another: be sure that it is meant so."
            )
        if review.not_judged:
            draft.note(f"Left alone: {review.not_judged}.")
        without_a_line = {*(levels or review.counts["level"].dropna())} - {*mapping.levels, *mapping.ignored}
        if mapping.default and without_a_line:
            draft.note(
                f"No line names {', '.join(map(repr, sorted(without_a_line)))}: these become {mapping.default}."
            )
        if not schema.has("audit.resource_type", "audit.resource_id", "audit.metadata", "audit.created_at"):
            draft.note(
                "The audit log here does not say who changed a member, so a tier set by hand cannot be told apart."
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
    kind, ids = review.kind, review.ids
    if not ids:
        raise Refused(
            f"There is no membership {kind} here at all.", "Seed them before members are corrected."
        )
    if codes := review.codes_not_here:
        raise UsageError(
            " ".join(codes), f"Correct the codes, or seed the rows ({', '.join(sorted(ids))} are here)."
        )
    if twice := [code for code in mapping.codes if len(ids[code]) > 1]:
        raise Refused(
            f"There is more than one {kind} {twice[0]!r}: any of them could be meant.", "Merge them first."
        )
    known = {level for level in review.counts["level"] if level is not None}
    if strange := [level for level in levels if level not in known]:
        near = nearest_name(strange[0], known)
        hint = f"Nearest: {near!r}." if near else "See `workbench tiers`."
        raise UsageError(f"No member has the level {strange[0]!r}.", hint)
    unmapped = review.levels_without_a_line
    if wanted := [line for level, line in unmapped.items() if not levels or level in levels]:
        raise Refused(
            " ".join(wanted),
            f"Add a line to {mapping.name}, letter by letter, or correct only the levels you name with --level.",
        )
