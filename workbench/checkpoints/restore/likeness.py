"""What belongs to a database and not to its contents, made the same on the new one.

``pg_restore`` into a new database carries tables, functions, rights on them. The database's own owner, rights,
settings, comment, encoding and locale are lost, unless it makes the database itself under the old name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from workbench.checkpoints.restore.cluster import Session
from workbench.database.programs import read_list, script_of
from workbench.errors import Refused

_ITSELF = """
    SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datcollate, datctype,
           datconnlimit, datallowconn, datistemplate, spcname AS tablespace,
           coalesce(shobj_description(d.oid, 'pg_database'), '') AS comment,
           to_jsonb(d) ->> 'datlocprovider' AS provider,
           coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale,
           to_jsonb(d) ->> 'daticurules' AS rules
    FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace WHERE d.oid = %s
"""

_SETTINGS = """
    SELECT coalesce(r.rolname, ''), each FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole,
    unnest(s.setconfig) each WHERE s.setdatabase = %s ORDER BY 1, 2
"""

# Each grant of the database's own, those of its owner and the public's by default among them.
_GRANTS = """
    SELECT CASE WHEN grantee = 0 THEN '' ELSE pg_get_userbyid(grantee) END, privilege_type, is_grantable
    FROM pg_database d, aclexplode(d.datacl) WHERE d.oid = %s AND d.datacl IS NOT NULL ORDER BY 1, 2
"""

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}

# Settings that are lists: quoted as one string they would name something else.
_LISTS = {"search_path", "session_preload_libraries", "local_preload_libraries", "temp_tablespaces",
          "shared_preload_libraries", "unix_socket_directories", "synchronous_standby_names"}  # fmt: skip

_NAME = re.compile(r'"((?:[^"]|"")*)"|([^,\s]+)')

_PRIVILEGES = {"CREATE", "TEMPORARY", "CONNECT"}


@dataclass(frozen=True)
class Likeness:
    """A database's own properties.

    Attributes
    ----------
    itself : dict
        Owner, encoding, locale, limits, tablespace, comment.
    settings : tuple of (role, name, value)
        ``ALTER DATABASE ... SET``; the role is empty where it holds for everybody.
    grants : tuple of (role, privilege, may grant), or None
        Rights on the database; the role is empty for everybody. None where they are the default.
    """

    itself: dict[str, Any]
    settings: tuple[tuple[str, str, str], ...]
    grants: tuple[tuple[str, str, bool], ...] | None


def likeness_of(beside: Session, oid: int) -> Likeness:
    """Read what belongs to a database itself."""
    with beside.cursor(row_factory=dict_row) as cursor:
        itself = cursor.execute(_ITSELF, [oid]).fetchone()
    if itself is None:
        raise Refused("The database that is to be replaced is gone.", "Ask for the restore anew.")
    settings = tuple(
        (role, *each.split("=", 1)) for role, each in beside.execute(_SETTINGS, [oid]).fetchall()
    )
    default = beside.execute("SELECT datacl IS NULL FROM pg_database WHERE oid = %s", [oid]).fetchone()
    grants = None if default == (True,) else tuple(beside.execute(_GRANTS, [oid]).fetchall())
    return Likeness(itself, settings, grants)


def create_like(beside: Session, name: str, like: Likeness) -> None:
    """Make an empty database with the encoding, locale and tablespace of another; its user owns it for now."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
    itself = like.itself
    provider = _PROVIDERS.get(itself["provider"] or "c", "libc")
    options = {
        "ENCODING": itself["encoding"],
        "LC_COLLATE": itself["datcollate"],
        "LC_CTYPE": itself["datctype"],
    }
    if provider == "icu":
        options |= {"ICU_LOCALE": itself["locale"]} | (
            {"ICU_RULES": itself["rules"]} if itself["rules"] else {}
        )
    if provider == "builtin":
        options["BUILTIN_LOCALE"] = itself["locale"]
    parts = [sql.SQL("{} {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options.items()]
    parts.append(sql.SQL("LOCALE_PROVIDER {}").format(sql.SQL(provider)))
    if itself["tablespace"] != "pg_default":
        parts.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(itself["tablespace"])))
    beside.execute(sql.SQL(" ").join([statement, *parts]))


def make_like(beside: Session, name: str, like: Likeness) -> None:
    """Give a database the owner, rights, settings and limits of another, in one transaction; not its comment."""
    database = sql.Identifier(name)
    itself = like.itself
    with beside.transaction():
        for role, key, value in like.settings:
            whose = sql.SQL("ROLE {} IN ").format(sql.Identifier(role)) if role else sql.SQL("")
            spelled = _names(value) if key.lower() in _LISTS else sql.Literal(value)
            beside.execute(
                sql.SQL("ALTER {}DATABASE {} SET {} TO {}").format(
                    whose, database, sql.Identifier(key), spelled
                )
            )
        beside.execute(
            sql.SQL("ALTER DATABASE {} WITH CONNECTION LIMIT {} IS_TEMPLATE {}").format(
                database, sql.Literal(itself["datconnlimit"]), sql.Literal(itself["datistemplate"])
            )
        )
        beside.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, sql.Identifier(itself["owner"]))
        )
        if like.grants is None:
            return
        owner = sql.Identifier(itself["owner"])
        beside.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        beside.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(database, owner))
        for role, privilege, grantable in like.grants:
            if privilege not in _PRIVILEGES:
                raise Refused(
                    f"The right {privilege} on {itself['owner']}'s database is one that the workbench does not know.",
                    "Update the workbench. Nothing was changed.",
                )
            beside.execute(
                sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
                    sql.SQL(privilege),
                    database,
                    sql.Identifier(role) if role else sql.SQL("PUBLIC"),
                    sql.SQL(" WITH GRANT OPTION" if grantable else ""),
                )
            )


def _names(value: str) -> sql.Composable:
    """Write a setting that is a list as it is stored, each name as a string of its own."""
    names = [quoted.replace('""', '"') or plain for quoted, plain in _NAME.findall(value)]
    return sql.SQL(", ").join(map(sql.Literal, names)) if names else sql.Literal("")


def statements_in(archive: Path, tools: Path | None, name: str) -> tuple[str, list[str]]:
    """Read from an archive how its database was made, for one that is not there any more to be looked at.

    Parameters
    ----------
    name : str
        What the new database is called.

    Returns
    -------
    tuple of (str, list of str)
        The options of CREATE DATABASE, and the statements that set its owner, rights and settings.
    """
    program, _ = read_list(archive, tools)
    listing = program.run("--create", "--list", archive.absolute()).stdout.decode(errors="surrogateescape")
    lines = [line for line in listing.splitlines() if _ABOUT.match(line)]
    script = script_of(archive, tools, lines, "--create")
    created = re.search(r"^CREATE DATABASE (.+?) WITH TEMPLATE = template0(.*);$", script, re.MULTILINE)
    if created is None:
        return " ENCODING 'UTF8'", []
    old, options = created.groups()
    spelled = sql.Identifier(name).as_string(None)
    about = re.compile(
        rf"^(?:ALTER (?:ROLE .+? IN )?|GRANT .+? ON |REVOKE .+? ON |COMMENT ON )DATABASE {re.escape(old)} .*?;$",
        re.MULTILINE | re.DOTALL,
    )
    found = [
        each.group().replace(f"DATABASE {old} ", f"DATABASE {spelled} ", 1) for each in about.finditer(script)
    ]
    return options, found


# The entries of an archive's list that are about the database itself.
_ABOUT = re.compile(r"^\d+; \d+ \d+ (?:DATABASE|DATABASE PROPERTIES|ACL - DATABASE|COMMENT - DATABASE) ")


def create_as_dumped(beside: Session, name: str, archive: Path, tools: Path | None) -> None:
    """Make an empty database as an archive says that it was: encoding and locale."""
    options, _ = statements_in(archive, tools, name)
    statement = (
        sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)).as_string(beside)
    )
    beside.execute((statement + options).encode())


def make_as_dumped(beside: Session, name: str, archive: Path, tools: Path | None) -> str:
    """Give a database the owner, rights and settings that an archive says it had, in one transaction.

    Returns
    -------
    str
        What was said of it: its comment, which is not set yet.
    """
    _, statements = statements_in(archive, tools, name)
    comments = [each for each in statements if each.startswith("COMMENT ")]
    said = ""
    with beside.transaction():
        for each in statements:
            if each not in comments:
                beside.execute(each.encode())
        for each in comments:
            # For a moment, so that the server takes the text out of its quotes; until the swap it says something else.
            with beside.transaction(force_rollback=True):
                beside.execute(each.encode())
                said = str((beside.execute(_SAID, [name]).fetchone() or [""])[0])
    return said


_SAID = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
