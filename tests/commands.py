"""The command line as its user meets it, run in this process: a Python for each call would cost a second each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import Ground
from workbench.cli.main import main


class Done(NamedTuple):
    """What a command left, named as `subprocess` names it."""

    returncode: int
    stdout: str
    stderr: str


Shell = Callable[..., Done]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Run the command in an empty folder, with no variable of the workbench's set but those given."""
    for name in [name for name in os.environ if name.startswith("WORKBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **variables: str) -> Done:
        capsys.readouterr()
        with monkeypatch.context() as only_now:
            for name, value in variables.items():
                only_now.setenv(name, value)
            only_now.setattr(sys, "argv", ["workbench", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        code = ended.value.code
        assert code is None or isinstance(code, int), code
        return Done(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def at(shell: Shell, tmp_path: Path) -> Callable[..., Shell]:
    """Run it against a club, named by variable in a workbench.toml."""

    def bind(club: Ground, *more: str) -> Shell:
        (tmp_path / "workbench.toml").write_text(
            f'operator = "dana"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\nimport_reports = ["{club.club.imports}"]\n'
            f'tier_mapping = "{club.club.imports}/membership.yaml"\nevent_capacity_limit = 100\n'
            + "\n".join(more)
        )
        url = club.url.replace("postgres:@", "postgres:hunter22secret@")
        return lambda *arguments: shell(*arguments, "--environment", "club", CLUB_URL=url)

    return bind
