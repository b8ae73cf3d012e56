"""Loads the recordings of Murmurant's importers into the application's schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.commands import Shell
from tests.conftest import RECORDINGS, SCHEMAS, Server, Target

STATES = {
    "api_first": RECORDINGS / "api_sync" / "after_first",
    "api_second": RECORDINGS / "api_sync" / "after_second",
    "csv_run1": RECORDINGS / "csv_import" / "run1" / "tables",
    "csv_run2": RECORDINGS / "csv_import" / "run2" / "tables",
}


def load(connection: psycopg.Connection[Any], folder: Path) -> None:
    """Make the application's schema and copy every recorded table into it, as it is."""
    connection.execute((SCHEMAS / "application.sql").read_text(encoding="utf-8"))
    # The recordings leave out tables that their rows refer to (committees, photos, ...).
    connection.execute("SET session_replication_role = replica")
    for path in sorted(folder.glob("*.csv")):
        content = path.read_text(encoding="utf-8")
        columns = content.split("\n", 1)[0].split(",")
        statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv, HEADER)").format(
            sql.Identifier(path.stem), sql.SQL(", ").join(map(sql.Identifier, columns))
        )
        with connection.cursor().copy(statement) as copy:
            copy.write(content)
    connection.commit()
    connection.autocommit = True
    connection.execute("ANALYZE")


EXCERPTS = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class Recording(Target):
    """A recording in a database of its own: its files, and the command line bound to it."""

    files: Path
    run: Shell

    def json(self, *arguments: str) -> Any:
        """Return what a command prints as JSON, whatever its exit code says."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def carry_out(self, *words: str) -> dict[str, Any]:
        """Plan, approve and apply; return what the plan said."""
        planned: dict[str, Any] = self.json("plan", *words)
        self.apply(planned)
        return planned

    def apply(self, planned: dict[str, Any]) -> None:
        """Approve and apply."""
        for step in (
            ["approve", planned["plan"], "--digest", planned["digest"]],
            ["apply", planned["plan"], "--yes"],
        ):
            done = self.run(*step, "--as", "erin")
            assert done.returncode == 0, done.stderr

    def undo(self, planned: dict[str, Any]) -> None:
        done = self.run("undo", planned["plan"], "--as", "erin", "--yes")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def recording(server: Server, shell: Shell, tmp_path: Path) -> Callable[..., Recording]:
    """Open an excerpt by name as the environment ``club``; `whole` takes the whole recording, where it is at hand.

    Further lines of `workbench.toml` may be given; without `reports` only the database is there.
    """

    def open_(name: str, *more: str, whole: bool = False, reports: bool = True) -> Recording:
        folder = RECORDINGS / "real" / name if whole else EXCERPTS / name
        if not folder.is_dir():
            pytest.skip("the importers' recordings are not part of a clone; this needs them")
        url = server.url(server.create(server.template(f"real-{folder}", lambda made: load(made, folder))))
        imports = folder / "imports" if (folder / "imports").is_dir() else folder
        given = f'import_reports = ["{imports}"]' if reports else ""
        settings = f'operator = "dana"\n[environments.club]\nkind = "demo"\nurl_env = "CLUB_URL"\n{given}\n'
        (tmp_path / "workbench.toml").write_text(settings + "\n".join(more))
        return Recording(
            url, tmp_path, folder, lambda *words: shell(*words, "--environment", "club", CLUB_URL=url)
        )

    return open_
