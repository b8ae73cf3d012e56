"""``duplicates``: who and what is there more than once, and what people decide about it (guide §1.4, §4.4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli.options import answers
from workbench.errors import UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.workbench import Workbench


@answers("acting", "unmask")
def duplicates(
    wb: Workbench,
    entity: Annotated[
        Literal["member", "event", "registration"] | None, typer.Option(help="Of what; else of all three.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.01, max=1.0, help="The least probability of a pair. [default: 0.7]")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Trained parameters as JSON; else those shipped.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="How many clusters and pairs of each to list. [default: 10; JSON: all]"),
    ] = None,
    listing: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Write the sure clusters as a list for `plan merge --from`."
        ),
    ] = None,
    decide: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            "--decide",
            metavar="LEFT RIGHT WORD",
            help="Say of two records that they are: same, different, unsure.",
        ),
    ] = None,
    remark: Annotated[str, typer.Option(help="Why it was decided so, without personal data.")] = "",
    decisions: Annotated[
        bool, typer.Option("--decisions", help="List what was decided, and by whom.")
    ] = False,
) -> Answer:
    """Find members, events and registrations that are there more than once, and say which may be merged.

    Decisions (--decide) are kept beside the reports and respected the next time.
    """
    from workbench.answer import Answer, Step, Table

    _one_question(decide, decisions, listing, remark, entity)
    of = entity.capitalize() if entity else None
    if decide is not None:
        left, right, word = decide
        made = wb.duplicates.decide(left, right, word, remark=remark, entity=of)
        said = {"same": "one and the same", "different": "different", "unsure": "not decided yet"}[
            made.decision
        ]
        kept = Step("Kept beside the reports; all of them", "duplicates --decisions")
        return Answer(
            f"{made.entity} {made.left} and {made.right}: {said}, by {made.by}.",
            next_steps=[kept],
            facts=vars(made),
        )
    if decisions:
        frame = wb.duplicates.decisions()
        return Answer(parts={"decisions": Table(frame, empty="Nothing was decided yet.")}, facts=frame)
    options: dict[str, Any] = {"threshold": threshold} if threshold else {}
    return wb.duplicates(of, model=model, limit=limit, listing=listing, **options)


def _one_question(
    decide: object, decisions: bool, listing: Path | None, remark: str, entity: str | None
) -> None:
    if remark and decide is None:
        raise UsageError("A remark belongs to a decision.", "Give it with --decide LEFT RIGHT WORD.")
    if sum((decide is not None, decisions, listing is not None)) > 1:
        raise UsageError("--decide, --decisions and --to are three questions.", "Ask one at a time.")
    if listing is not None and entity is None:
        raise UsageError("A list of merges is of one entity.", "Name it with --entity.")
