"""A plan explained to the person who approves it: what it would do, whether it still can, its rows, and the next steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from workbench.mappings.queries import fetch
from workbench.mappings.search import records_in_words
from workbench.murmurant.spellings import CONCEPT_OF, CONCEPTS, ENTITIES
from workbench.plans import journal, rows
from workbench.plans.plan import NOTES, OPERATIONS, Plan, Section
from workbench.plans.states import plan_states, plans_in
from workbench.reporting.charts import changes_chart
from workbench.reporting.masking import mask
from workbench.session import Session

QUESTION = "Can this plan be approved as it is?"

COMPARED = 500
"""Rows of each section that are compared with the database; apply compares every one."""

SHOWN = 40
"""Rows shown of each table."""

WENT = ("applied", "undone")
_VERBS = {"delete": "deletes", "update": "changes", "insert": "adds"}
_APPLIED = ["plan", "digest", "kind", "state", "changes", "approved_by", "applied_by", "at", "undone_by"]
_NOTES = {
    "because": ("reason", "What the changes are based on"),
    "kept": ("kept", "Rows that are kept"),
    "conflicts": ("conflict", "Conflicts"),
    "unresolved": ("unresolved", "Undecided rows"),
}
"""The notes of a plan: their kind in the file, and the caption of their table."""

_TITLES = {"table": "record", "run": "after_import", "resolved_by": "what_would_decide_it"}
_VALUES = {"now", "would_be", "before", "after_import"}  # columns whose ids are explained
_ENTITIES = {CONCEPT_OF[entity]: entity for entity in ENTITIES}
_LOOKUPS = {
    "mappings": "SELECT id::text AS key, entity_type, wa_id FROM mappings WHERE id = ANY (%(keys)s::ids)",
    "tiers": "SELECT id::text AS key, code FROM tiers WHERE id = ANY (%(keys)s::ids)",
    "statuses": "SELECT id::text AS key, code FROM statuses WHERE id = ANY (%(keys)s::ids)",
}
_ORDER = (*_ENTITIES, *_LOOKUPS, "sync_state")
_CONCEPTS = {table: concept for concept in _ORDER for table in CONCEPTS[concept].tables}
_UPDATED_AT = {real for concept in CONCEPTS.values() for real in concept.columns.get("updated_at", ())}
# A word with three digits is an id, a number or a run. Possessive quantifiers, so that no text takes long.
_IDS_IN_TEXT = re.compile(r"(?<![\w-])(?:[A-Za-z_-]*+\d){3}+[\w-]*+")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Review:
    """A plan, compared with the database.

    Attributes
    ----------
    state, detail : str
        What became of it (see `workbench.plans.states.plan_states`), by whom and when.
    here : bool
        Whether it was made for this database.
    answer : Answer
        The explanation, whose findings decide whether it can be approved.
    """

    plan: Plan
    state: str
    detail: str
    here: bool
    answer: Answer

    @property
    def findings(self) -> Sequence[Finding]:
        """The findings that decide whether it can be approved."""
        return self.answer.findings

    @property
    def refused(self) -> bool:
        """Whether it cannot be applied, even if approved."""
        return any(finding.status == "fail" for finding in self.findings)

    @property
    def facts(self) -> dict[str, Any]:
        """What the JSON verdict says about the plan."""
        notes = {"kept": "kept", "conflicts": "conflict", "unresolved": "unresolved"}
        facts = {name: getattr(self.plan, name) for name in ("digest", "kind", "changes")}
        counts = {name: _count(self.plan, note) for name, note in notes.items()}
        return {"plan": self.plan.id, "state": self.state, **facts, **counts}


def review_plan(session: Session, name: str) -> Review:
    """Compare a plan with the database, without applying it.

    Parameters
    ----------
    name : str
        The plan's id, an unambiguous beginning of it, or its file's path.

    Raises
    ------
    UsageError
        If there is no such plan.
    DocumentError, Refused
        If its file was cut short or altered.
    """
    plan, environment = plans_in(session.settings).find(name), session.environment.name
    with session.reading() as connection:
        states = plan_states(raw(connection), session.settings, environment).set_index("plan")
    state = str(states["state"].get(plan.id, "planned"))
    elsewhere = f"by {plan.planned_by}; it is not among the plans of {environment}"
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
    """Explain a plan: a sentence, the rows with old and new values, what it leaves alone, and the next steps.

    Parameters
    ----------
    state, detail, findings
        What became of it and whether it can be approved, if known: see `review_plan`.
    more
        Further facts for the JSON.
    """
    checked = [(finding.status, finding.title, finding.reason) for finding in findings]
    refusals = [finding.reason for finding in findings if finding.status == "fail"]
    changes, unmask = changed_rows(plan), session.shows_people
    parts: dict[str, Part] = {
        "plan": _summary(plan, f"{state}, {detail}" if state else ""),
        "checked": Table(pd.DataFrame(checked, columns=["status", "check", "found"]), "Checks", ""),
        "drawn": partial(changes_chart, changes),
        "changes": Table(changes, "Changes", "nothing"),
        **_row_tables(session, plan),
        "conservation": _conservation(plan),
        "digest": f"Digest  {plan.digest}",
    }
    names = ("id", "digest", "changes", "kept", "unresolved", "notes")
    facts: dict[str, Any] = {name: getattr(plan, name) for name in names}
    conflicts = pd.DataFrame(plan.conflicts, columns=list(NOTES["conflict"]), dtype=object)
    facts |= {
        "plan": str(plan.path),
        "reasons": plan.because,
        "conflicts": mask(conflicts, unmask).to_dict("records"),
    }
    steps = [] if refusals and state not in WENT else _steps(session, plan, state)
    sentence = " ".join([plan_sentence(plan), *refusals])
    return Answer(
        sentence, parts, findings, steps, facts | more, environment=plan.target.environment, unmask=unmask
    )


def plan_sentence(plan: Plan) -> str:
    """Say in one sentence what a plan would do."""
    opening = " ".join(plan.reasons).rstrip(".") or f"A plan of the kind {plan.kind}"
    if plan.kind == "rollback":
        opening = f"Rolls back run {plan.parameters.get('run')}"
    elif plan.kind == "undo":
        opening = f"Undoes plan {plan.parameters.get('plan')}"
    changes, parts = changed_rows(plan), list[str]()
    for operation in OPERATIONS:
        counts = changes[changes["operation"] == operation].set_index("table")["rows"].items()
        nouns = [many(count, _noun(str(table))) for table, count in counts]
        if nouns:
            parts.append(
                f"{_VERBS[operation]} {' and '.join(filter(None, [', '.join(nouns[:-1]), nouns[-1]]))}"
            )
    kept, conflicts, unresolved = (_count(plan, note) for note in ("kept", "conflict", "unresolved"))
    parts += [f"leaves {many(kept, 'row')} alone"] if kept else []
    parts += [many(conflicts, "conflict")] if conflicts else []
    parts += [f"{unresolved:,} undecided"] if unresolved else []
    return f"{opening}: {'; '.join(parts) or 'changes nothing'}."


def changed_rows(plan: Plan) -> pd.DataFrame:
    """Count what a plan changes: ``table``, ``operation``, ``rows``; members, events and registrations first."""
    tables = sorted(plan.changes.items(), key=lambda item: (_rank(item[0]), item[0]))
    counts = [(table, name, cells[name]) for table, cells in tables for name in OPERATIONS if cells.get(name)]
    return pd.DataFrame(counts, columns=["table", "operation", "rows"])


def approval_command(plan: Plan) -> str:
    """Return the command that approves exactly this plan, without its environment."""
    target = plan.target
    confirm = f" --as NAME --confirm {quote(target.environment)}" if target.kind == "production" else ""
    return f"approve {plan.id} --digest {plan.digest}{confirm}"


def applied_plans(session: Session) -> Answer:
    """List the plans that were applied to this database, from its journal; the latest first."""
    with session.reading() as connection:
        entries = journal.entries(raw(connection))
    frame = pd.DataFrame(
        [
            {
                **vars(entry),
                "state": "undone" if entry.undone_by else "applied",
                "changes": entry.total,
                "at": entry.at,
            }
            for entry in entries
        ],
        columns=_APPLIED,
    )
    table = Table(frame.drop(columns="digest").iloc[::-1], "Plans applied here", "none yet", limit=SHOWN)
    facts = {"plans": frame[["plan", "digest", "state"]].to_dict("records")}
    return Answer(parts={"applied": table}, facts=facts, unmask=session.shows_people)


def _summary(plan: Plan, state: str) -> dict[str, str]:
    """Describe a plan: purpose, author, evidence, target."""
    target, evidence = plan.target, list(plan.evidence)
    logged = Counter(str(entry.get("action")) for entry in plan.audit)
    parameters = [(name.replace("_", " "), _value(value)) for name, value in plan.parameters.items()]
    facts = {
        "Plan": f"{plan.id}, in the file {plan.path.name if state else paths_below([plan.path])[0]}",
        "State": state,
        "Planned by": plan.planned_by,
        "For": f"{target.environment} ({target.kind}): database {target.database}, schema {target.schema}",
        "Why": " ".join(plan.reasons),
        "Evidence": "; ".join(evidence[:3]) + (f"; and {len(evidence) - 3:,} more" if evidence[3:] else ""),
        "Notes": " ".join(plan.notes),
        "Parameters": "; ".join(f"{name} {text}" for name, text in parameters if text),
        "Audit log": "; ".join(
            f"{many(count, 'entry', 'entries')} {action}" for action, count in logged.items()
        ),
    }
    return {title: fact for title, fact in facts.items() if fact}


def _value(value: Any) -> str:
    """Write a parameter as text; nothing for one that was not given or is a table."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_value(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return "" if any(isinstance(item, dict) for item in value) else ", ".join(map(str, value))
    return {"True": "yes", "False": "no", "None": ""}.get(str(value), str(value))


def _conservation(plan: Plan) -> Table:
    """Show that the merged records keep all rows that refer to them, or why not."""
    counts = plan.parameters.get("conservation") or []
    why = " ".join(
        f"{row['table']}, {row['deleted']:,} deleted: {row['why']}." for row in counts if row["why"]
    )
    frame = pd.DataFrame(counts).drop(columns="why", errors="ignore")
    return Table(frame, "Rows that refer to the merged records, before and after", "", note=why)


def _steps(session: Session, plan: Plan, state: str) -> list[Step]:
    """Return the next steps with a plan."""
    undo = f"undo {plan.id}"
    if state == "applied":
        return [Step("It was applied. To undo it", undo)]
    if state == "undone":
        return []
    production, hours = plan.target.kind == "production", session.settings.approval_hours
    second = f", by a second person: {plan.planned_by} planned it" if production else ""
    back = " (a second person has to approve that)" if production else ""
    return [
        Step("To read it as a page", f"report plan -p plan {plan.id}"),
        Step(f"To approve it{second}; valid once, for {hours:g} hours", approval_command(plan)),
        Step("To apply it", f"apply {plan.id}"),
        Step("To verify the result", "report post-recovery"),
        Step(f"To undo it{back}", undo),
    ]


# --- Can it be approved? ---


def _findings(session: Session, plan: Plan, state: str, detail: str) -> list[Finding]:
    """Check whether a plan can be approved."""
    here = asdict(session.target)
    differences = [
        f"{name.replace('_', ' ')} {value}, this is {here[name]}"
        for name, value in asdict(plan.target).items()
        if value != here[name]
    ]
    reason = f"It was made for {'; for '.join(differences)}." if differences else "Yes."
    remedy = "Use its own environment (`--environment NAME`), or plan again here."
    title = "Made for this database"
    findings = [_finding("target", title, len(differences), reason, remedy, guide="§1.6", risk="critical")]
    went = state in WENT
    reason = f"It was {state}: {detail}." if went else f"Not yet: it is {state} {detail}."
    remedy = (
        "A plan is applied once. Plan again if there is more to correct; `workbench undo PLAN` undoes it."
    )
    findings.append(_finding("applied", "Not applied before", int(went), reason, remedy))
    if not differences and not went:
        count, reason, changed = _compared(session, plan)
        remedy = "Plan again, to take the current state into account."
        findings.append(
            _finding(
                "rows", "Rows unchanged since it was made", count, reason, remedy, rows=changed, risk="high"
            )
        )
    for note, name, title, words in (
        ("conflict", "conflicts", "Conflicts with later changes", "in conflict"),
        ("unresolved", "unresolved", "Undecided rows", "undecided"),
    ):
        count = _count(plan, note)
        reason = f"{count:,} {words}; they are listed below." if count else f"Nothing is {words}."
        remedy = "Read and decide each one; until then it stays as it is."
        findings.append(_finding(name, title, count, reason, remedy, severity="warn"))
    return findings


def _finding(name: str, title: str, count: int | None, reason: str, remedy: str, **how: Any) -> Finding:
    status: Status = "not run" if count is None else how.get("severity", "fail") if count else "pass"
    how = {"guide": "§3", "remedy": remedy, **how}
    return Finding(f"plan-{name}", title, status, count, reason=reason, **how)


def _compared(session: Session, plan: Plan) -> tuple[int | None, str, pd.DataFrame]:
    """Compare the first rows of each section with the database."""
    total, changed, sample = 0, list[tuple[str, str, str]](), pd.DataFrame()
    with session.reading() as connection:
        try:
            with connection.begin_nested():  # later queries work even if this one fails
                for section in plan.operations:
                    total += min(section.rows, COMPARED)
                    changed += _changed(session, raw(connection), plan, section)
        except SchemaGap as error:
            return 1, error.what, sample
        except (psycopg.DataError, psycopg.errors.InsufficientPrivilege) as error:
            return None, f"The database refused the comparison: {redact(str(error).splitlines()[0])}.", sample
    compared = f"{total:,} of {plan.total:,} rows were compared with the database"
    if not changed:
        return 0, f"{compared}; none has changed.", sample
    key, table, reason = changed[0]
    more = f", and {len(changed) - 1:,} more" if len(changed) > 1 else ""
    sample = pd.DataFrame(changed[:SAMPLE], columns=["key", "table", "reason"])
    return len(changed), f"{compared}: {table} {key} {reason}{more}. Apply would refuse the plan.", sample


def _changed(
    session: Session, connection: psycopg.Connection[Any], plan: Plan, section: Section
) -> list[tuple[str, str, str]]:
    """Return key, table and reason of the first rows of a section that have changed since the plan was made."""
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
    if inserted:
        return [(name, section.table, "already exists") for name in planned if name in current]
    deleted = [(name, section.table, "no longer exists") for name in planned if name not in current]
    return deleted + [
        (name, section.table, "was changed since")
        for name, old in planned.items()
        if name in current and current[name].digest != old
    ]


# --- Its rows, with names ---


def _row_tables(session: Session, plan: Plan) -> dict[str, Table]:
    """Return the rows of a plan as tables; ids are explained if it was made for this database."""
    tables = {"rows": _change_table(plan), **{part: _note_table(plan, part) for part in _NOTES}}
    wanted: dict[str, set[str]] = {concept: set() for concept in _ORDER}
    for table in tables.values():
        for name, key in zip(table.frame["record"], table.frame["key"], strict=True):
            wanted.setdefault(_CONCEPTS.get(name, ""), set()).add(key)
        values = {value for name in _VALUES & {*table.frame} for value in table.frame[name]}
        ids = {value for value in values if value and _UUID.fullmatch(value)}
        for concept in (*_ENTITIES, "tiers", "statuses"):
            wanted[concept] |= ids
    words = _words(session, plan, wanted)
    for table in tables.values():
        frame = table.frame
        for name in _VALUES & {*frame}:
            frame[name] = [f"{words[value]} ({value})" if value in words else value for value in frame[name]]
        known = frame["key"].map(lambda key: f": {words[key]}" if words.get(key) else "")
        frame["record"] = frame["record"] + known
    return tables


def _change_table(plan: Plan) -> Table:
    """List what a plan deletes, changes (with old and new values) and adds; some rows of each section."""
    sections = sorted(
        plan.operations, key=lambda section: (_rank(section.table), OPERATIONS.index(section.name))
    )
    quota = max(SHOWN // max(len(sections), 1), 1)
    lines = [line for section in sections for line in islice(_change_lines(plan, section), quota)]
    columns = ["change", "record", "column", "now", "would_be", "key"]
    frame = pd.DataFrame(lines, columns=columns, dtype=object)
    frame = frame.drop(columns=[name for name in columns[2:5] if frame[name].isna().all()])
    total = sum(section.rows * len(_shown_columns(section)) for section in sections)
    return Table(frame, "Changes, row by row", "", ("change", "record", "now", "would_be"), SHOWN, total)


def _change_lines(plan: Plan, section: Section) -> Iterator[tuple[str | None, ...]]:
    change = {"delete": "deleted", "update": "changed", "insert": "added"}[section.name]
    for row in plan.rows(section):
        cells = dict(zip(section.columns, row, strict=True))
        for column in _shown_columns(section):
            key = "/".join(str(cells[name]) for name in section.key)
            yield change, section.table, column, cells.get(f"old {column}"), cells.get(f"new {column}"), key


def _shown_columns(section: Section) -> tuple[str | None, ...]:
    """Return the changed columns; the time of the last change only if there is no other."""
    if section.name != "update":
        return (None,)
    return tuple(name for name in section.changed if name not in _UPDATED_AT) or section.changed


def _note_table(plan: Plan, part: str) -> Table:
    """List notes of one kind, some of each reason; below, how many there are of each."""
    name, caption = _NOTES[part]
    notes = pd.DataFrame(getattr(plan, part), columns=list(NOTES[name]), dtype=object).rename(columns=_TITLES)
    notes = notes[[*notes.columns.drop("key"), "key"]]
    reasons = notes["record"] + ": " + notes["reason"].astype(str).str.replace(_IDS_IN_TEXT, "…", regex=True)
    counts = reasons.value_counts()
    lines = [f"{many(count, 'row')} of {reason}" for reason, count in counts.head(10).items()]
    quota = max(SHOWN // max(len(counts), 1), 1)
    frame = notes.groupby(reasons, sort=False).head(quota).head(SHOWN).reset_index(drop=True)
    note = "\n".join(lines) if len(notes) > SHOWN else ""
    return Table(frame, caption, "", ("record", "column", "now", "reason"), SHOWN, len(notes), note)


def _words(session: Session, plan: Plan, wanted: dict[str, set[str]]) -> dict[str, str]:
    """Describe ids: a person, an event, the WA id of a mapping, the code of a tier or status."""
    added, words = _added(plan), dict[str, str]()
    with session.reading() as connection:
        for concept, keys in wanted.items():
            facts = {key: added[key] for key in sorted(keys & added.keys())}
            rest = sorted(keys - added.keys()) if plan.target == session.target else []
            if rest and concept in _ENTITIES:
                facts |= records_in_words(connection, session.schema, _ENTITIES[concept], rest)
            elif rest and concept in _LOOKUPS:
                looked_up = fetch(connection, session.schema, _LOOKUPS[concept], keys=rest)
                facts |= {row.key: row._asdict() for row in looked_up}
            shown = mask(pd.DataFrame(list(facts.values()), dtype=object), session.shows_people)
            for key, row in zip(facts, shown.to_dict("records"), strict=True):
                words[key] = _in_words(
                    {str(name): value for name, value in row.items() if not pd.isna(value)}
                )
    return words


def _added(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the first members, events and registrations that a plan adds, by canonical column names."""
    added: dict[str, dict[str, Any]] = {}
    for section in plan.operations:
        concept = _CONCEPTS.get(section.table, "")
        if section.name == "insert" and concept in _ENTITIES:
            canonical = {real: name for name, reals in CONCEPTS[concept].columns.items() for real in reals}
            for row in islice(plan.rows(section), SHOWN):
                cells = dict(zip(section.columns, row, strict=True))
                key = "/".join(str(cells[name]) for name in section.key)
                added[key] = {canonical[real]: value for real, value in cells.items() if real in canonical}
    return added


def _in_words(facts: dict[str, Any]) -> str:
    if "wa_id" in facts and "entity_type" in facts:
        return f"{facts['entity_type']} with WA id {facts['wa_id']}"
    person = " ".join(str(facts[name]) for name in ("first_name", "last_name") if name in facts)
    return ", ".join(filter(None, [person, *map(facts.get, ("email", "title", "code"))]))


def _count(plan: Plan, name: str) -> int:
    return sum(section.rows for section in plan.sections if section.name == name)


def _noun(table: str) -> str:
    concept = _CONCEPTS.get(table, "")
    return (
        f"{table} row"
        if concept in ("", "tiers", "statuses")
        else concept.removesuffix("s").replace("_", " ")
    )


def _rank(table: str) -> int:
    """Order tables: members, events, registrations, mappings, then the rest."""
    return _ORDER.index(_CONCEPTS[table]) if table in _CONCEPTS else len(_ORDER)
