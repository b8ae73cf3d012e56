"""A club after one more import run, ready to be rolled back: for tests of plans, approvals, apply and undo."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import Clubs, Server, _quick_folder, database_at
from tests.conftest import Ground as Cloned
from tests.imports import Imported, import_run
from tests.plans.applying import Applying
from tests.states import differences, state
from workbench.database.embedded import client_tools
from workbench.demo.history import Importer
from workbench.errors import Refused, WorkbenchError
from workbench.murmurant.reports import read_reports
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan, write_plan
from workbench.session import Session
from workbench.settings import Settings
from workbench.workbench import Workbench

IMPORTERS: tuple[Importer, ...] = ("api", "guide")
"""One for each dialect."""

LOG = "AuditLog"
State = dict[str, list[str]]


@dataclass(frozen=True)
class Ground:
    """A club of one test's own, after a run that it may roll back, and the folder where its plans lie."""

    server: Server
    cloned: Cloned
    imported: Imported
    snapshot: Path
    home: Path
    template: Callable[[bool], Plan]

    @property
    def url(self) -> str:
        return self.cloned.url

    @property
    def database(self) -> str:
        return str(conninfo_to_dict(self.url)["dbname"])

    @property
    def plans(self) -> Path:
        return self.home / "plans"

    def connect(self, **how: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, **how)

    def execute(self, statement: str, *parameters: Any) -> None:
        """Change something behind the workbench's back."""
        self.cloned.execute(statement, *parameters)

    def ask(self, question: str, *parameters: Any) -> list[Any]:
        """Return the rows of an answer; of one column, its values."""
        with self.connect() as connection:
            rows = connection.execute(question, parameters).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    def columns(self, table: str) -> str:
        """Return the names of a table's columns, for a question."""
        question = """SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
            WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"""
        return str(self.ask(question, f'public."{table}"')[0])

    def open(
        self,
        *,
        url: str | None = None,
        home: Path | None = None,
        kind: str = "demo",
        name: str = "demo",
        operator: str = "dana",
        hours: float = 24.0,
        **limits: Any,
    ) -> Workbench:
        """Open it as some environment, by somebody."""
        database = replace(database_at(url or self.url, kind=kind, name=name), **limits)
        return Workbench(
            Session(
                database,
                self.cloned.options,
                Settings(
                    operator=operator,
                    home=home or self.home,
                    approval_hours=hours,
                    scratch_url_env="SCRATCH_URL",
                ),
                read_reports(self.cloned.options.import_reports),
            )
        )

    def planned(self, *, snapshot: bool = False, **who: Any) -> Plan:
        """Plan to roll the run back: all of it with a snapshot, else what it created and the sync state."""
        with self.open(**who) as wb:
            how: dict[str, Any] = {"snapshot": self.snapshot} if snapshot else {"sync_state": True}
            made = wb.runs.plan_rollback(self.imported.run, **how)
        assert isinstance(made, Plan)
        return made

    def approved(self, *, snapshot: bool = False, anew: bool = False) -> Plan:
        """Plan it, and let Erin approve.

        Nothing depends on where a plan was made but its target, so one that was made on the template is
        as good as one made here, unless something has changed since: then plan ``anew``.
        """
        plan = self.planned(snapshot=snapshot) if anew else self.retargeted(self.template(snapshot))
        with self.open() as wb:
            wb.plans.approve(plan, plan.digest, approver="erin")
        return plan

    def retargeted(self, plan: Plan, **elsewhere: str) -> Plan:
        """Write a plan as it would have been made here, or elsewhere."""
        target = replace(plan.target, **{"database": self.database, **elsewhere})
        sections = ((section, plan.blocks(section)) for section in plan.sections)
        return write_plan(self.plans, plan.model_copy(update={"target": target}), sections)

    def undo(self, name: str) -> Plan:
        """Plan to take a plan back, and let Erin approve."""
        with self.open() as wb:
            plan = wb.plans.plan_undo(name)
            wb.plans.approve(plan, plan.digest, approver="erin")
        return plan

    def apply(self, plan: Plan, **how: Any) -> Entry:
        with self.open(**how) as wb:
            return wb.plans.apply(plan)

    def refuses(
        self, plan: Plan, said: str, error: type[WorkbenchError] = Refused, **how: Any
    ) -> WorkbenchError:
        """Return the error of an apply, which must not have changed a thing."""
        before = self.everything()
        with pytest.raises(error, match=said) as caught:
            self.apply(plan, **how)
        assert caught.value.exit_code == (3 if issubclass(error, Refused) else 4)
        assert caught.value.next_step
        assert differences(before, self.everything()) == {}
        return caught.value

    def state(self, *also: str) -> State:
        """Return every table's rows, the audit log's aside."""
        with self.connect() as connection:
            return state(connection, {LOG, *also})

    def everything(self) -> State:
        """Return every table's rows, and what the journal has."""
        with self.connect() as connection:
            found = state(connection)
            there = connection.execute("SELECT to_regclass('workbench.applied')").fetchone()
            if there and there[0]:
                rows = connection.execute("SELECT t::text FROM workbench.applied t").fetchall()
                found["the journal"] = sorted(row[0] for row in rows)
        return found

    def becomes(self, plan: Plan) -> str:
        """Return what became of a plan in the end, as `workbench plans` says."""
        with self.open() as wb:
            frame = wb.plans.states()
        return str(frame["state"][frame["plan"] == plan.id].iloc[-1])

    def login(self, role: str) -> str:
        """Return the URL as another role has it."""
        return self.url.replace("postgres:@", f"{role}:@")


Lay = Callable[..., Ground]


class Grounds:
    """A template for each importer and size, built once."""

    def __init__(self, server: Server, clubs: Clubs, folder: Path) -> None:
        self.server = server
        self.clubs = clubs
        self.folder = folder
        self._numbers = itertools.count()
        self._built: dict[tuple[Importer, int], Ground] = {}

    def lay(self, importer: Importer, members: int = 50) -> Ground:
        if (importer, members) not in self._built:
            self._built[importer, members] = self._build(importer, members)
        found = self._built[importer, members]
        copy = self.server.url(self.server.create(found.database))
        home = self.folder / f"home-{next(self._numbers)}"
        return replace(found, cloned=replace(found.cloned, url=copy), home=home)

    def _build(self, importer: Importer, members: int) -> Ground:
        cloned = self.clubs.clone("guide" if importer == "guide" else "application", members)
        self.server.keep(str(conninfo_to_dict(cloned.url)["dbname"]))
        snapshot = self.folder / f"{importer}-{members}.dump"
        subprocess.run([client_tools() / "pg_dump", "-Fc", f"--file={snapshot}", cloned.url], check=True)
        with psycopg.connect(cloned.url) as connection:
            imported = import_run(connection, cloned.club, importer, seed=2, updates=8)
        home = self.folder / f"home-of-{importer}-{members}"

        @cache
        def template(with_snapshot: bool) -> Plan:
            return made.planned(snapshot=with_snapshot)

        made = Ground(self.server, cloned, imported, snapshot, home, template)
        return made


@pytest.fixture(scope="session")
def grounds(server: Server, clubs: Clubs, tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    return Grounds(server, clubs, tmp_path_factory.mktemp("grounds"))


@pytest.fixture(scope="module")
def quick_folder() -> Iterator[Path]:
    """A folder on a memory file system where there is one, for another server."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-tests-", dir=_quick_folder()))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _scratch_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH_URL", server.url("postgres"))


@pytest.fixture(params=IMPORTERS)
def ground(request: pytest.FixtureRequest, grounds: Grounds) -> Ground:
    """A club of fifty members after an import run, in each dialect."""
    return grounds.lay(request.param)


@pytest.fixture
def application(grounds: Grounds) -> Ground:
    """The same in the application's dialect alone."""
    return grounds.lay("api")


@pytest.fixture
def guide(grounds: Grounds) -> Ground:
    """The same in the guide's dialect, where tables are few and no foreign key is declared."""
    return grounds.lay("guide")


@pytest.fixture
def role(server: Server) -> Iterator[Callable[[Ground, Sequence[str]], str]]:
    """Make a role that may log in and has some rights; return the ground's URL as it has it."""
    made: list[tuple[str, str]] = []

    def make(ground: Ground, statements: Sequence[str]) -> str:
        name = f"role_{len(made)}_of_{ground.database}"
        ground.execute(f"CREATE ROLE {name} LOGIN")
        made.append((name, ground.url))
        with ground.connect() as connection:
            for each in statements:
                connection.execute(each.replace("ROLE", name))
        return ground.login(name)

    yield make
    for name, url in made:
        with psycopg.connect(url) as connection:
            connection.execute(
                f"REASSIGN OWNED BY {name} TO postgres; DROP OWNED BY {name}; DROP ROLE {name}"
            )


OWNER_OF_ALL = """DO $$ DECLARE each regclass; BEGIN
    FOR each IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO ROLE', each); END LOOP; END $$"""
"""Gives a role every table, as the application's own database user has them."""


@pytest.fixture
def applying() -> Iterator[Callable[[Ground, Plan], Applying]]:
    """Start an apply in a process of its own."""
    started: list[Applying] = []

    def start(ground: Ground, plan: Plan, **limits: Any) -> Applying:
        with ground.open(**limits) as wb:
            started.append(Applying(wb.session.database, plan))
        return started[-1]

    yield start
    for each in started:
        each.close()
