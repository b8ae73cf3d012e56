"""A plan told to whoever approves it: what it would do, whether it can be approved, and how; and what was applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC
from shlex import quote
from typing import Any

import pandas as pd
import psycopg
from markupsafe import Markup

from workbench.errors import SchemaGap
from workbench.hints import on_environment
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import journal
from workbench.plans.plan import OPERATIONS, Plan
from workbench.reporting.masking import mask_text
from workbench.reporting.reviewing import QUESTION, WENT, Opened, Review, noted
from workbench.reporting.summaries import listed
from workbench.reporting.tables import Shown, prose, show, table, visible
from workbench.reporting.verdict import answered, conclude, tally, worst

PRODUCTION = "production"

_NOUNS = {
    "members": ("member", "members"),
    "events": ("event", "events"),
    "registrations": ("registration", "registrations"),
    "mappings": ("mapping", "mappings"),
    "sync_state": ("sync state", "sync states"),
}
_GOING_BACK = {"delete": "deletes", "update": "restores", "insert": "puts back"}
_OTHERWISE = {"delete": "deletes", "update": "changes", "insert": "adds"}


def plan_sentence(plan: Plan) -> str:
    """Say in one sentence what a plan would do."""
    parameters = plan.parameters
    if plan.kind == "rollback":
        opening = f"Rolls back run {parameters.get('run')}"
    elif plan.kind == "undo":
        opening = f"Takes back plan {parameters.get('plan')}"
    else:
        opening = " ".join(plan.reasons).rstrip(".") or f"A plan of the kind {plan.kind}"
    verbs = _GOING_BACK if plan.kind in ("rollback", "undo") else _OTHERWISE
    parts = []
    for operation in OPERATIONS:
        rows = [_many(name, cells[operation]) for name, cells in _in_order(plan) if cells.get(operation)]
        parts += [f"{verbs[operation]} {_and(rows)}"] if rows else []
    kept, conflicts, unresolved = (noted(plan, each) for each in ("kept", "conflict", "unresolved"))
    parts += [f"leaves {kept:,} rows as they are" if kept > 1 else "leaves 1 row as it is"] if kept else []
    parts += [f"{conflicts:,} conflict{'s' * (conflicts > 1)}"] if conflicts else []
    parts += [f"{unresolved:,} left undecided"] if unresolved else []
    return f"{opening}: {'; '.join(parts) or 'changes nothing'}."


def plan_answer(review: Review) -> Shown:
    """Say what a plan would do, and whether it can be approved as it is."""
    status = worst(review.findings)
    words = _summed_up(review), answered(QUESTION, status), tally(review.findings)
    if review.state in WENT:  # whether it can be approved is the question no more
        status, words = "pass", (plan_sentence(review.plan), f"It was {review.state}: {review.detail}.", "")
    html = Markup('<p class="wb-answer wb-{}">{}<br><strong>{}</strong> {}</p>')
    return Shown(html.format(status.replace(" ", "-"), *map(visible, words)), "\n".join(map(visible, words)))


def plan_summary(review: Review) -> Shown:
    """Tell what a plan is: what for, by whom, resting on what, and what to know besides."""
    plan, target = review.plan, review.plan.target
    # What has a structure of its own is shown in tables, or too long for a line.
    asked = "; ".join(
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in plan.parameters.items()
        if value not in (None, [], {}, "") and not _structured(value)
    )
    facts = {
        "Plan": f"{plan.id}, in the file {plan.path.name}",
        "What it would do": plan_sentence(plan),
        "State": f"{review.state}, {review.detail}",
        "Planned by": plan.planned_by,
        "For": f"{target.environment} ({target.kind}): database {target.database}, schema {target.schema}, server {target.system_identifier}",
        "Why": " ".join(plan.reasons),
        "Evidence": "; ".join(plan.evidence) or "none is named",
        "To know besides": " ".join(plan.notes),
        "Asked for": asked,
        "Audit log": _logged(plan.audit),
    }
    unmask = review.wb.session.shows_people
    return listed({what: said if unmask else mask_text(said) for what, said in facts.items() if said})


def plan_checks(review: Review) -> Shown:
    """List what decides whether a plan can be approved, with what was found and what to do."""
    went = review.state in WENT  # then it is no fault that it was applied
    findings = [each for each in review.findings if not went or each.status != "fail"]
    rows = [{"status": each.status, "check": each.title, "found": each.reason} for each in findings]
    shown = table(pd.DataFrame(rows), "What was checked", review.wb.session.shows_people, limit=len(rows))
    steps = [each.remedy for each in findings if each.bad]
    if not steps:
        return shown
    items = Markup("").join(Markup("<li>{}</li>").format(prose(each)) for each in steps)
    text = "\n".join(f"- {each}" for each in steps)
    return Shown(
        Markup('{}<p class="wb-caption">What to do</p><ol class="wb-steps">{}</ol>').format(
            Markup(shown.html), items
        ),
        f"{shown.text}\nWhat to do\n{text}",
    )


def plan_changes(plan: Plan) -> pd.DataFrame:
    """Count what a plan changes.

    Returns
    -------
    pandas.DataFrame
        ``table``, ``operation``, ``rows``: members, events and registrations first.
    """
    rows = [
        (name, operation, cells[operation])
        for name, cells in _in_order(plan)
        for operation in OPERATIONS
        if cells.get(operation)
    ]
    return pd.DataFrame(rows, columns=["table", "operation", "rows"])


def plan_approval(review: Review) -> Shown:
    """Show the digest to approve, and the commands to approve, apply, verify and take back."""
    plan, target = review.plan, review.plan.target
    on = on_environment(target.environment)
    undo = f"workbench undo {plan.id}{on}"
    if review.state == "applied":
        steps = {"It was applied. To take it back": undo}
    elif not review.here:
        steps = {"To look at it where it belongs": f"workbench report plan -p plan {plan.id}{on}"}
    elif review.refused:
        steps = {}  # what to do is said beside what was checked
    else:
        second, confirm, back = "", "", ""
        if target.kind == PRODUCTION:
            second = f", by a second person: {plan.planned_by} planned it"
            confirm = f" --as NAME --confirm {quote(target.environment)}"
            back = " (it stops at the plan of the way back, which a second person approves)"
        until = f"; it holds once, for {review.wb.session.settings.approval_hours:g} hours"
        approve = f"workbench approve {plan.id} --digest {plan.digest}{confirm}{on}"
        steps = {
            f"To approve exactly this{second}{until}": approve,
            "To apply it, whole or not at all": f"workbench apply {plan.id}{on}",
            "To verify what it did": f"workbench report post-recovery{on}",
            f"To take it back{back}": undo,
        }
    parts = {"The digest (SHA-256) of the plan file": plan.digest, **steps}
    box = Markup('<p class="wb-caption">{}</p><pre class="wb-copy">{}</pre>')
    html = Markup("").join(box.format(visible(what), visible(said)) for what, said in parts.items())
    return Shown(html, "\n".join(f"{what}:\n  {visible(said)}" for what, said in parts.items()))


def plan_verdict(review: Review) -> None:
    """End the report of a plan; the verdict carries its id, digest, changes and what is left open."""
    conclude(review.wb, review.findings, "plan", QUESTION, summary=_summed_up(review), facts=review.facts)


class Applied(Shown):
    """The plans that were applied to a database, as a table; `facts` is for the verdict."""

    facts: dict[str, Any]


def applied_plans(wb: Opened) -> Applied:
    """List the plans that were applied to this database, by its own journal."""
    with wb.session.reading() as connection:
        try:
            with connection.begin_nested():
                entries = journal.entries(journal.raw(connection))
        except psycopg.errors.InsufficientPrivilege:
            return _applied(show(_unread, "Plans applied here"), None)
    if not entries:
        words = "No plan was applied here."
        return _applied(Shown(Markup('<p class="wb-note">{}</p>').format(words), words), [])
    rows = [
        {
            "plan": each.plan,
            "kind": each.kind,
            "state": "undone" if each.undone_by else "applied",
            "changes": each.total,
            "approved_by": each.approved_by,
            "applied_by": each.applied_by,
            "applied": each.applied_at.astimezone(UTC).replace(tzinfo=None),
            "taken_back_by": each.undone_by,
        }
        for each in reversed(entries)  # the last one first
    ]
    facts = [
        {"plan": each.plan, "digest": each.digest, "state": "undone" if each.undone_by else "applied"}
        for each in entries
    ]
    return _applied(show(pd.DataFrame(rows), "Plans applied here", wb.session.unmask, limit=40), facts)


def _unread() -> pd.DataFrame:
    raise SchemaGap(
        "The journal may not be read.",
        "USAGE on the schema workbench, and SELECT on its tables, would show it.",
    )


def _applied(shown: Shown, plans: list[dict[str, str]] | None) -> Applied:
    found = Applied(shown.html, shown.text)
    found.facts = {"plans": plans}
    return found


def _summed_up(review: Review) -> str:
    """Say what a plan would do, and why it cannot where it cannot."""
    why = [each.reason for each in review.findings if each.status == "fail"]
    words = " ".join([plan_sentence(review.plan), *why])
    return words if review.wb.session.shows_people else mask_text(words)


def _in_order(plan: Plan) -> list[tuple[str, Mapping[str, int]]]:
    """Return a plan's changes by table, those that people know first."""
    known = [table for concept in _NOUNS for table in CONCEPTS[concept].tables]
    return sorted(
        plan.changes.items(),
        key=lambda each: (known.index(each[0]) if each[0] in known else len(known), each[0]),
    )


def _many(name: str, count: int) -> str:
    nouns = next((_NOUNS[concept] for concept in _NOUNS if name in CONCEPTS[concept].tables), None)
    if nouns is None:
        return f"{count:,} {'row' if count == 1 else 'rows'} of {name}"
    return f"{count:,} {nouns[count != 1]}"


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _logged(entries: Sequence[Mapping[str, Any]]) -> str:
    """Say which audit entries would be written, each action once."""
    counts = Counter(str(each.get("action")) for each in entries)
    many = {action: f" ({count:,} entries)" if count > 1 else "" for action, count in counts.items()}
    return "; ".join(f"{action} would be written{said}" for action, said in many.items())


def _structured(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_value(each)}" for name, each in value.items())
    if value is None or isinstance(value, bool):
        return "none" if value is None else "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
