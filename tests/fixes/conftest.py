"""A club with a new import run on top, and the snapshot that was taken before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.conftest import Clubs, Ground, Server, State
from tests.edits import Edit, later_edit
from tests.imports import Imported, import_run
from tests.states import state

IMPORTS = (("application", "api"), ("application", "csv"), ("guide", "guide"))


@dataclass(frozen=True, kw_only=True)
class Scene(Ground):
    """A club before a run, after it, and after what people did since."""

    imported: Imported
    snapshot: Path
    before: State
    edits: list[Edit] = field(default_factory=list)
    after: State = field(default_factory=dict)


Staging = Callable[..., Scene]


@pytest.fixture(scope="session")
def staged(clubs: Clubs, server: Server) -> Staging:
    """Return a function that stages a scene; what most tests ask for is imported once."""
    usual: dict[tuple[str, str], Scene] = {}

    def imported(dialect: str, importer: str, seed: int, members: int, sizes: dict[str, int]) -> Scene:
        club = clubs.clone(dialect, members)
        before, snapshot = club.state(), club.dump()
        with club.connect() as connection:
            run = import_run(connection, club.club, importer, seed=seed, **sizes)
        return Scene(**vars(club), imported=run, snapshot=snapshot, before=before)

    def stage(
        dialect: str,
        importer: str,
        edits: Sequence[str] = (),
        *,
        seed: int = 1,
        club_members: int = 200,
        **sizes: int,
    ) -> Scene:
        if (seed, club_members) != (1, 200) or sizes:
            scene = imported(dialect, importer, seed, club_members, sizes)
        else:
            if (dialect, importer) not in usual:
                usual[dialect, importer] = imported(dialect, importer, seed, club_members, {})
                server.keep(usual[dialect, importer].database)
            scene = clubs.copy(usual[dialect, importer])
            reports = tuple(scene.imports / each.name for each in scene.imported.reports)
            scene = replace(scene, imported=replace(scene.imported, reports=reports))
        with scene.connect() as connection:
            done = [later_edit(connection, scene.club, scene.imported, kind, seed) for kind in edits]
            connection.commit()
            after = state(connection)
        return replace(scene, edits=[each for each in done if each], after=after)

    return stage
