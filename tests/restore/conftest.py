"""A club with a snapshot of it, and what came after: to be restored."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from psycopg import sql

from tests import conftest
from tests.conftest import Clubs, Server
from tests.restore.acting import Acting, Opened
from tests.states import differences, state
from workbench.settings import EnvironmentSettings
from workbench.snapshots.manifest import Manifest
from workbench.snapshots.restore.request import Record, Request

LOG = "AuditLog"
SYNC = "WaSyncState"
State = dict[str, list[str]]

_SEQUENCES = """SELECT sequencename, coalesce(last_value::text, 'none') FROM pg_sequences
    WHERE schemaname = 'public' ORDER BY 1"""

# Everything else that a dump carries and rows do not show.
_SHAPE = """
    SELECT 'column', attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod), attnotnull::text
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped AND c.relkind IN ('r', 'v')
    UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'index', tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled::text
    FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'label', enumtypid::regtype::text, enumlabel, enumsortorder::text, '' FROM pg_enum
    UNION ALL SELECT 'function', oid::regprocedure::text, prosrc, '', '' FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'view', viewname, definition, '', '' FROM pg_views WHERE schemaname = 'public'
    UNION ALL SELECT 'right', relname, grantee::regrole::text, privilege_type, '' FROM pg_class, aclexplode(relacl)
    WHERE relnamespace = 'public'::regnamespace AND grantee <> 0
    ORDER BY 1, 2, 3, 4, 5
"""


@dataclass(frozen=True)
class Whole:
    """A database as it can be told from outside: rows, sequences, and the shape of everything."""

    rows: State
    sequences: list[Any]
    shape: list[Any]


@dataclass(frozen=True)
class Ground(conftest.Ground):
    """A club of one test's own, and the snapshot of it.

    `changes` are of the environment's options, for whoever opens it from then on.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    kept: Manifest | None = None

    @property
    def options(self) -> EnvironmentSettings:
        return super().options.model_copy(update=self.changes)

    def opened(self, **how: Any) -> Opened:
        """Return what a process of its own opens it by."""
        wb = self.open(**how)
        return wb.session.database, wb.session.options, wb.settings

    def snapshot(self) -> Manifest:
        with self.open() as wb:
            return wb.snapshots.create()

    def taken(self) -> Manifest:
        """Return a snapshot of the club as it was laid: a copy of the one that all tests share."""
        if self.kept is None:
            return self.snapshot()
        backups = self.folder / "backups"
        backups.mkdir(exist_ok=True)
        shutil.copy(self.kept.archive, backups)
        target = replace(self.kept.target, database=self.database, environment=self.name, kind=self.kind)
        return self.kept.model_copy(update={"target": target}).write(backups / self.kept.path.name)

    def asked(self, snapshot: str = "latest", approve: bool = True, **how: Any) -> Request:
        """Ask for a restore, and let Erin approve."""
        with self.open() as wb:
            request = wb.restores.ask(snapshot, **how)
            if approve:
                wb.plans.approve(request, request.digest, approver="erin", confirm=self.name)
        return request

    def restore(self, request: Request, **how: Any) -> Record:
        with self.open(**how) as wb:
            return wb.restores.carry_out(request)

    def whole(self, database: str | None = None, leave_out: tuple[str, ...] = (LOG, SYNC)) -> Whole:
        """Return everything that a restore must bring back; not what it writes itself."""
        with self.connect(database) as connection:
            connection.execute("SET search_path TO ''")
            return Whole(
                state(connection, leave_out),
                connection.execute(_SEQUENCES).fetchall(),
                connection.execute(_SHAPE).fetchall(),
            )

    def databases(self) -> list[str]:
        """Return the databases that have to do with this one."""
        names = self.ask("SELECT datname FROM pg_database ORDER BY 1", database="postgres")
        return [name for name in names if name == self.database or name.startswith(f"{self.database}_")]

    def drop_all(self) -> None:
        with self.connect("postgres", autocommit=True) as connection:
            for name in self.databases():
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )


def assert_same(before: Whole, after: Whole) -> None:
    """Compare part by part, so that a difference is small enough to read."""
    assert differences(before.rows, after.rows) == {}
    assert before.sequences == after.sequences
    assert set(before.shape) ^ set(after.shape) == set()


Lay = Callable[..., Ground]

SESSIONS = "application_name LIKE 'murmurant-workbench%' AND pid <> pg_backend_pid()"


def kill(ground: Ground, killed: Acting) -> None:
    """Kill it, and wait until the server has noticed."""
    killed.kill()
    deadline = time.monotonic() + 10
    with ground.connect("postgres", autocommit=True) as connection:
        question = f"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE {SESSIONS})"
        while connection.execute(question).fetchone() != (True,):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture(scope="session")
def shared() -> dict[str, Manifest]:
    """The snapshot of a club as it is laid, by dialect; each is taken once."""
    return {}


@pytest.fixture
def lay(
    server: Server, clubs: Clubs, shared: dict[str, Manifest], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lay]:
    """Return a function that lays a club of fifty members, in a dialect, with a folder of its own."""
    monkeypatch.setenv("SCRATCH_URL", server.url("postgres"))
    made: list[Ground] = []

    def build(dialect: str = "guide", **changes: Any) -> Ground:
        if dialect not in shared:
            shared[dialect] = laid(clubs.clone(dialect, 50)).snapshot()
        made.append(laid(clubs.clone(dialect, 50), changes, shared[dialect]))
        return made[-1]

    yield build
    for each in made:
        each.drop_all()


def laid(
    club: conftest.Ground, changes: dict[str, Any] | None = None, kept: Manifest | None = None
) -> Ground:
    """Return a club as the tests of restores have it."""
    return Ground(url=club.url, folder=club.folder, club=club.club, changes=changes or {}, kept=kept)


@pytest.fixture
def ground(lay: Lay, dialect: str) -> Ground:
    return lay(dialect)


@pytest.fixture
def acting() -> Iterator[Callable[..., Acting]]:
    """Start a restore in a process of its own; without a request, resume the interrupted one."""
    started: list[Acting] = []

    def start(ground: Ground, request: Request | None) -> Acting:
        started.append(Acting(ground.opened(), request.path if request else None))
        return started[-1]

    yield start
    for each in started:
        each.close()


def production(ground: Ground) -> Ground:
    """Return the same club as a production environment."""
    return replace(ground, kind="production", name="club")
