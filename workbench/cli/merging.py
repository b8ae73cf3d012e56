"""``plan merge``: duplicates into one record, one pair or a whole list (guide §4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.options import answers
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench

_FORM = "canonical,duplicate[,reason] or cluster,member[,reason]"


@answers("acting", "unmask", one_state=False)
def merge(
    wb: Workbench,
    canonical: Annotated[
        str | None, typer.Argument(metavar="CANONICAL", help="The record that stays.", show_default=False)
    ] = None,
    duplicates: Annotated[
        list[str] | None,
        typer.Argument(metavar="DUPLICATE...", help="The records that go into it.", show_default=False),
    ] = None,
    listing: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help=f"Many merges as a CSV file in UTF-8: {_FORM}."),
    ] = None,
    choose: Annotated[
        bool,
        typer.Option(
            "--choose",
            help="Let the rule choose which of the records named stays: most associations, then the oldest.",
        ),
    ] = False,
    left_out: Annotated[
        list[str] | None, typer.Option("--except", metavar="ID", help="Leave this record as it is.")
    ] = None,
    rule: Annotated[
        Literal["canonical", "newest", "most-complete"],
        typer.Option(
            help="Whose value a field has: the canonical record's, the newest, or any rather than none."
        ),
    ] = "canonical",
    field: Annotated[
        list[str] | None, typer.Option(metavar="NAME=RULE", help="Another rule for one field (phone=newest).")
    ] = None,
    by_hand: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=ID", help="Take one field from the record named (email=ID)."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="The row that stays where two become one and no rule can tell."),
    ] = None,
    skip_blocked: Annotated[
        bool, typer.Option("--skip-blocked", help="Leave out merges that no rule can decide, and list them.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for whoever approves it.")] = "",
    entity: Annotated[
        Literal["member", "event", "registration"], typer.Option(help="What the records are.")
    ] = "member",
) -> Answer:
    """Plan to merge duplicates: every reference moves to the record that stays, and the duplicates go.

    Name the record that stays and its duplicates, or give a list with --from: a line for each duplicate
    (canonical,duplicate), or for each member of a cluster (cluster,member), where the rule chooses which stays.
    """
    rules = {"*": str(rule), **_taken_apart(field, "--field", "NAME=RULE")}
    hands = _taken_apart(by_hand, "--set", "NAME=ID")
    named = [each for each in (canonical, *(duplicates or ())) if each is not None]
    merges: Any = listing
    if listing is not None:
        if named or choose or reason:
            raise UsageError(
                "--from names the merges, so records, --choose or --reason beside it say something else.",
                "Give one or the other.",
            )
    elif len(named) < 2:
        raise UsageError(
            "A merge needs the record that stays and at least one duplicate.",
            "Write `workbench plan merge CANONICAL DUPLICATE...`, or `workbench plan merge --from FILE`.",
        )
    elif skip_blocked:
        raise UsageError("--skip-blocked is for a list of merges.", "Use it with --from.")
    else:
        merges = [(None, named, reason) if choose else (named[0], named[1:], reason)]
    plan = wb.duplicates.plan_merges(
        merges,
        entity=entity.capitalize(),
        rules=rules,
        by_hand=hands,
        keep=keep or (),
        leave_out=left_out or (),
        skip_blocked=skip_blocked,
    )
    return wb.explain(plan, conservation=plan.parameters["conservation"])


def _taken_apart(given: Sequence[str] | None, option: str, form: str) -> dict[str, str]:
    """Take ``NAME=VALUE`` apart; `UsageError` where one of the two is missing, or a name comes twice."""
    found: dict[str, str] = {}
    for each in given or ():
        name, _, value = (part.strip() for part in each.partition("="))
        if not name or not value:
            raise UsageError(f"{option} {each!r} is not of the form {form}.", f"Write it as {form}.")
        if name in found:
            raise UsageError(f"{option} names {name!r} twice.", "Name it once.")
        found[name] = value
    return found
