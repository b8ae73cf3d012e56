"""``tiers`` and ``plan tiers``: who is in which membership tier, who should be, and the correction (guide §1.3, §4.3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli.options import answers

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

Mapping = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="A tier policy, the importer's configuration or a membership_levels_mapping.json: YAML, JSON or TOML;"
        " twice for one of tiers and one of statuses. [default: the environment's tier_mapping and status_mapping]",
    ),
]


@answers("unmask")
def tiers(wb: Workbench, mapping: Mapping = None) -> Answer:
    """Compare every member's membership tier with what their Wild Apricot level should give."""
    return wb.tiers(mapping or None)


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
    plan = wb.tiers.plan(mapping or None, of=of, levels=level or (), on_conflict=on_conflict, reason=reason)
    return wb.explain(plan)
