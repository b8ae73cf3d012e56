"""The one thing a notebook imports: an environment, opened for looking."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from workbench.database.connection import connect
from workbench.database.environment import Environment
from workbench.errors import DocumentError
from workbench.looking import Looking
from workbench.migration.dry_runs import kept_reports
from workbench.migration.questions import Migration
from workbench.murmurant.reports import ImportReport, read_reports
from workbench.planning import Planning
from workbench.reporting.questions import Reports
from workbench.session import Session
from workbench.settings import DEMO, EnvironmentSettings, Settings, load_settings
from workbench.triage import Triage


class Workbench(Looking, Planning):
    """An environment, opened for looking. Made by `open_workbench`.

    Attributes
    ----------
    session : Session
        What every subject stands on: connection, schema, settings, and whether people are shown.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the transaction in which everything is seen as it was at one moment."""
        self.session.close()

    @property
    def environment(self) -> Environment:
        """Name, kind and address."""
        return self.session.environment

    @property
    def settings(self) -> Settings:
        """What is configured for every environment."""
        return self.session.settings

    @property
    def unmask(self) -> bool:
        """Whether personal data may leave the room."""
        return self.session.unmask

    @cached_property
    def migration(self) -> Migration:
        """What goes before an import."""
        return Migration(self)

    @cached_property
    def triage(self) -> Triage:
        """Which failures are here, the ways out side by side, and which to take."""
        return Triage(self)

    @property
    def report(self) -> Reports:
        """The reports: run, and what their notebooks are made of."""
        return Reports(self.session)


def open_workbench(
    environment: str | None = None,
    *,
    import_reports: Sequence[str | Path] = (),
    expected: Mapping[str, int | None] | None = None,
    tier_mapping: str | Path | None = None,
    one_state: bool = False,
    unmask: bool = False,
    settings: Settings | None = None,
) -> Workbench:
    """Open an environment for looking; nothing can be written through it.

    Parameters
    ----------
    environment : str, optional
        A name from ``workbench.toml``; else ``WORKBENCH_ENVIRONMENT``, else the embedded demo.
    import_reports : sequence of path, optional
        Report files of importers, or folders of them, besides those that are configured.
    expected : mapping, optional
        How many ``members``, ``events`` and ``registrations`` there should be (guide §7.1).
    tier_mapping : path, optional
        Which tier or status each Wild Apricot level becomes, instead of all that is configured.
    one_state : bool
        Whether every question sees the database as it was at the first one. For a report; an
        interactive session should see changes, and not hold a transaction open for hours.
    unmask : bool
        Whether reports may show personal data.

    Raises
    ------
    UsageError
        For an unknown environment, or one whose URL is not set.
    DocumentError
        For a path in `import_reports` that is no report. Those that are configured are read when they are
        first asked for: see `Session.reports`.
    WrongEnvironment
        When the environment's name, kind and address disagree.
    DatabaseUnreachable
        When there is no connection.
    """
    settings = settings or load_settings()
    name = environment or os.environ.get("WORKBENCH_ENVIRONMENT") or DEMO
    chosen = settings.environment(name)
    wanted = {key: value for key, value in (expected or {}).items() if value is not None}
    if wanted:
        chosen = EnvironmentSettings.model_validate(
            {**chosen.model_dump(), "expected": {**chosen.expected, **wanted}}
        )
    if tier_mapping:
        chosen = chosen.model_copy(update={"tier_mapping": Path(tier_mapping), "status_mapping": None})
    given = read_reports(map(Path, import_reports))  # what somebody names is to be used: said at once
    reports = partial(_reports, name, chosen, settings.backups, given)
    database = connect(name, settings)
    return Workbench(Session(database, chosen, settings, reports, one_state=one_state, unmask=unmask))


def _reports(
    name: str, chosen: EnvironmentSettings, backups: Path, given: tuple[ImportReport, ...]
) -> tuple[ImportReport, ...]:
    """Read the reports that are configured, and those of dry runs, besides what was given; by run and name."""
    # The demo's own folder is there only once a demo was made; any other path that is named must be.
    own = [each for each in chosen.import_reports if chosen.url_env or each.exists()]
    try:
        configured = read_reports(own)
    except DocumentError as error:
        raise DocumentError(
            f"{error.what} The setting environments.{name}.import_reports leads there.",
            "Correct it in workbench.toml, or put the importer's file or folder where it says, whole.",
        ) from None
    found = {each.path.resolve(): each for each in (*configured, *given)}
    # An importer overwrites its dry run's report with the live run's; what was kept of it is evidence too.
    told = {(each.run_id, each.path.name) for each in found.values()}
    kept = read_reports(kept_reports(backups, name))
    more = [each for each in kept if (each.run_id, each.path.name) not in told]
    return tuple(sorted([*found.values(), *more], key=lambda each: (each.run_id, each.path.name)))
