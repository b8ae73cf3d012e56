"""Who is in which membership tier, and who should be (guide §1.3, §4.3): asked, told on every surface, corrected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from workbench.answer import Answer, Part, Step, Table
from workbench.covering import answering, covering
from workbench.errors import SchemaGap, UsageError, unknown
from workbench.hints import paths_below
from workbench.plans.plan import Plan
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import visible
from workbench.session import Session
from workbench.tiers.configuration import Mappings, mappings_for
from workbench.tiers.plan import plan_tiers
from workbench.tiers.review import CORRECTABLE, KINDS, Of, TierReview, compared, members_of, review_tiers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDEST = 8  # tiers side by side; more are listed below each other
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
        wb, review = self.wb, self.review(mapping)
        facts = {kind: _facts(one, wb.shows_people) for kind, one in review.both.items()}
        parts: dict[str, Part] = {}
        for one in review.both.values():
            parts |= _parts(one, beside=bool(review.beside))
        given = [mapping] if isinstance(mapping, str | Path) else mapping or []
        named = "".join(f" --mapping {path}" for path in paths_below([Path(path) for path in given]))
        return Answer(
            _headline(review),
            parts,
            next_steps=_steps(review, named),
            facts={
                "environment": wb.environment.name,
                "database": {
                    "system_identifier": wb.identity.system_identifier,
                    "database": wb.identity.database,
                },
                **facts[review.kind],
                "tiers": facts.get("tier"),
                "statuses": facts.get("status"),
            },
            code=int(review.mapping is None or any(one.findings for one in review.both.values())),
        )

    def review(self, mapping: Mappings = None) -> TierReview:
        """Look at tiers and statuses from all sides; without any mapping, at their distribution only."""
        with self.wb.reading() as connection:
            # The schema first: that no club is here is said before its mapping is missed.
            schema, configured = self.wb.schema, self.wb.options.mappings
            read = mappings_for(mapping, configured) if mapping is not None or configured else ()
            return review_tiers(connection, schema, read)

    def distribution(self) -> pd.DataFrame:
        """Count the members in each tier (guide §4.3), with those who have none: ``kind``, ``code``, ``members``."""
        try:
            with self.wb.reading() as connection:
                first = next(iter(review_tiers(connection, self.wb.schema).both.values()))
        except SchemaGap:
            return pd.DataFrame(columns=["kind", "code", "members"])
        return first.distribution

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
            Which of the two; else what the configuration speaks of, tiers first.

        Returns
        -------
        pandas.DataFrame
            ``key``, ``level``, ``expected``, ``actual``, ``finding``, ``by_a_person`` (whether the audit log says that
            somebody set it by hand); in the order of the ids.
        """
        with self.wb.reading() as connection:
            schema, configured = self.wb.schema, self.wb.options.mappings
            review = compared(review_tiers(connection, schema, mappings_for(mapping, configured)), of)
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
        if reason is not None and not reason.strip():
            raise UsageError("The reason is empty.", "Say why, or leave --reason out.")
        with self.wb.planning() as context:
            read = mappings_for(mapping, self.wb.options.mappings)
            found = review_tiers(context.connection, context.schema, read)
            review = compared(found, of or KINDS[next(iter(found.both))])
            assert review.mapping is not None  # or it had been refused
            return plan_tiers(
                context,
                review,
                review.mapping,
                levels=levels,
                on_conflict=on_conflict,
                reason=reason,
                last_import=self.wb.look(context.connection).as_of,
            )


def _headline(review: TierReview) -> str:
    if review.mapping is None:
        return f"Who should be in which {review.kind} was not asked: {review.not_compared}."
    told = (f"{one.correctable:,} have another {kind} than their level's" for kind, one in review.both.items() if one.mapping)  # fmt: skip
    return f"Of {review.members:,} members {', '.join(told)}."


def _parts(review: TierReview, *, beside: bool) -> dict[str, Part]:
    kind, levels, codes = review.kind, review.unknown_levels, review.unknown_codes
    held = review.distribution.drop(columns="kind")
    held["share"] = [f"{members / max(review.members, 1):.0%}" for members in held["members"]]
    held["code"] = held["code"].fillna("(none)")
    parts: dict[str, Part] = {
        "distribution": Table(held, f"Members by {kind}", "no members"),
        "drawn": lambda: _drawn("distribution", review),
    }
    if review.mapping is not None:
        parts["configuration"] = configuration(review)
        parts["matrix"] = Table(_side_by_side(review), "Level, what it should be, and what members have")
        parts["matrix_drawn"] = lambda: _drawn("matrix", review)
    elif beside:
        parts["configuration"] = f"Not compared with the members' levels: {review.not_compared}."
    named = f"Levels missing from the tier mapping ({len(levels):,})"
    parts["unknown_levels"] = Table(levels.drop(columns="lookalike"), named, "", limit=_SHOWN)
    parts["unknown_codes"] = Table(codes, f"Codes that do not exist here ({len(codes):,})", "", limit=_SHOWN)
    parts["findings"] = "\n".join(f"! {line}" for line in review.findings)
    return {f"{kind}_{name}": part for name, part in parts.items()}


def configuration(review: TierReview) -> dict[str, str]:
    """Tell which configuration the tiers were compared with, and what it comes to."""
    mapping = review.mapping
    if mapping is None:
        return {"Compared with": f"nothing: {review.not_compared}"}
    default = f"becomes {mapping.default}" if mapping.default else "is an error: there is no default"
    facts = {
        "Compared with": f"{mapping.name} ({mapping.kind}), SHA-256 {mapping.sha256}",
        "Every other level": default,
        "Members": f"{review.members:,}, of whom {review.correctable:,} have another {review.kind} than their level's",
    }
    return facts | {f"Mind {number}": remark for number, remark in enumerate(review.remarks, 1)}


def _drawn(what: str, review: TierReview) -> Figure:
    from workbench.reporting.charts import tier_chart, tier_matrix_chart

    if what == "distribution":
        return tier_chart(review.distribution)
    return tier_matrix_chart(review.matrix, review.kind)


def _side_by_side(review: TierReview) -> pd.DataFrame:
    """Lay the matrix out with a column for each code; what is wrong bears a mark before its number."""
    matrix = review.matrix
    if matrix.empty or matrix["actual"].nunique() > _WIDEST:
        return matrix.sort_values(["finding", "level"], kind="stable")
    named = matrix.astype(object).fillna({"level": "(none)", "expected": "?", "actual": "(none)"})
    marks = named["finding"].isin(CORRECTABLE).map({True: "✗ ", False: ""})
    cells = named.assign(cell=marks + named["members"].map("{:,}".format))
    # A reference to nothing and none at all share a column.
    wide = cells.pivot_table("cell", ["level", "expected"], "actual", " + ".join, fill_value="", sort=False)
    last = [name for name in ("(none)",) if name in wide]
    return wide[[*sorted({*map(str, wide)} - {*last}), *last]].reset_index().rename_axis(columns=None)


def _steps(review: TierReview, named: str) -> list[Step]:
    if review.mapping is None:
        return [Step("Name a tier policy, or the importer's configuration", "tiers --mapping FILE")]
    steps = []
    for kind, one in review.both.items():
        of = " --of statuses" if kind == "status" and len(review.both) > 1 else ""
        if one.mapping and (len(one.unknown_codes) or len(one.open_levels)):
            words = f"First put the configuration right ({one.mapping.name}; guide §4.3), or seed the {kind}; then"
            steps.append(Step(words, f"tiers{named}"))
        elif one.correctable:
            steps.append(Step("To correct them", f"plan tiers{of}{named}"))
        elif not one.findings and one.mapping:
            but = ", ".join(f"{count:,} {why}" for why, count in one.not_judged.items())
            steps.append(
                Step(f"Every member has the {kind} of their level{f', but for {but}' if but else ''}.")
            )
        elif one.none or one.everybody:
            steps.append(Step("What to do", "check tiers-missing tiers-all-the-same"))
    return steps


def _facts(review: TierReview, unmask: bool) -> dict[str, Any]:
    mapping, everybody = review.mapping, review.everybody
    told = ["name", "sha256", "kind", "default", "ignored", "remarks"]
    return {
        "kind": review.kind,
        "members": review.members,
        "distribution": review.distribution[["code", "members"]],
        "mapping": mapping and {name: getattr(mapping, name) for name in told},
        "not_compared": review.not_compared or None,
        "matrix": mapping and review.matrix,
        "wrong": review.correctable if mapping else None,
        "none": review.none,
        "everybody": everybody and dict(zip(("code", "members", "of"), everybody, strict=True)),
        "unknown_levels": review.unknown_levels,
        "unknown_codes": review.unknown_codes,
        "findings": [visible(line if unmask else mask_text(line)) for line in review.findings],
    }
