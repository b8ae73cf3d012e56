"""A report's surroundings: a small club, its settings, and the workbench as a notebook opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import Server
from workbench.demo.breakages import BREAKAGES, break_club
from workbench.demo.club import build_club
from workbench.settings import Settings, load_settings

HOSTILE = ("<script>alert(1)</script>", '=HYPERLINK("http://evil.example","x")')
_TWICE = """UPDATE "Member" SET "firstName" = %s, "lastName" = %s WHERE email IN (
    SELECT unnest(array_agg(email)) FROM "Member"
    GROUP BY regexp_replace(lower(split_part(email, '@', 1)), '[+].*|[.]', '', 'g') HAVING count(*) > 1)"""


@pytest.fixture
def club(
    server: Server,
    dialect: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Settings:
    """Settings whose environment ``club`` is a broken club with a hostile member in it."""
    imports = tmp_path_factory.getbasetemp() / f"imports-{dialect}"

    def fill(connection: psycopg.Connection[Any]) -> None:
        made = build_club(connection, dialect=dialect, members=60, imports=imports)  # type: ignore[arg-type]
        break_club(connection, made, tuple(BREAKAGES))
        # In the sample of the check for shared addresses, so that a report shows them.
        connection.execute(_TWICE, HOSTILE)

    name = server.create(template=server.template(f"reporting-{dialect}", fill))
    return settings_for(server.url(name), tmp_path, monkeypatch, imports=imports)


def settings_for(
    url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, imports: Path | None = None
) -> Settings:
    """Write and load settings whose environment ``club`` is at `url`."""
    monkeypatch.setenv("CLUB_URL", url)
    monkeypatch.setenv("WORKBENCH_CONFIG", str(folder / "workbench.toml"))
    evidence = (
        f'import_reports = ["{imports}"]\ntier_mapping = "{imports}/membership.yaml"\n' if imports else ""
    )
    (folder / "workbench.toml").write_text(
        'operator = "dana"\nreports = "out"\n[environments.club]\nkind = "development"\nurl_env = "CLUB_URL"\n'
        f"{evidence}event_capacity_limit = 100\n",
        encoding="utf-8",
    )
    return load_settings()


@pytest.fixture
def report_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put notebooks of the test's own in the place of the reports."""
    folder = tmp_path / "templates"
    folder.mkdir()
    monkeypatch.setattr("workbench.reporting.templates.FOLDERS", (folder,))

    def put(name: str, *sources: str) -> Path:
        from nbformat.v4 import new_code_cell, new_notebook, writes_json

        cells = [new_code_cell(source) for source in sources]
        cells[0].metadata["tags"] = ["parameters"]
        path = folder / f"{name}.ipynb"
        kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
        path.write_text(writes_json(new_notebook(cells=cells, metadata=kernel)), encoding="utf-8")
        return path

    return put
