"""The workbench of an environment, which notebooks and commands use."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from workbench.answer import Answer, Table, findings_answer, many
from workbench.checks import run_checks
from workbench.checks.finding import SAMPLE, about_run
from workbench.checks.registry import Waivers
from workbench.covering import answering, covering
from workbench.database.databases import connect
from workbench.database.environment import Environment
from workbench.errors import DocumentError, WorkbenchError, unknown
from workbench.murmurant.canonical import ask
from workbench.murmurant.reports import ImportReport, read_reports
from workbench.murmurant.spellings import CONCEPT_OF, MEMBER
from workbench.reporting.masking import mask
from workbench.session import Session
from workbench.settings import DEMO, EnvironmentSettings, Settings, load_settings

if TYPE_CHECKING:
    from workbench.audit.questions import Audit
    from workbench.duplicates.questions import Duplicates
    from workbench.history.questions import History
    from workbench.mappings.questions import Mappings
    from workbench.migration.questions import Migration
    from workbench.plans.questions import Plans
    from workbench.policies.questions import Policies
    from workbench.reconcile import Reconcile
    from workbench.reporting.questions import Reports
    from workbench.runs.questions import Runs
    from workbench.snapshots.application import Application
    from workbench.snapshots.namespace import Snapshots
    from workbench.snapshots.restore.restores import Restores
    from workbench.tiers.questions import Tiers
    from workbench.triage import Triage

_SUBJECTS = {
    "runs": "runs.questions.Runs",
    "mappings": "mappings.questions.Mappings",
    "tiers": "tiers.questions.Tiers",
    "duplicates": "duplicates.questions.Duplicates",
    "policies": "policies.questions.Policies",
    "history": "history.questions.History",
    "audit": "audit.questions.Audit",
    "reconcile": "reconcile.Reconcile",
    "snapshots": "snapshots.namespace.Snapshots",
    "restores": "snapshots.restore.restores.Restores",
    "app": "snapshots.application.Application",
    "migration": "migration.questions.Migration",
    "triage": "triage.Triage",
    "plans": "plans.questions.Plans",
    "report": "reporting.questions.Reports",
}


_COUNTED = (*CONCEPT_OF.values(), "mappings")


class Workbench:
    """An environment opened read-only: its subjects, and the questions about all of them.

    Attributes
    ----------
    session : Session
        What all subjects share: connection, schema, settings, and whether personal data are shown.
    runs, mappings, tiers, duplicates, policies, history, audit, reconcile, snapshots, restores, app, migration, triage, plans, report
        The questions and planners of each subject: ``wb.runs()``, ``wb.runs.plan_rollback(...)``.
    """

    runs: Runs
    mappings: Mappings
    tiers: Tiers
    duplicates: Duplicates
    policies: Policies
    history: History
    audit: Audit
    reconcile: Reconcile
    snapshots: Snapshots
    restores: Restores
    app: Application
    migration: Migration
    triage: Triage
    plans: Plans
    report: Reports

    def __init__(self, session: Session) -> None:
        self.session = session

    def __getattr__(self, name: str) -> Any:
        """Create a subject on first use, because each has imports of its own."""
        if name not in _SUBJECTS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        module, _, kind = _SUBJECTS[name].rpartition(".")
        given: list[Any] = [self if name in ("migration", "triage") else self.session]
        if name == "snapshots":
            given.append(self._dry_runs)
        if name == "restores":
            given += [self.snapshots, self.app, self.history.losses]
        self.__dict__[name] = getattr(import_module(f"workbench.{module}"), kind)(*given)
        return self.__dict__[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_SUBJECTS]

    def _dry_runs(self) -> list[Any]:
        from workbench.migration.dry_runs import list_dry_runs

        return list_dry_runs(self.session.settings.backups, self.session.environment.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the transaction of `one_state`."""
        self.session.close()

    @property
    def environment(self) -> Environment:
        """Name, kind and address."""
        return self.session.environment

    @property
    def settings(self) -> Settings:
        """The settings of all environments."""
        return self.session.settings

    def __repr__(self) -> str:
        return repr(self._about())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self._about()._repr_mimebundle_()

    @answering
    def _about(self) -> Answer:
        """Return which database this is, what it contains, and what is open."""
        here = self.session
        facts = {"Environment": str(here.environment)}
        try:
            identity = here.identity
            facts["Database"] = f"{identity.database}, PostgreSQL {identity.version}, as {identity.user}"
            facts["Dialect"] = here.dialect
            facts["Records"] = ", ".join(f"{count:,} {table}" for table, count in self._counted().items())
            runs = self.session.find_runs()
            stopped = sum(run.mode == "live" and run.status != "completed" for run in runs)
            plans = int(self.plans.states()["state"].isin(["planned", "approved"]).sum())
            runs_here = f"{many(len(runs), 'import run')}, {stopped:,} of them did not complete"
            facts["Open"] = f"{runs_here}; {many(plans, 'plan')} to apply"
        except WorkbenchError as error:
            facts["Not known"] = error.what
        return Answer(parts={"about": facts})

    @answering
    def doctor(self) -> Answer:
        """Report what works and what is missing: connection, dialect, rights, tools, configuration."""
        from workbench.readiness import readiness

        state = readiness(self.session)
        missing = int((state["state"] == "missing").sum())
        return Answer(parts={"state": Table(state)}, facts=state.to_dict("records"), code=int(missing > 0))

    @answering
    def check(
        self, ids: Sequence[str] = (), waive: Waivers = (), sample: int = SAMPLE, run: str = ""
    ) -> Answer:
        """Run the checks of the guide on one state of the database.

        Parameters
        ----------
        ids : sequence of str
            Which checks; all by default.
        waive : mapping, or sequence of ``check=reason``
            Findings that are accepted, and why.
        sample : int
            The largest number of rows in a finding; its count covers all rows.
        run : str
            Restricts findings about runs to this run.
        """
        here = self.session
        with here.reading() as connection:
            look = replace(here.look(connection), sample=sample)
            findings = about_run(run_checks(look, ids, waive, by=here.settings.operator), run)
        facts = {"environment": vars(here.environment), "dialect": here.dialect}
        return findings_answer(findings, facts=facts, report="post-recovery", by_name=bool(ids))

    def sql(self, query: str, limit: int | None = None, without: Sequence[str] = ()) -> pd.DataFrame:
        """Query ``members``, ``events``, ``registrations``, ``mappings``, ``audit``, ... in SQL, alike in either dialect.

        Parameters
        ----------
        query : str
            One SELECT. The relations and columns are those of `workbench.murmurant.spellings`, and ``runs``, ``reported``
            and ``here``.
        limit : int, optional
            The largest number of rows.
        without : sequence of str
            Relations and columns that it does not need: ``mappings``, ``events.status``.

        Returns
        -------
        pandas.DataFrame
            The rows, with ids as text. Personal data and computed text are masked unless opened with `unmask`.

        Raises
        ------
        SchemaGap
            For a relation or column that this database lacks.
        """
        with self.session.reading() as connection:
            canonical = self.session.look(connection).canonical
            canonical.require(query, without)
            _, rows, _ = ask(connection, canonical, query, limit=limit, harmless=())
            names = rows.attrs.pop("names")
            return (rows if self.session.shows_people else mask(rows)).set_axis(names, axis=1)

    @covering
    def search(self, text: str, entity: str = MEMBER, limit: int = 50) -> pd.DataFrame:
        """Search members, events, registrations or mappings (``Mapping``) by text: see `workbench.mappings.search`."""
        from workbench.mappings import search

        with self.session.reading() as connection:
            if entity == "Mapping":
                return search.find_mappings(connection, self.session.schema, text, limit)
            return search.find_records(connection, self.session.schema, entity, text, limit)

    @answering
    def counts(self) -> Answer:
        """Compare row counts with the expected ones: ``table``, ``found``, ``expected``, ``difference``."""
        from workbench.reporting.charts import counts_chart

        expected: Mapping[Any, int] = self.session.options.expected
        rows = [(name, count, expected.get(name)) for name, count in self._counted().items()]
        frame = pd.DataFrame(rows, columns=["table", "found", "expected"]).astype({"expected": "Int64"})
        frame["difference"] = frame["found"] - frame["expected"]
        return Answer(
            parts={"drawn": partial(counts_chart, frame), "counts": Table(frame, "Found and expected")}
        )

    def panel(self, page: str, **options: Any) -> Any:
        """Return an interactive panel for a notebook: choose, plan, approve, apply and undo.

        Parameters
        ----------
        page : {"runs", "plans", "mappings", "tiers", "duplicates", "preflight"}
            Its name, as in the addresses of `workbench serve`.
        options
            Its initial state, such as ``exports`` for mappings, ``matches`` and ``threshold`` for duplicates.

        Raises
        ------
        UsageError
            For an unknown page.
        """
        panels = import_module("workbench.panels")  # a higher layer, and slow to import
        if page not in panels.PAGES:
            raise unknown("panel", page, panels.PAGES)
        return panels.panel_of(page)(self, **options)

    def _counted(self) -> dict[str, int]:
        with self.session.reading() as connection:
            look = self.session.look(connection)
            names = [name for name in _COUNTED if look.schema.has(name)]
            (counts,) = look.rows(f"SELECT {', '.join(f'(SELECT count(*) FROM {name})' for name in names)}")
            return dict(zip(names, counts, strict=True))


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
    """Open an environment read-only.

    Parameters
    ----------
    environment : str, optional
        A name from ``workbench.toml``; by default ``WORKBENCH_ENVIRONMENT``, else the embedded demo.
    import_reports : sequence of path, optional
        Report files of importers, or folders of them, in addition to the configured ones.
    expected : mapping, optional
        The expected numbers of ``members``, ``events`` and ``registrations`` (guide §7.1).
    tier_mapping : path, optional
        The file that says which tier or status each level becomes, instead of the configured ones.
    one_state : bool
        Whether every question sees the database as it was at the first one. For reports; an interactive session should see
        changes, and not keep a transaction open for hours.
    unmask : bool
        Whether personal data may be shown.

    Raises
    ------
    UsageError
        For an unknown environment, or one whose URL is not set.
    DocumentError
        For a path in `import_reports` that is no report. Configured reports are read on first use: see `Session.reports`.
    WrongEnvironment
        If the environment's name, kind and address contradict each other.
    DatabaseUnreachable
        If there is no connection.
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
    given = read_reports(map(Path, import_reports))  # errors in named files are raised at once
    reports = partial(_reports, name, chosen, settings.backups, given)
    database = connect(name, settings)
    return Workbench(Session(database, chosen, settings, reports, one_state=one_state, unmask=unmask))


def _reports(
    name: str, chosen: EnvironmentSettings, backups: Path, given: tuple[ImportReport, ...]
) -> tuple[ImportReport, ...]:
    """Return the given and the configured reports and those of dry runs, sorted by run and name."""
    from workbench.migration.dry_runs import kept_reports

    # The demo's folder exists only after a demo was created; any other configured path must exist.
    own = [path for path in chosen.import_reports if chosen.url_env or path.exists()]
    try:
        configured = read_reports(own)
    except DocumentError as error:
        raise DocumentError(
            f"{error.what} The setting environments.{name}.import_reports leads there.",
            "Correct it in workbench.toml, or put the importer's file or folder there.",
        ) from None
    named = {report.path.resolve(): report for report in (*configured, *given)}
    # An importer overwrites the report of its dry run; the kept copy is evidence too.
    known = {(report.run_id, report.path.name) for report in named.values()}
    kept = read_reports(kept_reports(backups, name))
    more = [report for report in kept if (report.run_id, report.path.name) not in known]
    return tuple(sorted([*named.values(), *more], key=lambda report: (report.run_id, report.path.name)))
