"""A plan told to whoever approves it: what it would do, whether it can be approved, its rows, and how to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from functools import partial
from itertools import islice
from shlex import quote
from typing import Any

import pandas as pd
import psycopg

from workbench.answer import Answer, Part, Step, Table, many
from workbench.checks.finding import SAMPLE, Finding
from workbench.database.address import redact
from workbench.errors import SchemaGap
from workbench.hints import paths_below
from workbench.murmurant.catalogue import Catalogue
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import journal, rows
from workbench.plans.plan import NOTES, OPERATIONS, Plan, Row, Section
from workbench.plans.rows import rows_by_key
from workbench.plans.states import plan_states, plans_in
from workbench.reporting.masking import mask
from workbench.reporting.plan_rows import changed_rows, noted, row_tables
from workbench.session import Session

QUESTION = "Can this plan be approved as it is?"

COMPARED = 500
"""Rows of each section that are compared with the database; apply compares every one."""

WENT = ("applied", "undone")
_NOUNS = {
    "members": "member",
    "events": "event",
    "registrations": "registration",
    "mappings": "mapping",
    "sync_state": "sync state",
}
_NOUN_OF = {table: noun for concept, noun in _NOUNS.items() for table in CONCEPTS[concept].tables}
_GOING_BACK = {"delete": "deletes", "update": "restores", "insert": "puts back"}
_OTHERWISE = {"delete": "deletes", "update": "changes", "insert": "adds"}
_AGAIN = "Plan again: the new plan will see what is there now."


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
        When its file is cut short or was altered.
    """
    plan, here = plans_in(session.settings).find(name), session.environment.name
    with session.reading() as connection:
        states = plan_states(journal.raw(connection), session.settings, here)
    known = {name: told for name, *told in states[["plan", "state", "detail"]].itertuples(index=False)}
    elsewhere = f"by {plan.planned_by}; it is not among the plans of {here}"
    state, detail = known.get(plan.id, ("planned", elsewhere))
    findings = [_target(session, plan), _once(plan, state, detail)]
    if all(each.status == "pass" for each in findings):
        findings.append(_rows(session, plan))
    findings += [
        _left_over(plan, "conflict", "Conflicts with what others wrote", "in conflict"),
        _left_over(plan, "unresolved", "Rows left undecided", "undecided"),
    ]
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
    counted = plan.parameters.get("conservation") or []
    proof = pd.DataFrame(counted).drop(columns="why", errors="ignore")
    why = [f"{each['table']}, {each['deleted']:,} deleted: {each['why']}." for each in counted if each["why"]]
    checked = [(each.status, each.title, each.reason) for each in findings]
    changes, tables = changed_rows(plan), row_tables(session, plan)
    parts: dict[str, Part] = {
        "plan": _summary(plan, f"{state}, {detail}" if state else ""),
        "checked": Table(pd.DataFrame(checked, columns=["status", "check", "found"]), "What was checked", ""),
        "drawn": partial(_drawn, changes),
        "changes": Table(changes, "What changes", "nothing"),
        **tables,
        "conservation": Table(
            proof, "Rows that refer to the records concerned, before and after", "", note=" ".join(why)
        ),
        "digest": f"Digest  {plan.digest}",
    }
    return Answer(
        " ".join([plan_sentence(plan), *(each.reason for each in findings if each.status == "fail")]),
        parts,
        findings,
        _steps(session, plan, state, findings),
        {**plan_facts(plan, session.shows_people), **facts},
        environment=plan.target.environment,
        unmask=session.shows_people,
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
    openings = {
        "rollback": f"Rolls back run {plan.parameters.get('run')}",
        "undo": f"Takes back plan {plan.parameters.get('plan')}",
    }
    opening = (
        openings.get(plan.kind) or " ".join(plan.reasons).rstrip(".") or f"A plan of the kind {plan.kind}"
    )
    verbs, changes, parts = _GOING_BACK if plan.kind in openings else _OTHERWISE, changed_rows(plan), []
    for operation in OPERATIONS:
        of_it = changes[changes["operation"] == operation]
        nouns = [
            many(
                count, _NOUN_OF.get(table, f"row of {table}"), "" if table in _NOUN_OF else f"rows of {table}"
            )
            for table, count in zip(of_it["table"], of_it["rows"], strict=True)
        ]
        listed = " and ".join(filter(None, [", ".join(nouns[:-1]), *nouns[-1:]]))
        parts += [f"{verbs[operation]} {listed}"] if nouns else []
    kept, conflicts, unresolved = (noted(plan, each) for each in ("kept", "conflict", "unresolved"))
    parts += [f"leaves {many(kept, 'row')} alone"] if kept else []
    parts += [many(conflicts, "conflict")] if conflicts else []
    parts += [f"{unresolved:,} left undecided"] if unresolved else []
    return f"{opening}: {'; '.join(parts) or 'changes nothing'}."


def approval_command(plan: Plan) -> str:
    """Return the command that approves exactly this plan, without its environment."""
    target = plan.target
    confirm = f" --as NAME --confirm {quote(target.environment)}" if target.kind == "production" else ""
    return f"approve {plan.id} --digest {plan.digest}{confirm}"


def applied_plans(session: Session) -> Answer:
    """List the plans that were applied to this database, by its own journal; the last one first."""
    with session.reading() as connection:
        try:
            with connection.begin_nested():
                entries = journal.entries(journal.raw(connection))
        except psycopg.errors.InsufficientPrivilege:
            words = "USAGE on the schema workbench, and SELECT on its tables, would show the journal."
            return Answer(parts={"applied": f"Plans applied here: not run: {words}"}, facts={"plans": None})
    columns = [
        "plan",
        "digest",
        "kind",
        "state",
        "changes",
        "approved_by",
        "applied_by",
        "applied",
        "taken_back_by",
    ]
    applied = [
        (
            *(each.plan, each.digest, each.kind, "undone" if each.undone_by else "applied", each.total),
            *(each.approved_by, each.applied_by, each.applied_at.astimezone(UTC).replace(tzinfo=None)),
            each.undone_by,
        )
        for each in entries
    ]
    frame = pd.DataFrame(applied, columns=columns)
    table = Table(frame.drop(columns="digest").iloc[::-1], "Plans applied here", "none yet", limit=40)
    facts = {"plans": frame[["plan", "digest", "state"]].to_dict("records")}
    return Answer(parts={"applied": table}, facts=facts, unmask=session.shows_people)


def _summary(plan: Plan, state: str) -> dict[str, str]:
    """Tell what a plan is: what for, by whom, resting on what, and what to know besides."""
    target, evidence = plan.target, list(plan.evidence)
    logged = Counter(str(each.get("action")) for each in plan.audit)
    # What has a structure of its own is shown in tables, or too long for a line.
    asked = {
        name.replace("_", " "): value
        for name, value in plan.parameters.items()
        if value not in (None, [], {}, "")
        and not (isinstance(value, list) and any(isinstance(each, dict) for each in value))
    }
    facts = {
        "Plan": f"{plan.id}, in the file {plan.path.name if state else paths_below([plan.path])[0]}",
        "State": state,
        "Planned by": plan.planned_by,
        "For": f"{target.environment} ({target.kind}): database {target.database}, schema {target.schema}, server {target.system_identifier}",
        "Why": " ".join(plan.reasons),
        "Evidence": "; ".join(evidence[:3]) + (f"; and {len(evidence) - 3:,} more" if evidence[3:] else ""),
        "To know besides": " ".join(plan.notes),
        "Asked for": "; ".join(f"{name} {_value(value)}" for name, value in asked.items()),
        "Audit log": "; ".join(f"{many(count, 'entry', 'entries')} {action}" for action, count in logged.items()),
    }  # fmt: skip
    return {what: said for what, said in facts.items() if said}


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_value(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return {"True": "yes", "False": "no"}.get(str(value), str(value))


def _steps(session: Session, plan: Plan, state: str, findings: Sequence[Finding]) -> list[Step]:
    """Say how to approve, apply, verify and take back a plan, as far as it has come."""
    read, undo = Step("To read it as a page", f"report plan -p plan {plan.id}"), f"undo {plan.id}"
    if state == "applied":
        return [Step("It was applied. To take it back", undo)]
    if state and plan.target != session.target:
        return [Step(f"To look at it where it belongs, on {plan.target.environment}", f"show {plan.id}")]
    if any(each.status == "fail" for each in findings):
        return [read]  # what to do is said beside what was checked
    production, hours = plan.target.kind == "production", session.settings.approval_hours
    second = f", by a second person: {plan.planned_by} planned it" if production else ""
    back = " (it stops at the plan of the way back, which a second person approves)" if production else ""
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


def _target(session: Session, plan: Plan) -> Finding:
    """Tell whether this is the database that the plan was made on."""
    made, here = asdict(plan.target), asdict(session.target)
    differ = [
        f"{name.replace('_', ' ')} {was}, this is {here[name]}"
        for name, was in made.items()
        if was != here[name]
    ]
    return Finding(
        "plan-target",
        "The database it was made for",
        "fail" if differ else "pass",
        len(differ),
        reason=f"It was made for {'; for '.join(differ)}." if differ else "It is.",
        guide="§1.6",
        remedy="Look at it on its own environment (`--environment NAME`), or plan again here.",
        risk="critical",
    )


def _once(plan: Plan, state: str, detail: str) -> Finding:
    """Tell whether the journal in the database knows it."""
    went = state in WENT
    said = f"It was {state}: {detail}." if went else f"The journal does not have it. It is {state}: {detail}."
    return Finding(
        "plan-applied",
        "Applied at most once",
        "fail" if went else "pass",
        int(went),
        pd.DataFrame({"key": [plan.id] * went}),
        said,
        guide="§3",
        remedy="Nothing is applied twice. Plan again if there is more to correct; `workbench undo PLAN` takes back what it did.",
    )


def _left_over(plan: Plan, name: str, title: str, what: str) -> Finding:
    """Tell whether there is anything that somebody has to decide."""
    count = noted(plan, name)
    return Finding(
        {"conflict": "plan-conflicts"}.get(name, f"plan-{name}"),
        title,
        "warn" if count else "pass",
        count,
        reason=f"{count:,} {what}; they are listed below." if count else f"Nothing is {what}.",
        guide="§3",
        remedy="Read each below, and decide; until then it stays as is said beside it.",
        severity="warn",
    )


def _rows(session: Session, plan: Plan) -> Finding:
    """Tell whether the first rows are still as they were; only apply, which keeps others from writing, can tell of all."""
    said = partial(Finding, "plan-rows", "Rows as the plan saw them", guide="§3", remedy=_AGAIN, risk="high")
    seen, different = 0, list[tuple[str, str, str]]()
    with session.reading() as connection:
        try:
            # A question that the database refuses must not silence the others.
            with connection.begin_nested():
                for section in plan.operations:
                    some = list(islice(plan.rows(section), COMPARED))
                    seen += len(some)
                    different += _differing(journal.raw(connection), session.schema.catalogue, section, some)
        except SchemaGap as error:
            return said("fail", 1, reason=error.what)
        except (psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            why = redact(str(error).splitlines()[0])
            return said("not run", reason=f"The database refused the comparison: {why}.")
    told = f"{seen:,} of {plan.total:,} rows were compared with the database"
    if not different:
        return said("pass", 0, reason=f"{told}: each is as the plan saw it.")
    frame = pd.DataFrame(different[:SAMPLE], columns=["key", "table", "reason"])
    key, table, why = different[0]
    more = f", and {len(different) - 1:,} more" if len(different) > 1 else ""
    told = f"{told}: {table} {key} {why}{more}. Apply would refuse the whole plan."
    return said("fail", len(different), frame, told)


def _differing(
    connection: psycopg.Connection[Any], catalogue: Catalogue, section: Section, some: Sequence[Row]
) -> list[tuple[str, str, str]]:
    """Return key, table and reason of each row that is not as the plan saw it."""
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
    now = rows_by_key(connection, catalogue.schema, described, [str(row[place]) for row in some], (), seen)
    different = []
    for row in some:
        found = now.get(key := str(row[place]))
        if section.name == "insert":
            reason = "is there already" if found else ""
        elif found is None:
            reason = "is not there any more"
        else:
            reason = "" if found.digest == row[len(section.key)] else "was changed since"
        different += [(key, section.table, reason)] if reason else []
    return different
