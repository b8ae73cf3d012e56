"""Debian's PgBouncer with its defaults before the tests' server, in whichever of its modes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

Pool = Callable[[str, str], str]


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Return a function that puts a pooler before a database, and returns the pooler's URL of it."""
    if PGBOUNCER is None:
        pytest.skip("there is no PgBouncer here to stand before the server")
    running: list[subprocess.Popen[bytes]] = []
    folders: list[Path] = []

    def start(url: str, mode: str) -> str:
        direct = conninfo_to_dict(url)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        # Not in pytest's own folder, which nobody else may enter: it runs as another user.
        folder = Path(tempfile.mkdtemp(prefix="workbench-tests-"))
        folders.append(folder)
        folder.chmod(0o755)
        (folder / "users.txt").write_text('"postgres" ""\n')
        database = f"host={direct['host']} user=postgres" + (
            f" port={direct['port']}" if "port" in direct else ""
        )
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = {database}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {folder}/users.txt\npool_mode = {mode}\n"
        )
        # As the tests' server: root, as which it does not run, has made that another user's.
        owner = Path(str(direct["host"])).stat()
        become = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        become = become if os.geteuid() == 0 else {}
        command = [PGBOUNCER, str(folder / "pgbouncer.ini")]
        with (folder / "log").open("wb") as log:
            running.append(subprocess.Popen(command, stderr=log, **become))
        pooled = f"postgresql://postgres@127.0.0.1:{port}/{direct['dbname']}"
        _wait_for(pooled, folder / "log")
        return pooled

    yield start
    for process in running:
        process.terminate()
        process.wait()
    for folder in folders:
        shutil.rmtree(folder)


def _wait_for(url: str, log: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url, autocommit=True).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise AssertionError(log.read_text()) from None
            time.sleep(0.05)
        else:
            return
