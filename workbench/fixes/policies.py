"""Correct what breaks the organisation's rules, where a rule says how and nothing speaks against it (guide §1.5).

What a person changed after the import stays, and is listed; so does what no import is known to have written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from workbench.checks import Look
from workbench.checks.rules import ground
from workbench.documents import Target
from workbench.errors import Refused, UsageError
from workbench.fixes.authors import last_authors
from workbench.fixes.ledger import Ledger
from workbench.fixes.obvious import Change, Wanted, wanted_by
from workbench.fixes.writing import write_plan
from workbench.investigate.policies import NoAnswerError, Rule, Rulebook
from workbench.investigate.traces import TOLERANCE
from workbench.murmurant.importers import POLICY_CORRECTED
from workbench.murmurant.references import References
from workbench.murmurant.schema import as_text, explain_gap
from workbench.murmurant.spellings import CONCEPT_OF
from workbench.plans.current import current_rows
from workbench.plans.drafting import Updates
from workbench.plans.journal import raw
from workbench.plans.plan import Header, Plan

KIND = "policies"
LISTED = 100
"""Records that an audit entry names; the journal has them all."""

_DONE = {"clamp": "lowered to the limit", "swap": "start and end swapped", "hide": "made private"}


@dataclass
class _Draft:
    """What is wanted of each row, by the rules that want it, before it becomes a plan."""

    changes: dict[tuple[str, str], dict[str, Change]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, list[str]] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)


def plan_policies(
    look: Look, book: Rulebook, ids: Sequence[str], *, target: Target, planned_by: str, folder: Path
) -> Plan:
    """Plan the corrections that some rules ask for.

    Parameters
    ----------
    look : Look
        The database, with every run that is known.
    book : Rulebook
        All the rules: a correction that would break another of them is none.
    ids : sequence of str
        Which rules to correct by; all that say how when empty.
    folder : Path
        Where the plan file is written.

    Raises
    ------
    UsageError
        For a rule that is not there, or does not say how to correct.
    Refused
        When there is nothing that can be corrected.
    """
    rules = _correcting(book, ids)
    draft = _Draft()
    for rule in rules:
        _want(look, book, rule, draft)
    # Two rules may leave the same row alone for the same reason.
    draft.ledger.kept = list(dict.fromkeys(draft.ledger.kept))
    draft.ledger.unresolved = list(dict.fromkeys(draft.ledger.unresolved))
    with Updates() as updates:
        _note_updates(look, draft, updates)
        if not updates.total:
            raise _nothing_to_change(rules, draft.ledger)
        counts = {rule.id: len(draft.rows.get(rule.id, ())) for rule in rules}
        header = Header(
            kind=KIND,
            parameters={"rules": book.name, "chosen": [each.id for each in rules]},
            reasons=tuple(
                f"Corrects {counts[each.id]:,} of: {each.title} ({each.id}; {_DONE[each.fix or '']})."
                for each in rules
                if counts[each.id]
            ),
            target=target,
            planned_by=planned_by,
            evidence=(f"rules {book.name}, SHA-256 {book.sha256}", *_runs_known(look)),
            notes=tuple(draft.ledger.notes),
            audit=tuple(_entry(book, each, draft.rows[each.id]) for each in rules if counts[each.id]),
        )
        return write_plan(look.connection, References(look.schema), header, draft.ledger, updates, folder)


def _correcting(book: Rulebook, ids: Sequence[str]) -> list[Rule]:
    rules = book.choose(list(ids))
    without = [each for each in rules if each.fix is None] if ids else []
    if without:
        raise UsageError(
            f"Rule {without[0].id!r} of {book.name} does not say how to correct.",
            'capacity-limit can have fix = "clamp", end-after-start fix = "swap", visibility fix = "hide".',
        )
    rules = [each for each in rules if each.fix is not None]
    if not rules:
        raise UsageError(
            f"No rule of {book.name} says how to correct.",
            "Write fix = ... into a rule: `workbench policies --starter > policies.toml` shows where.",
        )
    return rules


def _want(look: Look, book: Rulebook, rule: Rule, draft: _Draft) -> None:
    """Note what one rule wants, less what is people's work."""
    missing = look.schema.missing(*rule.needs)
    try:
        if missing:
            raise NoAnswerError(" ".join(explain_gap(missing[0])))
        wanted = wanted_by(rule, book, ground(look))
    except NoAnswerError as error:
        draft.ledger.notes.append(f"Rule {rule.id} could not be asked: {error}")
        return
    table = look.schema.resolved[wanted.concept].table
    for key, (reason, decided_by) in wanted.doubts.items():
        draft.ledger.unresolved.append((table, key, reason, decided_by))
    for key in _import_wrote(look, wanted, table, draft.ledger):
        draft.changes[table, key].setdefault(f"{rule.fix}{getattr(rule, 'limit', None) or ''}", wanted.change)
        draft.rows.setdefault(rule.id, []).append(key)


def _import_wrote(look: Look, wanted: Wanted, table: str, ledger: Ledger) -> list[str]:
    """Return the rows that an import wrote last; note the others as kept or unresolved."""
    entity = next((name for name, concept in CONCEPT_OF.items() if concept == wanted.concept), None)
    if entity is None:
        return _older_than_the_last_run(look, wanted, table, ledger)
    authors = last_authors(look.connection, look.schema, look.runs, entity, wanted.keys)
    found = []
    for key in wanted.keys:
        author = authors.get(key)
        if author is None:
            reason = "nothing tells that an import wrote it; it may be people's own"
            decided_by = "the report file of the run that did (--import-report)"
            ledger.unresolved.append((table, key, reason, decided_by))
        elif author.person:
            ledger.kept.append((table, key, f"{author.since} changed it after run {author.run}"))
        else:
            found.append(key)
    return found


def _older_than_the_last_run(look: Look, wanted: Wanted, table: str, ledger: Ledger) -> list[str]:
    """Judge rows that no import writes by their own time: what was written after the last run is a person's."""
    source = look.schema.source(wanted.concept)
    if look.as_of is None or "updated_at" not in source.c:
        why = "nothing tells whether somebody changed it after the import"
        for key in wanted.keys:
            ledger.unresolved.append((table, key, why, "a run's report file (--import-report)"))
        return []
    written = select(as_text(source.c.id)).where(source.c.updated_at > look.as_of + TOLERANCE)
    late = {str(key) for (key,) in look.connection.execute(written)}.intersection(wanted.keys)
    for key in sorted(late):
        ledger.kept.append((table, key, "somebody changed it after the last import"))
    return [key for key in wanted.keys if key not in late]


def _note_updates(look: Look, draft: _Draft, updates: Updates) -> None:
    """Turn what is wanted of each row into one update of it."""
    for table in sorted({table for table, _ in draft.changes}):
        keys = sorted(key for each, key in draft.changes if each == table)
        for key, row in current_rows(raw(look.connection), look.schema.catalogue, table, keys):
            now = dict(row.values)
            for change in draft.changes[table, key].values():
                now |= change(now)
            values = {name: (row.values[name], now[name]) for name in now if now[name] != row.values[name]}
            if values:
                updates.add(table, key, row.digest, values)


def _entry(book: Rulebook, rule: Rule, keys: list[str]) -> dict[str, Any]:
    """Return the audit entry for what was corrected by one rule, in the spirit of guide §5.1."""
    facts = {"rule": rule.id, "fix": rule.fix, "rules": book.name, "rules_sha256": book.sha256}
    listed = {"records_affected": len(keys), "records": sorted(keys)[:LISTED]}
    return {"action": POLICY_CORRECTED, "metadata": {**facts, **listed}}


def _runs_known(look: Look) -> tuple[str, ...]:
    live = sum(run.mode == "live" for run in look.runs)
    return (f"what {live:,} import runs left, to tell their work from people's",) if live else ()


def _nothing_to_change(rules: Sequence[Rule], ledger: Ledger) -> Refused:
    named = ", ".join(each.id for each in rules)
    if ledger.unresolved:
        table, key, reason, decided_by = min(ledger.unresolved)
        why = f"{table} {key}: {reason}. What would decide it: {decided_by}."
    elif ledger.kept:
        why = "{} {}: {}.".format(*min(ledger.kept))
    else:
        why = " ".join(ledger.notes) or "Nothing breaks them."
    return Refused(
        f"There is nothing to correct by {named}: {len(ledger.kept):,} rows are kept,"
        f" {len(ledger.unresolved):,} are unresolved.",
        why,
    )
