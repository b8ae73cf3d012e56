"""Rules of a test's own, asked of a club."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.checks import Finding

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a folder of rules, each by its id, with underscores for hyphens."""

    def written(folder: str = "policies", **rules: str) -> Path:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        for name, text in rules.items():
            (path / f"{name.replace('_', '-')}.sql").write_text(text, encoding="utf-8")
        return path

    return written


def rule(sql: str, fix: str = "", **header: object) -> str:
    """Return the file of a rule."""
    head = {"title": "Our own", **header}
    lines = [f"-- {key} = {value!r}" for key, value in head.items()]
    return "\n".join([*lines, "", sql, *(["-- fix", fix] if fix else []), ""])


def starter(name: str, *changes: tuple[str, str]) -> str:
    """Return a rule of the starter set, with some of its words changed."""
    from workbench.checks.registry import STARTER

    text = next(
        folder / f"{name}.sql" for folder in STARTER if (folder / f"{name}.sql").is_file()
    ).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def keys(found: Finding) -> set[str]:
    """Return what a finding names."""
    return set(map(str, found.rows["key"])) if len(found.rows) else set()
