"""A plan told to whoever approves it: what it would do, whether it can be approved, its rows, and how to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from shlex import quote
from typing import Any

import pandas as pd
import psycopg

from workbench.answer import Answer, Part, Step, Table, many
from workbench.checks.finding import SAMPLE, Finding, Status
from workbench.database.address import redact
from workbench.database.connection import raw
from workbench.errors import SchemaGap
from workbench.hints import paths_below
from workbench.murmurant.spellings import CONCEPTS
from workbench.plans import journal, rows
from workbench.plans.plan import NOTES, OPERATIONS, Plan, Section
from workbench.plans.states import plan_states, plans_in
from workbench.reporting.masking import mask
from workbench.reporting.plan_rows import changed_rows, noted, row_tables
from workbench.session import Session

QUESTION = "Can this plan be approved as it is?"

COMPARED = 500
"""Rows of each section that are compared with the database; apply compares every one."""

WENT = ("applied", "undone")
_NOUNS = {
    table: concept.removesuffix("s").replace("_", " ")
    for concept in ("members", "events", "registrations", "mappings", "sync_state")
    for table in CONCEPTS[concept].tables
}
_VERBS = {"delete": "deletes", "update": "changes", "insert": "adds"}
_APPLIED = ["plan", "digest", "kind", "state", "changes", "approved_by", "applied_by", "at", "undone_by"]


@dataclass(frozen=True)
class Review:
    """A plan, looked at beside the database.

    Attributes
    ----------
    state, detail : str
        What became of it (see `workbench.plans.states.STATES`), by whom and when.
    here : bool
        Whether this is the database that the plan was made on.
    answer : Answer
        All of it, for every surface; its findings decide whether it can be approved.
    """

    plan: Plan
    state: str
    detail: str
    here: bool
    answer: Answer

    @property
    def findings(self) -> Sequence[Finding]:
        """What decides whether it can be approved; `reason` says why."""
        return self.answer.findings

    @property
    def refused(self) -> bool:
        """Whether it cannot be applied here, whoever approves it."""
        return any(finding.status == "fail" for finding in self.findings)

    @property
    def facts(self) -> dict[str, Any]:
        """What a machine wants to know of the plan besides the verdict."""
        notes = {"kept": "kept", "conflicts": "conflict", "unresolved": "unresolved"}
        facts = {name: getattr(self.plan, name) for name in ("digest", "kind", "changes")}
        counts = {name: noted(self.plan, note) for name, note in notes.items()}
        return {"plan": self.plan.id, "state": self.state, **facts, **counts}


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
    plan, environment = plans_in(session.settings).find(name), session.environment.name
    with session.reading() as connection:
        states = plan_states(raw(connection), session.settings, environment).set_index("plan")
    elsewhere = f"by {plan.planned_by}; it is not among the plans of {environment}"
    state = str(states["state"].get(plan.id, "planned"))
    detail = str(states["detail"].get(plan.id, elsewhere))
    answer = explain(session, plan, state, detail, _findings(session, plan, state, detail))
    return Review(plan, state, detail, plan.target == session.target, answer)


def explain(
    session: Session,
    plan: Plan,
    state: str = "",
    detail: str = "",
    findings: Sequence[Finding] = (),
    **more: Any,
) -> Answer:
    """Explain a plan: in a sentence, the rows with old and new values, what is left alone, and how to go on.

    Parameters
    ----------
    state, detail, findings
        What became of it, and what decides whether it can be approved, where that was asked: see `review_plan`.
    more
        What machines are told besides.
    """
    judged = [(finding.status, finding.title, finding.reason) for finding in findings]
    refusals = [finding.reason for finding in findings if finding.status == "fail"]
    changes = changed_rows(plan)
    parts: dict[str, Part] = {
        "plan": _summary(plan, f"{state}, {detail}" if state else ""),
        "checked": Table(pd.DataFrame(judged, columns=["status", "check", "found"]), "What was checked", ""),
        "drawn": partial(_drawn, changes),
        "changes": Table(changes, "What changes", "nothing"),
        **row_tables(session, plan),
        "conservation": _conservation(plan),
        "digest": f"Digest  {plan.digest}",
    }
    conflicts = pd.DataFrame(plan.conflicts, columns=list(NOTES["conflict"]), dtype=object)
    facts: dict[str, Any] = {"plan": str(plan.path), "reasons": plan.because}
    facts |= {
        name: getattr(plan, name) for name in ("id", "digest", "changes", "kept", "unresolved", "notes")
    }
    facts |= {"conflicts": mask(conflicts, session.shows_people).to_dict("records"), **more}
    return Answer(
        " ".join([plan_sentence(plan), *refusals]),
        parts,
        findings,
        [] if refusals and state not in WENT else _steps(session, plan, state),
        facts,
        environment=plan.target.environment,
        unmask=session.shows_people,
    )


def plan_sentence(plan: Plan) -> str:
    """Say in one sentence what a plan would do."""
    opening = " ".join(plan.reasons).rstrip(".") or f"A plan of the kind {plan.kind}"
    if plan.kind == "rollback":
        opening = f"Rolls back run {plan.parameters.get('run')}"
    elif plan.kind == "undo":
        opening = f"Takes back plan {plan.parameters.get('plan')}"
    changes, parts = changed_rows(plan), list[str]()
    for operation in OPERATIONS:
        counts = changes[changes["operation"] == operation].set_index("table")["rows"].items()
        nouns = [many(count, _NOUNS.get(str(table), f"{table} row")) for table, count in counts]
        listed = " and ".join(filter(None, [", ".join(nouns[:-1]), *nouns[-1:]]))
        parts += [f"{_VERBS[operation]} {listed}"] if nouns else []
    kept, conflicts, unresolved = (noted(plan, note) for note in ("kept", "conflict", "unresolved"))
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
        entries = journal.entries(raw(connection))
    rows = [
        {
            **vars(entry),
            "state": "undone" if entry.undone_by else "applied",
            "changes": entry.total,
            "at": entry.at,
        }
        for entry in entries
    ]
    frame = pd.DataFrame(rows, columns=_APPLIED)
    table = Table(frame.drop(columns="digest").iloc[::-1], "Plans applied here", "none yet", limit=40)
    facts = {"plans": frame[["plan", "digest", "state"]].to_dict("records")}
    return Answer(parts={"applied": table}, facts=facts, unmask=session.shows_people)


def _summary(plan: Plan, state: str) -> dict[str, str]:
    """Tell what a plan is: what for, by whom, resting on what, and what to know besides."""
    target, evidence = plan.target, list(plan.evidence)
    logged = Counter(str(entry.get("action")) for entry in plan.audit)
    asked = {name.replace("_", " "): _value(value) for name, value in plan.parameters.items()}
    facts = {
        "Plan": f"{plan.id}, in the file {plan.path.name if state else paths_below([plan.path])[0]}",
        "State": state,
        "Planned by": plan.planned_by,
        "For": f"{target.environment} ({target.kind}): database {target.database}, schema {target.schema}, server {target.system_identifier}",
        "Why": " ".join(plan.reasons),
        "Evidence": "; ".join(evidence[:3]) + (f"; and {len(evidence) - 3:,} more" if evidence[3:] else ""),
        "Also": " ".join(plan.notes),
        "Asked for": "; ".join(f"{name} {value}" for name, value in asked.items() if value),
        "Audit log": "; ".join(f"{many(count, 'entry', 'entries')} {action}" for action, count in logged.items()),
    }  # fmt: skip
    return {title: fact for title, fact in facts.items() if fact}


def _value(value: Any) -> str:
    """Write a parameter for people; nothing for one that was not given, or that is a table."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_value(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return "" if any(isinstance(item, dict) for item in value) else ", ".join(map(str, value))
    return {"True": "yes", "False": "no", "None": ""}.get(str(value), str(value))


def _conservation(plan: Plan) -> Table:
    """Prove that what referred to the records concerned still does, or say why not."""
    counts = plan.parameters.get("conservation") or []
    why = " ".join(
        f"{row['table']}, {row['deleted']:,} deleted: {row['why']}." for row in counts if row["why"]
    )
    frame = pd.DataFrame(counts).drop(columns="why", errors="ignore")
    return Table(frame, "Rows that refer to the records concerned, before and after", "", note=why)


def _steps(session: Session, plan: Plan, state: str) -> list[Step]:
    """Say how to approve, apply, verify and take back a plan, as far as it has come."""
    undo = f"undo {plan.id}"
    if state == "applied":
        return [Step("It was applied. To take it back", undo)]
    if state == "undone":
        return []
    production, hours = plan.target.kind == "production", session.settings.approval_hours
    second = f", by a second person: {plan.planned_by} planned it" if production else ""
    back = " (it stops at the plan of the undo, which a second person approves)" if production else ""
    return [
        Step("To read it as a page", f"report plan -p plan {plan.id}"),
        Step(f"To approve exactly this{second}; it holds once, for {hours:g} hours", approval_command(plan)),
        Step("To apply it, whole or not at all", f"apply {plan.id}"),
        Step("To verify what it did", "report post-recovery"),
        Step(f"To take it back{back}", undo),
    ]


def _drawn(changes: pd.DataFrame) -> Any:
    from workbench.reporting.charts import changes_chart

    return changes_chart(changes)


def _findings(session: Session, plan: Plan, state: str, detail: str) -> list[Finding]:
    """Return what decides whether a plan can be approved."""
    here, again = asdict(session.target), "Plan again: the new plan will see what is there now."
    differences = [
        f"{name.replace('_', ' ')} {value}, this is {here[name]}"
        for name, value in asdict(plan.target).items()
        if value != here[name]
    ]
    reason = f"It was made for {'; for '.join(differences)}." if differences else "It is."
    remedy = "Look at it on its own environment (`--environment NAME`), or plan again here."
    title = "The database it was made for"
    target = _finding("target", title, len(differences), reason, remedy, guide="§1.6", risk="critical")
    went = state in WENT
    reason = (
        f"It was {state}: {detail}." if went else f"The journal does not have it. It is {state}: {detail}."
    )
    remedy = "Nothing is applied twice. Plan again if there is more to correct; `workbench undo PLAN` takes back what it did."
    findings = [target, _finding("applied", "Applied at most once", int(went), reason, remedy)]
    if not differences and not went:
        count, reason, changed = _compared(session, plan)
        title = "Rows as the plan saw them"
        findings.append(_finding("rows", title, count, reason, again, rows=changed, risk="high"))
    for note, name, title, words in (
        ("conflict", "conflicts", "Conflicts with what others wrote", "in conflict"),
        ("unresolved", "unresolved", "Rows left undecided", "undecided"),
    ):
        count = noted(plan, note)
        reason = f"{count:,} {words}; they are listed below." if count else f"Nothing is {words}."
        remedy = "Read each below, and decide; until then it stays as it is."
        findings.append(_finding(name, title, count, reason, remedy, severity="warn"))
    return findings


def _finding(name: str, title: str, count: int | None, reason: str, remedy: str, **how: Any) -> Finding:
    status: Status = "not run" if count is None else how.get("severity", "fail") if count else "pass"
    how = {"guide": "§3", "remedy": remedy, **how}
    return Finding(f"plan-{name}", title, status, count, reason=reason, **how)


def _compared(session: Session, plan: Plan) -> tuple[int | None, str, pd.DataFrame]:
    """Compare the first rows with the database; only apply, which keeps others from writing, can compare them all."""
    total, changed, sample = 0, list[tuple[str, str, str]](), pd.DataFrame()
    with session.reading() as connection:
        try:
            # A question that the database refuses must not silence the others.
            with connection.begin_nested():
                for section in plan.operations:
                    total += min(section.rows, COMPARED)
                    changed += _changed(session, raw(connection), plan, section)
        except SchemaGap as error:
            return 1, error.what, sample
        except (psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            return None, f"The database refused the comparison: {redact(str(error).splitlines()[0])}.", sample
    compared = f"{total:,} of {plan.total:,} rows were compared with the database"
    if not changed:
        return 0, f"{compared}: each is as the plan saw it.", sample
    key, table, reason = changed[0]
    more = f", and {len(changed) - 1:,} more" if len(changed) > 1 else ""
    sample = pd.DataFrame(changed[:SAMPLE], columns=["key", "table", "reason"])
    return (
        len(changed),
        f"{compared}: {table} {key} {reason}{more}. Apply would refuse the whole plan.",
        sample,
    )


def _changed(
    session: Session, connection: psycopg.Connection[Any], plan: Plan, section: Section
) -> list[tuple[str, str, str]]:
    """Return key, table and reason of each of the first rows that is not as the plan saw it."""
    catalogue = session.schema.catalogue
    described = rows.table_of(catalogue, section.table)
    gone = sorted({*section.key, *section.seen, *section.changed} - described.columns.keys())
    if gone or section.key != described.primary_key:
        what = ", ".join(gone) or "primary key"
        raise SchemaGap(
            f'The table "{section.table}" has changed its columns or key since the plan was made ({what}).',
            "Plan again.",
        )
    inserted, key = section.name == "insert", section.columns.index(rows.key_of(described))
    digest = None if inserted else rows.digest(described, section.seen, "t")
    seen = 0 if inserted else len(section.key)
    planned = {str(row[key]): row[seen] for row in islice(plan.rows(section), COMPARED)}
    current = rows.rows_by_key(connection, catalogue.schema, described, planned, (), digest)
    changed = []
    for name, old in planned.items():
        if inserted:
            reason = "is there already" if name in current else ""
        elif name not in current:
            reason = "is not there any more"
        else:
            reason = "was changed since" if current[name].digest != old else ""
        if reason:
            changed.append((name, section.table, reason))
    return changed
