"""Corrections: each planned as a file to read, then approved, applied and taken back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from workbench.answer import Answer, Step, many
from workbench.cli.command import answers, ask
from workbench.cli.options import is_request, pairs
from workbench.cli.output import Advance, command_line
from workbench.errors import Refused, UsageError

if TYPE_CHECKING:
    from workbench.plans.journal import Entry
    from workbench.plans.plan import Plan
    from workbench.workbench import Workbench

Evidence = Literal["certain", "strong", "likely", "weak"]
OnConflict = Literal["keep", "restore"]
Entity = Literal["member", "event", "registration"]


@answers("plan rollback", "import_report", "acting", "unmask", one_state=False)
def plan_rollback(
    wb: Workbench,
    run_id: str,
    snapshot: str | None = None,
    before: str | None = None,
    on_conflict: OnConflict = "keep",
    min_evidence: Evidence = "likely",
    sync_state: bool = False,
) -> Answer | Plan:
    """Plan to roll one run back, without losing what anybody did since."""
    from workbench.runs.telling import LevelZero

    how: dict[str, Any] = {"snapshot": snapshot, "before": before, "sync_state": sync_state}
    plan = wb.runs.plan_rollback(run_id, on_conflict=on_conflict, min_evidence=min_evidence, **how)
    if not isinstance(plan, LevelZero):
        return plan
    none: dict[str, Any] = {"plan": None, "digest": None, "level": 0, "run": plan.run, "fix": plan.fix}
    lines = "\n".join(("To fix before it is run again:", *(f"  {line}" for line in plan.fix)))
    lists: dict[str, Any] = {"changes": {}, "kept": [], "conflicts": [], "unresolved": []}
    return Answer(str(plan), {"fix": lines}, facts={**none, **lists})


@answers("plan mapping", "import_report", "acting", "unmask", one_state=False)
def plan_mapping(
    wb: Workbench,
    entity: str | None = None,
    wa_id: str | None = None,
    new_id: str | None = None,
    table: Path | None = None,
    reason: str = "",
    move_records: bool = False,
    whole_cycle: bool = False,
    rebuild: bool = False,
    snapshot: str | None = None,
    before: str | None = None,
    csv_records: bool = False,
    export: Sequence[Path] = (),
) -> Plan:
    """Plan to lead Wild Apricot ids to the right records (guide §4.2), one or a table of them; or put lost ones back."""
    single = [argument for argument in (entity, wa_id, new_id) if argument is not None]
    others = single or table or reason or move_records or whole_cycle or export
    rebuilding = snapshot is not None or before is not None or csv_records
    if (rebuild and others) or (rebuilding and not rebuild):
        raise UsageError(
            "To put lost mappings back and to correct wrong ones are two questions.",
            "--rebuild goes with --snapshot or --before, --csv-records and --import-report; all else corrects wrong ones.",
        )
    if rebuild:
        return wb.mappings.plan_rebuild(snapshot=snapshot, before=before, csv_records=csv_records)
    if bool(table) == bool(single or reason) or (single and len(single) < 3):
        raise UsageError(
            "What is to be corrected? One mapping: its entity, WA id and the new record's id; or a table of them.",
            "For example `workbench plan mapping Member 50012 NEW_ID`, or `workbench plan mapping --from FILE.csv`.",
        )
    asked = table or (str(entity), str(wa_id), str(new_id), reason)
    return wb.mappings.plan(asked, move_records=move_records, whole_cycle=whole_cycle, exports=export)


@answers("plan tiers", "acting", "unmask", one_state=False)
def plan_tiers(
    wb: Workbench,
    mapping: Sequence[Path] = (),
    of: Literal["tiers", "statuses"] | None = None,
    level: Sequence[str] = (),
    on_conflict: OnConflict = "keep",
    reason: str | None = None,
) -> Plan:
    """Plan to give members the tier of their Wild Apricot level: exactly those who have another."""
    return wb.tiers.plan(mapping or None, of=of, levels=level, on_conflict=on_conflict, reason=reason)


@answers("plan merge", "acting", "unmask", one_state=False)
def plan_merge(
    wb: Workbench,
    canonical: str | None = None,
    duplicates: Sequence[str] = (),
    listing: Path | None = None,
    choose: bool = False,
    left_out: Sequence[str] = (),
    rule: Literal["canonical", "newest", "most-complete"] = "canonical",
    field: Sequence[str] = (),
    by_hand: Sequence[str] = (),
    keep: Sequence[str] = (),
    skip_blocked: bool = False,
    reason: str = "",
    entity: Entity = "member",
) -> Answer:
    """Plan to merge duplicates: every reference moves to the record that stays, and the duplicates go.

    Name the record that stays and its duplicates, or give a list with --from: a line for each duplicate
    (canonical,duplicate), or for each member of a cluster (cluster,member), where the rule chooses which stays.
    """
    named = [record for record in (canonical, *duplicates) if record is not None]
    if listing is not None and (named or choose or reason):
        raise UsageError("--from names the merges, their reasons and which records stay.", "Give it alone.")
    if listing is None and (len(named) < 2 or skip_blocked):
        raise UsageError(
            "A merge needs the record that stays and at least one duplicate; --skip-blocked is for a list.",
            "Write `workbench plan merge CANONICAL DUPLICATE...`, or `workbench plan merge --from FILE`.",
        )
    stays, others = (None, named) if choose else (canonical, named[1:])
    plan = wb.duplicates.plan_merges(
        listing or [(stays, others, reason)],
        entity=entity.capitalize(),
        rules={"*": str(rule), **pairs(field, "--field", "NAME=RULE")},
        by_hand=pairs(by_hand, "--set", "NAME=ID"),
        keep=keep,
        leave_out=left_out,
        skip_blocked=skip_blocked,
    )
    return wb.plans.explain(plan, conservation=plan.parameters["conservation"])


@answers("plan policies", "import_report", "acting", "unmask", one_state=False)
def plan_policies(wb: Workbench, rules_asked: Sequence[str] = (), rules: Path | None = None) -> Plan:
    """Plan what the organisation's rules say how to correct: capacity to the limit, start and end swapped."""
    return wb.policies.plan(rules_asked, rules=rules)


@answers("plan sync-state", "acting", "unmask", one_state=False)
def plan_sync_state(wb: Workbench) -> Plan:
    """Plan to empty the sync state (guide §7.3); a full sync has to follow, for only that fetches everything."""
    return wb.runs.plan_sync_state()


@answers("plan replay", "import_report", "acting", "unmask")
def plan_replay(
    wb: Workbench,
    run: Sequence[str],
    snapshot: str | None = None,
    before: str | None = None,
    on_conflict: OnConflict = "keep",
    min_evidence: Evidence = "likely",
    *,
    advance: Advance,
) -> Answer:
    """Plan, before a restore, what is put back after it: everybody's work since but the bad run's doing."""
    how: dict[str, Any] = {"on_conflict": on_conflict, "min_evidence": min_evidence}
    plan = wb.history.plan_replay(snapshot, run, before=before, progress=advance, **how)
    answer = wb.plans.explain(plan)
    after = "Apply it after the restore; until then it is refused, for its rows are the snapshot's."
    return replace(answer, next_steps=[*answer.next_steps, Step(after)])


@answers("plans", one_state=False)
def plans(wb: Workbench) -> Answer:
    """List all plans of an environment, and what became of each."""
    return wb.plans()


@answers("show", "unmask", one_state=False)
def show(wb: Workbench, plan_name: str) -> Answer:
    """Explain a plan in words and tables: what changes, what is kept and why, what is unresolved."""
    if is_request(plan_name):
        from workbench.cli.restoring import request_answer

        return request_answer(wb, wb.restores.find(plan_name))
    plan = wb.plans[plan_name]
    return wb.plans.explain(plan, header=plan.model_dump(mode="json"))


@answers("approve", "acting", one_state=False)
def approve(wb: Workbench, plan_name: str, digest: str, confirm: str | None = None) -> Answer:
    """Record a named person's consent to one digest; it holds once, and for a day."""
    request = is_request(plan_name)
    document = wb.restores.find(plan_name) if request else wb.plans[plan_name]
    target = document.target
    if confirm is None and target.kind == "production" and sys.stdin.isatty():
        confirm = typer.prompt(f"This is production. Type the environment's name ({target.environment})")
    approval = wb.plans.approve(document, digest, confirm=confirm)
    facts = approval.model_dump(include={"approver", "approved_at", "expires_at"})
    return Answer(
        f"{approval.approver} approves {document.id}, once, until {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
        next_steps=[Step("To carry it out", f"{'snapshot restore' if request else 'apply'} {document.id}")],
        facts={document.noun: document.id, "digest": approval.approves, **facts},
        environment=target.environment,
    )


@answers("apply", "acting", one_state=False)
def apply(wb: Workbench, plan_name: str, yes: bool = False, *, advance: Advance) -> Answer:
    """Carry out an approved plan: whole, or not at all."""
    from workbench.documents import valid_approval

    if is_request(plan_name):
        raise UsageError(
            f"{plan_name} is the request to restore a snapshot.",
            f"To carry it out: {command_line(f'snapshot restore {plan_name}')}",
        )
    plan = wb.plans[plan_name]
    valid_approval(plan)  # without one nobody needs to be asked
    ask(f"Apply {plan.id}, {many(plan.total, 'change')}, to {wb.environment}?", yes)
    entry, to_do = wb.plans.apply(plan, advance), _to_do(plan)
    steps = [
        *map(Step, to_do),
        Step("To verify", "report post-recovery"),
        Step("To take it back", f"undo {plan.id}"),
    ]
    headline = f"Applied: {many(plan.total, 'change')}, and nothing else.{_slower(entry)}"
    return Answer(headline, next_steps=steps, facts=_applied(plan, entry))


@answers("undo", "acting", one_state=False)
def undo(wb: Workbench, plan_name: str, yes: bool = False, *, advance: Advance) -> Answer:
    """Take back what a plan did: plan the reverse, approve it in the operator's name, apply it."""
    from workbench.reporting.plans import approval_command

    reverse = wb.plans.plan_undo(plan_name)
    if wb.environment.production:
        steps = [Step("On production another person approves the undo", approval_command(reverse))]
        explained = wb.plans.explain(reverse, applied=False)
        return replace(explained, next_steps=steps, code=Refused.exit_code)
    ask(f"Take back {plan_name}, {many(reverse.total, 'change')}, on {wb.environment}?", yes)
    wb.plans.approve(reverse, reverse.digest)
    entry = wb.plans.apply(reverse, advance)
    headline = f"Taken back: {many(reverse.total, 'change')}. Every row is as it was before {plan_name}."
    return Answer(f"{headline}{_slower(entry)}", facts=_applied(reverse, entry))


def _slower(entry: Entry) -> str:
    if entry.row_triggers == "off":
        return ""
    return "\nThe database user may not switch row triggers off, so the database checked each row by itself: slower, no less safe."


def _applied(plan: Plan, entry: Entry) -> dict[str, Any]:
    facts = {"plan": str(plan.path), "id": plan.id, "digest": plan.digest, "changes": plan.changes}
    done = {"applied": True, "applied_at": entry.applied_at, "journal": entry.id}
    return {**facts, "to_do": _to_do(plan), **done, "row_triggers": entry.row_triggers}


def _to_do(plan: Plan) -> list[str]:
    """Say what is to be done elsewhere, lest the next sync undoes what was applied."""
    from workbench.duplicates.next_sync import next_sync

    return list(next_sync(plan.parameters)) if plan.kind == "merge" else []
