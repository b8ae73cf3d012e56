"""``tiers`` and ``plan tiers``: who is in which membership tier, who should be, and the correction (guide §1.3, §4.3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import workbench
from workbench.cli.options import AsJson, EnvironmentName, Unmask, answers, open_as
from workbench.cli.output import banner, command, on, paths_below, print_json, print_table, say

if TYPE_CHECKING:
    import pandas as pd

    from workbench.answer import Answer
    from workbench.tiers.review import TierReview
    from workbench.workbench import Workbench

Mapping = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="A tier policy, the importer's configuration or a membership_levels_mapping.json: YAML, JSON or TOML;"
        " twice for one of tiers and one of statuses. [default: the environment's tier_mapping and status_mapping]",
    ),
]
_WIDEST = 8  # tiers side by side; more are listed below each other
_SHOWN = 20


def tiers(
    mapping: Mapping = None,
    environment: EnvironmentName = None,
    json: AsJson = False,
    unmask: Unmask = False,
) -> None:
    """Compare every member's membership tier with what their Wild Apricot level should give."""
    with open_as(environment, None, one_state=True) as wb:
        found = wb.tier_review(mapping or None)
        if json:
            print_json(_facts(wb, found, unmask))
        else:
            banner(wb.environment)
            for each in found.both.values():
                _tell(each, len(found.both) > 1, unmask)
            _next(wb, found, mapping)
    wrong = found.mapping is None or any(each.findings for each in found.both.values())
    raise typer.Exit(1 if wrong else 0)


def _facts(wb: Workbench, found: TierReview, unmask: bool) -> dict[str, Any]:
    def masked(frame: pd.DataFrame) -> pd.DataFrame:
        return workbench.mask(frame, unmask=unmask)

    def facts(review: TierReview) -> dict[str, Any]:
        mapping, everybody = review.mapping, review.everybody
        return {
            "kind": review.kind,
            "members": review.members,
            "distribution": masked(review.distribution[["code", "members"]]),
            "mapping": None
            if mapping is None
            else {
                "name": mapping.name,
                "sha256": mapping.sha256,
                "kind": mapping.kind,
                "default": mapping.default,
                "ignored": mapping.ignored,
                "remarks": mapping.remarks,
            },
            "not_compared": review.not_compared or None,
            "matrix": None if mapping is None else masked(review.matrix),
            "wrong": None if mapping is None else review.correctable,
            "none": review.none,
            "everybody": None
            if everybody is None
            else dict(zip(("code", "members", "of"), everybody, strict=True)),
            "unknown_levels": masked(review.unknown_levels),
            "unknown_codes": masked(review.unknown_codes),
            "findings": [_said(each, unmask) for each in review.findings],
        }

    both = {kind: facts(each) for kind, each in found.both.items()}
    return {
        "environment": wb.environment.name,
        "database": {"system_identifier": wb.identity.system_identifier, "database": wb.identity.database},
        **both[found.kind],
        "tiers": both.get("tier"),
        "statuses": both.get("status"),
    }


def _tell(found: TierReview, both: bool, unmask: bool) -> None:
    total = max(found.members, 1)
    shares = [f"{members / total:.0%}" for members in found.distribution["members"]]
    held = found.distribution.drop(columns="kind").assign(share=shares)
    held["code"] = [_named(code, "(none)") for code in held["code"]]
    if both and found.kind == "status":
        say("")
    print_table(workbench.mask(held, unmask), f"Members by {found.kind}", empty="no members")
    if found.kind == "status" and not both:
        say("No tier was ever made here, so statuses stand in.")
    mapping = found.mapping
    if mapping is None and both:
        say(_said(f"Not compared with the members' levels: {found.not_compared}.", unmask))
    elif mapping is not None:
        default = f", every other level {mapping.default}" if mapping.default else ""
        ignored = f", ignored: {', '.join(mapping.ignored)}" if mapping.ignored else ""
        said = f"Compared with {mapping.name} ({mapping.kind}{default}{ignored})."
        say("", _said(said, unmask), *mapping.remarks)
        print_table(
            workbench.mask(_side_by_side(found), unmask), "Level, what it should be, and what members have"
        )
    if len(found.unknown_levels):
        say("")
        shown = found.unknown_levels.drop(columns="lookalike")
        print_table(workbench.mask(shown, unmask), f"Levels no line names ({len(shown):,})", limit=_SHOWN)
    if found.findings:
        say("", *(f"! {_said(each, unmask)}" for each in found.findings))
    if found.as_in_wa:
        say(
            f"{found.as_in_wa:,} of those who are wrong have the status that Wild Apricot gave their contact."
        )


def _side_by_side(found: TierReview) -> pd.DataFrame:
    """Lay the matrix out with a column for each code; what is wrong bears a mark before its number."""
    import pandas as pd

    from workbench.tiers.queries import CORRECTABLE

    matrix = found.matrix
    codes = sorted({code for code in matrix["actual"] if isinstance(code, str)})
    if len(codes) > _WIDEST:
        return matrix.sort_values(["finding", "level"], kind="stable")
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for level, expected, actual, members, finding in matrix[
        ["level", "expected", "actual", "members", "finding"]
    ].itertuples(index=False):
        row = cells.setdefault((_named(level, "(none)"), _named(expected, "?")), {})
        mark = "✗ " if finding in CORRECTABLE else ""
        column = _named(actual, "(none)")
        # A reference to nothing and none at all share a column.
        row[column] = f"{row[column]} + {mark}{members:,}" if column in row else f"{mark}{members:,}"
    columns = [*codes, *(["(none)"] if matrix["actual"].isna().any() else [])]
    rows = [(*names, *(row.get(column, "") for column in columns)) for names, row in cells.items()]
    return pd.DataFrame(rows, columns=["level", "expected", *columns])


def _named(name: object, nothing: str) -> str:
    return name if isinstance(name, str) else nothing


def _next(wb: Workbench, found: TierReview, mapping: list[Path] | None) -> None:
    named = "".join(f" --mapping {path}" for path in paths_below(mapping or []))
    say("")
    if found.mapping is None:
        say(
            f"Who should be in which {found.kind} was not asked: {found.not_compared}.",
            "Name a tier policy, or the importer's configuration:",
            f"  {command()} tiers --mapping FILE{on()}",
        )
        return
    for each in found.both.values():
        of = " --of statuses" if each.kind == "status" and len(found.both) > 1 else ""
        if len(each.unknown_codes) or len(each.open_levels):
            name = each.mapping.name if each.mapping else ""
            say(
                f"First put the configuration right ({name}; guide §4.3), or seed the {each.kind}; then:",
                f"  {command()} tiers{named}{on()}",
            )
        elif each.correctable:
            say("Next:", f"  {command()} plan tiers{of}{named}{on()}")
        elif not each.findings and each.mapping:
            but = ", ".join(f"{count:,} {why}" for why, count in each.not_judged.items())
            say(f"Every member has the {each.kind} of their level{f', but for {but}' if but else ''}.")
        elif each.none or each.everybody:
            say("What to do:", f"  {command()} check tiers-missing tiers-all-the-same{on()}")


def _said(text: str, unmask: bool) -> str:
    from workbench.reporting.tables import visible

    return visible(text if unmask else workbench.mask_text(text))


@answers("acting", "unmask", one_state=False)
def plan_tiers(
    wb: Workbench,
    mapping: Mapping = None,
    of: Annotated[
        Literal["tiers", "statuses"] | None,
        typer.Option(
            help="What is corrected. [default: tiers; statuses where no tier was ever made]",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        list[str] | None,
        typer.Option("--level", metavar="LEVEL", help="Only members of this Wild Apricot level, repeatable."),
    ] = None,
    on_conflict: Annotated[
        Literal["keep", "restore"], typer.Option(help="What becomes of a tier that a person set by hand.")
    ] = "keep",
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, in your words, for the plan.")
    ] = None,
) -> Answer:
    """Plan to give members the tier of their Wild Apricot level: exactly those who have another."""
    plan = wb.plan_tiers(mapping or None, of=of, levels=level or (), on_conflict=on_conflict, reason=reason)
    return wb.explain(plan)
