"""Who is in which membership tier, and who should be (guide §1.3, §4.3): asked, and corrected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from workbench.answer import Answer, Part, Step, Table
from workbench.covering import answering, covering
from workbench.errors import unknown
from workbench.hints import paths_below
from workbench.plans.plan import Plan
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import visible
from workbench.session import Session
from workbench.tiers.configuration import Mappings, mappings_for
from workbench.tiers.plan import plan_tiers
from workbench.tiers.review import RIGHT, Of, TierReview, compared, members_of, review_tiers

_SHOWN = 20


class Tiers:
    """The membership tiers, or statuses where no tier was ever made: ``wb.tiers()`` compares them with the levels."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(self, mapping: Mappings = None) -> Answer:
        """Compare every member's membership tier with what their Wild Apricot level should give.

        Parameters
        ----------
        mapping : path, or sequence of path
            A tier policy, the importer's configuration, or both; else the environment's.
        """
        wb, reviews = self.wb, self.review(mapping)
        first = foremost(reviews)
        facts = {kind: _facts(review, wb.shows_people) for kind, review in reviews.items()}
        named = [mapping] if isinstance(mapping, str | Path) else mapping or []
        options = "".join(f" --mapping {path}" for path in paths_below([Path(path) for path in named]))
        return Answer(
            _headline(reviews),
            {name: part for review in reviews.values() for name, part in _parts(review).items()},
            next_steps=[
                step for review in reviews.values() for step in _steps(review, options, len(reviews))
            ],
            facts={
                "environment": wb.environment.name,
                "database": {
                    "system_identifier": wb.identity.system_identifier,
                    "database": wb.identity.database,
                },
                **facts[first.kind],
                "tiers": facts.get("tier"),
                "statuses": facts.get("status"),
            },
            code=int(first.mapping is None or any(review.findings for review in reviews.values())),
        )

    def review(self, mapping: Mappings = None) -> dict[str, TierReview]:
        """Look at tiers and statuses from all sides, by kind; without any mapping, at their distribution only."""
        with self.wb.reading() as connection:
            # The schema first: that no club is here is said before its mapping is missed.
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
        """List the members with another tier than their level says, or none.

        Parameters
        ----------
        limit : int, optional
            The most to return.
        levels : sequence of str
            Only members of these Wild Apricot levels; of all, when empty.
        of : {"tiers", "statuses"}, optional
            Which of the two; else tiers, where there are any.

        Returns
        -------
        pandas.DataFrame
            ``key``, ``level``, ``expected``, ``actual``, ``finding``, ``by_a_person`` (whether the audit log says that
            somebody set it by hand); in the order of the ids.
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
        """Plan to give members the tier of their level (guide §4.3); writes a plan file and nothing else.

        Parameters
        ----------
        mapping : path or sequence of path, optional
            A tier policy, the importer's configuration or both; else those of the environment.
        of : {"tiers", "statuses"}, optional
            What is corrected: tiers; statuses only where no tier was ever made, or when they are asked for.
        levels : sequence of str
            Only members of these Wild Apricot levels.
        on_conflict : {"keep", "restore"}
            What becomes of a tier that a person set after the import.
        reason : str, optional
            Why, in your words.

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
        with self.wb.planning() as context:
            read = mappings_for(mapping, self.wb.options.mappings)
            review = compared(review_tiers(context.connection, context.schema, read), of)
            return plan_tiers(context, review, levels, on_conflict, reason or "")


def foremost(reviews: dict[str, TierReview]) -> TierReview:
    """Return what a configuration speaks of, tiers first; where none does, what there is."""
    return next((review for review in reviews.values() if review.mapping), next(iter(reviews.values())))


def _headline(reviews: dict[str, TierReview]) -> str:
    judged = [review for review in reviews.values() if review.mapping]
    if not judged:
        kind, review = next(iter(reviews.items()))
        return f"Nobody's {kind} was compared with their level: {review.not_compared}."
    wrong = (f"{review.correctable:,} do not have their level's {review.kind}" for review in judged)
    return f"Of {judged[0].members:,} members {', '.join(wrong)}."


def _parts(review: TierReview) -> dict[str, Part]:
    from workbench.reporting.charts import tier_chart, tier_matrix_chart

    kind, levels, codes, matrix = review.kind, review.unknown_levels, review.unknown_codes, review.matrix
    by_code = review.distribution.drop(columns="kind").fillna({"code": "(none)"})
    by_code["share"] = [f"{members / max(review.members, 1):.0%}" for members in by_code["members"]]
    # What is wrong stands first.
    matrix = matrix.sort_values("finding", key=lambda finding: finding == RIGHT, kind="stable")
    parts: dict[str, Part] = {
        "distribution": Table(by_code, f"Members by {kind}", "no members"),
        "drawn": partial(tier_chart, review.distribution),
        "configuration": configuration(review),
        "matrix": Table(matrix, "Level, what it should be, and what members have", ""),
        "unknown_levels": Table(
            levels, f"Levels missing from the tier mapping ({len(levels):,})", "", limit=_SHOWN
        ),
        "unknown_codes": Table(codes, f"Codes that do not exist here ({len(codes):,})", "", limit=_SHOWN),
        "findings": "\n".join(f"! {line}" for line in review.findings),
    }
    if review.mapping:
        parts["matrix_drawn"] = partial(tier_matrix_chart, review.matrix, kind)
    return {f"{kind}_{name}": part for name, part in parts.items()}


def configuration(review: TierReview) -> dict[str, str]:
    """Say which configuration the tiers were compared with, and what it leaves alone."""
    mapping = review.mapping
    if mapping is None:
        return {"Compared with": f"nothing: {review.not_compared}"}
    facts = {
        "Compared with": f"{mapping.name} ({mapping.kind}), SHA-256 {mapping.sha256}",
        "Levels that it does not list become": mapping.default or "nothing: add them to it",
        "Left alone": review.not_judged,
    }
    return {name: fact for name, fact in facts.items() if fact}


def _steps(review: TierReview, options: str, kinds: int) -> list[Step]:
    kind, of = review.kind, " --of statuses" if review.kind == "status" and kinds > 1 else ""
    if review.mapping is None:
        return [Step("Name a tier policy, or the importer's configuration", "tiers --mapping FILE")] * (
            kinds == 1
        )
    if len(review.unknown_codes) or len(review.unknown_levels):
        words = (
            f"First put the configuration right ({review.mapping.name}; guide §4.3), or seed the {kind}; then"
        )
        return [Step(words, f"tiers{options}")]
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
