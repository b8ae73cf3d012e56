"""A plan told to whoever approves it: what it would do, whether it can be approved, its rows, and how to go on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd
import psycopg

from workbench.answer import Answer, Part, Step, Table, many
from workbench.checks.finding import SAMPLE, Finding, Status
from workbench.database.address import redact
from workbench.errors import DocumentError, Refused, SchemaGap
from workbench.hints import paths_below
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import journal, rows
from workbench.plans.plan import NOTES, OPERATIONS, Plan, Section
from workbench.plans.rows import rows_by_key
from workbench.plans.states import plan_states, plans_in
from workbench.reporting.masking import mask
from workbench.reporting.plan_rows import changed_rows, noted, row_tables
from workbench.session import Session

QUESTION = "Can this plan be approved as it is?"

COMPARED = 500
"""Rows of each section that are compared with the database; apply compares every one."""

WENT = ("applied", "undone")
_FEW = 3  # pieces of evidence that are named in a sentence
_NOUNS = {
    "members": ("member", "members"),
    "events": ("event", "events"),
    "registrations": ("registration", "registrations"),
    "mappings": ("mapping", "mappings"),
    "sync_state": ("sync state", "sync states"),
}
_NOUN_OF = {table: nouns for concept, nouns in _NOUNS.items() for table in CONCEPTS[concept].tables}
_GOING_BACK = {"delete": "deletes", "update": "restores", "insert": "puts back"}
_OTHERWISE = {"delete": "deletes", "update": "changes", "insert": "adds"}


@dataclass(frozen=True)
class Review:
    """A plan, looked at beside the database.

    Attributes
    ----------
    state, detail : str
        What became of it (see `workbench.plans.states.STATES`), by whom and when.
    here : bool
        Whether this is the database that the plan was made on.
    findings : list of Finding
        What decides whether it can be approved; `reason` says what was found.
    answer : Answer
        All of it, for every surface.
    """

    plan: Plan
    state: str
    detail: str
    here: bool
    findings: list[Finding]
    answer: Answer

    @property
    def refused(self) -> bool:
        """Whether it cannot be applied here, whoever approves it."""
        return any(each.status == "fail" for each in self.findings)

    @property
    def facts(self) -> dict[str, Any]:
        """What a machine wants to know of the plan besides the verdict."""
        plan = self.plan
        counts = {"kept": "kept", "conflicts": "conflict", "unresolved": "unresolved"}
        return {
            "plan": plan.id,
            "digest": plan.digest,
            "kind": plan.kind,
            "state": self.state,
            "changes": plan.changes,
            **{name: noted(plan, note) for name, note in counts.items()},
        }


def review_plan(session: Session, name: str) -> Review:
    """Look at a plan and at what can be known of it without applying it.

    Parameters
    ----------
    name : str
        The plan's id, an unambiguous beginning of it, or its file's path.

    Raises
    ------
    UsageError
        When there is no such plan, with the nearest.
    DocumentError, Refused
        When its file is cut short or was altered; no folder of this machine is named.
    """
    plans = plans_in(session.settings)
    try:
        plan = plans.find(name)
    except (DocumentError, Refused) as error:
        what = error.what
        for folder in sorted(
            {Path(name).parent, plans.folder, plans.folder.resolve()}, key=lambda each: -len(str(each))
        ):
            what = what.replace(f"{folder}{os.sep}", "")
        raise type(error)(what, error.next_step) from None
    with session.reading() as connection:
        raw = journal.raw(connection)
        known = plan_states(
            session.settings, journal.entries(raw), session.environment.name, journal.restores(raw)
        )
    elsewhere = f"by {plan.planned_by}; it is not among the plans of {session.environment.name}"
    state, detail = next(
        ((each.state, each.detail) for each in known if each.plan == plan.id), ("planned", elsewhere)
    )
    findings = [_target(session, plan), _once(plan, state, detail)]
    if all(each.status == "pass" for each in findings):
        findings.append(_rows(session, plan))
    findings += [_counted(_CONFLICTS, noted(plan, "conflict"), "in conflict"), _counted(_OPEN, noted(plan, "unresolved"), "undecided")]  # fmt: skip
    answer = explain(session, plan, state, detail, findings)
    return Review(plan, state, detail, plan.target == session.target, findings, answer)


def explain(
    session: Session, plan: Plan, state: str = "", detail: str = "", findings: Sequence[Finding] = (), **facts: Any
) -> Answer:  # fmt: skip
    """Explain a plan: in a sentence, the rows with old and new values, what is left alone, and how to go on.

    Parameters
    ----------
    state, detail, findings
        What became of it, and what decides whether it can be approved, where that was asked: see `review_plan`.
    facts
        What machines are told besides.
    """
    target, unmask = plan.target, session.shows_people
    counted = plan.parameters.get("conservation") or []
    proof = pd.DataFrame(counted).drop(columns="why", errors="ignore")
    why = [f"{each['table']}, {each['deleted']:,} deleted: {each['why']}." for each in counted if each["why"]]
    checked = pd.DataFrame(
        [(each.status, each.title, each.reason) for each in findings], columns=["status", "check", "found"]
    )
    changes = changed_rows(plan)
    failed = [each.reason for each in findings if each.status == "fail"]
    parts: dict[str, Part] = {
        "plan": _summary(plan, f"{state}, {detail}" if state else ""),
        "checked": Table(checked, "What was checked", ""),
        "drawn": partial(_drawn, changes),
        "changes": Table(changes, "What changes", "nothing"),
        **row_tables(session, plan),
        "conservation": Table(
            proof, "Rows that refer to the records concerned, before and after", "",
            note=" ".join(why),
        ),
        "digest": f"Digest  {plan.digest}",
    }  # fmt: skip
    return Answer(
        " ".join([plan_sentence(plan), *failed]),
        parts,
        findings,
        _steps(session, plan, state, findings),
        {**plan_facts(plan, unmask), **facts},
        environment=target.environment,
        unmask=unmask,
    )


def plan_facts(plan: Plan, unmask: bool = False) -> dict[str, Any]:
    """Return what a plan says; values of people masked by the column they stood in."""
    conflicts = pd.DataFrame(plan.conflicts, columns=list(NOTES["conflict"]), dtype=object)
    return {
        "plan": str(plan.path),
        "id": plan.id,
        "digest": plan.digest,
        "changes": plan.changes,
        "kept": plan.kept,
        "conflicts": mask(conflicts, unmask).to_dict("records"),
        "unresolved": plan.unresolved,
        "reasons": plan.because,
        "notes": plan.notes,
    }


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
    changes, parts = changed_rows(plan), []
    for operation in OPERATIONS:
        of_it = changes[changes["operation"] == operation]
        nouns = [many(count, *_NOUN_OF.get(table, (f"row of {table}", f"rows of {table}")))
                 for table, count in zip(of_it["table"], of_it["rows"], strict=True)]  # fmt: skip
        parts += [f"{verbs[operation]} {_and(nouns)}"] if nouns else []
    kept, conflicts, unresolved = (noted(plan, each) for each in ("kept", "conflict", "unresolved"))
    parts += [f"leaves {kept:,} rows as they are" if kept > 1 else "leaves 1 row as it is"] if kept else []
    parts += [many(conflicts, "conflict")] if conflicts else []
    parts += [f"{unresolved:,} left undecided"] if unresolved else []
    return f"{opening}: {'; '.join(parts) or 'changes nothing'}."


def approval_command(plan: Plan) -> str:
    """Return the command that approves exactly this plan, without its environment."""
    confirm = (
        f" --as NAME --confirm {quote(plan.target.environment)}" if plan.target.kind == "production" else ""
    )
    return f"approve {plan.id} --digest {plan.digest}{confirm}"


def applied_plans(session: Session) -> Answer:
    """List the plans that were applied to this database, by its own journal; the last one first."""
    with session.reading() as connection:
        try:
            with connection.begin_nested():
                entries = journal.entries(journal.raw(connection))
        except psycopg.errors.InsufficientPrivilege:
            words = (
                "not run: USAGE on the schema workbench, and SELECT on its tables, would show the journal."
            )
            return Answer(parts={"applied": f"Plans applied here: {words}"}, facts={"plans": None})
    frame = pd.DataFrame(
        [
            (
                *(
                    each.plan,
                    each.kind,
                    "undone" if each.undone_by else "applied",
                    each.total,
                    each.approved_by,
                ),
                *(each.applied_by, each.applied_at.astimezone(UTC).replace(tzinfo=None), each.undone_by),
            )
            for each in reversed(entries)
        ],
        columns=["plan", "kind", "state", "changes", "approved_by", "applied_by", "applied", "taken_back_by"],
    )
    facts = [
        {"plan": each.plan, "digest": each.digest, "state": "undone" if each.undone_by else "applied"}
        for each in entries
    ]
    table = Table(frame, "Plans applied here", "none yet", limit=40)
    return Answer(parts={"applied": table}, facts={"plans": facts}, unmask=session.shows_people)


def _summary(plan: Plan, state: str) -> dict[str, str]:
    """Tell what a plan is: what for, by whom, resting on what, and what to know besides."""
    target = plan.target
    # What has a structure of its own is shown in tables, or too long for a line.
    asked = "; ".join(
        f"{name.replace('_', ' ')} {_value(value)}"
        for name, value in plan.parameters.items()
        if value not in (None, [], {}, "")
        and not (isinstance(value, list) and any(isinstance(one, dict) for one in value))
    )
    counts = Counter(str(each.get("action")) for each in plan.audit)
    logged = "; ".join(
        f"{action} would be written{f' ({count:,} entries)' if count > 1 else ''}"
        for action, count in counts.items()
    )
    more = f"; and {len(plan.evidence) - _FEW:,} more" if len(plan.evidence) > _FEW else ""
    facts = {
        "Plan": f"{plan.id}, in the file {paths_below([plan.path])[0] if not state else plan.path.name}",
        "State": state,
        "Planned by": plan.planned_by,
        "For": f"{target.environment} ({target.kind}): database {target.database}, schema {target.schema}, server {target.system_identifier}",
        "Why": " ".join(plan.reasons),
        "Evidence": "; ".join(plan.evidence[:_FEW]) + more,
        "To know besides": " ".join(plan.notes),
        "Asked for": asked,
        "Audit log": logged,
    }  # fmt: skip
    return {what: said for what, said in facts.items() if said}


def _steps(session: Session, plan: Plan, state: str, findings: Sequence[Finding]) -> list[Step]:
    """Say how to approve, apply, verify and take back a plan, as far as it has come."""
    read, undo = Step("To read it as a page", f"report plan -p plan {plan.id}"), f"undo {plan.id}"
    if state == "applied":
        return [Step("It was applied. To take it back", undo)]
    if state and plan.target != session.target:
        return [Step(f"To look at it where it belongs, on {plan.target.environment}", f"show {plan.id}")]
    if any(each.status == "fail" for each in findings):
        return [read]  # what to do is said beside what was checked
    production = plan.target.kind == "production"
    second = f", by a second person: {plan.planned_by} planned it" if production else ""
    back = " (it stops at the plan of the way back, which a second person approves)" if production else ""
    hours = session.settings.approval_hours
    return [
        read,
        Step(f"To approve exactly this{second}; it holds once, for {hours:g} hours", approval_command(plan)),
        Step("To apply it, whole or not at all", f"apply {plan.id}"),
        Step("To verify what it did", "report post-recovery"),
        Step(f"To take it back{back}", undo),
    ]


def _drawn(changes: pd.DataFrame) -> Any:
    from workbench.reporting.charts import changes_chart

    return changes_chart(changes)


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_value(each)}" for name, each in value.items())
    if value is None or isinstance(value, bool):
        return "none" if value is None else "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _target(session: Session, plan: Plan) -> Finding:
    made, here = plan.target, session.target
    if made == here:
        said = f"{made.database}, schema {made.schema}, on server {made.system_identifier}, as {made.environment} ({made.kind})"
        return _TARGET("pass", 0, reason=f"It is: {said}.")
    pairs = {
        "environment": (f"{made.environment} ({made.kind})", f"{here.environment} ({here.kind})"),
        "database": (made.database, here.database),
        "schema": (made.schema, here.schema),
        "server": (made.system_identifier, here.system_identifier),
    }
    differ = [f"{what} {was}, this is {now}" for what, (was, now) in pairs.items() if was != now]
    return _TARGET("fail", len(differ), reason=f"It was made for {'; for '.join(differ)}.")


def _once(plan: Plan, state: str, detail: str) -> Finding:
    if state in WENT:
        return _ONCE("fail", 1, pd.DataFrame({"key": [plan.id]}), reason=f"It was {state}: {detail}.")
    return _ONCE("pass", 0, reason=f"The journal does not have it. It is {state}: {detail}.")


def _counted(made: partial[Finding], count: int, what: str) -> Finding:
    status: Status = "warn" if count else "pass"
    said = f"{count:,} {what}; they are listed below." if count else f"Nothing is {what}."
    return made(status, count, reason=said)


def _rows(session: Session, plan: Plan) -> Finding:
    """Compare the first rows of each section; only apply, which keeps everybody else from writing, can tell of all."""
    seen, different, catalogue = 0, list[tuple[str, str, str]](), session.schema.catalogue
    with session.reading() as connection:
        try:
            with (
                connection.begin_nested()
            ):  # a question that the database refuses must not silence the others
                for section in plan.operations:
                    first = list(islice(plan.rows(section), COMPARED))
                    seen += len(first)
                    different += _differing(journal.raw(connection), catalogue, section, first)
        except SchemaGap as error:
            return _ROWS("fail", 1, reason=error.what)
        except (psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            said = redact(str(error).splitlines()[0])
            return _ROWS("not run", reason=f"The database refused the comparison: {said}.")
    told = f"{seen:,} of {plan.total:,} rows were compared with the database"
    if not different:
        return _ROWS("pass", 0, reason=f"{told}: each is as the plan saw it.")
    table, key, reason = different[0]
    more = f", and {len(different) - 1:,} more" if len(different) > 1 else ""
    frame = pd.DataFrame(different[:SAMPLE], columns=["table", "key", "reason"])[["key", "table", "reason"]]
    reason = f"{told}: {table} {key} {reason}{more}. Apply would refuse the whole plan."
    return _ROWS("fail", len(different), frame, reason=reason)


def _differing(
    connection: psycopg.Connection[Any], catalogue: Catalogue, section: Section, some: Sequence[Sequence[str | None]]
) -> list[tuple[str, str, str]]:  # fmt: skip
    """Return table, key and reason of each row that is not as the plan saw it."""
    described = rows.table_of(catalogue, section.table)
    gone = sorted({*section.key, *section.seen, *section.changed} - described.columns.keys())
    if gone or section.key != described.primary_key:
        what = ", ".join(gone) or "primary key"
        raise SchemaGap(
            f'The table "{section.table}" has changed its columns or key since the plan was made ({what}).',
            "Plan again.",
        )
    place = section.columns.index(rows.key_of(described))
    seen = None if section.name == "insert" else rows.digest(described, section.seen, "t")
    keys = [str(row[place]) for row in some]
    now = rows_by_key(connection, catalogue.schema, described, keys, (), seen)
    reasons = []
    for key, row in zip(keys, some, strict=True):
        found = now.get(key)
        if section.name == "insert":
            reason = "is there already" if found else ""
        elif found is None:
            reason = "is not there any more"
        else:
            reason = "" if found.digest == row[len(section.key)] else "was changed since"
        reasons += [(section.table, key, reason)] if reason else []
    return reasons


_TARGET = partial(
    Finding,
    "plan-target",
    "The database it was made for",
    guide="§1.6",
    severity="fail",
    question="Are environment, server, database and schema those that the plan was made on?",
    remedy="Look at it on its own environment (`--environment NAME`), or plan again here.",
    risk="critical",
)
_ONCE = partial(
    Finding,
    "plan-applied",
    "Applied at most once",
    guide="§3",
    severity="fail",
    question="Does the journal in the database know it?",
    remedy="Nothing is applied twice. Plan again if there is more to correct; `workbench undo PLAN` takes back what it did.",
)
_ROWS = partial(
    Finding,
    "plan-rows",
    "Rows as the plan saw them",
    guide="§3",
    severity="fail",
    question="Are the rows still there, and still as they were?",
    remedy="Plan again: the new plan will see what is there now.",
    risk="high",
)
_CONFLICTS = partial(
    Finding,
    "plan-conflicts",
    "Conflicts with what others wrote",
    guide="§3",
    severity="warn",
    question="Did somebody write to the same column after the run did?",
    remedy="Read each conflict below and decide who is right; what the plan does about it is said beside it.",
)
_OPEN = partial(
    Finding,
    "plan-unresolved",
    "Rows left undecided",
    guide="§3",
    severity="warn",
    question="Is there anything that could not be decided for want of evidence?",
    remedy="Read below what is left undecided, and what would decide it; until then it stays as it is.",
)
