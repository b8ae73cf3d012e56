"""A plan as an answer: what it does in a sentence, the rows with old and new values, what is left alone, and how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from workbench.answer import Answer, Step, Table
from workbench.hints import paths_below
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.plans.plan import Plan
from workbench.reporting.masking import mask
from workbench.reporting.plan_rows import affected_rows, value_rows
from workbench.reporting.plans import plan_changes, plan_sentence
from workbench.reporting.reviewing import Opened, Review

_FEW, _SHOWN = 3, 20


def explain(wb: Opened, plan: Plan, **facts: Any) -> Answer:
    """Explain a plan to whoever approves it; `facts` are what machines are told besides."""
    review, target = Review(wb, plan, "", "", []), plan.target
    values, updated = value_rows(review)
    rows: dict[str, Table] = {}
    for entity, concept in CONCEPT_OF.items():
        frame, total = affected_rows(review, entity, ("delete", "insert"))
        rows[concept] = Table(
            frame,
            f"{concept.capitalize()} that would change",
            "",
            limit=_SHOWN,
            total=total,
            first=("would_be",),
        )
    left = {
        "because": ("What the changes rest on", plan.because),
        "kept": ("Kept", plan.kept),
        "conflicts": ("Conflicts", masked_conflicts(plan.conflicts, wb.session.shows_people)),
        "unresolved": ("Unresolved", plan.unresolved),
    }
    conserved = pd.DataFrame(plan.parameters.get("conservation") or [])
    evidence = f"It rests on: {_cut(plan.evidence)}." if plan.evidence else ""
    by = f"Planned by {plan.planned_by} for {target.environment} ({target.kind})."
    return Answer(
        plan_sentence(plan),
        {
            "reasons": "\n".join((*plan.reasons[1:], by, *filter(None, [evidence]), *plan.notes)),
            "changes": Table(plan_changes(plan), "What changes", "nothing"),
            "values": Table(
                values,
                "Old and new values",
                "",
                limit=_SHOWN,
                total=updated,
                first=("record", "now", "would_be"),
            ),
            **rows,
            "conservation": Table(
                conserved, "Rows that refer to the records concerned, before and after", ""
            ),
            **{name: _notes(title, notes) for name, (title, notes) in left.items()},
            "file": f"\nPlan    {paths_below([plan.path])[0]}\nDigest  {plan.digest}",
        },
        next_steps=[
            Step("", f"report plan -p plan {plan.id}"),
            Step("", approval_command(plan)),
            Step("", f"apply {plan.id}"),
        ],
        facts={**plan_facts(plan, wb.session.shows_people), **facts},
        environment=target.environment,
        unmask=wb.session.shows_people,
    )


def plan_facts(plan: Plan, unmask: bool = False) -> dict[str, Any]:
    """Return what a plan says; values of people masked."""
    return {
        "plan": str(plan.path),
        "id": plan.id,
        "digest": plan.digest,
        "changes": plan.changes,
        "kept": plan.kept,
        "conflicts": masked_conflicts(plan.conflicts, unmask),
        "unresolved": plan.unresolved,
        "reasons": plan.because,
        "notes": plan.notes,
    }


def masked_conflicts(conflicts: list[dict[str, Any]], unmask: bool) -> list[dict[str, Any]]:
    """Mask what is personal by the column it stood in; on request nothing."""
    values = ("before", "run", "now")
    masked = []
    for conflict in conflicts:
        row = pd.DataFrame(
            [[conflict[name] for name in values]], columns=[str(conflict["column"])] * len(values)
        )
        masked.append({**conflict, **dict(zip(values, mask(row, unmask).iloc[0], strict=True))})
    return masked


def approval_command(plan: Plan) -> str:
    """Return the command that approves exactly this plan, without its environment."""
    confirm = f" --as NAME --confirm {plan.target.environment}" if plan.target.kind == "production" else ""
    return f"approve {plan.id} --digest {plan.digest}{confirm}"


def _notes(title: str, notes: Sequence[dict[str, Any]]) -> Table:
    """Lay out notes; many are counted by their kinds, each with the first key."""
    table = pd.DataFrame(notes)
    if len(table) > _FEW:
        alike = [name for name in table.columns if name != "key"]
        table = table.groupby(alike, sort=False, dropna=False)["key"].agg(["size", "first"]).reset_index()
        table = table.rename(columns={"size": "rows", "first": "first_key"})
    return Table(table, f"{title} ({len(notes):,})", "", limit=_SHOWN)


def _cut(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - _FEW:,} more" if len(lines) > _FEW else ""
    return "; ".join(lines[:_FEW]) + more
