"""The application stopped, started and asked: by its own commands, shown, and never for longer than allowed."""

from __future__ import annotations

import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from tests.conftest import Clubs, database_at
from workbench.cli.command import app, program
from workbench.errors import WorkbenchError
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

program()  # registers the commands


def run(*command: str, timeout: float = 10.0, said: list[str] | None = None) -> dict[str, Any]:
    options = EnvironmentSettings(kind="demo", app_stop=command, app_timeout=timeout)
    wb = Workbench(Session(database_at("postgresql://nowhere/club", "demo", "club"), options, Settings()))
    return wb.app.stop(None if said is None else said.append)


def python(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", code


def test_a_command_is_run_as_it_is_and_what_it_says_is_told() -> None:
    said: list[str] = []
    code = (
        "import sys; print('one'); print('tw\\x1bo', file=sys.stderr, flush=True); sys.stdout.write('three')"
    )
    done = run(*python(code), said=said)
    assert sorted(said) == ["one", "three", "tw o"]
    assert (done["exit_code"], done["output"]) == (0, said)
    assert run("echo", "$HOME", ";", "`id`")["output"] == ["$HOME ; `id`"]  # no shell reads it
    assert run("sh", "-c", "echo $((6 * 7))")["output"] == ["42"]
    assert run("true")["output"] == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (python("import sys; print('port in use'); sys.exit(3)"), "exit code 3; last output: port in use"),
        (("/nowhere/nothing",), "cannot be run: .*No such file"),
        (("ec\0ho",), "cannot be run: embedded null byte"),
        ((), r"is configured"),
    ],
)
def test_what_cannot_be_run_or_fails_is_told(command: tuple[str, ...], said: str) -> None:
    with pytest.raises(WorkbenchError, match=said) as caught:
        run(*command)
    assert caught.value.exit_code == (4 if command else 2)
    assert "environments.club.app_stop" in caught.value.next_step


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"""
import pathlib, subprocess, time
child = subprocess.Popen(["sleep", "60"])
pathlib.Path({str(note)!r}).write_text(str(child.pid))
print("still at it", flush=True)
time.sleep(60)
"""
    with pytest.raises(WorkbenchError, match=r"did not end within 0\.8 s and was killed; last output: still"):
        run(*python(code), timeout=0.8)
    child = int(note.read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_it_leaves_running_neither_holds_it_up_nor_dies() -> None:
    begun = time.monotonic()
    done = run("sh", "-c", "while true; do echo here; sleep 0.05; done & echo $!")
    assert time.monotonic() - begun < 5
    child = psutil.Process(int(next(line for line in done["output"] if line.isdigit())))
    time.sleep(0.3)
    assert child.is_running()
    child.kill()


@pytest.fixture
def place(tmp_path: Path, clubs: Clubs, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a settings file that a test writes, and a club at $CLUB_URL."""
    monkeypatch.setenv("CLUB_URL", clubs.clone("guide").url)
    monkeypatch.setenv("WORKBENCH_CONFIG", str(tmp_path / "workbench.toml"))
    return tmp_path


def configure(place: Path, *lines: str) -> None:
    text = '[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n' + "\n".join(lines)
    (place / "workbench.toml").write_text(text)


def invoke(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*arguments, "-e", "club"])
    if isinstance(done.exception, WorkbenchError):
        return done.exception.exit_code, done.stdout, str(done.exception)
    return done.exit_code, done.stdout, done.stderr


def test_the_commands_stop_and_start(place: Path) -> None:
    configure(place, f'app_stop = ["touch", "{place}/stopped"]', 'app_start = ["false"]')
    code, out, _ = invoke("app", "stop", "--json")
    assert (code, (place / "stopped").exists()) == (0, True)
    assert json.loads(out)["command"] == ["touch", f"{place}/stopped"]
    code, _, said = invoke("app", "start")
    assert (code, "exit code 1" in said) == (4, True)
    configure(place, 'app_stop = "systemctl stop murmurant"')
    code, _, said = invoke("app", "stop")
    assert (code, "environments.club.app_stop" in said) == (2, True)


class Application(http.server.BaseHTTPRequestHandler):
    """Ill for its first questions, then well."""

    ill = 0

    def do_GET(self) -> None:
        health = self.path == "/api/v1/health"
        if health and Application.ill:
            Application.ill -= 1
            self.send_response(503)
        else:
            self.send_response(200 if health else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def application() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_health_is_asked_until_it_is_well(
    place: Path, application: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(place, f'app_url = "{application}"', "app_health_limit = 0.3")
    monkeypatch.setattr(Application, "ill", 1000)
    code, out, _ = invoke("app", "health")
    assert (code, "503" in out) == (1, True)
    assert Application.ill < 1000
    monkeypatch.setattr(Application, "ill", 2)
    code, out, _ = invoke("app", "health", "--wait", "20", "--json")
    assert code == 0
    assert {finding["check"]: finding["status"] for finding in json.loads(out)["findings"]} == {
        "app-health": "pass",
        "app-pages": "pass",
        "app-auth-refuses": "pass",
        "app-auth-admits": "not run",  # nobody named a token, and that is no pass
    }
    configure(place)  # nobody says where it is
    code, out, _ = invoke("app", "health")
    assert (code, "not run" in out) == (1, True)
