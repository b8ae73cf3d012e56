"""Apply: the only act that writes rows. All or nothing, and only what was approved.

One transaction checks that the target is the plan's, keeps everybody else from writing, checks that every row is as the
plan saw it and that no unknown row refers to a row that is deleted, carries out the changes, writes their images to the
journal and the audit entries, compares the server's row counters with the plan, and commits.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psycopg

from workbench.audit.entries import write_entry
from workbench.database.connection import Database, Session, raw
from workbench.database.exclusion import lock_for_writing
from workbench.documents import Approval, Target, refuse_other_target, valid_approval
from workbench.errors import DatabaseUnreachable, Drift, Refused, WorkbenchError
from workbench.murmurant.references import References
from workbench.murmurant.schema import read_schema
from workbench.plans import integrity, journal, rows
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.plans.stage import Differing, Stage

Progress = Callable[[str, int, int], None]
"""Called before each step with its name, how many steps are done, and how many there are."""

_LOCK = "hashtextextended('murmurant-workbench apply', 0)"
_RECONNECT = 5.0  # seconds to try to reconnect after a lost connection


def apply_plan(database: Database, plan: Plan, *, operator: str, progress: Progress | None = None) -> Entry:
    """Carry out an approved plan completely, or not at all.

    Parameters
    ----------
    database : Database
        The target, which passed the environment guard.
    plan : Plan
        As it was read; its file is read again.
    operator : str
        Who applies it.
    progress : callable, optional
        Called before each step.

    Returns
    -------
    Entry
        The new entry of the journal.

    Raises
    ------
    NotApproved
        There is no valid approval of this digest.
    WrongEnvironment
        The plan was made on another database.
    Drift
        A row is no longer as the plan saw it, or a new one refers to a row it deletes; with the rows.
    Refused
        The plan was applied before, another apply is running, or a lock was held too long.
    DatabaseUnreachable
        The connection was lost; the message says whether the plan was applied before that.
    """
    valid_approval(plan)
    try:
        with database.writing() as connection, integrity.rejected_changes(plan):
            return _apply(connection, database, plan, operator, progress or (lambda *_: None))
    except DatabaseUnreachable as error:
        raise DatabaseUnreachable(error.what, _outcome(database, plan)) from None


def _apply(connection: Session, database: Database, plan: Plan, operator: str, progress: Progress) -> Entry:
    steps = 2 * len(plan.operations) + 3
    progress("checking the target", 0, steps)
    approval = valid_approval(plan)
    refuse_other_target(plan, _target(connection, database))
    if connection.execute(f"SELECT pg_try_advisory_xact_lock({_LOCK})").fetchone() != (True,):
        raise Refused(
            "Another plan is being applied to this database right now.",
            "Wait for it; `workbench plans` shows when it is done.",
        )
    lock_for_writing(connection, database.address.database)
    schema = read_schema(connection, database.address.schema)
    journal.prepare_journal(connection)
    _refuse_repetition(connection, plan, approval)
    # Room to hash a million rows, and no compiler for statements that run once. After a delete, index-only scans would
    # visit the dead rows one by one.
    connection.execute(
        "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL enable_indexonlyscan = off"
    )
    number, graph = journal.reserve(connection), References(schema)
    stages = [
        Stage(connection, graph, plan, section, number, place)
        for place, section in enumerate(plan.operations, 1)
    ]
    progress("waiting for others to finish writing", 1, steps)
    integrity.lock_tables(connection, graph, plan.operations)
    sizes, account = rows.sizes(connection, schema.catalogue), integrity.read_account(connection, schema)
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
    extra: integrity.Touched = Counter()
    for place, stage in enumerate(stages, 2 + len(stages)):
        section = stage.section
        progress(f"{section.name} of {section.rows:,} rows of {section.table}", place, steps)
        if section.name == "delete":
            integrity.refuse_new_children(stage, sizes)
        extra[section.table, "update"] += stage.carry_out(moved=section.table in updated)
        updated |= {section.table} if section.name == "update" else set()
    progress("checking what was done", steps - 1, steps)
    for stage in stages:
        stage.check(stages)
        integrity.refuse_missing_parents(stage)
    for audited in plan.audit:
        facts = audited["metadata"] | {
            "operator": operator,
            "approved_by": approval.approver,
            "environment": plan.target.environment,
            "plan": plan.id,
            "digest": plan.digest,
        }
        write_entry(connection, schema, audited["action"], facts, about=approval.number)
        extra[schema.resolved["audit"].table, "insert"] += 1
    integrity.refuse_hidden_effects(connection, schema, plan, extra, account)
    entry = journal.record(connection, number, plan, approval, operator, row_triggers)
    progress("committing", steps, steps)
    return entry


def _target(connection: Session, database: Database) -> Target:
    query = "SELECT system_identifier::text, current_database() FROM pg_control_system()"
    server, name = connection.execute(query).fetchall()[0]
    environment = database.environment
    return Target(server, name, database.address.schema, environment.name, environment.kind)


def _refuse_repetition(connection: Session, plan: Plan, approval: Approval) -> None:
    """Refuse a plan that was applied before, an undo of what is not applied any more, and an approval that was used."""
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
            f"What plan {plan.id} would undo is not applied any more.",
            "`workbench plans` shows what was done.",
        )


def _switch_row_triggers_off(connection: Session) -> str:
    """Switch them off for this transaction if the role may; `integrity` checks foreign keys instead."""
    with suppress(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        return "off"
    return "on"


def _drift(plan: Plan, different: Differing) -> Drift:
    table, key, reason = different[0]
    more = f", and {len(different) - 1} more" if len(different) > 1 else ""
    what = f"The database is not as plan {plan.id} saw it: {table} {key} {reason}{more}. Nothing was changed."
    next_step = "Plan again; the new plan will see the present rows."
    if plan.kind == "replay":  # planned again, it would expect the snapshot's rows again
        next_step = "Restore the snapshot first: a replay is applied right after its restore."
    return Drift(what, next_step, tuple(different))


def _outcome(database: Database, plan: Plan) -> str:
    """Reconnect after a lost connection, and say whether the plan was applied."""
    deadline = time.monotonic() + _RECONNECT
    while time.monotonic() < deadline:
        with suppress(WorkbenchError), database.reading() as reading:
            connection = raw(reading)
            # While the server's side of the lost connection lives, it may still commit.
            if connection.execute(f"SELECT pg_try_advisory_xact_lock_shared({_LOCK})").fetchone() == (True,):
                entries = [entry for entry in journal.entries(connection) if entry.digest == plan.digest]
                if entries and not entries[-1].undone_by:  # else it was applied and undone earlier
                    return "The plan was applied completely before the connection was lost."
                return "Nothing was changed: the plan was not applied. Apply it again when the connection is stable."
        time.sleep(0.2)
    return "The server does not answer yet. `workbench plans` will say whether the plan was applied."
