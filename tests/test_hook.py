"""The hook that keeps outputs of notebooks out of git, in a repository of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_repository import ROOT

if shutil.which("git") is None:
    pytest.skip("there is no git here for a hook to work in", allow_module_level=True)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A repository with the hook, as `make` installs it."""
    shutil.copytree(ROOT / ".githooks", tmp_path / ".githooks")
    run(tmp_path, "init", "--quiet")
    run(tmp_path, "config", "core.hooksPath", ".githooks")
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    named = ("-c", "user.name=Dana", "-c", "user.email=dana@example.org")
    return subprocess.run(["git", *named, *words], cwd=folder, capture_output=True, text=True, check=False)


def notebook(outputs: list[object], count: int | None = None) -> str:
    cell = {
        "cell_type": "code",
        "metadata": {},
        "source": "1",
        "outputs": outputs,
        "execution_count": count,
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


SHOWN = [{"output_type": "stream", "name": "stdout", "text": "alice@example.org"}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (notebook(SHOWN), "carries outputs"),
        (notebook([], 3), "carries outputs"),
        ("{half", "is not a notebook that can be read"),
    ],
)
def test_a_notebook_with_outputs_is_stopped(scratch: Path, content: str, words: str) -> None:
    name = "who's who é.ipynb"
    (scratch / name).write_text(content)
    run(scratch, "add", "--all")
    (scratch / name).write_text(notebook([]))  # cleaned, but not staged: what is staged is what counts
    stopped = run(scratch, "commit", "-m", "Look at it")
    assert stopped.returncode == 1
    assert f"{name} {words}" in stopped.stderr
    assert run(scratch, "rev-parse", "HEAD").returncode != 0, "nothing was committed"
    run(scratch, "add", "--all")
    assert run(scratch, "commit", "-m", "Look at it").returncode == 0


def test_what_is_no_notebook_or_is_removed_passes(scratch: Path) -> None:
    (scratch / "kept.txt").write_text("3")
    (scratch / "old.ipynb").write_text(notebook(SHOWN))
    run(scratch, "add", "--all")
    assert run(scratch, "commit", "--no-verify", "-m", "Begin").returncode == 0
    run(scratch, "rm", "--quiet", "old.ipynb")
    assert run(scratch, "commit", "-m", "Remove it").returncode == 0


def test_setting_up_installs_the_hook() -> None:
    assert "git config core.hooksPath .githooks" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert (ROOT / ".githooks" / "pre-commit").stat().st_mode & 0o100, "git runs only what may be run"
