"""What goes before an import: its dry run (guide §2.2), the checklist (§6), and bundles of what it read and wrote (§2.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pandas as pd
from sqlalchemy import Connection

from workbench.answer import Answer, Table
from workbench.audit.entries import audit_entries
from workbench.audit.writing import record
from workbench.covering import answering
from workbench.errors import (
    DatabaseUnreachable,
    DocumentError,
    NotMurmurant,
    Refused,
    UsageError,
    unknown,
)
from workbench.hints import aim
from workbench.migration import bundles, dry_runs, preflight, running
from workbench.migration.bundles import MANIFEST, Bundle, Discrepancy
from workbench.migration.dry_runs import DryRun
from workbench.migration.invariants import read_files
from workbench.migration.preflight import ITEMS, Attestation, Evidence, Kind, Preflight
from workbench.migration.review import review_dry_run
from workbench.murmurant.importers import BUNDLE_SEALED, DRY_RUN_REVIEWED
from workbench.murmurant.reports import ImportReport, read_reports
from workbench.reporting.masking import mask_text
from workbench.runs.discovery import find_runs, pick_run
from workbench.runs.rehearsals import rehearsals
from workbench.statements import Statements

PASSED = "migration:preflight:passed"
"""How the audit log names a checklist that was signed, in the spirit of guide §5.1."""

T = TypeVar("T")


class Migration:
    """An environment's dry runs, its checklist and its bundles: ``wb.migration``."""

    def __init__(self, wb: Any) -> None:
        self.wb = wb  # asks other subjects besides its session

    def dry_run(
        self,
        command: Sequence[str],
        *,
        show: Callable[[str], None] | None = None,
        vouched: bool = False,
        reports: Sequence[str | Path] = (),
        folder: str | Path = ".",
    ) -> DryRun:
        """Run an importer with ``DRY_RUN=1``, and keep its log, its reports and what is known of it.

        Parameters
        ----------
        command : sequence of str
            The importer and its arguments.
        show : callable, optional
            Given every piece of output as it comes; else it is printed.
        vouched : bool
            Whether the operator says that ``DRY_RUN`` reaches an importer which another program starts elsewhere.
        reports : sequence of path
            Where it leaves its reports, besides ``import_reports`` of the environment.
        folder : path
            Where it is started.

        Raises
        ------
        Refused
            When the command itself says that the run is not dry, or loses the variable.
        """
        wb, told = self.wb, running.told_by(command, Path(folder), vouched)
        since = self._asked(running.transaction_mark)
        return running.run_dry(
            command,
            backups=wb.settings.backups,
            environment=wb.environment.name,
            kind=wb.environment.kind,
            operator=wb.settings.operator,
            told_by=told,
            show=show or (lambda piece: print(piece, end="", flush=True)),
            reports=[*wb.session.options.import_reports, *map(Path, reports)],
            configuration=wb.session.options.mappings,
            folder=Path(folder),
            written_meanwhile=lambda: (
                self._asked(lambda asked: running.written_since(asked, wb.session.schema, since))
                if since
                else None
            ),
        )

    def dry_runs(self) -> pd.DataFrame:
        """List the dry runs of this environment that are kept, the latest first.

        Returns
        -------
        pandas.DataFrame
            ``dry_run``, ``started`` (UTC), ``seconds``, ``operator``, ``state``, ``exit_code``, ``runs``,
            ``reviewed_by``, ``reviewed_at``, ``fresh`` (within ``dry_run_hours``), ``command``.
        """
        rows = [
            {
                **run.model_dump(include={"operator", "exit_code"}),
                "dry_run": run.name,
                "seconds": run.seconds,
                "state": run.state,
                "runs": ", ".join(run.runs),
                "started": run.started_at.astimezone(UTC).replace(tzinfo=None),
                "reviewed_by": run.approval.by if run.approval else "",
                "reviewed_at": run.approval.at.isoformat() if run.approval else "",
                "fresh": run.is_fresh(datetime.now(UTC), self.wb.session.options.dry_run_hours),
                "command": " ".join(run.command),
            }
            for run in self._kept
        ]
        names = "dry_run started seconds operator state exit_code runs reviewed_by reviewed_at fresh command"
        return pd.DataFrame(rows, columns=names.split())

    @property
    def _kept(self) -> list[DryRun]:
        return dry_runs.list_dry_runs(self.wb.settings.backups, self.wb.environment.name)

    @answering
    def review(
        self, name: str | None = None, sample: int = 3, *, approve: bool = False, remark: str = ""
    ) -> Answer:
        """Lay out what a dry run would do, beside the dry run before and the live run after it.

        Parameters
        ----------
        name : str, optional
            A dry run, by its name or run id; also of one that only left its report. Else the latest.
        approve : bool
            Whether to record in its manifest and in the audit log that the operator read it and approves of it.
        remark : str
            What should be known of the approval.

        Raises
        ------
        DocumentError
            When it left no report that could be reviewed.
        UsageError
            For a name that is none, or is a live run's.
        Refused
            When it cannot be approved: it did not come to its end, left no report, was altered since; on production,
            when who ran it would.
        """
        wb = self.wb
        run_id, kept = self._reported(name)
        reports = {(each.run_id, each.path.name): each for each in (*wb.session.reports, *kept)}
        with wb.session.reading() as connection:
            runs = find_runs(connection, wb.session.schema, list(reports.values()))
        run, _ = pick_run(runs, run_id)
        if run.mode != "dry":
            raise UsageError(f"{run_id} was a live run.", f"`workbench run {run_id}` tells what it did.")
        files = read_files([each.path for each in run.reports], [])
        answer = review_dry_run(run, runs, files, sample, wb.session.options.expected)
        if not approve:
            return answer
        found = dry_runs.find_dry_run(wb.settings.backups, name, wb.environment.name)
        reviewed = dry_runs.approve_dry_run(found, wb.settings.operator, remark)
        review = reviewed.reviews[-1]
        entry = {
            "run_id": reviewed.runs[0],
            "operator": review.by,
            "dry_run": reviewed.name,
            **review.model_dump(include={"content_sha256", "remark"}),
            "configuration_sha256": reviewed.configuration_sha256,
        }
        not_logged = wb.session.log(DRY_RUN_REVIEWED, entry, about=review.content_sha256)
        said = f"\n{review.by} reviewed it and approves of it."
        said += f"\nNot in the audit log: {not_logged}" if not_logged else ""
        facts = {**answer.facts, "approved": review.model_dump(), "logged": not not_logged}
        return replace(answer, parts={**answer.parts, "approved": said}, facts=facts, code=0)

    def seal(
        self,
        paths: Sequence[str | Path] = (),
        *,
        run: str | None = None,
        output: str | Path | None = None,
        redact: bool = False,
    ) -> tuple[Bundle, str]:
        """Seal an import's inputs and outputs into a new bundle, and note its digest in the audit log.

        Parameters
        ----------
        paths : sequence of path
            Files, and folders of them: exports, configuration, reports, id map, the dry run's log. Without any: what
            is known to belong to the run, which is then named; but the exports, which nothing knows the place of.
        run : str, optional
            The import; else the one that the reports among the files speak of.
        output : path, optional
            The folder in which the bundle is made; else ``backups`` of the settings.
        redact : bool
            Whether to seal copies without the passwords in URLs; else files with such URLs are refused.

        Returns
        -------
        Bundle
        str
            Why the audit log does not say so; empty where it does.

        Raises
        ------
        UsageError
            For files that cannot be sealed, naming each.
        Refused
            When there is a URL with a password in one of them.
        """
        wb = self.wb
        if not paths and run is None:
            raise UsageError(
                "Nothing was given to be sealed.", "Name files or folders, or a run with --run RUN_ID."
            )
        made = bundles.seal(
            [Path(each) for each in paths or self._belonging_to(str(run))],
            Path(output) if output else wb.settings.backups,
            by=wb.settings.operator,
            now=datetime.now(UTC),
            run=run,
            known_runs=lambda: [each.run for each in wb.session.find_runs()],
            environment=wb.environment.name,
            redacting=redact,
        )
        about = {"run_id": made.run, "operator": made.sealed_by, "bundle": made.bundle}
        facts = {**about, "bundle_sha256": made.digest, "files": len(made.files)}
        return made, wb.session.log(BUNDLE_SEALED, facts, about=made.digest)

    def bundles(self, run: str | None = None) -> pd.DataFrame:
        """List the bundles that are kept, the newest first; only those that hold a run where one is named."""
        return bundles.bundles_frame(bundles.list_bundles(self.wb.settings.backups, run))

    def verify(self, name: str | Path, digest: str | None = None) -> list[Discrepancy]:
        """Compare a bundle with what was sealed, and its digest with the one that the audit log noted then.

        See `workbench.migration.bundles.verify_bundle`, which asks no database.
        """
        folder = bundles.find_bundle(self.wb.settings.backups, str(name))
        wrong = bundles.verify_bundle(folder, digest)
        if any(each.path == MANIFEST for each in wrong):
            return wrong
        with self.wb.session.reading() as connection:
            entries = audit_entries(connection, self.wb.session.schema, action=BUNDLE_SEALED, limit=None)
        facts = [each for each in entries["metadata"] if isinstance(each, dict)]
        noted = {str(each.get("bundle_sha256")) for each in facts if each.get("bundle") == folder.name}
        if noted and (now := bundles.read_bundle(folder).digest) not in noted:
            detail = f"its digest is {now}, the audit log noted {', '.join(sorted(noted))}"
            wrong.append(Discrepancy(MANIFEST, "altered", detail))
        return wrong

    @answering
    def preflight(self) -> Answer:
        """Answer the guide's checklist for the next migration (§6); looking only."""
        checklist = self.checklist()
        table = checklist.table()
        shown = table.assign(evidence=table["evidence"].map(mask_text))
        settled = f"{len(checklist.items) - len(checklist.open)} of {len(checklist.items)} settled."
        return Answer(
            settled,
            {"items": Table(shown[["item", "state", "title", "evidence", "by"]], first=("item", "state"))},
            checklist.findings,
            checklist.steps,
            {"environment": vars(self.wb.environment), "clear": checklist.clear, "items": table},
            sample=0,
            code=0 if checklist.clear else 1,
        )

    def checklist(self) -> Preflight:
        """Answer the checklist as its items."""
        evidence, words = self.evidence(), self._words()
        said = words["rollback"].says if "rollback" in words and words["rollback"].kind == "attested" else ""
        traces = bool(self.wb.session.reports) or any(each.traces for each in self.wb.session.find_runs())
        evidence["rollback"] = preflight.rollback_evidence(said, evidence["backup"], traces)
        items, name = preflight.judge(evidence, words).items, self.wb.environment.name
        return Preflight(tuple(item._replace(next_step=aim(item.next_step, name)) for item in items))

    def evidence(self) -> dict[str, Evidence]:
        """Gather what speaks for each item without anybody's word."""
        wb, now, last, kept = self.wb, datetime.now(UTC), self._last_import(), self._kept
        options, here = wb.session.options, str(wb.environment)
        paths = options.mappings
        files = {
            path.name: bundles.file_digest(path)[0] for path in paths if all(each.is_file() for each in paths)
        }
        digest = "".join(files.values())
        digest = sha256(digest.encode()).hexdigest() if len(files) > 1 else digest
        doubts = self._problems("tiers-unmapped-level", "tiers-not-seeded") if files else []
        odd = self._problems("environment-wrong")
        return {
            "backup": preflight.backup_evidence(wb.snapshots.here(), last, options.backup_hours, now),
            "dry-run": preflight.dry_run_evidence(kept, last, options.dry_run_hours, now),
            "config": preflight.config_evidence(files, digest, doubts, kept),
            "operator": preflight.operator_evidence(wb.settings.operator, wb.settings.operator_named),
            "environment": preflight.environment_evidence(here, options.address is not None, odd),
        }

    def attest(self, item: str, says: str, kind: Kind = "attested", *, by: str | None = None) -> Attestation:
        """Keep a person's word on an item of the checklist, or a waiver of it with its reason.

        Parameters
        ----------
        item : str
            See `workbench.migration.preflight.ITEMS`.
        says : str
            What is vouched for, or why it is waived; without personal data.
        kind : {"attested", "waived", "withdrawn"}
            ``withdrawn`` takes back what was said.
        by : str, optional
            Who says so; else the operator.

        Raises
        ------
        UsageError
            For an unknown item, one that evidence alone settles, nothing said, or nobody's name.
        """
        if item not in ITEMS:
            raise unknown("item of the checklist", item, ITEMS)
        evidence = self.evidence().get(item) if kind == "attested" else None
        if evidence is not None and ITEMS[item].by_evidence and evidence.holds is not None:
            raise UsageError(
                f"{ITEMS[item].title}: evidence settles this, nobody's word ({evidence.says}).",
                f"{evidence.next_step or 'Nothing is open there'}. To accept it as it is: `workbench preflight waive {item} --reason REASON`.",
            )
        about = evidence.about if evidence is not None else ""
        word = preflight.attest(item, kind, says, by=by or self.wb.settings.operator, about=about)
        return self._attestations.add(word)

    def sign(self) -> str:
        """Write into the audit log that everything on the checklist is settled; return the entry's id.

        Raises
        ------
        Refused
            While anything is open.
        """
        wb, checklist = self.wb, self.checklist()
        if not checklist.clear:
            names = ", ".join(each.title.lower() for each in checklist.open)
            raise Refused(
                f"{len(checklist.open)} items of the checklist are open: {names}.",
                "`workbench preflight` says what settles each.",
            )
        items = {
            each.id: {"state": each.state, "evidence": each.evidence, "by": each.by}
            for each in checklist.items
        }
        facts = {"operator": wb.settings.operator, "environment": wb.environment.name, "items": items}
        return record(wb.session.database, wb.session.schema, PASSED, facts, about=str(uuid4()))

    @cached_property
    def _attestations(self) -> Statements[Attestation]:
        return Statements(Attestation, self.wb.settings.reports, self.wb.environment.name)

    def _words(self) -> dict[str, Attestation]:
        hours, last = self.wb.session.options.preflight_hours, self._last_import()
        return preflight.holding(self._attestations.read(), hours, last, datetime.now(UTC))

    def _last_import(self) -> datetime | None:
        """Return when the last live run wrote something, with its zone."""
        live = [each for each in self.wb.session.find_runs() if each.mode == "live"]
        ends = (each.last_trace or each.finished or each.started for each in live)
        last = max(filter(None, ends), default=None)
        return last.replace(tzinfo=UTC) if last is not None else None

    def _problems(self, *checks: str) -> list[str]:
        return [
            f"the check {each.check} found {each.count:,}" if each.count else f"{each.title}: {each.reason}"
            for each in self.wb.check(checks).findings
            if each.open
        ]

    def _belonging_to(self, run_id: str) -> list[Path]:
        """List the files that are known to belong to a run: its reports, its dry run, the configuration."""
        runs = self.wb.session.find_runs()
        run, _ = pick_run(runs, run_id)
        run_id = run.run
        paths = [report.path for report in run.reports]
        dry = next((pair.dry for pair in rehearsals(runs, 0) if pair.run.run == run_id), None)
        if dry is not None:
            kept = [each for each in dry_runs.list_dry_runs(self.wb.settings.backups) if dry.run in each.runs]
            paths += dry_runs.dry_run_files(kept[0]) if kept else [report.path for report in dry.reports]
        paths += [path for path in self.wb.session.options.mappings if path.is_file()]
        if not paths:
            raise UsageError(
                f"No file is known to belong to run {run_id}: it left its traces in the database only.",
                "Name the files: workbench bundle create FILE|FOLDER... --run RUN_ID",
            )
        return paths

    def _reported(self, name: str | None) -> tuple[str, tuple[ImportReport, ...]]:
        """Return which run is meant, and the reports that its dry run kept."""
        try:
            kept = dry_runs.find_dry_run(self.wb.settings.backups, name, self.wb.environment.name)
        except UsageError:
            if name is None or not any(each.run_id == name for each in self.wb.session.reports):
                raise
            return name, ()
        if not kept.runs:
            raise DocumentError(
                f"{kept.name} left no report file, so there is nothing to review but its log, which is not an incremental sync's.",
                f"It is {kept.folder / (kept.log.file if kept.log else '')}. Name the importer's folder in"
                " import_reports, and run it again.",
            )
        reports = read_reports(kept.folder / each.file for each in kept.evidence if each.run)
        return name if name in kept.runs else kept.runs[-1], reports

    def _asked(self, question: Callable[[Connection], T]) -> T | None:
        """Ask; a database that cannot be reached must not keep an importer from being tried out."""
        try:
            with self.wb.session.database.reading() as connection:
                return question(connection)
        except (DatabaseUnreachable, NotMurmurant):
            return None
