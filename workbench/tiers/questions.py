"""Members in the wrong membership tier or status: compared with their levels, and corrected (guide §1.3, §4.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workbench.answer import Answer, Part, Step, Table
from workbench.covering import answering, covering
from workbench.errors import Refused, UsageError, unknown
from workbench.hints import paths_below
from workbench.murmurant.spellings import MEMBER
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import visible
from workbench.session import Session
from workbench.tiers.configuration import Mappings, TierMapping, mappings_for
from workbench.tiers.review import (
    CORRECTABLE,
    NO_LEVEL,
    RIGHT,
    UNKNOWN_LEVEL,
    Of,
    TierReview,
    compared,
    members_of,
    review_tiers,
)

CORRECTED = "migration:tiers:corrected"
"""The audit log's action for a correction, in the style of guide §5.1."""


class Tiers:
    """Membership tiers, or statuses where no tier was ever made: ``wb.tiers()``."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(self, mapping: Mappings = None) -> Answer:
        """Compare every member's membership tier with the one that their Wild Apricot level should give.

        Parameters
        ----------
        mapping : path, or sequence of path
            A tier policy, the importer's configuration, or both; by default the environment's.
        """
        wb, reviews = self.wb, self.review(mapping)
        first = foremost(reviews)
        facts = {kind: _facts(review, wb.shows_people) for kind, review in reviews.items()}
        named = [mapping] if isinstance(mapping, str | Path) else mapping or []
        options = "".join(f" --mapping {path}" for path in paths_below([Path(path) for path in named]))
        parts: dict[str, Part] = {}
        for review in reviews.values():
            parts |= _parts(review)
        return Answer(
            _headline(reviews),
            parts,
            next_steps=[
                step for review in reviews.values() for step in _steps(review, options, len(reviews))
            ],
            facts={
                "environment": wb.environment.name,
                **facts[first.kind],
                "tiers": facts.get("tier"),
                "statuses": facts.get("status"),
            },
            code=int(first.mapping is None or any(review.findings for review in reviews.values())),
        )

    def review(self, mapping: Mappings = None) -> dict[str, TierReview]:
        """Review tiers and statuses, by kind; without any mapping, only their distribution."""
        with self.wb.reading() as connection:
            # The schema first: a missing club is reported before a missing mapping.
            schema, configured = self.wb.schema, self.wb.options.mappings
            read = mappings_for(mapping, configured) if mapping is not None or configured else ()
            return review_tiers(connection, schema, read)

    @covering
    def wrong(
        self,
        mapping: Mappings = None,
        limit: int | None = None,
        levels: Sequence[str] = (),
        of: Of | None = None,
    ) -> pd.DataFrame:
        """List the members with another tier than their level's, or none.

        Parameters
        ----------
        levels : sequence of str
            Only members of these Wild Apricot levels; all when empty.
        of : {"tiers", "statuses"}, optional
            By default tiers, where there are any.

        Returns
        -------
        pandas.DataFrame
            ``key``, ``level``, ``expected``, ``actual``, ``finding``, ``by_a_person`` (whether the audit log says that
            a person set it), by id.
        """
        with self.wb.reading() as connection:
            schema, read = self.wb.schema, mappings_for(mapping, self.wb.options.mappings)
            review = compared(review_tiers(connection, schema, read), of)
            rows = members_of(connection, schema, review, levels=levels, limit=limit)
        return rows[["key", "level", "expected", "actual", "finding", "by_a_person"]]

    def plan(
        self,
        mapping: Mappings = None,
        *,
        of: Of | None = None,
        levels: Sequence[str] = (),
        on_conflict: Literal["keep", "restore"] = "keep",
        reason: str | None = None,
    ) -> Plan:
        """Plan to give members the tier of their level (guide §4.3); writes only a plan file.

        Parameters
        ----------
        mapping : path or sequence of path, optional
            A tier policy, the importer's configuration or both; by default the environment's.
        of : {"tiers", "statuses"}, optional
            By default tiers; statuses where no tier was ever made.
        levels : sequence of str
            Only members of these Wild Apricot levels.
        on_conflict : {"keep", "restore"}
            Whether a tier that a person set after the import is kept or corrected too.
        reason : str, optional
            A text for the plan.

        Raises
        ------
        UsageError
            When the configuration names a code that does not exist, or no member has a named level.
        Refused
            When no configuration gives a code, it leaves a level open, a code is ambiguous, or nothing is wrong.
        """
        if on_conflict not in ("keep", "restore"):
            raise unknown("way with conflicts", on_conflict, ("keep", "restore"))
        with self.wb.planning() as context:
            read = mappings_for(mapping, self.wb.options.mappings)
            review = compared(review_tiers(context.connection, context.schema, read), of)
            assert review.mapping is not None
            _refuse_to_guess(review, review.mapping, levels)
            return _plan(context, review, review.mapping, sorted({*levels}), on_conflict, reason or "")


def _plan(
    context: PlanContext,
    review: TierReview,
    mapping: TierMapping,
    levels: Sequence[str],
    on_conflict: str,
    reason: str,
) -> Plan:
    schema, kind = context.schema, review.kind
    table, column = schema.table_of(MEMBER), schema.resolved["members"].spelling[f"{kind}_id"]
    corrected, wanted = Counter[str](), dict[str, dict[str, str]]()
    with Draft(
        context,
        "tiers",
        parameters={
            "mapping": mapping.name,
            "mapping_sha256": mapping.sha256,
            "corrects": kind,
            "levels": levels,
            "on_conflict": on_conflict,
        },
        evidence=[f"{mapping.kind} {mapping.name}, SHA-256 {mapping.sha256}"],
        nothing=f"Nothing to correct: nobody has another {kind} than their level's",
        hint="`workbench tiers` shows them.",
    ) as draft:
        findings = (*CORRECTABLE, NO_LEVEL, UNKNOWN_LEVEL)
        members: Any = members_of(context.connection, schema, review, findings)
        for row in members.itertuples():
            if row.finding == NO_LEVEL:
                sync = "a sync, which brings the level"
                draft.unresolved(table, row.key, "their Wild Apricot level is not known", sync)
                continue
            if row.finding == UNKNOWN_LEVEL:
                line = f"a line for the level {row.level!r} in {mapping.name}"
                draft.unresolved(table, row.key, "no line names their level", line)
                continue
            if levels and row.level not in levels:
                continue
            if row.by_a_person:
                who = f"member {row.by}" if row.by else "a person"
                when = f" on {row.at:%Y-%m-%d}" if row.at else ""
                why = f"{who} changed it{when}, by the audit log; the configuration gives {row.expected}"
                draft.conflict(table, row.key, column, None, row.was, row.held, f"{why}; {on_conflict}")
                if on_conflict == "keep":
                    draft.keep(table, row.key, f"{column}: {why} (--on-conflict restore would change it)")
                    continue
            wanted[row.key] = {column: review.ids[row.expected][0]}
            corrected[f"{row.actual or 'none'} -> {row.expected}"] += 1
        draft.update(table, wanted)
        among = f" of the level {', '.join(map(repr, levels))}" if levels else ""
        draft.reasons.append(
            f"Gives {draft.total:,} of {review.members:,} members{among} the membership {kind} that"
            f" {mapping.name} gives their Wild Apricot level (guide §4.3)."
        )
        draft.reasons += [reason.strip()] if reason.strip() else []
        draft.notes += [f"{change}: {count:,}." for change, count in sorted(corrected.items())]
        in_wa = review.counts["in_wa"] & review.counts["finding"].isin(CORRECTABLE)
        if as_in_wa := int(review.counts.loc[in_wa, "members"].sum()):
            draft.note(
                f"{as_in_wa:,} members have the status that Wild Apricot itself gave their contact, and the"
                " configuration gives their level another. Check the configuration."
            )
        if review.not_judged:
            draft.note(f"Left alone: {review.not_judged}.")
        by_default = {*(levels or review.counts["level"].dropna())} - {*mapping.levels, *mapping.ignored}
        if mapping.default and by_default:
            draft.note(
                f"No line names {', '.join(map(repr, sorted(by_default)))}: these become {mapping.default}."
            )
        if not schema.has("audit.resource_type", "audit.resource_id", "audit.metadata", "audit.created_at"):
            draft.note(
                "The audit log does not say who changed a member, so a tier set by a person is not kept."
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
        raise Refused(f"There is no membership {kind} here.", "Seed them first.")
    if codes := [*review.unknown_codes["code"]]:
        raise UsageError(
            f"{mapping.name} gives a {kind} that does not exist here: {', '.join(map(repr, codes))}.",
            f"Correct the codes, or seed the rows ({', '.join(sorted(ids))} exist).",
        )
    if ambiguous := [code for code in mapping.codes if len(ids[code]) > 1]:
        raise Refused(f"There is more than one {kind} {ambiguous[0]!r}.", "Merge them first.")
    known = {*review.counts["level"].dropna()}
    if strange := {*levels} - known:
        raise unknown("level", min(strange), known)
    unmapped = [level for level in review.unknown_levels["level"] if not levels or level in levels]
    if unmapped:
        raise Refused(
            f"No line of {mapping.name} names the level {', '.join(map(repr, unmapped))}.",
            "Add a line for each, or correct only the levels you name with --level.",
        )


def foremost(reviews: dict[str, TierReview]) -> TierReview:
    """Return the first review with a configuration, tiers first; without any, the first."""
    return next((review for review in reviews.values() if review.mapping), next(iter(reviews.values())))


def _headline(reviews: dict[str, TierReview]) -> str:
    judged = [review for review in reviews.values() if review.mapping]
    if not judged:
        kind, review = next(iter(reviews.items()))
        return f"No member's {kind} was compared with their level: {review.not_compared}."
    wrong = (f"{review.correctable:,} do not have their level's {review.kind}" for review in judged)
    return f"Of {judged[0].members:,} members {', '.join(wrong)}."


def _parts(review: TierReview) -> dict[str, Part]:
    from workbench.reporting.charts import tier_chart, tier_matrix_chart

    kind, levels, codes, matrix = review.kind, review.unknown_levels, review.unknown_codes, review.matrix
    by_code = review.distribution.drop(columns="kind").fillna({"code": "(none)"})
    by_code["share"] = [f"{members / max(review.members, 1):.0%}" for members in by_code["members"]]
    # Wrong rows first.
    matrix = matrix.sort_values("finding", key=lambda finding: finding == RIGHT, kind="stable")
    parts: dict[str, Part] = {
        "distribution": Table(by_code, f"Members by {kind}", "no members"),
        "drawn": partial(tier_chart, review.distribution),
        "configuration": configuration(review),
        "matrix": Table(matrix, f"Level, expected {kind} and actual {kind}", ""),
        "unknown_levels": Table(levels, "Levels missing from the configuration", "", limit=20),
        "unknown_codes": Table(codes, "Codes that do not exist here", "", limit=20),
        "findings": "\n".join(f"! {line}" for line in review.findings),
    }
    if review.mapping:
        parts["matrix_drawn"] = partial(tier_matrix_chart, review.matrix, kind)
    return {f"{kind}_{name}": part for name, part in parts.items()}


def configuration(review: TierReview) -> dict[str, str]:
    """Name the configuration that members were compared with."""
    mapping = review.mapping
    if mapping is None:
        return {"Compared with": f"nothing: {review.not_compared}"}
    facts = {
        "Compared with": f"{mapping.name} ({mapping.kind}), SHA-256 {mapping.sha256}",
        "Other levels become": mapping.default or "nothing: add a line for each",
        "Left alone": review.not_judged,
    }
    return {name: fact for name, fact in facts.items() if fact}


def _steps(review: TierReview, options: str, kinds: int) -> list[Step]:
    kind, of = review.kind, " --of statuses" if review.kind == "status" and kinds > 1 else ""
    if review.mapping is None:
        step = Step("Name a tier policy, or the importer's configuration", "tiers --mapping FILE")
        return [step] if kinds == 1 else []
    if len(review.unknown_codes) or len(review.unknown_levels):
        correct = f"First correct {review.mapping.name} (guide §4.3), or seed the {kind}; then"
        return [Step(correct, f"tiers{options}")]
    if review.correctable:
        return [Step("To correct them", f"plan tiers{of}{options}")]
    if review.findings:
        return [Step("What to do", "check tiers-missing tiers-all-the-same")]
    besides = f"; {review.not_judged}" if review.not_judged else ""
    return [Step(f"Every member has the {kind} of their level{besides}.")]


def _facts(review: TierReview, unmask: bool) -> dict[str, Any]:
    mapping, everybody = review.mapping, review.everybody
    return {
        "kind": review.kind,
        "members": review.members,
        "distribution": review.distribution[["code", "members"]],
        "mapping": mapping and mapping.model_dump(include={"name", "sha256", "kind", "default", "ignored"}),
        "not_compared": review.not_compared or None,
        "matrix": mapping and review.matrix,
        "wrong": review.correctable if mapping else None,
        "none": review.none,
        "everybody": everybody and dict(zip(("code", "members", "of"), everybody, strict=True)),
        "unknown_levels": review.unknown_levels,
        "unknown_codes": review.unknown_codes,
        "findings": [visible(line if unmask else mask_text(line)) for line in review.findings],
    }
