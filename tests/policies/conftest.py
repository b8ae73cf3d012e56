"""Rules of a test's own, asked of a club."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.checks import Finding

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of rules."""

    def written(*rules: str, name: str = "policies.toml") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(f"[[rule]]\n{each}" for each in rules), encoding="utf-8")
        return path

    return written


def own_sql(sql: str, scope: str = "Event") -> str:
    """Return a rule of the organisation's own."""
    return f"id = 'own'\ntitle = 'Our own'\nscope = '{scope}'\nsql = '''\n{sql}\n'''"


def keys(found: Finding) -> set[str]:
    """Return what a finding names."""
    return set(map(str, found.rows["key"])) if len(found.rows) else set()
