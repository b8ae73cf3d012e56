"""Where snapshots are restored to: servers, rights, full disks, crashes; nothing stays behind."""

from __future__ import annotations

import subprocess

import psycopg
import pytest

from tests.scratch.ground import execute, failure, restored
from workbench.errors import DatabaseUnreachable, UsageError, WorkbenchError
from workbench.settings import Settings


def test_a_server_of_the_settings(snapshot, elsewhere, monkeypatch):
    path = snapshot("-Fc")
    settings = elsewhere("CREATEDB")
    commands = []

    class Watched(subprocess.Popen):
        def __init__(self, command, **more):
            commands.append(command)
            super().__init__(command, **more)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    with restored(path, ["first"], settings=settings) as back, back.readable.look() as connection:
        assert connection.execute("SELECT current_user, count(*) FROM first").fetchone() == ("maker", 3000)
        assert connection.execute("SHOW work_mem").fetchone() == ("5MB",)
    assert len(commands) > 2
    assert "hunter2" not in str(commands)
    assert "hunter2" not in repr(back)


def test_a_server_that_is_not_there(snapshot, monkeypatch):
    path = snapshot("-Fc")
    settings = Settings(scratch_url_env="SCRATCH_URL")
    monkeypatch.delenv("SCRATCH_URL", raising=False)
    failure(path, ["first"], settings, "SCRATCH_URL", UsageError)
    monkeypatch.setenv("SCRATCH_URL", "postgresql://dana:hunter2@127.0.0.1:1/postgres?password=hunter3")
    error = failure(path, ["first"], settings, r"scratch .* at 127\.0\.0\.1:1", DatabaseUnreachable)
    assert "hunter" not in str(error)


def test_what_could_not_be_dropped_is_said(snapshot, elsewhere, monkeypatch, server):
    path = snapshot("-Fc")
    settings = elsewhere("CREATEDB")
    with pytest.raises(WorkbenchError, match=r"scratch_[0-9a-f]{16}, with .*Drop it yourself") as caught:  # noqa: SIM117
        with restored(path, ["first"], settings=settings) as back:
            execute(
                server.url("postgres"), f"ALTER DATABASE {back.readable.address.database} OWNER TO postgres"
            )
    assert "hunter2" not in str(caught.value)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {back.readable.address.database}")


def test_rows_that_a_crash_would_have_emptied_are_not_trusted(snapshot, settings, server):
    path = snapshot("-Fc")
    with (
        pytest.raises(DatabaseUnreachable, match="embedded server"),
        restored(path, ["first"], settings=settings),
        psycopg.connect(server.url("postgres"), autocommit=True) as connection,
    ):
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )


def test_what_a_killed_process_left_is_dropped_and_what_is_in_use_is_not(
    snapshot, settings, scratches, server
):
    path = snapshot("-Fc")
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE scratch_0123456789abcdef")
    with (
        restored(path, ["first"], settings=settings) as one,
        restored(path, ["first"], settings=settings) as other,
    ):
        assert scratches() == sorted(each.readable.address.database for each in (one, other))
