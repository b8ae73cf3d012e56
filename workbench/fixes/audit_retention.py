"""Prune migration entries of the audit log that are old enough, exported first (guide §5.3).

A run's story goes whole or not at all: while one of its entries is young, a rollback of it a year later say,
all of it stays. The hash chain is only ever pruned from its beginning; the entry that tells of the pruning
says where it went on from, so that it can still be verified.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from workbench.audit import is_of_migration, read_chain, verify_chain
from workbench.audit.links import Link
from workbench.audit.spans import before, moment_of
from workbench.database.connection import raw
from workbench.errors import Refused
from workbench.fixes.exporting import Export, export_rows, sha256_of
from workbench.fixes.ledger import Ledger
from workbench.fixes.writing import write_plan
from workbench.murmurant.importers import AUDIT_PRUNED
from workbench.murmurant.references import References
from workbench.murmurant.schema import Schema, as_text
from workbench.plans.drafting import Updates
from workbench.plans.plan import Header, Plan, Target

KIND = "audit-retention"

YEARS = 2
"""How long the guide keeps migration entries, at least (§5.3)."""


class _Entry(NamedTuple):
    key: str
    at: datetime
    run: str | None


def cutoff_of(said: str, now: datetime) -> datetime:
    """Return the day before whose beginning entries are old, as it was said: ``2 years``, or a date.

    Raises
    ------
    UsageError
        When it means nothing.
    Refused
        When it is less than two years ago.
    """
    cutoff = moment_of(said, now).replace(hour=0, minute=0, second=0, microsecond=0)
    latest = before(now, YEARS, "year").replace(hour=0, minute=0, second=0, microsecond=0)
    if cutoff > latest:
        raise Refused(
            f"Entries since {cutoff:%Y-%m-%d} are too young to be pruned: migration entries are kept for {YEARS} years"
            " at least (guide §5.3).",
            f"The latest day there can be is {latest:%Y-%m-%d}.",
        )
    return cutoff


def plan_audit_retention(
    connection: Connection,
    schema: Schema,
    cutoff: datetime,
    *,
    target: Target,
    planned_by: str,
    plans: Path,
    backups: Path,
) -> Plan:
    """Plan to delete the migration entries from before a day, and export them.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a reading, repeatable-read transaction; nothing else is needed.
    cutoff : datetime
        From `cutoff_of`.
    plans, backups : Path
        Where the plan file and the export are written.

    Raises
    ------
    Refused
        When nothing is old enough, or the chain does not hold: pruning would cover that up.
    """
    schema.require("audit.id", "audit.action", "audit.metadata", "audit.created_at")
    table = schema.resolved["audit"].table
    links = _whole_chain(connection, schema)
    ledger = Ledger()
    going = _old_stories(connection, schema, cutoff, table, ledger)
    last = _keep_the_chain_whole(going, links, table, ledger)
    if not going:
        raise Refused(
            f"No migration entry from before {cutoff:%Y-%m-%d} may go yet.",
            "Runs that were logged about since keep all their entries; there is nothing to do."
            if ledger.kept
            else "There is nothing to do.",
        )
    in_time = sorted(going.values(), key=lambda each: (each.at, each.key))
    export = export_rows(
        raw(connection),
        schema,
        table,
        [each.key for each in in_time],
        folder=backups,
        named=f"audit_before_{cutoff:%Y%m%d}",
    )
    ledger.doomed[table] = sorted(going)
    header = _header(cutoff, in_time, export, last, target, planned_by)
    with Updates() as none:
        return write_plan(connection, References(schema), header, ledger, none, plans)


def refuse_without_export(plan: Plan, backups: Path) -> None:
    """Refuse to apply a pruning whose export is gone or not what was written; any other plan passes.

    Raises
    ------
    Refused
        With the file's name.
    """
    if plan.header.kind != KIND:
        return
    named, wanted = plan.header.parameters["export_file"], plan.header.parameters["export_sha256"]
    found = sha256_of(backups / str(named))
    if found != wanted:
        state = "is not there" if found is None else "is not what was exported"
        raise Refused(
            f"The export {named} {state} in {backups}: what plan {plan.id} prunes would be lost. Nothing was changed.",
            "Bring the file back, or plan again.",
        )


def _whole_chain(connection: Connection, schema: Schema) -> tuple[Link, ...]:
    chain = read_chain(raw(connection), schema)
    verdict = verify_chain(chain)
    if verdict.breaks:
        raise Refused(
            f"The audit chain does not hold: {verdict.breaks[0].what} Pruning would cover that up.",
            "`workbench audit verify` names every break; settle those first.",
        )
    return chain.links


def _old_stories(
    connection: Connection, schema: Schema, cutoff: datetime, table: str, ledger: Ledger
) -> dict[str, _Entry]:
    """Find the entries that are old, and whose run has none that is young; list the others as kept."""
    audit, run = schema.audit, schema.audit_run
    entries = (
        select(
            as_text(audit.c.id).label("key"),
            audit.c.created_at.label("at"),
            run.label("run"),
            func.max(audit.c.created_at).over(partition_by=run).label("latest"),
        )
        .where(is_of_migration(schema))
        .subquery()
    )
    columns = (entries.c.key, entries.c.at, entries.c.run, entries.c.latest)
    query = select(*columns).where(entries.c.at < cutoff).order_by(entries.c.key)
    going: dict[str, _Entry] = {}
    for key, at, of_run, latest in connection.execute(query).all():
        if of_run is not None and latest >= cutoff:
            ledger.kept.append((table, key, f"run {of_run} was logged about until {latest:%Y-%m-%d}"))
        else:
            going[key] = _Entry(key, at, of_run)
    return going


def _keep_the_chain_whole(
    going: dict[str, _Entry], links: tuple[Link, ...], table: str, ledger: Ledger
) -> Link | None:
    """Take back out what would leave a hole in the chain, and its runs with it; return the last link that goes."""
    while True:
        first_kept = next((place for place, each in enumerate(links) if each.entry not in going), len(links))
        # The last one stays in any case: the next entry is written behind it.
        first_kept = min(first_kept, max(len(links) - 1, 0))
        held = {each.entry: each for each in links[first_kept:] if each.entry in going}
        runs = {going[entry].run for entry in held} - {None}
        together = [key for key, each in going.items() if key not in held and each.run in runs]
        for entry, link in held.items():
            ledger.kept.append(
                (table, entry, f"entry {link.number} stands in the chain behind one that stays")
            )
            del going[entry]
        for key in together:
            ledger.kept.append((table, key, f"another entry of run {going.pop(key).run} stays in the chain"))
        if not together:
            return links[first_kept - 1] if first_kept else None


def _header(
    cutoff: datetime,
    entries: list[_Entry],
    export: Export,
    last: Link | None,
    target: Target,
    planned_by: str,
) -> Header:
    runs = {each.run for each in entries if each.run}
    exported = {"export_file": export.path.name, "export_sha256": export.sha256}
    through = {"through": last.number, "through_hash": last.hash} if last else {}
    day = f"{cutoff:%Y-%m-%d}"
    return Header(
        kind=KIND,
        parameters={"cutoff": cutoff.isoformat(), **exported, "entries": export.rows, **through},
        reasons=(f"Prunes the migration entries of the audit log from before {day} (guide §5.3).",),
        target=target,
        planned_by=planned_by,
        evidence=(f"export {export.path.name}, {export.rows:,} entries, SHA-256 {export.sha256}",),
        notes=(
            f"The entries are of {len(runs):,} runs; what only they tell of those can afterwards be read in the export alone.",
            "The journal keeps the rows too, for an undo: the database does not shrink by this.",
            *((f"The hash chain will begin after entry {last.number}.",) if last else ()),
        ),
        audit=(
            {
                "action": AUDIT_PRUNED,
                "metadata": {
                    "cutoff": cutoff.isoformat(),
                    "records_affected": export.rows,
                    **exported,
                    **through,
                },
            },
        ),
    )
