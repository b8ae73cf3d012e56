"""What works here and what is missing: what ``workbench doctor`` says."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from sqlalchemy import Connection, text

from workbench.database.address import IGNORED_VARIABLES, redact
from workbench.database.connection import Database, Identity
from workbench.database.programs import PROGRAMS, program_for
from workbench.errors import DocumentError, Refused
from workbench.murmurant.schema import Schema, explain_gap
from workbench.murmurant.spellings import CONCEPTS
from workbench.session import Session
from workbench.settings import EnvironmentSettings

_JOURNAL = text(
    """
    SELECT current_user::text AS user, has_database_privilege(current_database(), 'CREATE') AS may_create,
           pg_get_userbyid(n.nspowner)::text AS owner,
           has_schema_privilege(n.oid, 'USAGE') AND NOT EXISTS (
               SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND NOT has_table_privilege(c.oid, 'SELECT')
           ) AS reads,
           has_schema_privilege(n.oid, 'CREATE') AND NOT EXISTS (
               SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname IN ('applied', 'restored')
               AND NOT (has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE'))
           ) AS writes
    FROM (SELECT) AS always LEFT JOIN pg_namespace n ON n.nspname = 'workbench'
    """
)

_LIBRARIES = ("sqlalchemy", "psycopg", "pandas", "papermill", "nbconvert", "jupyterlab", "matplotlib")

_RIGHTS = text(
    """
    SELECT c.relname AS table_name,
           has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(c.relnamespace, 'USAGE') AS reads,
           has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
           AND has_table_privilege(c.oid, 'DELETE') AS writes, row_security_active(c.oid) AS hides
    FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = to_regnamespace(quote_ident(:schema))
    """
)

Line = tuple[str, str, str]


def readiness(wb: Session) -> pd.DataFrame:
    """Return what works here and what is missing.

    Returns
    -------
    pandas.DataFrame
        ``subject``, ``state`` (``ok``, ``missing`` or ``note``), ``detail``. Something ``missing`` keeps a check or a
        command from working; a ``note`` does not.
    """
    here, identity = wb.database, wb.identity
    connected = f"PostgreSQL {identity.version}, database {identity.database}, as {identity.user}"
    with wb.reading() as connection:
        lines: list[Line] = [
            ("environment", "ok", str(here.environment)),
            ("connection", "ok", connected),
            *_ways(here),
            ("server", "ok", f"system identifier {identity.system_identifier}"),
            ("dialect", "ok", wb.dialect),
            *_tables(wb.schema),
            *_rights(connection, wb.schema),
            *_tools(identity, here, wb.settings.client_tools),
            _reports(wb),
            *_configured(wb.options),
            ("python", "ok", platform.python_version()),
            *((name, "ok", version(name)) for name in _LIBRARIES),
        ]
    return pd.DataFrame(lines, columns=["subject", "state", "detail"])


def _tables(schema: Schema) -> Iterator[Line]:
    for name, concept in CONCEPTS.items():
        if hidden := schema.hidden(name):
            yield f"table {name}", "missing", " ".join(hidden)
        elif not schema.has(name):
            yield f"table {name}", "missing", " ".join(explain_gap(name))
        else:
            table = schema.resolved[name].table
            absent = [column for column in concept.columns if not schema.has(f"{name}.{column}")]
            detail = f'"{table}"' + (f", without {', '.join(absent)}" if absent else "")
            key = schema.catalogue.tables[table].primary_key
            if len(key) != 1:
                by = ", ".join(key) or "no key"
                detail += f", its rows named by {by} and not by one column: no change to them can be planned"
            yield f"table {name}", "missing" if len(key) != 1 else "note" if absent else "ok", detail


def _rights(connection: Connection, schema: Schema) -> Iterator[Line]:
    rows = connection.execute(_RIGHTS, {"schema": schema.catalogue.schema}).all()
    unread = _some(row.table_name for row in rows if not row.reads)
    unwritten = _some(row.table_name for row in rows if not row.writes)
    hidden = _some(row.table_name for row in rows if row.hides)
    if unread:
        yield "right to read", "missing", f"SELECT on {unread}: ask the owner to GRANT it"
    else:
        yield "right to read", "ok", f"all {len(rows)} tables"
    if unwritten:
        only = f"none on {unwritten}: enough for looking, not for applying a plan"
        yield "right to write", "note", only
    else:
        yield "right to write", "ok", "all tables; looking never uses it"
    yield _journal(connection, "note" if unwritten else "missing")
    if hidden:
        detail = f"row level security hides rows of {hidden}: questions about them are refused; BYPASSRLS shows them"
        yield "hidden rows", "missing", detail


def _journal(connection: Connection, lacking: str) -> Line:
    """Return whether the schema ``workbench``, which contains the journal, can be used."""
    row = connection.execute(_JOURNAL).one()
    user, owner = row.user, row.owner
    if owner is None and row.may_create:
        return "journal", "ok", "made by the first apply, in the schema workbench"
    if owner is None:
        detail = f"{user} may not create the schema workbench, which applying a plan needs"
        return "journal", lacking, f"{detail}: ask the owner to CREATE SCHEMA workbench AUTHORIZATION {user}"
    if not row.reads:
        detail = f"{user} may not read the schema workbench, so it is not known what was applied here"
        return "journal", "missing", f"{detail}. Ask {owner} for USAGE on it and SELECT on its tables"
    if not row.writes:
        detail = f"{user} may not write to the schema workbench, so no plan can be applied or undone"
        how = f"Connect as {owner}, or let them ALTER SCHEMA and tables OWNER TO {user}"
        return "journal", lacking, f"{detail}. {how}"
    return "journal", "ok", f"the schema workbench, {owner}'s"


def _ways(database: Database) -> Iterator[Line]:
    """Yield lines about a connection pooler, and about parameters and variables that are ignored."""
    try:
        database.refuse_pooler()
    except Refused as refusal:
        yield "connection pooler", "missing", f"{refusal} Looking, applying and undoing work"
    if left_out := ", ".join(database.address.left_out):
        yield "URL parameters", "note", f"ignored because PostgreSQL's client does not know them: {left_out}"
    if ignored := ", ".join(name for name in IGNORED_VARIABLES if name in os.environ):
        yield "variables", "note", f"ignored in favour of the URL: {ignored}"


def _tools(identity: Identity, database: Database, configured: Path | None) -> Iterator[Line]:
    """Yield the PostgreSQL programs that would be used: new enough for the server, and able to connect."""
    for name in PROGRAMS:
        # pg_restore wants an archive before it connects; it is from the same build as pg_dump.
        to = None if name == "pg_restore" else database.address.parameters()
        try:
            tool = program_for(name, identity.version, configured, to)
            yield name, "ok", f"{tool.version}, {tool.path}"
        except Refused as refusal:
            yield name, "missing", str(refusal)


def _reports(wb: Session) -> Line:
    try:
        reports = wb.reports
    except DocumentError as error:
        return "import reports", "missing", str(error)
    if not reports:
        detail = "none: a CSV import and every dry run leave nothing else (--import-report, import_reports)"
        return "import reports", "note", detail
    return (
        "import reports",
        "ok",
        f"{len(reports)} files of {len({report.run_id for report in reports})} runs",
    )


def _configured(options: EnvironmentSettings) -> Iterator[Line]:
    gone = [f"{path} is not there" for path in options.mappings if not path.is_file()]
    limit = options.event_capacity_limit
    configured = {
        "tier mapping": (", ".join(map(str, options.mappings)), "tiers and statuses are not compared"),
        "application": (redact(options.app_url or ""), "app_url: §7.2 does not run"),
        "capacity limit": ("" if limit is None else f"{limit} seats", "event_capacity_limit"),
    }
    for subject, (detail, without) in configured.items():
        if gone and subject == "tier mapping":
            yield subject, "missing", ", ".join(gone)
        else:
            yield subject, "ok" if detail else "note", detail or f"not configured: {without}"


def _some(names: Iterable[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
