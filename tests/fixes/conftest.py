"""A club with a new import run on top, and the snapshot that was taken before it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import Clubs, Ground, Server
from tests.edits import Edit, later_edit
from tests.imports import Imported, import_run
from tests.states import differences, state
from workbench.database.embedded import client_tools
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.workbench import Workbench

IMPORTS = (("application", "api"), ("application", "csv"), ("guide", "guide"))
HISTORY = ("AuditLog",)
"""What a rollback adds to, and never takes from."""

State = dict[str, list[str]]


def dump(url: str, path: Path) -> Path:
    """Take a snapshot as the guide says."""
    subprocess.run([client_tools() / "pg_dump", "-Fc", "-Z0", "-f", path, url], check=True)
    return path


def carry_out(wb: Workbench, plan: Plan) -> Entry:
    """Approve and apply."""
    wb.approve(plan, plan.digest, approver="robin")
    return wb.apply(plan)


@dataclass(frozen=True)
class Staged:
    """A club after a run, and what it was before."""

    club: Ground
    imported: Imported
    snapshot: Path
    before: State

    @property
    def database(self) -> str:
        return str(conninfo_to_dict(self.club.url)["dbname"])

    def copy(self, server: Server, imports: Path) -> Staged:
        """Return another like it, with its reports in a folder of its own."""
        shutil.copytree(self.club.club.imports, imports)
        club = Ground(
            server.url(server.create(self.database)), replace(self.club.club, imports=imports), imports.parent
        )
        reports = tuple(imports / each.name for each in self.imported.reports)
        return replace(self, club=club, imported=replace(self.imported, reports=reports))


@dataclass
class Scene:
    """A club before a run, after it, and after what people did since."""

    club: Ground
    imported: Imported
    edits: list[Edit]
    snapshot: Path
    before: State
    after: State
    settings: Settings

    def workbench(self) -> Workbench:
        return replace(self.club.workbench(), settings=self.settings, one_state=False)

    def now(self) -> State:
        with psycopg.connect(self.club.url) as connection:
            return state(connection)

    def changed(self, since: State) -> dict[str, Any]:
        """Return what differs from an earlier moment, the audit log left out."""
        return {
            table: found for table, found in differences(since, self.now()).items() if table not in HISTORY
        }


Staging = Callable[..., Scene]


@pytest.fixture(scope="session")
def staged(clubs: Clubs, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staging]:
    """Return a function that stages a scene; snapshots are restored on the tests' own server."""
    folder = tmp_path_factory.mktemp("scenes")
    numbers = itertools.count()
    usual: dict[tuple[str, str], Staged] = {}

    def imported(dialect: str, importer: str, seed: int, members: int, sizes: dict[str, int]) -> Staged:
        place = folder / f"run-{next(numbers)}"
        place.mkdir()
        club = clubs.clone(dialect, members)
        with psycopg.connect(club.url) as connection:
            before = state(connection)
            snapshot = dump(club.url, place / "before.dump")
            run = import_run(connection, club.club, importer, seed=seed, **sizes)
        return Staged(club, run, snapshot, before)

    def stage(
        dialect: str,
        importer: str,
        edits: Sequence[str] = (),
        *,
        seed: int = 1,
        club_members: int = 200,
        **sizes: int,
    ) -> Scene:
        place = folder / f"scene-{next(numbers)}"
        place.mkdir()
        settings = Settings(operator="dana", home=place, scratch_url_env="SCRATCH_URL")
        if (seed, club_members) != (1, 200) or sizes:
            made = imported(dialect, importer, seed, club_members, sizes)
        else:  # what most tests ask for, imported once
            if (dialect, importer) not in usual:
                usual[dialect, importer] = imported(dialect, importer, seed, club_members, {})
                server.keep(usual[dialect, importer].database)
            made = usual[dialect, importer].copy(server, place / "imports")
        with psycopg.connect(made.club.url) as connection:
            done = [later_edit(connection, made.club.club, made.imported, kind, seed) for kind in edits]
            connection.commit()
            after = state(connection)
        edited = [each for each in done if each]
        return Scene(made.club, made.imported, edited, made.snapshot, made.before, after, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRATCH_URL", server.url("postgres"))
        yield stage
