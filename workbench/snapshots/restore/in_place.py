"""Replace a database's contents where it stands: the guide's ``pg_restore --clean --if-exists``, in one transaction.

For whoever may not make and rename databases. Nobody can look at the tables meanwhile, and it takes as long as
one session needs; but killed in the middle, the database is as it was. The transaction is ours and not pg_restore's own
(``--single-transaction``): what is newer than the snapshot goes as well, and what came out is compared before the commit.
"""

from __future__ import annotations

from contextlib import nullcontext

from psycopg import sql

from workbench.database.archives import read_listing, restore_within
from workbench.database.connection import SPELLING, Session
from workbench.errors import Drift, Refused
from workbench.snapshots.restore.settling import journal_of, settle_within, settled_before
from workbench.snapshots.restore.steps import AFTER, SAFETY, STOP, Restore, Step, refuse_differences
from workbench.snapshots.restore.tables import changed, tables_in

_OWN_SCHEMAS = """
    SELECT n.oid FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
"""

_TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ({_OWN_SCHEMAS}) ORDER BY 1, 2
"""

# What no extension brought and the system does not own: it goes, also what is newer than the snapshot.
_OBJECTS = f"""
    SELECT format('DROP %s IF EXISTS %s CASCADE', replace(i.type, 'composite ', ''), i.identity), i.identity, o.owner
    FROM (
        SELECT 1, 'pg_class'::regclass, oid, relnamespace, relowner FROM pg_class WHERE relkind = ANY ('{{r,p,v,m,f,S,c}}')
        UNION ALL SELECT 2, 'pg_proc'::regclass, oid, pronamespace, proowner FROM pg_proc
        UNION ALL SELECT 3, 'pg_type'::regclass, oid, typnamespace, typowner FROM pg_type WHERE typtype IN ('e', 'd', 'r')
    ) o (place, class, oid, schema, owner), pg_identify_object(o.class, o.oid, 0) i
    WHERE o.schema IN ({_OWN_SCHEMAS})
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype IN ('e', 'i'))
    ORDER BY o.place, i.identity
"""

_NOT_OURS = (
    f"SELECT identity, pg_get_userbyid(owner) FROM ({_OBJECTS}) o WHERE NOT pg_has_role(owner, 'USAGE')"
)

# How an archive's list speaks of the schemas and extensions that stay.
_KEPT = f"""
    SELECT format(' %s - %s ', kind, name), format(' COMMENT - %s %s ', kind, name) FROM (
        SELECT 'SCHEMA', nspname FROM pg_namespace WHERE oid IN ({_OWN_SCHEMAS})
        UNION ALL SELECT 'EXTENSION', extname FROM pg_extension) kept (kind, name)
"""


def replace_contents(restore: Restore) -> None:
    """Drop everything, restore everything, compare, settle, commit: one transaction."""
    record, request = restore.record, restore.request
    live, listing = restore.at(record.live), read_listing(restore.archive, restore.tools)
    before = journal_of(live)
    waiting = f"-c lock_timeout={int(live.lock_timeout * 1000)} -c default_transaction_read_only=off"
    options = f"{SPELLING} {waiting} -c maintenance_work_mem=256MB"
    with live.speaking_plainly("apply_timeout"), live.session(options) as driver:
        if (done := settled_before(driver, record)) is not None:
            record.note(settled=done)
            return
        restore.tell("keeping everybody else out")
        if tables := driver.execute(_TABLES).fetchall():
            names = sql.SQL(", ").join(sql.Identifier(*each) for each in tables)
            driver.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
        # What was written after the safety backup would be nowhere any more.
        if later := changed(record.safety_tables or {}, tables_in(driver, live.address.schema)):
            raise Drift(
                f"Somebody wrote to {', '.join(later)} of {record.live} after its safety backup was taken.",
                f"{request.remedy} It shows what would be lost now; stop the application first"
                " (`workbench app stop`), or it will change again.",
            )
        restore.tell("dropping what is there")
        refuse_what_is_not_ours(driver)
        for statement, *_ in driver.execute(_OBJECTS).fetchall():
            driver.execute(statement)
        kept = [mark for marks in driver.execute(_KEPT) for mark in marks]
        entries = [entry for entry in listing.entries if not any(mark in f"{entry} " for mark in kept)]
        record.facts["unchecked_keys"] = restore_within(
            driver, listing, live, "--clean", "--if-exists", entries=entries, advance=restore.tell
        )
        driver.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(live.address.schema)))
        restore.tell("comparing the contents with the manifest")
        refuse_differences(restore, lambda: nullcontext(driver), 1)
        settled = settle_within(driver, request, record, before)
        restore.tell("committing")
    record.note(settled=settled)


def settle_replacement(restore: Restore) -> None:
    """Find out whether a replacement was committed of which the record does not know."""
    record = restore.record
    with restore.at(record.live).writing() as connection:
        done = settled_before(connection, record)
    if done is not None and "replace" not in record.done:
        record.note("stop", "safety", "replace", settled=done)


def refuse_what_is_not_ours(connection: Session) -> None:
    """Refuse where something belongs to others, and could not be dropped."""
    if others := connection.execute(_NOT_OURS).fetchall():
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise Refused(
            f"{others[0][0]}{more} belongs to {others[0][1]}, so the database user may not replace it.",
            "Restore as its owner. Nothing was changed.",
        )


IN_PLACE = [
    STOP,
    SAFETY,
    Step("replace", "replacing the contents in one transaction", replace_contents),
    *AFTER,
]
