"""`workbench serve` and `lab`: who gets in, what can be had there, in which Python, and how they end."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.paths import jupyter_path

import workbench
from tests.browser.conftest import free_port
from tests.commands import Shell, at, shell  # noqa: F401
from tests.conftest import Clubs, Ground
from workbench.cli.notebooks import MIN_TOKEN, _is_loopback, _kernel_variables
from workbench.panels.serving import Served, page_of
from workbench.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "club.example.org"])
def test_elsewhere_than_here_takes_a_token_that_was_chosen(shell: Shell, host: str) -> None:  # noqa: F811
    done = shell("serve", "runs", "--host", host)
    assert done.returncode == 3
    assert "WORKBENCH_TOKEN holds no token" in done.stderr


@pytest.mark.parametrize(
    ("host", "here"),
    [
        *((here, True) for here in ("127.0.0.1", "127.9.9.9", "::1", "localhost")),
        *((there, False) for there in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "")),
    ],
)
def test_here_is_only_this_machine(host: str, here: bool) -> None:
    assert _is_loopback(host) is here


def test_a_token_that_can_be_guessed_is_refused_anywhere(shell: Shell) -> None:  # noqa: F811
    done = shell("serve", "runs", WORKBENCH_TOKEN="x" * (MIN_TOKEN - 1))
    assert done.returncode == 3
    assert "can be guessed" in done.stderr
    assert "x" * (MIN_TOKEN - 1) not in done.stderr


def test_an_unknown_page_is_wrong_usage_with_the_nearest(shell: Shell) -> None:  # noqa: F811
    done = shell("serve", "run")
    assert done.returncode == 2
    assert "runs" in done.stderr


def test_a_page_begins_with_its_panel_and_covers_people_unless_asked() -> None:
    for unmask in (False, True):
        *_, shown = page_of(Served("tiers", unmask)).cells
        assert shown.source == f"opened(Pages, 'tiers', unmask={unmask})"


def beside(folder: Path) -> None:
    """Put files of the user's into a folder that are named like modules; each is the end of whoever imports it."""
    for name in ("workbench", "types", "pandas", "sqlalchemy", "matplotlib", "json", "ipykernel", "IPython"):
        (folder / f"{name}.py").write_text(f"import os\nos._exit(len({name!r}))\n")


def test_the_kernel_is_this_python_whatever_others_there_are(
    clubs: Clubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("theirs", "home/.local/share/jupyter"):
        other = tmp_path / folder / "kernels" / "python3"
        other.mkdir(parents=True)
        (other / "kernel.json").write_text(
            json.dumps({"argv": ["/opt/other/bin/python"], "display_name": "Other", "language": "python"})
        )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "theirs"))
    with clubs.clone("guide", 60).workbench() as wb:
        monkeypatch.setenv("JUPYTER_PATH", _kernel_variables(wb)["JUPYTER_PATH"])
    found = KernelSpecManager(kernel_dirs=[str(Path(each) / "kernels") for each in jupyter_path()])
    assert found.get_kernel_spec("python3").display_name == "Python 3 (workbench)"
    assert str(tmp_path / "theirs") in jupyter_path(), "what else the user has stays"
    # A notebook's folder may hold files named like modules: they are not taken for those, and others are found.
    beside(tmp_path)
    (tmp_path / "helper.py").write_text("here = __file__")
    manager = KernelManager(kernel_name="python3", kernel_spec_manager=found, transport_encryption="auto")
    manager.start_kernel(cwd=tmp_path)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(60)
        asked = "import helper, pandas, sys, types, workbench"
        told = client.execute_interactive(
            asked,
            user_expressions={"at": "workbench.__file__, sys.executable, helper.here"},
            output_hook=lambda _: None,
            timeout=60,
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    found_at = ast.literal_eval(told["content"]["user_expressions"]["at"]["data"]["text/plain"])
    assert found_at == (workbench.__file__, sys.executable, str(tmp_path / "helper.py"))


def test_who_acts_goes_along_and_who_is_only_logged_in_does_not(
    clubs: Clubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clubs.clone("guide", 60).workbench() as wb:
        assert _kernel_variables(wb)["WORKBENCH_OPERATOR"] == "dana"
        wb.session.settings = Settings()
        assert "WORKBENCH_OPERATOR" not in _kernel_variables(wb)


def test_a_browser_is_led_there_without_the_token_among_its_arguments(
    at: Callable[..., Shell],  # noqa: F811
    clubs: Clubs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[tuple[str, str, int]] = []

    def open_browser(address: str) -> None:
        file = Path(address.removeprefix("file://"))
        opened.append((address, file.read_text(), file.stat().st_mode & 0o077))

    def serve_page(served: Served, *, listening: Callable[[str], None], token: str, **_: object) -> None:
        listening(f"http://127.0.0.1:1/?token={token}")

    monkeypatch.setattr("webbrowser.open", open_browser)
    monkeypatch.setattr("workbench.panels.serving.serve_page", serve_page)
    for name in ("JUPYTER_PATH", "WORKBENCH_ENVIRONMENT", "WORKBENCH_OPERATOR", "WORKBENCH_CONFIG"):
        monkeypatch.setenv(name, "")  # to be put back in the end
    for name in ("HOME", "REPORTS", "BACKUPS"):
        monkeypatch.setenv(f"WORKBENCH_{name}", "there")
    monkeypatch.delenv("WORKBENCH_CONFIG")
    monkeypatch.delenv("WORKBENCH_OPERATOR")
    done = at(clubs.clone("guide", 60))("serve", "runs")
    assert done.returncode == 0
    [(address, led, others)] = opened
    [token] = re.findall(r"token=(\w+)", done.stderr)
    assert f"token={token}" in led
    assert token not in address
    assert others == 0, "nobody else may read it"
    assert not Path(address.removeprefix("file://")).exists()


class Running:
    """A server in a process of its own, with what it said."""

    def __init__(self, folder: Path, club: Ground, *arguments: str, **variables: str) -> None:
        (folder / "workbench.toml").write_text(
            'operator = "dana"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n'
        )
        (folder / "secret.png").write_text("not to be had")
        beside(folder)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workbench", *arguments, "--no-browser", "-e", "club"],
            cwd=folder,
            env={**kept, "CLUB_URL": club.url, "HOME": str(folder), **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.said = ""
        self.address, self.token = "", ""
        for line in self.process.stderr or ():
            self.said += line
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/\S*\?token=(\w+)", line):
                self.address, self.token = found[1], found[2]
                break
        assert self.address, self.said

    def ended(self, by: signal.Signals) -> int:
        """End it, and return its exit code."""
        os.killpg(self.process.pid, by)
        self.said += self.process.communicate(timeout=30)[1]
        return self.process.returncode


def test_a_page_is_had_with_its_token_only_and_nothing_else_is(
    clubs: Clubs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "voila.json").write_text(json.dumps({"Voila": {"token": "", "ip": "0.0.0.0"}}))
    running = Running(tmp_path, clubs.clone("guide", 60), "serve", "runs", "--port", str(free_port()))
    try:
        assert len(running.token) >= 32
        arguments = Path(f"/proc/{running.process.pid}/cmdline")
        assert not arguments.exists() or running.token not in arguments.read_text()
        with httpx.Client(base_url=running.address, timeout=60) as stranger:
            for path in (
                "/",
                "/?token=wrong",
                "/?token=",
                "/runs.ipynb",
                "/secret.png",
            ):
                assert stranger.get(path).next_request.url.path == "/login", path  # type: ignore[union-attr]
            assert stranger.get("/voila/files/secret.png").status_code == 403
            kernel = "/api/kernels/00000000-0000-0000-0000-000000000000"
            assert stranger.get(kernel).status_code == 403
            assert stranger.get(f"{kernel}/channels").status_code == 403
            assert stranger.post("/login", data={"password": "wrong"}).status_code in {401, 403}
        with httpx.Client(base_url=running.address, params={"token": running.token}, timeout=60) as known:
            for path in ("secret.png", "workbench.toml", "../../etc/passwd"):
                assert known.get(f"/voila/files/{path}", follow_redirects=True).status_code in {403, 404}, (
                    path
                )
            assert known.get("/api/contents", follow_redirects=True).status_code in {403, 404}
            page = known.get("/")
        assert page.status_code == 200
        assert page.headers["content-security-policy"].startswith("default-src 'self'")
        assert "<title>Murmurant workbench" in page.text
        assert "open_workbench" not in page.text
        assert "opened(" not in page.text, "code"
        assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*', page.text)
    finally:
        code = running.ended(signal.SIGINT)
    assert code == 0
    assert not [*tmp_path.glob("workbench-page-*"), *tmp_path.glob("voila_*")], "nothing is left behind"


def test_jupyterlab_asks_for_its_token_and_ends_with_an_interrupt(clubs: Clubs, tmp_path: Path) -> None:
    running = Running(tmp_path, clubs.clone("guide", 60), "lab", "--port", str(free_port()), JUPYTER_TOKEN="")
    try:
        assert httpx.get(f"{running.address}/api/contents").status_code == 403
        asked = httpx.get(f"{running.address}/api/kernelspecs", params={"token": running.token})
        assert asked.json()["default"] == "python3"
        assert asked.json()["kernelspecs"]["python3"]["spec"]["display_name"] == "Python 3 (workbench)"
    finally:
        code = running.ended(signal.SIGINT)
    assert code == 0, running.said
