"""Apply: the only act that writes rows. All or nothing, and nothing but what was approved.

In one transaction: the target is the plan's, everybody else is kept from writing, every row is as the
plan saw it, no row that the plan does not know refers to what goes, the changes, their images in the
journal, the audit entries, a count of everything the transaction touched, and the commit.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg

from workbench.audit.writing import write_entry
from workbench.database.connection import Database
from workbench.database.exclusion import begin_to_write
from workbench.documents import Approval, Target, refuse_other_target, valid_approval
from workbench.errors import DatabaseUnreachable, Drift, Refused, WorkbenchError
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema, read_schema
from workbench.plans import journal, rows
from workbench.plans.accounting import no_clash, read_account, refuse_hidden_effects
from workbench.plans.exchanging import step_aside
from workbench.plans.journal import Entry
from workbench.plans.orphans import lock_tables, refuse_missing_parents, refuse_new_children
from workbench.plans.plan import Plan
from workbench.plans.stage import Stage

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""

_LOCK = "murmurant-workbench apply"
_RECONNECT = 5.0  # seconds to look for the server again, after a connection was lost


def apply_plan(database: Database, plan: Plan, *, operator: str, progress: Progress | None = None) -> Entry:
    """Carry out an approved plan, whole or not at all.

    Parameters
    ----------
    database : Database
        The target, which passed the environment guard.
    plan : Plan
        As it was read; its file is read once more.
    operator : str
        Who applies it.
    progress : callable, optional
        Told each step as it begins.

    Returns
    -------
    Entry
        What the journal says of it.

    Raises
    ------
    NotApproved
        No valid approval of exactly this digest.
    WrongEnvironment
        Another database than the one it was planned on.
    Drift
        A row is no longer as the plan saw it, or a new one refers to what it deletes; with the rows.
    Refused
        It was applied before, another apply is running, or somebody holds a lock too long.
    DatabaseUnreachable
        The connection was lost; the message says whether the plan was applied before that.
    """
    approval = valid_approval(plan)
    try:
        with database.writing() as connection, no_clash(plan):
            return _apply(connection, database, plan, approval, operator, progress or _silent)
    except DatabaseUnreachable as error:
        raise DatabaseUnreachable(error.what, _outcome(database, plan)) from None


def _apply(
    connection: psycopg.Connection[Any],
    database: Database,
    plan: Plan,
    approval: Approval,
    operator: str,
    progress: Progress,
) -> Entry:
    steps = 2 * len(plan.operations) + 3
    progress("checking the target", 0, steps)
    refuse_other_target(plan, _target(connection, database))
    _refuse_a_second_apply(connection)
    begin_to_write(connection, database.address.database)
    schema = read_schema(connection, database.address.schema)
    journal.prepare_journal(connection)
    undoes = _refuse_once_more(connection, plan, approval)
    # For joins of a million rows: room to hash them, no compiler for statements that run once; and an index
    # whose rows were just deleted is no short cut, each of its entries leads to a dead row.
    connection.execute(
        "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL enable_indexonlyscan = off"
    )
    number = journal.reserve(connection)
    stages = [
        Stage(connection, schema.catalogue, plan, section, number, place)
        for place, section in enumerate(plan.operations, 1)
    ]
    progress("waiting for others to finish writing", 1, steps)
    graph = References(schema)
    lock_tables(connection, graph, plan.operations)
    sizes, account = rows.sizes(connection, schema.catalogue), read_account(connection, schema)
    row_triggers = _switch_row_triggers_off(connection)
    different: list[tuple[str, str, str]] = []
    for place, stage in enumerate(stages, 2):
        table = stage.section.table
        progress(f"comparing {stage.section.rows:,} rows of {table}", place, steps)
        different += stage.compare(sizes.get(table, 0))
    _refuse_an_altered_file(plan)
    _refuse_drift(plan, different)
    updated: set[str] = set()
    besides: Counter[tuple[str, str]] = Counter()
    for place, stage in enumerate(stages, 2 + len(stages)):
        section = stage.section
        progress(f"{section.name} of {section.rows:,} rows of {section.table}", place, steps)
        if section.name == "delete":
            refuse_new_children(stage, graph, sizes)
        besides[section.table, "update"] += step_aside(stage, graph)
        stage.carry_out(moved=section.table in updated)
        updated |= {section.table} if section.name == "update" else set()
    progress("checking what was done", steps - 1, steps)
    for stage in stages:
        stage.keep(stages)
        refuse_missing_parents(stage, graph)
    besides += _write_audit(connection, schema, plan, approval, operator)
    refuse_hidden_effects(connection, schema, plan, besides, account)
    entry = journal.record(
        connection, number, plan, approval, applied_by=operator, row_triggers=row_triggers, undoes=undoes
    )
    progress("committing", steps, steps)
    return entry


def _silent(what: str, done: int, total: int) -> None:
    pass


def _target(connection: psycopg.Connection[Any], database: Database) -> Target:
    row = connection.execute(
        "SELECT system_identifier::text, current_database() FROM pg_control_system()"
    ).fetchone()
    assert row is not None
    here = database.environment
    return Target(row[0], row[1], database.address.schema, here.name, here.kind)


def _refuse_a_second_apply(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [_LOCK]).fetchone()
    if row != (True,):
        raise Refused(
            "Another plan is being applied to this database at this moment.",
            "Wait for it; `workbench plans` shows when it is done.",
        )


def _refuse_once_more(connection: psycopg.Connection[Any], plan: Plan, approval: Approval) -> int | None:
    """Refuse what was applied before, or undoes what is gone; return the entry that the plan undoes."""
    known, restores = journal.entries(connection), journal.restores(connection)
    for entry in known:
        if entry.digest == plan.digest and not entry.undone_by:
            raise Refused(
                f"Plan {plan.id} was applied by {entry.applied_by} at {entry.applied_at:%Y-%m-%d %H:%M:%S} UTC.",
                "Nothing is applied twice. Plan again if there is more to correct.",
            )
    used = {restore.approval for restore in restores} | {
        gone.approval for _, gone in journal.taken_away(restores)
    }
    if approval.number in used.union(entry.approval for entry in known):
        raise Refused(f"The approval of plan {plan.id} was used before.", "Approve it again.")
    undoes: int | None = plan.parameters.get("undoes")
    if undoes is not None and undoes not in {entry.id for entry in known if not entry.undone_by}:
        raise Refused(
            f"What plan {plan.id} would take back is not there any more.",
            "`workbench plans` shows what was done.",
        )
    return undoes


def _switch_row_triggers_off(connection: psycopg.Connection[Any]) -> str:
    """Switch them off for this transaction where the role may: `orphans` does their work at once."""
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        return "off"
    return "on"


def _refuse_an_altered_file(plan: Plan) -> None:
    with plan.path.open("rb") as file:
        now = hashlib.file_digest(file, "sha256").hexdigest()
    if now != plan.digest:
        raise Refused(f"The file of plan {plan.id} was altered while it was read.", "Plan again.")


def _refuse_drift(plan: Plan, different: list[tuple[str, str, str]]) -> None:
    if different:
        table, key, reason = different[0]
        more = f", and {len(different) - 1} more" if len(different) > 1 else ""
        next_step = "Plan again; the new plan will see what is there now."
        if plan.kind == "replay":
            # It expects the snapshot's rows, and planned again it would expect them again.
            next_step = (
                f"It is for the database that a restore to {plan.parameters['snapshot']} makes: carry that restore"
                " out first, then apply this plan. Where it was done, somebody has changed these rows since."
            )
        raise Drift(
            f"The database is no longer as plan {plan.id} saw it: {table} {key} {reason}{more}. Nothing was changed.",
            next_step,
            tuple(different),
        )


def _write_audit(
    connection: psycopg.Connection[Any], schema: Schema, plan: Plan, approval: Approval, operator: str
) -> Counter[tuple[str, str]]:
    for entry in plan.audit:
        facts = {
            **entry["metadata"],
            "operator": operator,
            "approved_by": approval.approver,
            "environment": plan.target.environment,
            "plan": plan.id,
            "digest": plan.digest,
        }
        write_entry(connection, schema, entry["action"], facts, about=approval.number)
    return Counter({(schema.resolved["audit"].table, "insert"): len(plan.audit)})


def _outcome(database: Database, plan: Plan) -> str:
    """Look again after a lost connection, and say whether the plan was applied."""
    deadline = time.monotonic() + _RECONNECT
    while True:
        try:
            with database.reading() as reading:
                connection = journal.raw(reading)
                # While the server's side of the lost connection lives, it may still commit.
                row = connection.execute(
                    "SELECT pg_try_advisory_xact_lock_shared(hashtextextended(%s, 0))", [_LOCK]
                ).fetchone()
                if row != (True,):
                    raise Refused("The apply is still under way.")
                known = [entry for entry in journal.entries(connection) if entry.digest == plan.digest]
        except WorkbenchError:
            if time.monotonic() > deadline:
                return "It does not answer yet. `workbench plans` will say whether the plan was applied: whole, or not at all."
            time.sleep(0.2)
            continue
        if not known or known[-1].undone_by:  # one that was taken back is of an earlier time
            return (
                "Nothing was changed: the plan was not applied. Apply it again when the connection is stable."
            )
        return "The plan was applied, whole, before the connection was lost."
