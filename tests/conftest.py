"""One PostgreSQL server per test run, and a database of its own for every test.

Templates are built once and cloned (some 10 ms each); a test's clones go when it ends, so that a run needs the
room of a few clubs and not of a thousand. The server lies in a folder of this run's own and is stopped at the
end; no other server is touched.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.browsing import chromium as chromium
from tests.pooling import pool as pool
from tests.states import differences, state
from workbench.database.address import parse_address
from workbench.database.connection import Database
from workbench.database.embedded import client_tools, start_server
from workbench.database.environment import Environment
from workbench.demo.breakages import Truth, break_club
from workbench.demo.club import Club, build_club
from workbench.errors import Refused, WorkbenchError
from workbench.murmurant.reports import ImportReport, NotAReportError, read_report, read_reports
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

RECORDINGS = Path(__file__).parents[2] / "shared" / "murmurant"
SCHEMAS = Path(__file__).parents[1] / "workbench" / "demo" / "schemas"
DIALECTS = ("guide", "application")


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays until the end: it was a tenth of the tests' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


class Server:
    """The run's server: makes, clones and drops databases.

    Nothing in it needs to survive a power cut. One that is to be crashed keeps what a crash is about, and only
    does not wait for the disk.
    """

    def __init__(self, data: Path, *, to_be_crashed: bool = False) -> None:
        self.handle = start_server(data)
        self._numbers = itertools.count()
        self._templates: dict[str, str] = {}
        self._kept: set[str] = set()
        with psycopg.connect(self.handle.get_uri(), autocommit=True) as connection:
            for setting in ("fsync",) if to_be_crashed else ("fsync", "full_page_writes", "autovacuum"):
                connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
            connection.execute("SELECT pg_reload_conf()")

    def url(self, database: str) -> str:
        return str(self.handle.get_uri(database))

    def create(self, template: str | None = None) -> str:
        name = f"club_{os.getpid()}_{next(self._numbers)}"
        # As files: through the log, as is usual, every page of the template would be written twice.
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' STRATEGY FILE_COPY").format(
            sql.Identifier(name), sql.Identifier(template or "template0")
        )
        with psycopg.connect(self.handle.get_uri(), autocommit=True) as connection:
            connection.execute(statement)
        return name

    def keep(self, database: str) -> None:
        """Let a database outlive the test that happened to make it."""
        self._kept.add(database)

    def databases(self) -> set[str]:
        """Return the names of all databases there are."""
        with psycopg.connect(self.handle.get_uri(), autocommit=True) as connection:
            return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}

    def drop_since(self, before: set[str]) -> None:
        """Drop every database made since, by whomever; templates and what is kept aside."""
        with psycopg.connect(self.handle.get_uri(), autocommit=True) as connection:
            now = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in sorted(now - before - self._kept):
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )

    def template(self, key: str, fill: Callable[[psycopg.Connection[Any]], None]) -> str:
        """Return a database made once by `fill`, to be cloned."""
        if key not in self._templates:
            name = self.create()
            self.keep(name)
            with psycopg.connect(self.url(name)) as connection:
                fill(connection)
            self._templates[key] = name
        return self._templates[key]


def database_at(url: str, kind: str = "development", name: str = "test") -> Database:
    """Wrap a URL as the database of a test environment."""
    address = parse_address(url, named="the test's URL")
    return Database(Environment(name, kind, address.where), address)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-", dir=_quick_folder()))
    made = Server(folder / "postgres")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRATCH_URL", made.url("postgres"))
        yield made
    made.handle.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _dropped_at_the_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drop the databases that a test made for itself; those of its module's fixtures stay."""
    if "server" not in request.fixturenames:
        yield
        return
    made: Server = request.getfixturevalue("server")
    before = made.databases()
    yield
    made.drop_since(before)


def _quick_folder() -> str | None:
    """Return a memory file system where there is a roomy one."""
    shm = Path("/dev/shm")
    return (
        str(shm) if shm.is_dir() and shutil.disk_usage(shm).free > 2**31 and os.access(shm, os.W_OK) else None
    )


@pytest.fixture
def empty_url(server: Server) -> str:
    """URL of an empty database."""
    return server.url(server.create())


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def recordings() -> Path:
    """Where the recordings lie; a user's clone has none."""
    if not RECORDINGS.is_dir():
        pytest.skip("the importers' recordings are not part of a clone; this needs them")
    return RECORDINGS


@pytest.fixture(scope="session")
def clubs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Clubs:
    return Clubs(server, tmp_path_factory.mktemp("clubs"))


class Clubs:
    """Healthy clubs, one template per dialect and size; a test gets a clone it may break."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._copies = itertools.count()
        self._built: dict[tuple[str, int], Club] = {}

    def clone(self, dialect: str, members: int = 200) -> Ground:
        def build(connection: psycopg.Connection[Any]) -> None:
            imports = self.folder / f"{dialect}-{members}"
            self._built[dialect, members] = build_club(
                connection,
                dialect=dialect,
                members=members,
                imports=imports,  # type: ignore[arg-type]
            )

        template = self.server.template(f"club-{dialect}-{members}", build)
        return self.copy(Ground(self.server.url(template), self.folder, self._built[dialect, members]))

    def copy(self, ground: Own) -> Own:
        """Return another like it, in a database and a folder of its own."""
        folder = self.folder / f"ground-{next(self._copies)}"
        imports = shutil.copytree(ground.imports, folder / "imports")
        url = self.server.url(self.server.create(ground.database))
        return replace(ground, url=url, folder=folder, club=replace(ground.club, imports=imports))


@cache
def _report(name: str, content: bytes) -> ImportReport:
    """Read what a report file says once, however many tests have a copy of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        return read_report(path)


def _reports(folder: Path) -> tuple[ImportReport, ...]:
    reports = []
    for path in sorted(folder.glob("*.json")):
        with suppress(NotAReportError):
            reports.append(replace(_report(path.name, path.read_bytes()), path=path))
    return tuple(sorted(reports, key=lambda report: (report.run_id, report.path.name)))


State = dict[str, list[str]]
LOG = "AuditLog"
Own = TypeVar("Own", bound="Ground")


def consent(wb: Workbench, plan: Plan) -> None:
    """Let Erin approve."""
    wb.plans.approve(plan, plan.digest, approver="erin", confirm=wb.environment.name)


def carry_out(wb: Workbench, plan: Plan) -> Entry:
    """Approve and apply."""
    consent(wb, plan)
    return wb.plans.apply(plan)


@dataclass(frozen=True)
class Target:
    """A database of one test's own: asked, changed, compared."""

    url: str
    folder: Path

    @property
    def database(self) -> str:
        return str(conninfo_to_dict(self.url)["dbname"])

    def login(self, role: str) -> str:
        """Return the URL as another role has it."""
        return self.url.replace("postgres:@", f"{role}:@")

    def connect(self, database: str | None = None, **how: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(make_conninfo(self.url, dbname=database or self.database), **how)

    def execute(self, statement: str, *parameters: Any) -> None:
        """Change something behind the workbench's back."""
        with self.connect() as connection:
            connection.execute(statement, parameters)  # type: ignore[arg-type]

    def ask(self, question: str, *parameters: Any, database: str | None = None) -> list[Any]:
        """Return the rows of an answer; of one column, its values."""
        with self.connect(database) as connection:
            rows = connection.execute(question, parameters).fetchall()  # type: ignore[arg-type]
        return [row[0] if len(row) == 1 else row for row in rows]

    def dump(self, path: Path | None = None, *options: str) -> Path:
        """Take a snapshot as the guide says."""
        path = path or self.folder / "before.dump"
        subprocess.run([client_tools() / "pg_dump", "-Fc", *options, "-f", path, self.url], check=True)
        return path

    def state(self, *leave_out: str) -> State:
        """Return every table's rows, but of those left out."""
        with self.connect() as connection:
            return state(connection, leave_out)

    def everything(self) -> State:
        """Return every table's rows, and what the journal has."""
        found = self.state()
        if self.ask("SELECT to_regclass('workbench.applied')") != [None]:
            found["the journal"] = sorted(self.ask("SELECT t::text FROM workbench.applied t"))
        return found

    def changed(self, since: State) -> dict[str, tuple[list[str], list[str]]]:
        """Return the rows gone and new since then in each table; the audit log's new ones do not count."""
        found = differences(since, self.state())
        gone, _ = found.pop(LOG, ([], []))
        return {**found, LOG: (gone, [])} if gone else found


@dataclass(frozen=True)
class Ground(Target):
    """A club of one test's own, with a folder of its own: opened, asked, changed, planned for, compared.

    Its folder holds `home`, `backups` and `reports` of whoever opens it. `replace` makes it another
    environment: ``replace(ground, kind="production", name="club")``.
    """

    club: Club
    kind: str = "demo"
    name: str = "demo"

    @property
    def imports(self) -> Path:
        return self.club.imports

    @property
    def plans(self) -> Path:
        return self.folder / "home" / "plans"

    @property
    def options(self) -> EnvironmentSettings:
        return EnvironmentSettings(
            kind=self.kind,  # type: ignore[arg-type]
            import_reports=(self.imports,),
            tier_mapping=self.imports / "membership.yaml",
            event_capacity_limit=100,
        )

    def open(self, url: str | None = None, *, unmask: bool = True, **changes: Any) -> Workbench:
        """Open it for work, each question on the state of its moment; changes are of settings or of options."""
        own = {name: changes.pop(name) for name in Settings.model_fields.keys() & changes}
        assert EnvironmentSettings.model_fields.keys() >= changes.keys(), changes
        options = self.options.model_copy(update=changes)
        folders = {name: self.folder / name for name in ("home", "backups", "reports")}
        settings = Settings(**{"operator": "dana", "scratch_url_env": "SCRATCH_URL", **folders, **own})
        limits = {
            name: getattr(options, name) for name in ("statement_timeout", "apply_timeout", "lock_timeout")
        }
        database = replace(database_at(url or self.url, self.kind, self.name), **limits)
        given = options.import_reports == (self.imports,)
        reports = _reports(self.imports) if given else read_reports(options.import_reports)
        return Workbench(Session(database, options, settings, reports, unmask=unmask))

    @cached_property
    def wb(self) -> Workbench:
        """The workbench of this test, opened once; after a change of the schema, open another."""
        return self.open()

    def workbench(self, **changes: Any) -> Workbench:
        """Open it for looking: every question on the state that the first one saw."""
        return Workbench(replace(self.open(**changes).session, one_state=True))

    def breaks(self, *names: str) -> list[Truth]:
        """Break it in some ways, and return the truth of each."""
        with self.connect() as connection:
            return break_club(connection, self.club, names)

    def consent(self, plan: Plan) -> None:
        consent(self.wb, plan)

    def apply(self, plan: Plan, **how: Any) -> Entry:
        return (self.open(**how) if how else self.wb).plans.apply(plan)

    def carry_out(self, plan: Plan) -> Entry:
        return carry_out(self.wb, plan)

    def undo(self, plan: Plan | str) -> Entry:
        """Plan to take back what was applied, approve and apply that."""
        return self.carry_out(self.wb.plans.plan_undo(plan if isinstance(plan, str) else plan.id))

    def proved(self, plan: Plan) -> State:
        """Carry a plan out and take it back, which restores every table; return what was there between."""
        before = self.state()
        self.carry_out(plan)
        after = self.state()
        self.undo(plan)
        assert self.changed(before) == {}
        return after

    def refuses(self, plan: Plan, error: type[WorkbenchError] = Refused, **how: Any) -> WorkbenchError:
        """Return the error of an apply, which has not changed a thing."""
        before = self.everything()
        with pytest.raises(error) as caught:
            self.apply(plan, **how)
        assert caught.value.exit_code == (3 if issubclass(error, Refused) else 4)
        assert caught.value.next_step
        assert differences(before, self.everything()) == {}
        return caught.value


@pytest.fixture
def application(clubs: Clubs) -> Ground:
    """A healthy club of 60 members in the application's dialect."""
    return clubs.clone("application", 60)


@pytest.fixture
def guide(clubs: Clubs) -> Ground:
    """A healthy club of 60 members in the guide's dialect."""
    return clubs.clone("guide", 60)


@pytest.fixture
def ground(clubs: Clubs, dialect: str) -> Ground:
    """A healthy club of 60 members, in each dialect."""
    return clubs.clone(dialect, 60)


@pytest.fixture
def club(clubs: Clubs, dialect: str) -> Ground:
    """A healthy club of 200 members, in each dialect."""
    return clubs.clone(dialect)
