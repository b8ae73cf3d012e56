"""Replace a database's contents where it stands: the guide's ``pg_restore --clean --if-exists``, in one transaction.

For whoever may not make and rename databases. Nobody can look at the tables meanwhile, and it takes as long as
one session needs; but killed in the middle, the database is as it was. The transaction is ours and not pg_restore's own
(``--single-transaction``): what is newer than the snapshot goes as well, and what came out is compared before the commit.
"""

from __future__ import annotations

from contextlib import nullcontext

from psycopg import sql

from workbench.database.connection import SPELLING, Session
from workbench.database.programs import entries_of, restore_within
from workbench.errors import Drift, Refused
from workbench.snapshots.restore.settling import journal_of, schema_of, settle_within, settled_before
from workbench.snapshots.restore.steps import Restore, in_place, refuse_differences
from workbench.snapshots.restore.tables import changed, tables_in

# What no extension brought and the system does not own: it goes, also what is newer than the snapshot.
_OWN_SCHEMAS = """
    SELECT n.oid FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
"""

_TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN ({_OWN_SCHEMAS}) ORDER BY 1, 2
"""

_OBJECTS = f"""
    SELECT 1, format('DROP %s IF EXISTS %s CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
        WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, c.oid::regclass),
        c.oid::regclass::text, c.relowner
    FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relnamespace IN ({_OWN_SCHEMAS})
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i'))
    UNION ALL
    SELECT 2, format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure), p.oid::regprocedure::text, p.proowner
    FROM pg_proc p WHERE p.pronamespace IN ({_OWN_SCHEMAS})
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
    UNION ALL
    SELECT 3, format('DROP %s IF EXISTS %s CASCADE', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.oid::regtype),
        t.oid::regtype::text, t.typowner
    FROM pg_type t WHERE t.typtype IN ('e', 'd', 'r') AND t.typnamespace IN ({_OWN_SCHEMAS})
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype IN ('e', 'i'))
"""

_NOT_OURS = f"SELECT name, pg_get_userbyid(owner) FROM ({_OBJECTS}) o (place, statement, name, owner) WHERE NOT pg_has_role(owner, 'USAGE') ORDER BY 1"


def replace_contents(restore: Restore) -> None:
    """Drop everything, restore everything, compare, settle, commit: one transaction."""
    record, request = restore.record, restore.request
    live = restore.at(record.live)
    before = journal_of(live)
    waiting = f"-c lock_timeout={int(live.lock_timeout * 1000)} -c default_transaction_read_only=off"
    options = f"{SPELLING} {waiting} -c maintenance_work_mem=256MB"
    with live.speaking_plainly("apply_timeout"), live.session(options) as driver:
        if (done := settled_before(driver, record)) is not None:
            record.note(settled=done)
            return
        restore.tell("keeping everybody else out")
        _lock_everything(driver)
        # What was written after the safety backup would be nowhere any more.
        if later := changed(record.safety_tables or {}, tables_in(driver, live.address.schema)):
            raise Drift(
                f"Somebody wrote to {', '.join(later)} of {record.live} after its safety backup was taken.",
                f"{request.remedy} It shows what would be lost now; stop the application first"
                " (`workbench app stop`), or it will change again.",
            )
        restore.tell("dropping what is there")
        kept = _drop_everything(driver)
        entries = [line for line in entries_of(restore.archive, restore.tools) if not _stands(line, kept)]
        record.facts["unchecked_keys"] = restore_within(
            *(driver, restore.archive, live, restore.tools, "--clean", "--if-exists"),
            entries=entries,
            advance=restore.tell,
        )
        driver.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(live.address.schema)))
        restore.tell("comparing the contents with the manifest")
        refuse_differences(restore, lambda: nullcontext(driver), 1)
        settled = settle_within(driver, schema_of(driver, live), request, record, before)
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
        name, owner = others[0]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise Refused(
            f"{name}{more} belongs to {owner}, so the database user may not replace it.",
            "Restore as its owner. Nothing was changed.",
        )


def _lock_everything(driver: Session) -> None:
    """Keep everybody from reading and writing until the end; whoever is at it may finish."""
    tables = driver.execute(_TABLES).fetchall()
    if tables:
        names = sql.SQL(", ").join(sql.Identifier(*each) for each in tables)
        driver.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))


def _drop_everything(driver: Session) -> list[str]:
    """Drop all that is the users' own; return how the archive's list speaks of schemas and extensions that stay."""
    refuse_what_is_not_ours(driver)
    # Names are spelled in full where no schema is on the path.
    driver.execute("SET search_path TO ''")
    for _, statement, *_ in driver.execute(f"SELECT o.* FROM ({_OBJECTS}) o ORDER BY 1, 3").fetchall():
        driver.execute(statement)
    kept = driver.execute(
        f"SELECT 'SCHEMA', nspname FROM pg_namespace WHERE oid IN ({_OWN_SCHEMAS})"
        " UNION ALL SELECT 'EXTENSION', extname FROM pg_extension"
    ).fetchall()
    return [each for kind, name in kept for each in (f" {kind} - {name} ", f" COMMENT - {kind} {name} ")]


def _stands(entry: str, kept: list[str]) -> bool:
    """Tell whether an entry of an archive's list makes, or describes, a schema or extension that is there."""
    return any(each in f"{entry} " for each in kept)


IN_PLACE = in_place(replace_contents)
