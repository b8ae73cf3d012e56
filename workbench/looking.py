"""What can be asked of an environment: every investigation, arguments in, frame out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

import pandas as pd

from workbench.answer import Answer, Table, findings_answer
from workbench.audit.questions import Audit
from workbench.checks import Finding, run_checks
from workbench.checks.finding import SAMPLE, about_run
from workbench.checks.integrity import table_counts
from workbench.checks.rules import Waivers
from workbench.covering import answering, covering
from workbench.duplicates.questions import Duplicates
from workbench.errors import DocumentError
from workbench.history.questions import History
from workbench.mappings.questions import Mappings
from workbench.migration.dry_runs import list_dry_runs
from workbench.murmurant.canonical import ask, words_of
from workbench.murmurant.reports import ImportReport
from workbench.policies.questions import Policies
from workbench.readiness import readiness
from workbench.reconcile import Reconcile
from workbench.reporting.charts import counts_chart
from workbench.reporting.masking import mask
from workbench.runs.questions import Runs
from workbench.searching import Searching
from workbench.snapshots.application import Application
from workbench.snapshots.namespace import Snapshots
from workbench.snapshots.restore.restores import Restores
from workbench.tiers.questions import Tiers


class Looking(Searching):
    """The questions."""

    @answering
    def doctor(self) -> Answer:
        """Tell what works here and what is missing: connection, dialect, rights, tools, configuration."""
        try:
            reports: tuple[ImportReport, ...] | DocumentError = self.session.reports
        except DocumentError as error:
            reports = error
        with self.session.reading() as connection:
            tools = self.session.settings.client_tools
            state = readiness(
                connection,
                self.session.schema,
                self.session.database,
                self.session.identity,
                self.session.options,
                reports,
                tools,
            )
        missing = int((state["state"] == "missing").sum())
        return Answer(parts={"state": Table(state)}, facts=state.to_dict("records"), code=int(missing > 0))

    @cached_property
    def snapshots(self) -> Snapshots:
        """The environment's snapshots."""
        here = self.session
        return Snapshots(here, lambda: list_dry_runs(here.settings.backups, here.environment.name))

    @cached_property
    def history(self) -> History:
        """What came after a snapshot."""
        return History(self.session)

    @cached_property
    def app(self) -> Application:
        """The environment's application."""
        return Application(self.session)

    @cached_property
    def restores(self) -> Restores:
        """The restores of snapshots over this database."""
        return Restores(self.session, self.snapshots, self.app, self.history.losses)

    @property
    def runs(self) -> Runs:
        """The import runs."""
        return Runs(self.session)

    @property
    def tiers(self) -> Tiers:
        """The membership tiers, beside the levels of Wild Apricot."""
        return Tiers(self.session)

    @property
    def mappings(self) -> Mappings:
        """Which Wild Apricot id leads to which record."""
        return Mappings(self.session)

    @cached_property
    def duplicates(self) -> Duplicates:
        """What is there more than once, what people say of it, and its merging."""
        return Duplicates(self.session)

    @property
    def audit(self) -> Audit:
        """The audit log's migration entries."""
        return Audit(self.session)

    @answering
    def check(
        self, ids: Sequence[str] = (), waive: Waivers = (), sample: int = SAMPLE, run: str = ""
    ) -> Answer:
        """Ask what the guide says to check, all of it or what is named, on one state of the database.

        Parameters
        ----------
        ids : sequence of str
            Which checks; all when empty.
        waive : mapping, or sequence of ``check=reason``
            Findings that are accepted, and why.
        sample : int
            The most rows of a finding; its count is of all.
        run : str
            Only what is said of this run, in findings about runs.
        """
        findings = about_run(self.checks(ids, waive, sample), run)
        facts = {"environment": vars(self.session.environment), "dialect": self.session.dialect}
        return findings_answer(findings, facts=facts, report="post-recovery", by_name=bool(ids))

    def sql(self, query: str, limit: int | None = None, without: Sequence[str] = ()) -> pd.DataFrame:
        """Ask in SQL, of ``members``, ``events``, ``registrations``, ``mappings``, ``audit``, ... alike in either dialect.

        Parameters
        ----------
        query : str
            One SELECT; the relations and their columns are those of `workbench.murmurant.spellings`, besides them
            ``runs``, ``reported`` and ``here``.
        limit : int, optional
            The most rows.
        without : sequence of str
            What it mentions and can do without, where it is not here: ``mappings``, ``events.status``.

        Returns
        -------
        pandas.DataFrame
            Its rows, ids as text; people are masked, and text that the SELECT makes up, unless opened with `unmask`.

        Raises
        ------
        SchemaGap
            For what it mentions and this database does not have.
        """
        with self.session.reading() as connection:
            canonical = self.session.look(
                connection, runs=bool({"runs", "reported"} & words_of(query))
            ).canonical
            canonical.require(query, without)
            _, rows, _ = ask(connection, canonical, query, limit=limit, harmless=())
            names = rows.attrs.pop("names")
            return (rows if self.session.shows_people else mask(rows)).set_axis(names, axis=1)

    @covering
    def checks(self, ids: Sequence[str] = (), waive: Waivers = (), sample: int = SAMPLE) -> list[Finding]:
        """Run checks, all or the named ones, on one state of the database; `sample` rows to a finding."""
        with self.session.reading() as connection:
            return run_checks(
                replace(self.session.look(connection), sample=sample),
                ids,
                waive,
                by=self.session.settings.operator,
            )

    @property
    def policies(self) -> Policies:
        """The organisation's own rules."""
        return Policies(self.session)

    @answering
    def counts(self) -> Answer:
        """Count the rows that matter beside what is expected: ``table``, ``found``, ``expected``, ``difference``."""
        with self.session.reading() as connection:
            found = table_counts(self.session.look(connection, runs=False))
        expected: Mapping[str, int] = {
            str(key): value for key, value in self.session.options.expected.items()
        }
        rows = [(name, count, expected.get(name)) for name, count in found.items()]
        frame = pd.DataFrame(rows, columns=["table", "found", "expected"]).astype({"expected": "Int64"})
        frame["difference"] = frame["found"] - frame["expected"]
        return Answer(
            parts={"drawn": partial(counts_chart, frame), "counts": Table(frame, "Found and expected")}
        )

    @property
    def reconcile(self) -> Reconcile:
        """Wild Apricot's own exports beside the database."""
        return Reconcile(self.session)
