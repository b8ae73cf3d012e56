"""Who is in which membership tier, and who should be (guide §1.3, §4.3), told for every surface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from workbench.answer import Answer, Part, Step, Table
from workbench.covering import answering, covering
from workbench.hints import paths_below
from workbench.plans.plan import Plan
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import visible
from workbench.session import Session
from workbench.tiers import queries
from workbench.tiers.configuration import Mappings, mappings_for
from workbench.tiers.plan import plan_tiers
from workbench.tiers.queries import CORRECTABLE
from workbench.tiers.review import Of, TierReview, compared, review_tiers, tier_distribution

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
        wb, found = self.wb, self.review(mapping)
        both = found.both
        facts = {kind: _facts(one, wb.shows_people) for kind, one in both.items()}
        parts: dict[str, Part] = {}
        for one in both.values():
            parts |= _parts(one, beside=len(both) > 1)
        given = [mapping] if isinstance(mapping, str | Path) else mapping or []
        named = "".join(f" --mapping {path}" for path in paths_below([Path(path) for path in given]))
        wrong = found.mapping is None or any(one.findings for one in both.values())
        return Answer(
            _headline(found),
            parts,
            next_steps=_steps(found, named),
            facts={
                "environment": wb.environment.name,
                "database": {
                    "system_identifier": wb.identity.system_identifier,
                    "database": wb.identity.database,
                },
                **facts[found.kind],
                "tiers": facts.get("tier"),
                "statuses": facts.get("status"),
            },
            code=int(wrong),
        )

    def review(self, mapping: Mappings = None) -> TierReview:
        """Look at tiers and statuses from all sides; without any mapping, at their distribution only."""
        given = mapping is not None or self.wb.options.mappings
        read = mappings_for(mapping, self.wb.options.mappings) if given else ()
        with self.wb.reading() as connection:
            return review_tiers(connection, self.wb.schema, read)

    def distribution(self) -> pd.DataFrame:
        """Count the members in each tier (guide §4.3)."""
        with self.wb.reading() as connection:
            return tier_distribution(connection, self.wb.schema)

    def matrix(self, mapping: Mappings = None, of: Of | None = None) -> pd.DataFrame:
        """Count the members by ``level``, ``expected`` and ``actual`` tier: ``members``, ``finding``.

        Parameters
        ----------
        of : {"tiers", "statuses"}, optional
            Which of the two; else what the configuration speaks of, tiers first.
        """
        read = mappings_for(mapping, self.wb.options.mappings)
        with self.wb.reading() as connection:
            used = compared(connection, self.wb.schema, read, of)
            return queries.tier_matrix(connection, self.wb.schema, *used)

    @covering
    def wrong(
        self,
        mapping: Mappings = None,
        limit: int | None = None,
        levels: Sequence[str] = (),
        of: Of | None = None,
    ) -> pd.DataFrame:
        """List the members with another tier than their level says, or none: ``key``, ``expected``, ``actual``, ..."""
        read = mappings_for(mapping, self.wb.options.mappings)
        with self.wb.reading() as connection:
            used = compared(connection, self.wb.schema, read, of)
            return queries.wrong_tiers(connection, self.wb.schema, *used, limit, levels)

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
        read = mappings_for(mapping, self.wb.options.mappings)
        with self.wb.planning() as context:
            last_import = self.wb.look(context.connection).as_of
            return plan_tiers(
                context, read, of=of, levels=levels, on_conflict=on_conflict, reason=reason, last_import=last_import
            )  # fmt: skip


def _headline(found: TierReview) -> str:
    if found.mapping is None:
        return f"Who should be in which {found.kind} was not asked: {found.not_compared}."
    told = [
        f"{one.correctable:,} have another {one.kind} than their level's"
        for one in found.both.values()
        if one.mapping
    ]
    return f"Of {found.members:,} members {', '.join(told)}."


def _parts(found: TierReview, *, beside: bool) -> dict[str, Part]:
    kind, mapping = found.kind, found.mapping
    shares = [f"{members / max(found.members, 1):.0%}" for members in found.distribution["members"]]
    held = found.distribution.drop(columns="kind").assign(share=shares)
    held["code"] = [_named(code, "(none)") for code in held["code"]]
    parts: dict[str, Part] = {
        f"{kind}_distribution": Table(held, f"Members by {kind}", "no members"),
        f"{kind}_drawn": lambda: _drawn("distribution", found),
    }
    if mapping is None and beside:
        parts[f"{kind}_configuration"] = f"Not compared with the members' levels: {found.not_compared}."
    elif mapping is not None:
        parts[f"{kind}_configuration"] = configuration(found)
        parts[f"{kind}_matrix"] = Table(
            _side_by_side(found), "Level, what it should be, and what members have"
        )
        parts[f"{kind}_matrix_drawn"] = lambda: _drawn("matrix", found)
    levels, codes = found.unknown_levels, found.unknown_codes
    parts[f"{kind}_unknown_levels"] = Table(
        levels.drop(columns="lookalike", errors="ignore"),
        f"Levels no line names ({len(levels):,})",
        "",
        limit=_SHOWN,
    )
    parts[f"{kind}_unknown_codes"] = Table(
        codes, f"Codes that do not exist here ({len(codes):,})", "", limit=_SHOWN
    )
    parts[f"{kind}_findings"] = "\n".join(f"! {line}" for line in found.findings)
    return parts


def configuration(found: TierReview) -> dict[str, str]:
    """Tell which configuration the tiers were compared with, and what it comes to."""
    mapping = found.mapping
    if mapping is None:
        return {"Compared with": f"nothing: {found.not_compared}"}
    facts = {
        "Compared with": f"{mapping.name} ({mapping.kind}), SHA-256 {mapping.sha256}",
        "Every other level": f"becomes {mapping.default}"
        if mapping.default
        else "is an error: there is no default",
        "Members": f"{found.members:,}, of whom {found.correctable:,} have another {found.kind} than their level's",
    }
    if found.kind == "status" and not found.beside:
        facts["Statuses"] = "No tier was ever made here, so statuses stand in"
    if mapping.ignored:
        facts["Ignored levels"] = ", ".join(mapping.ignored)
    if found.as_in_wa:
        facts["Mind"] = f"{found.as_in_wa:,} of them have the status that Wild Apricot gave their contact"
    return facts | {f"Mind {number}": remark for number, remark in enumerate(mapping.remarks, 1)}


def _drawn(what: str, found: TierReview) -> Figure:
    from workbench.reporting.charts import tier_chart, tier_matrix_chart

    return (
        tier_chart(found.distribution)
        if what == "distribution"
        else tier_matrix_chart(found.matrix, found.kind)
    )


def _side_by_side(found: TierReview) -> pd.DataFrame:
    """Lay the matrix out with a column for each code; what is wrong bears a mark before its number."""
    matrix = found.matrix
    codes = sorted({code for code in matrix["actual"] if isinstance(code, str)})
    if len(codes) > _WIDEST:
        return matrix.sort_values(["finding", "level"], kind="stable")
    cells: dict[tuple[str, str], dict[str, str]] = {}
    told = matrix[["level", "expected", "actual", "members", "finding"]]
    for level, expected, actual, members, finding in told.itertuples(index=False):
        row = cells.setdefault((_named(level, "(none)"), _named(expected, "?")), {})
        mark, column = "✗ " if finding in CORRECTABLE else "", _named(actual, "(none)")
        # A reference to nothing and none at all share a column.
        row[column] = f"{row[column]} + {mark}{members:,}" if column in row else f"{mark}{members:,}"
    columns = [*codes, *(["(none)"] if matrix["actual"].isna().any() else [])]
    rows = [(*names, *(row.get(column, "") for column in columns)) for names, row in cells.items()]
    return pd.DataFrame(rows, columns=["level", "expected", *columns])


def _named(name: object, nothing: str) -> str:
    return name if isinstance(name, str) else nothing


def _steps(found: TierReview, named: str) -> list[Step]:
    if found.mapping is None:
        return [Step("Name a tier policy, or the importer's configuration", "tiers --mapping FILE")]
    steps = []
    for one in found.both.values():
        of = " --of statuses" if one.kind == "status" and len(found.both) > 1 else ""
        if len(one.unknown_codes) or len(one.open_levels):
            name = one.mapping.name if one.mapping else ""
            words = f"First put the configuration right ({name}; guide §4.3), or seed the {one.kind}; then"
            steps.append(Step(words, f"tiers{named}"))
        elif one.correctable:
            steps.append(Step("To correct them", f"plan tiers{of}{named}"))
        elif not one.findings and one.mapping:
            but = ", ".join(f"{count:,} {why}" for why, count in one.not_judged.items())
            steps.append(
                Step(f"Every member has the {one.kind} of their level{f', but for {but}' if but else ''}.")
            )
        elif one.none or one.everybody:
            steps.append(Step("What to do", "check tiers-missing tiers-all-the-same"))
    return steps


def _facts(found: TierReview, unmask: bool) -> dict[str, Any]:
    mapping, everybody = found.mapping, found.everybody
    told = ["name", "sha256", "kind", "default", "ignored", "remarks"]
    return {
        "kind": found.kind,
        "members": found.members,
        "distribution": found.distribution[["code", "members"]],
        "mapping": None if mapping is None else {name: getattr(mapping, name) for name in told},
        "not_compared": found.not_compared or None,
        "matrix": None if mapping is None else found.matrix,
        "wrong": None if mapping is None else found.correctable,
        "none": found.none,
        "everybody": None
        if everybody is None
        else dict(zip(("code", "members", "of"), everybody, strict=True)),
        "unknown_levels": found.unknown_levels,
        "unknown_codes": found.unknown_codes,
        "findings": [visible(line if unmask else mask_text(line)) for line in found.findings],
    }
