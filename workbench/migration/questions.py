"""Before an import: its dry run (guide §2.2), the checklist (§6), and bundles of what it read and wrote (§2.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pandas as pd
from sqlalchemy import Connection

from workbench.answer import Answer, Step, Table
from workbench.audit.entries import audit_entries, record
from workbench.covering import answering
from workbench.errors import DatabaseUnreachable, DocumentError, NotMurmurant, Refused, UsageError, unknown
from workbench.hints import aim
from workbench.migration import bundles, dry_runs, preflight
from workbench.migration.bundles import MANIFEST, Bundle, Discrepancy
from workbench.migration.dry_runs import DryRun
from workbench.migration.preflight import ITEMS, Attestation, Clock, Evidence, Kind
from workbench.migration.review import review_dry_run
from workbench.murmurant.importers import BUNDLE_SEALED, DRY_RUN_REVIEWED
from workbench.murmurant.reports import read_reports
from workbench.reporting.masking import mask_text
from workbench.runs.discovery import find_runs, pick_run
from workbench.statements import Statements, signed

PASSED = "migration:preflight:passed"
"""The audit log's action for a signed checklist, in the style of guide §5.1."""

T = TypeVar("T")


class Migration:
    """An environment's dry runs, checklist and bundles: ``wb.migration``."""

    def __init__(self, wb: Any) -> None:
        self.wb = wb  # the workbench: the checklist asks other subjects too

    def dry_run(
        self,
        command: Sequence[str],
        *,
        show: Callable[[str], None] | None = None,
        reports: Sequence[str | Path] = (),
    ) -> DryRun:
        """Run an importer with ``DRY_RUN=1``, and keep its log and reports.

        Parameters
        ----------
        command : sequence of str
            The importer and its arguments.
        show : callable, optional
            Called with each line of output; by default it is printed.
        reports : sequence of path
            Where the importer leaves its reports, besides the environment's ``import_reports``.

        Raises
        ------
        Refused
            When the command contradicts ``DRY_RUN=1`` or does not pass it on.
        """
        wb = self.wb
        dry_runs.refuse_live(command)
        mark = self._ask(dry_runs.transaction_mark)

        def written_meanwhile() -> dict[str, int] | None:
            if mark is None:
                return None
            return self._ask(lambda connection: dry_runs.written_since(connection, wb.session.schema, mark))

        return dry_runs.run_dry(
            command,
            backups=wb.settings.backups,
            environment=wb.environment.name,
            kind=wb.environment.kind,
            operator=wb.settings.operator,
            show=show or (lambda line: print(line, end="", flush=True)),
            reports=[*wb.session.options.import_reports, *map(Path, reports)],
            configuration=wb.session.options.mappings,
            written_meanwhile=written_meanwhile,
        )

    def _ask(self, question: Callable[[Connection], T]) -> T | None:
        """Ask the database; None where it cannot be reached, which must not prevent a dry run."""
        try:
            with self.wb.session.database.reading() as connection:
                return question(connection)
        except (DatabaseUnreachable, NotMurmurant):
            return None

    def dry_runs(self) -> pd.DataFrame:
        """List the dry runs of this environment, the latest first.

        Returns
        -------
        pandas.DataFrame
            ``dry_run``, ``started`` (UTC), ``seconds``, ``operator``, ``state``, ``exit_code``, ``runs``,
            ``reviewed_by``, ``reviewed_at``, ``fresh`` (within ``dry_run_hours``), ``command``.
        """
        hours, now, rows = self.wb.session.options.dry_run_hours, datetime.now(UTC), []
        for run in self._kept:
            age, review = (now - run.started_at).total_seconds() / 3600, run.approval
            started, command = run.started_at.astimezone(UTC).replace(tzinfo=None), " ".join(run.command)
            reviewed = (review.by, review.at.isoformat()) if review else ("", "")
            ending = (run.operator, run.state, run.exit_code, ", ".join(run.runs))
            rows.append((run.name, started, run.seconds, *ending, *reviewed, 0 <= age <= hours, command))
        names = "dry_run started seconds operator state exit_code runs reviewed_by reviewed_at fresh command"
        return pd.DataFrame(rows, columns=names.split())

    @property
    def _kept(self) -> list[DryRun]:
        return dry_runs.list_dry_runs(self.wb.settings.backups, self.wb.environment.name)

    @answering
    def review(
        self, name: str | None = None, sample: int = 3, *, approve: bool = False, remark: str = ""
    ) -> Answer:
        """Show what a dry run would do, beside the dry run before it and the live run after it.

        Parameters
        ----------
        name : str, optional
            A dry run by its name or run id, also one of which only a report is left; by default the latest.
        approve : bool
            Record in the dry run and in the audit log that the operator approves of it.
        remark : str
            A remark on the approval.

        Raises
        ------
        DocumentError
            When it left no report.
        UsageError
            For an unknown name or a live run.
        Refused
            When it cannot be approved: it did not complete, left no report or was altered; on production, when its
            operator would approve it.
        """
        wb, kept = self.wb, None
        reported = {report.run_id for report in wb.session.reports}
        if name is None or name not in reported:
            kept = dry_runs.find_dry_run(wb.settings.backups, name, wb.environment.name)
            if not kept.runs:
                raise DocumentError(
                    f"{kept.name} left no report that can be read; its log is in {kept.folder}.",
                    "Name the importer's folder in import_reports, and run it again.",
                )
            name = name if name in kept.runs else kept.runs[-1]
        left = read_reports(kept.folder / file.file for file in kept.evidence) if kept else ()
        reports = {(report.run_id, report.path.name): report for report in (*wb.session.reports, *left)}
        with wb.session.reading() as connection:
            runs = find_runs(connection, wb.session.schema, list(reports.values()))
        run, _ = pick_run(runs, name)
        if run.mode != "dry":
            raise UsageError(f"{name} was a live run.", f"`workbench run {name}` shows what it did.")
        answer = review_dry_run(run, runs, sample, wb.session.options.expected)
        if not approve:
            return answer
        kept = kept or dry_runs.find_dry_run(wb.settings.backups, name, wb.environment.name)
        reviewed = dry_runs.approve_dry_run(kept, wb.settings.operator, remark)
        review = reviewed.reviews[-1]
        entry = {
            "run_id": reviewed.runs[0],
            "operator": review.by,
            "dry_run": reviewed.name,
            **review.model_dump(include={"content_sha256", "remark"}),
            "configuration_sha256": reviewed.configuration_sha256,
        }
        problem = wb.session.log(DRY_RUN_REVIEWED, entry, about=review.content_sha256)
        approved = f"\nApproved by {review.by}."
        approved += f"\nNot in the audit log: {problem}" if problem else ""
        facts = {**answer.facts, "approved": review.model_dump(), "logged": not problem}
        return replace(answer, parts={**answer.parts, "approved": approved}, facts=facts, code=0)

    def seal(
        self,
        paths: Sequence[str | Path],
        *,
        run: str | None = None,
        output: str | Path | None = None,
    ) -> tuple[Bundle, str]:
        """Seal an import's inputs and outputs into a new bundle, and record its digest in the audit log.

        Parameters
        ----------
        paths : sequence of path
            Files and folders: exports, configuration, reports, id map, dry run.
        run : str, optional
            The import; by default the one that the reports are about.
        output : path, optional
            The folder in which the bundle is made; by default ``backups``.

        Returns
        -------
        Bundle
        str
            Why the audit log has no entry of it; empty where it has.

        Raises
        ------
        UsageError
            For files that cannot be sealed, and an unknown run.
        Refused
            When a file holds a URL with a password.
        """
        wb = self.wb
        if run is not None:
            run = pick_run(wb.session.find_runs(), run)[0].run
        bundle = bundles.seal(
            map(Path, paths),
            Path(output) if output else wb.settings.backups,
            by=wb.settings.operator,
            now=datetime.now(UTC),
            run=run,
            environment=wb.environment.name,
        )
        about = {"run_id": bundle.run, "operator": bundle.sealed_by, "bundle": bundle.bundle}
        facts = {**about, "bundle_sha256": bundle.digest, "files": len(bundle.files)}
        return bundle, wb.session.log(BUNDLE_SEALED, facts, about=bundle.digest)

    def bundles(self, run: str | None = None) -> pd.DataFrame:
        """List the bundles that are kept, newest first; with `run`, only those that hold something of it."""
        return bundles.bundles_frame(bundles.list_bundles(self.wb.settings.backups, run))

    def verify(self, name: str | Path, digest: str | None = None) -> list[Discrepancy]:
        """Compare a bundle with what was sealed, and its digest with the audit log's.

        See `workbench.migration.bundles.verify_bundle`, which needs no database.
        """
        folder = bundles.find_bundle(self.wb.settings.backups, str(name))
        wrong = bundles.verify_bundle(folder, digest)
        if any(discrepancy.path == MANIFEST for discrepancy in wrong):
            return wrong
        with self.wb.session.reading() as connection:
            entries = audit_entries(connection, self.wb.session.schema, action=BUNDLE_SEALED, limit=None)
        facts = [entry for entry in entries["metadata"] if isinstance(entry, dict)]
        noted = {str(entry.get("bundle_sha256")) for entry in facts if entry.get("bundle") == folder.name}
        if noted and (now := bundles.read_bundle(folder).digest) not in noted:
            detail = f"its digest is {now}, the audit log has {', '.join(sorted(noted))}"
            wrong.append(Discrepancy(MANIFEST, "altered", detail))
        return wrong

    @answering
    def preflight(self) -> Answer:
        """Answer the guide's checklist for the next migration (§6); writes nothing."""
        checklist = self.checklist()
        still_open = checklist[checklist["state"] == "open"]
        shown = checklist.assign(evidence=checklist["evidence"].map(mask_text))
        steps = [Step(f"{row.title}: {row.next_step}") for row in still_open.itertuples()]
        return Answer(
            f"{len(checklist) - len(still_open)} of {len(checklist)} settled.",
            {"items": Table(shown[["item", "state", "title", "evidence", "by"]], first=("item", "state"))},
            preflight.findings(checklist),
            steps or [Step("Record in the audit log that nothing is open", "preflight sign")],
            {"environment": vars(self.wb.environment), "clear": not steps, "items": checklist},
            sample=0,
            code=1 if steps else 0,
        )

    def checklist(self) -> pd.DataFrame:
        """Answer the checklist as a frame: see `workbench.migration.preflight.judge`."""
        wb, evidence = self.wb, self.evidence()
        hours = wb.session.options.preflight_hours
        words = preflight.valid(self._attestations.read(), hours, self._clock)
        level = words["rollback"].says if "rollback" in words and words["rollback"].kind == "attested" else ""
        traces = bool(wb.session.reports) or any(run.traces for run in wb.session.find_runs())
        evidence["rollback"] = preflight.rollback_evidence(level, evidence["backup"], traces)
        checklist = preflight.judge(evidence, words)
        steps = [aim(step, wb.environment.name) for step in checklist["next_step"]]
        return checklist.assign(next_step=steps)

    def evidence(self) -> dict[str, Evidence]:
        """Gather the evidence for each item."""
        wb, clock, kept = self.wb, self._clock, self._kept
        options = wb.session.options
        digests = {path.name: bundles.file_digest(path) for path in options.mappings if path.is_file()}
        if len(digests) < len(options.mappings):
            digests = {}
        doubts = self._problems("tiers-unmapped-level", "tiers-not-seeded") if digests else []
        contradictions = self._problems("environment-wrong")
        pinned = options.address is not None
        return {
            "backup": preflight.backup_evidence(wb.snapshots.here(), options.backup_hours, clock),
            "dry-run": preflight.dry_run_evidence(kept, options.dry_run_hours, clock),
            "config": preflight.config_evidence(digests, doubts, kept),
            "operator": preflight.operator_evidence(wb.settings.operator, wb.settings.operator_named),
            "environment": preflight.environment_evidence(str(wb.environment), pinned, contradictions),
        }

    def attest(self, item: str, says: str, kind: Kind = "attested", *, by: str | None = None) -> Attestation:
        """Record a person's word on an item of the checklist, or a waiver with its reason.

        Parameters
        ----------
        item : str
            One of `workbench.migration.preflight.ITEMS`.
        says : str
            What the person attests, or the reason of the waiver; without personal data.
        kind : {"attested", "waived", "withdrawn"}
            ``withdrawn`` revokes the previous word.
        by : str, optional
            The person; by default the operator.

        Raises
        ------
        UsageError
            For an unknown item, one that evidence alone decides, or a missing text or name.
        """
        if item not in ITEMS:
            raise unknown("item of the checklist", item, ITEMS)
        who, at, says = signed(self.wb.settings.operator if by is None else by, says)
        if not says and kind != "withdrawn":
            raise UsageError(f"Nothing is said about {item!r}.", "Say what you attest, or why it is waived.")
        none = Evidence(None, "")
        fact = self.evidence().get(item, none) if kind == "attested" else none
        if ITEMS[item].by_evidence and fact.holds is not None:
            raise UsageError(
                f"{ITEMS[item].title}: only evidence settles this ({fact.says}).",
                f"{fact.next_step or 'Nothing is open there'}. To accept it as it is: `workbench preflight waive {item} --reason REASON`.",
            )
        return self._attestations.add(
            Attestation(item=item, kind=kind, says=says, by=who, at=at, about=fact.about)
        )

    def sign(self) -> str:
        """Record in the audit log that the checklist is settled; return the entry's id. `Refused` while anything is open."""
        wb, checklist = self.wb, self.checklist()
        still_open = checklist.loc[checklist["state"] == "open", "title"]
        if len(still_open):
            raise Refused(
                f"{len(still_open)} items of the checklist are open: {', '.join(still_open).lower()}.",
                "`workbench preflight` says what settles each.",
            )
        items = checklist.set_index("item")[["state", "evidence", "by"]].to_dict("index")
        facts = {"operator": wb.settings.operator, "environment": wb.environment.name, "items": items}
        return record(wb.session.database, wb.session.schema, PASSED, facts, about=str(uuid4()))

    @property
    def _attestations(self) -> Statements[Attestation]:
        return Statements(Attestation, self.wb.settings.reports, self.wb.environment.name)

    @property
    def _clock(self) -> Clock:
        live = [run for run in self.wb.session.find_runs() if run.mode == "live"]
        ends = (run.last_trace or run.finished or run.started for run in live)
        last = max(filter(None, ends), default=None)
        return Clock(datetime.now(UTC), last and last.replace(tzinfo=UTC))

    def _problems(self, *checks: str) -> list[str]:
        findings = [finding for finding in self.wb.check(checks).findings if finding.open]
        return [
            f"the check {finding.check} found {finding.count:,}" if finding.count else finding.reason
            for finding in findings
        ]
