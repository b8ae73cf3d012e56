"""A server of Debian's, as hosted ones are: reached by a password and with SSL alone; and its own client programs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

PROGRAMS = max(
    Path("/usr/lib/postgresql").glob("[0-9]*/bin"), default=None, key=lambda each: int(each.parent.name)
)


class ForeignServer:
    """A running server; `programs` is the folder of its client programs, which have SSL."""

    def __init__(self, programs: Path, folder: Path, port: int) -> None:
        self.programs, self.folder, self.port = programs, folder, port
        self._made = 0

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres:verysecret@127.0.0.1:{self.port}/{database}"

    def create(self, options: str = "") -> str:
        """Make an empty database; return its URL."""
        self._made += 1
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE club_{self._made} TEMPLATE template0 {options}")
        return self.url(f"club_{self._made}")


@pytest.fixture(scope="session")
def foreign() -> Iterator[ForeignServer]:
    if PROGRAMS is None or not (PROGRAMS / "initdb").is_file():
        pytest.skip("there is no PostgreSQL of Debian's here, whose server asks for SSL")
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    become = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
    (folder / "password").write_text("verysecret")

    def run(*command: object) -> None:
        subprocess.run(
            [str(each) for each in command],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **become,
        )

    certificate, key = data / "server.crt", data / "server.key"
    if become:
        shutil.chown(data, "nobody")
    run(PROGRAMS / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "scram-sha-256",
        f"--pwfile={folder / 'password'}", "--no-sync")  # fmt: skip
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost", "-keyout", key,
        "-out", certificate)  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    with (data / "postgresql.conf").open("a") as settings:
        settings.write(
            f"ssl = on\nfsync = off\nport = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
        )
    run(PROGRAMS / "pg_ctl", "-D", data, "-w", "-l", data / "log", "start")
    yield ForeignServer(PROGRAMS, folder, port)
    run(PROGRAMS / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)
