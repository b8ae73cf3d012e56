"""An opened environment: its database, schema, settings, import runs and reports."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import RLock, local
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Connection

from workbench.audit.entries import record
from workbench.checks import Look
from workbench.database.connection import Database, Identity, raw
from workbench.database.environment import Environment
from workbench.documents import Target
from workbench.errors import DatabaseUnreachable, NotLogged, NotMurmurant, WorkbenchError
from workbench.murmurant.exports import configured_headings, read_exports
from workbench.murmurant.importers import Run
from workbench.murmurant.reports import ImportReport, ReportRecord
from workbench.murmurant.schema import Schema, read_schema
from workbench.plans.draft import PlanContext
from workbench.plans.states import plans_in
from workbench.runs.discovery import find_runs
from workbench.settings import EnvironmentSettings, Settings
from workbench.tiers.configuration import read_document


@dataclass
class Session:
    """An opened environment, which every question and planner uses.

    Attributes
    ----------
    database : Database
        The guarded target.
    options : EnvironmentSettings
        Its settings.
    reports_from : tuple of ImportReport or callable
        The importers' report files, or a function that reads them: see `reports`.
    one_state : bool
        Whether all questions share one transaction, and so see the database as it was at the first one.
    unmask : bool
        Whether frames, reports and saved notebooks may contain personal data.
    plans_in : Path or None
        Where plans are written, instead of the folder of the settings.
    people : bool or None
        Whether a panel shows personal data on the screen; None outside a panel.
    """

    database: Database
    options: EnvironmentSettings
    settings: Settings
    reports_from: tuple[ImportReport, ...] | Callable[[], tuple[ImportReport, ...]] = ()
    one_state: bool = False
    unmask: bool = False
    plans_in: Path | None = None
    people: bool | None = None

    def __post_init__(self) -> None:
        self._open = ExitStack()
        self._shared: list[
            Connection
        ] = []  # the connection of `one_state`, shared with copies of this session
        self._opened_as: Session | None = None
        self._reading = local()
        self._lock = RLock()  # panels use threads of their own; a connection serves one at a time
        self._runs: list[Run] | None = None  # cached with `one_state`
        # Notebooks do not close sessions, so close this one when it is garbage-collected or the interpreter exits.
        weakref.finalize(self, _close_quietly, self._open)

    def close(self) -> None:
        """End the transaction of `one_state`."""
        with self._lock:
            self._shared.clear()
            self._open.close()

    def as_seen(self, people: bool) -> Session:
        """Return a copy for a panel, which shares the transaction but shows personal data or not by its own switch."""
        seen = copy(self)
        seen.people, seen._opened_as = people, self  # the reference keeps the transaction open
        return seen

    @property
    def environment(self) -> Environment:
        """Name, kind and address."""
        return self.database.environment

    @property
    def shows_people(self) -> bool:
        """Whether personal data are shown: in a panel by its switch, elsewhere by `unmask`."""
        return self.unmask if self.people is None else self.people

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection in a read-only transaction; with `one_state`, always the same one.

        Nested calls in one thread share the connection, and so see the same state.
        """
        if not self.one_state:
            if (around := getattr(self._reading, "connection", None)) is not None:
                yield around
                return
            with self.database.reading() as self._reading.connection:
                try:
                    yield self._reading.connection
                finally:
                    self._reading.connection = None
            return
        with self._lock:
            if not self._shared:
                self._shared.append(self._open.enter_context(self.database.reading()))
            with self.database.translate_errors():
                yield self._shared[0]

    @cached_property
    def identity(self) -> Identity:
        """Which database this is, as the server identifies itself."""
        with self.reading() as connection:
            return self.database.identify(connection)

    @cached_property
    def schema(self) -> Schema:
        """Murmurant's tables in this database."""
        with self.reading() as connection:
            try:
                return read_schema(raw(connection), self.database.address.schema)
            except NotMurmurant:
                if self.options.url_env is not None:
                    raise
                raise NotMurmurant(
                    "This is the embedded demo environment, and no demo club has been made in this folder.",
                    "Run `workbench demo`, or name your own database with --environment (-e).",
                ) from None

    @cached_property
    def reports(self) -> tuple[ImportReport, ...]:
        """The importers' report files, read on first use: snapshots and restores work without them.

        Raises
        ------
        DocumentError
            When a configured path does not exist or is damaged.
        """
        return self.reports_from() if callable(self.reports_from) else self.reports_from

    @property
    def dialect(self) -> str:
        """``guide``, ``application`` or ``mixed``."""
        return self.schema.dialect

    @cached_property
    def target(self) -> Target:
        """The database that plans are made for."""
        here, schema = self.environment, self.database.address.schema
        return Target(self.identity.system_identifier, self.identity.database, schema, here.name, here.kind)

    @contextmanager
    def planning(self) -> Iterator[PlanContext]:
        """Yield what a planner needs: a connection for reading, and the folder for the plan."""
        with self.reading() as connection:
            yield PlanContext(connection, self.schema, self.target, self.settings.operator, self.plans_folder)

    @property
    def plans_folder(self) -> Path:
        """The folder that plans are written to."""
        return self.plans_in or plans_in(self.settings).folder

    def find_runs(self) -> list[Run]:
        """Return every import run, with its traces."""
        if self._runs is None or not self.one_state:
            with self.reading() as connection:
                self._runs = find_runs(connection, self.schema, self.reports)
        return list(self._runs)

    @cached_property
    def import_configuration(self) -> dict[str, Any]:
        """The content of the files of ``tier_mapping`` and ``status_mapping``, such as the importer's configuration."""
        configuration: dict[str, Any] = {}
        for file in self.options.mappings:
            configuration |= read_document(file)[0]
        return configuration

    @property
    def headings(self) -> dict[str, dict[str, str]]:
        """The headings of this club's exports, from the importer's configuration."""
        return configured_headings(self.import_configuration)

    def read_exports(self, paths: Sequence[str | Path]) -> tuple[ReportRecord, ...]:
        """Read Wild Apricot's own exports as records: see `workbench.murmurant.exports`."""
        return read_exports(map(Path, paths), self.headings) if paths else ()

    def log(self, action: str, facts: dict[str, Any], *, about: str) -> str:
        """Write an entry to the audit log. Failure does not undo the action: return the reason, else an empty text.

        Parameters
        ----------
        about : str
            A name or digest of what the entry is about.
        """
        try:
            record(self.database, self.schema, action, facts, about=str(uuid5(NAMESPACE_OID, about)))
        except (NotLogged, NotMurmurant, DatabaseUnreachable) as error:
            return error.what
        return ""

    def look(self, connection: Connection) -> Look:
        """Return what checks can query; runs and reports are read when a check needs them."""
        of_clubs = [
            options.expected["members"]
            for options in self.settings.environments.values()
            if options.kind == "production" and "members" in options.expected
        ]
        return Look(
            connection,
            self.schema,
            self.environment,
            self.options,
            self.find_runs,
            lambda: self.reports,
            production_members=max(of_clubs, default=None),
        )


def _close_quietly(opened: ExitStack) -> None:
    # The server may have stopped; a read-only transaction has nothing to lose.
    with suppress(WorkbenchError):
        opened.close()
