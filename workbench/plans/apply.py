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
from workbench.database.connection import Database, raw
from workbench.database.exclusion import lock_for_writing
from workbench.documents import Approval, Target, refuse_other_target, valid_approval
from workbench.errors import DatabaseUnreachable, Drift, Refused, WorkbenchError
from workbench.murmurant.references import References
from workbench.murmurant.schema import read_schema
from workbench.plans import journal, rows
from workbench.plans.exchanging import step_aside
from workbench.plans.integrity import (
    Touched,
    lock_tables,
    no_clash,
    read_account,
    refuse_hidden_effects,
    refuse_missing_parents,
    refuse_new_children,
)
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.plans.stage import Differing, Stage

Progress = Callable[[str, int, int], None]
"""Told what begins, how many steps are done, and how many there are."""

_LOCK = "hashtextextended('murmurant-workbench apply', 0)"
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
            return _apply(connection, database, plan, approval, operator, progress or (lambda *_: None))
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
    if connection.execute(f"SELECT pg_try_advisory_xact_lock({_LOCK})").fetchone() != (True,):
        raise Refused(
            "Another plan is being applied to this database at this moment.",
            "Wait for it; `workbench plans` shows when it is done.",
        )
    lock_for_writing(connection, database.address.database)
    schema = read_schema(connection, database.address.schema)
    journal.prepare_journal(connection)
    _refuse_once_more(connection, plan, approval)
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
    different: Differing = []
    for place, stage in enumerate(stages, 2):
        table = stage.section.table
        progress(f"comparing {stage.section.rows:,} rows of {table}", place, steps)
        different += stage.compare(sizes.get(table, 0))
    with plan.path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != plan.digest:
            raise Refused(f"The file of plan {plan.id} was altered while it was read.", plan.remedy)
    if different:
        raise _drift(plan, different)
    updated: set[str] = set()
    besides: Touched = Counter()
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
    for audited in plan.audit:
        facts = audited["metadata"] | {
            "operator": operator,
            "approved_by": approval.approver,
            "environment": plan.target.environment,
            "plan": plan.id,
            "digest": plan.digest,
        }
        write_entry(connection, schema, audited["action"], facts, about=approval.number)
        besides[schema.resolved["audit"].table, "insert"] += 1
    refuse_hidden_effects(connection, schema, plan, besides, account)
    entry = journal.record(connection, number, plan, approval, operator, row_triggers)
    progress("committing", steps, steps)
    return entry


def _target(connection: psycopg.Connection[Any], database: Database) -> Target:
    query = "SELECT system_identifier::text, current_database() FROM pg_control_system()"
    server, name = connection.execute(query).fetchall()[0]
    environment = database.environment
    return Target(server, name, database.address.schema, environment.name, environment.kind)


def _refuse_once_more(connection: psycopg.Connection[Any], plan: Plan, approval: Approval) -> None:
    """Refuse a plan that was applied before or takes back what is gone, and an approval that was used."""
    entries, restores = journal.entries(connection), journal.restores(connection)
    standing = [entry for entry in entries if not entry.undone_by]
    for entry in standing:
        if entry.digest == plan.digest:
            raise Refused(
                f"Plan {plan.id} was applied by {entry.applied_by} at {entry.applied_at:%Y-%m-%d %H:%M:%S} UTC.",
                "Nothing is applied twice. Plan again if there is more to correct.",
            )
    used = {restore.approval for restore in restores}
    used |= {entry.approval for entry in (*entries, *(gone for _, gone in journal.taken_away(restores)))}
    if approval.number in used:
        raise Refused(f"The approval of plan {plan.id} was used before.", "Approve it again.")
    if plan.undoes is not None and plan.undoes not in {entry.id for entry in standing}:
        raise Refused(
            f"What plan {plan.id} would take back is not there any more.",
            "`workbench plans` shows what was done.",
        )


def _switch_row_triggers_off(connection: psycopg.Connection[Any]) -> str:
    """Switch them off for this transaction where the role may: `integrity` does their work at once."""
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        return "off"
    return "on"


def _drift(plan: Plan, different: Differing) -> Drift:
    table, key, reason = different[0]
    more = f", and {len(different) - 1} more" if len(different) > 1 else ""
    next_step = "Plan again; the new plan will see what is there now."
    if plan.kind == "replay":
        # It expects the snapshot's rows, and planned again it would expect them again.
        next_step = (
            f"It is for the database that a restore to {plan.parameters['snapshot']} makes: carry that restore"
            " out first, then apply this plan. Where it was done, somebody has changed these rows since."
        )
    what = f"The database is no longer as plan {plan.id} saw it: {table} {key} {reason}{more}. Nothing was changed."
    return Drift(what, next_step, tuple(different))


def _outcome(database: Database, plan: Plan) -> str:
    """Look again after a lost connection, and say whether the plan was applied."""
    deadline = time.monotonic() + _RECONNECT
    while time.monotonic() < deadline:
        with suppress(WorkbenchError), database.reading() as reading:
            connection = raw(reading)
            # While the server's side of the lost connection lives, it may still commit.
            if connection.execute(f"SELECT pg_try_advisory_xact_lock_shared({_LOCK})").fetchone() == (True,):
                entries = [entry for entry in journal.entries(connection) if entry.digest == plan.digest]
                if entries and not entries[-1].undone_by:  # one that was taken back is of an earlier time
                    return "The plan was applied, whole, before the connection was lost."
                return "Nothing was changed: the plan was not applied. Apply it again when the connection is stable."
        time.sleep(0.2)
    return "It does not answer yet. `workbench plans` will say whether the plan was applied: whole, or not at all."
