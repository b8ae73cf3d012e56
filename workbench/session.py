"""An environment, opened: connection, schema, runs, and on which database all that is."""

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
    """An environment, opened: what every question and every planner starts from.

    Attributes
    ----------
    database : Database
        The guarded target.
    options : EnvironmentSettings
        What is configured for it.
    reports_from : tuple of ImportReport or callable
        The importers' report files that count as evidence, or what reads them: see `reports`.
    unmask : bool
        Whether personal data may leave the room: in frames, reports and saved notebooks.
    plans_in : Path or None
        Where plans are written, instead of the settings' own folder.
    people : bool or None
        Whether a panel shows people on the screen; None outside a panel.
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
        self._held: list[Connection] = []  # the one of `one_state`, also for whoever sees the same state
        self._opened_as: Session | None = None
        self._reading = local()
        # Panels ask in threads of their own, and a connection answers one at a time.
        self._one_at_a_time = RLock()
        self._runs: list[Run] | None = None  # the same for as long as the state is
        # A notebook never closes what it opened; the interpreter's end must still find it closed.
        weakref.finalize(self, _close_quietly, self._open)

    def close(self) -> None:
        """End the transaction that `one_state` holds."""
        with self._one_at_a_time:
            self._held.clear()
            self._open.close()

    def as_seen(self, people: bool) -> Session:
        """Return this session, on the same state, as a panel sees it: with a switch of its own for people."""
        seen = copy(self)
        seen.people, seen._opened_as = people, self  # what is held open closes when nobody holds either
        return seen

    @property
    def environment(self) -> Environment:
        """Name, kind and address: what the banner says."""
        return self.database.environment

    @property
    def shows_people(self) -> bool:
        """Whether personal data are shown: on a panel's screen as its switch says, elsewhere where `unmask` allows it."""
        return self.unmask if self.people is None else self.people

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection in a read-only transaction, the held one where `one_state` is on.

        What is read within, in the same thread, is read on the same connection, and so of the same state.
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
        with self._one_at_a_time:
            if not self._held:
                self._held.append(self._open.enter_context(self.database.reading()))
            with self.database.translate_errors():
                yield self._held[0]

    @cached_property
    def identity(self) -> Identity:
        """Which database this is, by its own word."""
        with self.reading() as connection:
            return self.database.identify(connection)

    @cached_property
    def schema(self) -> Schema:
        """Murmurant's tables as they are here."""
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
        """The importers' report files that count as evidence, read when they are first asked for.

        What needs none, such as a snapshot and its restore, goes on where they cannot be read.

        Raises
        ------
        DocumentError
            When a path that is configured is not there, or what lies there is damaged.
        """
        return self.reports_from() if callable(self.reports_from) else self.reports_from

    @property
    def dialect(self) -> str:
        """``guide``, ``application`` or ``mixed``."""
        return self.schema.dialect

    @cached_property
    def target(self) -> Target:
        """Which database a plan is made for."""
        here, schema = self.environment, self.database.address.schema
        return Target(self.identity.system_identifier, self.identity.database, schema, here.name, here.kind)

    @contextmanager
    def planning(self) -> Iterator[PlanContext]:
        """Give what a planner needs: a connection to read, and where the plan goes."""
        with self.reading() as connection:
            yield PlanContext(connection, self.schema, self.target, self.settings.operator, self.plans_folder)

    @property
    def plans_folder(self) -> Path:
        """Where a plan that is made is written."""
        return self.plans_in or plans_in(self.settings).folder

    def find_runs(self) -> list[Run]:
        """Find every import run, with its traces."""
        if self._runs is None or not self.one_state:
            with self.reading() as connection:
                self._runs = find_runs(connection, self.schema, self.reports)
        return list(self._runs)

    @cached_property
    def import_configuration(self) -> dict[str, Any]:
        """What the files say that ``tier_mapping`` and ``status_mapping`` lead to: the importer's configuration, for one."""
        configuration: dict[str, Any] = {}
        for file in self.options.mappings:
            configuration |= read_document(file)[0]
        return configuration

    @property
    def headings(self) -> dict[str, dict[str, str]]:
        """What this club's exports call their columns, where the importer's configuration says it."""
        return configured_headings(self.import_configuration)

    def read_exports(self, paths: Sequence[str | Path]) -> tuple[ReportRecord, ...]:
        """Read Wild Apricot's own exports as records: see `workbench.murmurant.exports`."""
        return read_exports(map(Path, paths), self.headings) if paths else ()

    def log(self, action: str, facts: dict[str, Any], *, about: str) -> str:
        """Write into the audit log what was done; return why that could not be, or nothing: the act stands all the same.

        Parameters
        ----------
        about : str
            What the entry is about, by a name or digest of its own.
        """
        try:
            record(self.database, self.schema, action, facts, about=str(uuid5(NAMESPACE_OID, about)))
        except (NotLogged, NotMurmurant, DatabaseUnreachable) as error:
            return error.what
        return ""

    def look(self, connection: Connection) -> Look:
        """Gather what a check may look at; runs and reports are read when one needs them."""
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
    # The server may have gone before us; there is nothing left to lose in a transaction that only read.
    with suppress(WorkbenchError):
        opened.close()
