"""The commands that plan, approve, apply and undo corrections."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from workbench.answer import Answer, Step, many
from workbench.cli.command import ask, command
from workbench.cli.options import REQUIRED, is_request, pairs
from workbench.cli.output import Advance, command_line
from workbench.errors import Refused, UsageError

if TYPE_CHECKING:
    from workbench.plans.journal import Entry
    from workbench.plans.plan import Plan
    from workbench.workbench import Workbench

_OPTIONS = ("import_report", "acting", "unmask")


@command(
    "plan rollback",
    "run_id",
    "snapshot",
    "before",
    "on_conflict",
    "min_evidence",
    "sync_state",
    *_OPTIONS,
    one_state=False,
)
def plan_rollback(wb: Workbench, run_id: str, **given: Any) -> Answer | Plan:
    """Plan to roll back a run, keeping later work."""
    from workbench.runs.plan import LevelZero

    plan = wb.runs.plan_rollback(run_id, **given)
    if not isinstance(plan, LevelZero):
        return plan
    facts: dict[str, Any] = {"plan": None, "digest": None, "level": 0, "run": plan.run, "fix": plan.fix}
    facts |= {"changes": {}, "kept": [], "conflicts": [], "unresolved": []}
    fix = "\n".join(("Fix before running it again:", *(f"  {line}" for line in plan.fix)))
    return Answer(str(plan), {"fix": fix}, facts=facts)


_CORRECTION = ("entity", "wa_id", "new_id", "table", "reason", "move_records", "whole_cycle", "export")
_REBUILD = ("rebuild", "snapshot", "before", "csv_records")


@command("plan mapping", *_CORRECTION, *_REBUILD, *_OPTIONS, one_state=False)
def plan_mapping(wb: Workbench, rebuild: bool, **given: Any) -> Plan:
    """Plan to correct mappings, or to restore missing ones."""
    unused = [name for name in (_CORRECTION if rebuild else _REBUILD) if given.get(name)]
    if unused:
        raise UsageError(
            "--rebuild restores missing mappings; it cannot be combined with a correction.",
            "Use --rebuild with --snapshot, --before, --csv-records and --import-report only.",
        )
    if rebuild:
        return wb.mappings.plan_rebuild(**{name: given[name] for name in _REBUILD[1:]})
    single, table = [given[name] for name in ("entity", "wa_id", "new_id")], given["table"]
    if any(single) == bool(table) or (table and given["reason"]) or (any(single) and not all(single)):
        raise UsageError(
            "Name one mapping by its entity, WA id and new record, or a file of them.",
            "For example `workbench plan mapping Member 50012 NEW_ID`, or `workbench plan mapping --from FILE.csv`.",
        )
    return wb.mappings.plan(
        table or (*single, given["reason"] or ""),
        move_records=given["move_records"],
        whole_cycle=given["whole_cycle"],
        exports=given["export"],
    )


@command("plan tiers", "mapping", "of", "level", "on_conflict", "reason", "acting", "unmask", one_state=False)
def plan_tiers(wb: Workbench, mapping: list[Path], level: list[str], **given: Any) -> Plan:
    """Plan to give members the tier or status of their level."""
    return wb.tiers.plan(mapping or None, levels=level, **given)


_MERGE = ("choose", "left_out", "rule", "field", "by_hand", "keep", "skip_blocked", "reason", "entity")


@command("plan merge", "canonical", "duplicates", "listing", *_MERGE, "acting", "unmask", one_state=False)
def plan_merge(
    wb: Workbench, canonical: str | None, duplicates: list[str], listing: Path | None, **given: Any
) -> Answer:
    """Plan to merge duplicates into the record that stays.

    Name the record that stays and its duplicates, or use --from with a line for each duplicate (canonical,duplicate)
    or for each member of a cluster (cluster,member).
    """
    named, choose, reason = [*filter(None, [canonical]), *duplicates], given["choose"], given["reason"] or ""
    if listing is not None and (named or choose or reason):
        raise UsageError("--from already names the records and reasons.", "Use it alone.")
    if listing is None and (len(named) < 2 or given["skip_blocked"]):
        raise UsageError(
            "A merge needs the record that stays and at least one duplicate; --skip-blocked needs --from.",
            "Write `workbench plan merge CANONICAL DUPLICATE...`, or `workbench plan merge --from FILE`.",
        )
    stays, others = (None, named) if choose else (canonical, named[1:])
    plan = wb.duplicates.plan_merges(
        listing or [(stays, others, reason)],
        entity=given["entity"].capitalize(),
        rules={"*": given["rule"], **pairs(given["field"], "--field", "NAME=RULE")},
        by_hand=pairs(given["by_hand"], "--set", "NAME=ID"),
        keep=given["keep"],
        leave_out=given["left_out"],
        skip_blocked=given["skip_blocked"],
    )
    return wb.plans.explain(plan, conservation=plan.parameters["conservation"])


@command("plan policies", "rules_asked", "rules", *_OPTIONS, one_state=False)
def plan_policies(wb: Workbench, rules_asked: list[str], rules: Path | None) -> Plan:
    """Plan the corrections that the organisation's rules define."""
    return wb.policies.plan(rules_asked, rules=rules)


@command("plan sync-state", "acting", "unmask", one_state=False)
def plan_sync_state(wb: Workbench) -> Plan:
    """Plan to reset the sync state (guide §7.3).

    Run a full sync afterwards.
    """
    return wb.runs.plan_sync_state()


@command("plan replay", "run", "snapshot", "before", "on_conflict", "min_evidence", *_OPTIONS, run=REQUIRED)
def plan_replay(
    wb: Workbench, run: list[str], snapshot: str | None, advance: Advance, **given: Any
) -> Answer:
    """Plan, before a restore, to bring later work back after it."""
    plan = wb.history.plan_replay(snapshot, run, progress=advance, **given)
    answer = wb.plans.explain(plan)
    return replace(answer, next_steps=[*answer.next_steps, Step("Apply it after the restore, not before.")])


@command("plans", one_state=False)
def plans(wb: Workbench) -> Answer:
    """List the plans, and what became of each."""
    return wb.plans()


@command("show", "plan_name", "unmask", one_state=False)
def show(wb: Workbench, plan_name: str) -> Answer:
    """Explain a plan or a restore request."""
    if is_request(plan_name):
        from workbench.cli.snapshots import explain_request

        return explain_request(wb, wb.restores.find(plan_name))
    plan = wb.plans[plan_name]
    return wb.plans.explain(plan, header=plan.model_dump(mode="json"))


@command("approve", "plan_name", "digest", "confirm", "acting", one_state=False)
def approve(wb: Workbench, plan_name: str, digest: str, confirm: str | None) -> Answer:
    """Approve exactly this plan or restore request."""
    request = is_request(plan_name)
    document = wb.restores.find(plan_name) if request else wb.plans[plan_name]
    target = document.target
    if confirm is None and target.kind == "production" and sys.stdin.isatty():
        confirm = typer.prompt(f"This is production. Type the environment's name ({target.environment})")
    approval = wb.plans.approve(document, digest, confirm=confirm)
    facts = approval.model_dump(include={"approver", "approved_at", "expires_at"})
    return Answer(
        f"Approved {document.id} by {approval.approver}, for one use until {approval.expires_at:%Y-%m-%d %H:%M} UTC.",
        next_steps=[Step("To carry it out", f"{'snapshot restore' if request else 'apply'} {document.id}")],
        facts={document.noun: document.id, "digest": approval.approves, **facts},
        environment=target.environment,
    )


@command("apply", "plan_name", "yes", "acting", one_state=False)
def apply(wb: Workbench, plan_name: str, yes: bool, advance: Advance) -> Answer:
    """Apply an approved plan: all of it or nothing."""
    from workbench.documents import valid_approval

    if is_request(plan_name):
        raise UsageError(
            f"{plan_name} is a restore request.",
            f"To carry it out: {command_line(f'snapshot restore {plan_name}')}",
        )
    plan = wb.plans[plan_name]
    valid_approval(plan)  # before asking for confirmation
    ask(f"Apply {plan.id} ({many(plan.total, 'change')}) to {wb.environment}?", yes)
    entry = wb.plans.apply(plan, advance)
    steps = [
        *map(Step, _to_do(plan)),
        Step("To verify", "report post-recovery"),
        Step("To undo it", f"undo {plan.id}"),
    ]
    headline = f"Applied {many(plan.total, 'change')}."
    return Answer(headline, _notes(entry), next_steps=steps, facts=_applied(plan, entry))


@command("undo", "plan_name", "yes", "acting", one_state=False)
def undo(wb: Workbench, plan_name: str, yes: bool, advance: Advance) -> Answer:
    """Undo an applied plan."""
    from workbench.reporting.plans import approval_command

    reverse = wb.plans.plan_undo(plan_name)
    if wb.environment.production:
        steps = [Step("On production another person has to approve the undo", approval_command(reverse))]
        explained = wb.plans.explain(reverse, applied=False)
        return replace(explained, next_steps=steps, code=Refused.exit_code)
    ask(f"Undo {plan_name} ({many(reverse.total, 'change')}) on {wb.environment}?", yes)
    wb.plans.approve(reverse, reverse.digest)
    entry = wb.plans.apply(reverse, advance)
    headline = f"Undid {many(reverse.total, 'change')}. Every row is as it was before {plan_name}."
    return Answer(headline, _notes(entry), facts=_applied(reverse, entry))


def _notes(entry: Entry) -> dict[str, str]:
    if entry.row_triggers == "off":
        return {}
    return {
        "slower": "The database user may not turn off row triggers, so this was slower; it is just as safe."
    }


def _applied(plan: Plan, entry: Entry) -> dict[str, Any]:
    return {
        "plan": str(plan.path),
        "id": plan.id,
        "digest": plan.digest,
        "changes": plan.changes,
        "to_do": _to_do(plan),
        "applied": True,
        "applied_at": entry.applied_at,
        "journal": entry.id,
        "row_triggers": entry.row_triggers,
    }


def _to_do(plan: Plan) -> list[str]:
    """Return what to do in Wild Apricot so that the next sync does not revert a merge."""
    from workbench.duplicates.next_sync import next_sync

    return list(next_sync(plan.parameters)) if plan.kind == "merge" else []
