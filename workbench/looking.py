"""What can be asked of an environment: every investigation, arguments in, frame out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from workbench.answer import Answer, Table, findings_answer
from workbench.auditing import Audit
from workbench.checks import Finding, run_checks
from workbench.checks.finding import SAMPLE
from workbench.checks.integrity import table_counts
from workbench.checks.rules import run_rules
from workbench.covering import answering, covering
from workbench.deduplicating import Duplicates
from workbench.errors import ReportFileError
from workbench.investigate.dry_runs import rehearsals, rehearsals_frame
from workbench.investigate.readiness import readiness
from workbench.mappings.problems import MappingFindings, mapping_findings, sure_corrections
from workbench.mappings.queries import mapped
from workbench.murmurant.canonical import ask, words_of
from workbench.murmurant.reports import ImportReport
from workbench.reconcile import Reconcile
from workbench.reporting.masking import mask
from workbench.runs.questions import Runs
from workbench.searching import Searching
from workbench.tiers import queries, review
from workbench.tiers.configuration import Mappings, mappings_for


class Looking(Duplicates, Searching):
    """The questions."""

    @answering
    def doctor(self) -> Answer:
        """Tell what works here and what is missing: connection, dialect, rights, tools, configuration."""
        try:
            reports: tuple[ImportReport, ...] | ReportFileError = self.reports
        except ReportFileError as error:
            reports = error
        with self.reading() as connection:
            tools = self.settings.client_tools
            state = readiness(
                connection, self.schema, self.database, self.identity, self.options, reports, tools
            )
        missing = int((state["state"] == "missing").sum())
        return Answer(parts={"state": Table(state)}, facts=state.to_dict("records"), code=int(missing > 0))

    @cached_property
    def runs(self) -> Runs:
        """The import runs."""
        return Runs(self)

    @cached_property
    def audit(self) -> Audit:
        """The audit log's migration entries."""
        return Audit(self)

    @answering
    def check(
        self, ids: Sequence[str] = (), waive: Mapping[str, str] | None = None, sample: int = SAMPLE
    ) -> Answer:
        """Ask what the guide says to check, all of it or what is named, on one state of the database."""
        findings = self.checks(ids, waive, sample)
        facts = {"environment": vars(self.environment), "dialect": self.dialect}
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
        with self.reading() as connection:
            canonical = self.look(connection, runs=bool({"runs", "reported"} & words_of(query))).canonical
            canonical.require(query, without)
            _, rows, _ = ask(connection, canonical, query, limit=limit, harmless=())
            names = rows.attrs.pop("names")
            return (rows if self.shows_people else mask(rows)).set_axis(names, axis=1)

    @covering
    def checks(
        self, ids: Sequence[str] = (), waive: Mapping[str, str] | None = None, sample: int = SAMPLE
    ) -> list[Finding]:
        """Run checks, all or the named ones, on one state of the database; `sample` rows to a finding."""
        with self.reading() as connection:
            return run_checks(
                replace(self.look(connection), sample=sample), ids, waive, by=self.settings.operator
            )

    @covering
    def policies(
        self,
        rules: str | Path | None = None,
        ids: Sequence[str] = (),
        waive: Mapping[str, str] | None = None,
        sample: int = SAMPLE,
    ) -> list[Finding]:
        """Ask the organisation's rules (guide §1.5): those of a folder, of the environment's, or the starter set."""
        with self.reading() as connection:
            look = replace(self.look(connection), sample=sample)
            return run_rules(look, self.rulebook(rules), ids, waive, by=self.settings.operator)

    def rehearsals(self) -> pd.DataFrame:
        """Tell which dry run came before each live run (guide §1.6), see `workbench.investigate.dry_runs`."""
        return rehearsals_frame(rehearsals(self.find_runs(), self.options.dry_run_hours))

    def counts(self) -> pd.DataFrame:
        """Count the rows that matter beside what is expected: ``table``, ``found``, ``expected``."""
        with self.reading() as connection:
            found = table_counts(self.look(connection, runs=False))
        expected: Mapping[str, int] = {str(key): value for key, value in self.options.expected.items()}
        rows = [(name, count, expected.get(name)) for name, count in found.items()]
        return pd.DataFrame(rows, columns=["table", "found", "expected"]).astype({"expected": "Int64"})

    def tier_distribution(self) -> pd.DataFrame:
        """Count the members in each tier (guide §4.3)."""
        with self.reading() as connection:
            return review.tier_distribution(connection, self.schema)

    def tiers(self, mapping: Mappings = None, of: review.Of | None = None) -> pd.DataFrame:
        """Count the members by ``level``, ``expected`` and ``actual`` tier: ``members``, ``finding`` (guide §1.3).

        Parameters
        ----------
        mapping : path, or sequence of path
            A tier policy, the importer's configuration, or both; else the environment's.
        of : {"tiers", "statuses"}, optional
            Which of the two; else what the configuration speaks of, tiers first.
        """
        read = mappings_for(mapping, self.options.mappings)
        with self.reading() as connection:
            used = review.compared(connection, self.schema, read, of)
            return queries.tier_matrix(connection, self.schema, *used)

    @covering
    def wrong_tiers(
        self,
        mapping: Mappings = None,
        limit: int | None = None,
        levels: Sequence[str] = (),
        of: review.Of | None = None,
    ) -> pd.DataFrame:
        """List the members with another tier than their level says, or none: ``key``, ``expected``, ``actual``, ...

        The parameters are those of `tiers`, with the most rows and the levels wanted.
        """
        read = mappings_for(mapping, self.options.mappings)
        with self.reading() as connection:
            used = review.compared(connection, self.schema, read, of)
            return queries.wrong_tiers(connection, self.schema, *used, limit, levels)

    def tier_review(self, mapping: Mappings = None) -> review.TierReview:
        """Look at tiers and statuses from all sides; without any mapping, at their distribution only."""
        given = mapping is not None or self.options.mappings
        read = mappings_for(mapping, self.options.mappings) if given else ()
        with self.reading() as connection:
            return review.review_tiers(connection, self.schema, read)

    @covering
    def mapping_findings(self, exports: Sequence[str | Path] = ()) -> MappingFindings:
        """Find what is wrong with the mappings, and which registrations came through them (guide §1.2).

        Parameters
        ----------
        exports : sequence of path
            Wild Apricot's own CSV exports, or folders of them, as evidence.
        """
        told, runs = self.read_exports(exports), self.find_runs()
        with self.reading() as connection:
            return mapping_findings(connection, self.schema, runs, told)

    @cached_property
    def reconcile(self) -> Reconcile:
        """Wild Apricot's own exports beside the database."""
        return Reconcile(self)

    def mapped(self, wa_id: str | int) -> pd.DataFrame:
        """List the mappings of a WA id, of whatever entity; of one that is not mapped, those that begin like it.

        Returns
        -------
        pandas.DataFrame
            ``entity``, ``wa_id``, ``mapping``, ``target``, ``synced_at``.
        """
        with self.reading() as connection:
            return mapped(connection, self.schema, str(wa_id))

    def mappings(self, exports: Sequence[str | Path] = ()) -> pd.DataFrame:
        """List every problem with a mapping, worst first: see `MappingFindings.problems`."""
        return self.mapping_findings(exports).problems

    def wrong_mappings(self, exports: Sequence[str | Path] = ()) -> pd.DataFrame:
        """List the mappings that lead to the wrong person, event or registration, worst first."""
        found = self.mappings(exports)
        return found[found["problem"].str.startswith("wrong-")].reset_index(drop=True)

    def sure_corrections(self, exports: Sequence[str | Path] = ()) -> pd.DataFrame:
        """List the corrections of mappings that need no more asking: what `plan_mappings` takes."""
        return sure_corrections(self.mappings(exports))
