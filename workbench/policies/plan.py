"""Correct what breaks the organisation's rules, where a rule says how and nothing speaks against it (guide §1.5).

What a person changed after the import stays, and is listed; so does what no import is known to have written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import select

from workbench.checks import Look
from workbench.checks.rules import ground
from workbench.errors import UsageError
from workbench.investigate.policies import NoAnswerError, Rule, Rulebook
from workbench.investigate.records import last_writers
from workbench.investigate.traces import TOLERANCE
from workbench.murmurant.importers import POLICY_CORRECTED
from workbench.murmurant.schema import as_text, explain_gap
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.plans.current import current_rows
from workbench.plans.draft import Draft, PlanContext
from workbench.plans.plan import Plan
from workbench.policies.corrections import Change, Wanted, wanted_by

LISTED = 100
"""Records that an audit entry names; the journal has them all."""

_DONE = {"clamp": "lowered to the limit", "swap": "start and end swapped", "hide": "made private"}


def plan_policies(context: PlanContext, look: Look, book: Rulebook, ids: Sequence[str] = ()) -> Plan:
    """Plan the corrections that some rules ask for.

    Parameters
    ----------
    look : Look
        The database, with every run that is known.
    book : Rulebook
        All the rules: a correction that would break another of them is none.
    ids : sequence of str
        Which rules to correct by; all that say how when empty.

    Raises
    ------
    UsageError
        For a rule that is not there, or does not say how to correct.
    Refused
        When there is nothing that can be corrected.
    """
    rules = _correcting(book, ids)
    names = ", ".join(rule.id for rule in rules)
    changes: dict[tuple[str, str], dict[str, Change]] = defaultdict(dict)
    with Draft(
        context,
        "policies",
        parameters={"rules": book.name, "chosen": [rule.id for rule in rules]},
        evidence=[f"rules {book.name}, SHA-256 {book.sha256}"],
        nothing=f"There is nothing to correct by {names}",
        hint="Nothing breaks them.",
    ) as draft:
        if live := sum(run.mode == "live" for run in look.runs):
            draft.evidence.append(f"what {live:,} import runs left, to tell their work from people's")
        for rule in rules:
            try:
                if missing := look.schema.missing(*rule.needs):
                    raise NoAnswerError(" ".join(explain_gap(missing[0])))
                wanted = wanted_by(rule, book, ground(look))
            except NoAnswerError as error:
                draft.hint = f"Rule {rule.id} could not be asked: {error}"
                draft.note(draft.hint)
                continue
            table = look.schema.resolved[wanted.concept].table
            for key, (reason, decided_by) in wanted.doubts.items():
                draft.unresolved(table, key, reason, decided_by)
            keys = _written_by_imports(look, wanted, table, draft)
            for key in keys:
                changes[table, key][f"{rule.fix}{getattr(rule, 'limit', None) or ''}"] = wanted.change
            if keys:
                draft.reasons.append(
                    f"Corrects {len(keys):,} of: {rule.title} ({rule.id}; {_DONE[rule.fix or '']})."
                )
                draft.log(
                    POLICY_CORRECTED,
                    rule=rule.id,
                    fix=rule.fix,
                    rules=book.name,
                    rules_sha256=book.sha256,
                    records_affected=len(keys),
                    records=sorted(keys)[:LISTED],
                )
        for table in sorted({table for table, _ in changes}):
            keys = sorted(key for name, key in changes if name == table)
            for key, row in current_rows(context.raw, look.schema.catalogue, table, keys):
                values = dict(row.values)
                for change in changes[table, key].values():
                    values |= change(values)
                draft.update(table, key, values, row=row)
    return draft.plan


def _correcting(book: Rulebook, ids: Sequence[str]) -> list[Rule]:
    rules = book.choose(list(ids))
    without = [rule for rule in rules if rule.fix is None] if ids else []
    if without:
        raise UsageError(
            f"Rule {without[0].id!r} of {book.name} does not say how to correct.",
            'capacity-limit can have fix = "clamp", end-after-start fix = "swap", visibility fix = "hide".',
        )
    rules = [rule for rule in rules if rule.fix is not None]
    if not rules:
        raise UsageError(
            f"No rule of {book.name} says how to correct.",
            "Write fix = ... into a rule: `workbench policies --starter > policies.toml` shows where.",
        )
    return rules


def _written_by_imports(look: Look, wanted: Wanted, table: str, draft: Draft) -> list[str]:
    """Return the rows that an import wrote last; note the others as kept or unresolved."""
    entity = next((name for name, concept in CONCEPT_OF.items() if concept == wanted.concept), None)
    if entity is None:
        return _older_than_the_last_run(look, wanted, table, draft)
    authors = last_writers(look.connection, look.schema, look.runs, entity, wanted.keys)
    for key in wanted.keys:
        if (author := authors.get(key)) is None:
            why = "nothing tells that an import wrote it; it may be people's own"
            draft.unresolved(table, key, why, "the report file of the run that did (--import-report)")
        elif author.by_people:
            draft.keep(table, key, f"{author.touched_since} changed it after run {author.run.run}")
    return [key for key in wanted.keys if key in authors and not authors[key].by_people]


def _older_than_the_last_run(look: Look, wanted: Wanted, table: str, draft: Draft) -> list[str]:
    """Judge rows that no import writes by their own time: what was written after the last run is a person's."""
    source = look.schema.source(wanted.concept)
    if look.as_of is None or "updated_at" not in source.c:
        why = "nothing tells whether somebody changed it after the import"
        for key in wanted.keys:
            draft.unresolved(table, key, why, "a run's report file (--import-report)")
        return []
    written = select(as_text(source.c.id)).where(source.c.updated_at > look.as_of + TOLERANCE)
    late = {str(key) for (key,) in look.connection.execute(written)}.intersection(wanted.keys)
    for key in sorted(late):
        draft.keep(table, key, "somebody changed it after the last import")
    return [key for key in wanted.keys if key not in late]
