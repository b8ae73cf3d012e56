"""A club with a new import run on top, and the snapshot that was taken before it."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import ClonedClub, Clubs
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


@dataclass
class Scene:
    """A club before a run, after it, and after what people did since."""

    club: ClonedClub
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
def staged(clubs: Clubs, server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staging]:
    """Return a function that stages a scene; snapshots are restored on the tests' own server."""
    folder = tmp_path_factory.mktemp("scenes")
    numbers = itertools.count()

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
        club = clubs.clone(dialect, club_members)
        with psycopg.connect(club.url) as connection:
            before = state(connection)
            snapshot = dump(club.url, place / "before.dump")
            imported = import_run(connection, club.club, importer, seed=seed, **sizes)
            done = [later_edit(connection, club.club, imported, kind, seed) for kind in edits]
            connection.commit()
            after = state(connection)
        return Scene(club, imported, [each for each in done if each], snapshot, before, after, settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRATCH_URL", server.url("postgres"))
        yield stage
