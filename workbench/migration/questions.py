"""What goes before an import: its dry run (guide §2.2), the checklist (§6), and bundles of what it read and wrote (§2.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pandas as pd
from sqlalchemy import Connection

from workbench.answer import Answer, Step, Table
from workbench.audit.entries import audit_entries
from workbench.audit.writing import record
from workbench.covering import answering
from workbench.errors import DatabaseUnreachable, DocumentError, NotMurmurant, Refused, UsageError, unknown
from workbench.hints import aim
from workbench.migration import bundles, dry_runs, preflight, running
from workbench.migration.bundles import MANIFEST, Bundle, Discrepancy
from workbench.migration.dry_runs import DryRun
from workbench.migration.preflight import ITEMS, Attestation, Clock, Evidence, Kind
from workbench.migration.review import review_dry_run
from workbench.murmurant.importers import BUNDLE_SEALED, DRY_RUN_REVIEWED
from workbench.murmurant.reports import ImportReport, read_reports
from workbench.reporting.masking import mask_text
from workbench.runs.discovery import find_runs, pick_run
from workbench.runs.rehearsals import rehearsals
from workbench.statements import Statements, signed

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
        wb, started = self.wb, running.told_by(command, Path(folder), vouched)
        mark = self._answer(running.transaction_mark)
        return running.run_dry(
            command,
            backups=wb.settings.backups,
            environment=wb.environment.name,
            kind=wb.environment.kind,
            operator=wb.settings.operator,
            told_by=started,
            show=show or (lambda piece: print(piece, end="", flush=True)),
            reports=[*wb.session.options.import_reports, *map(Path, reports)],
            configuration=wb.session.options.mappings,
            folder=Path(folder),
            written_meanwhile=lambda: self._answer(
                lambda connection: (
                    running.written_since(connection, wb.session.schema, mark) if mark else None
                )
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
        reports = {(report.run_id, report.path.name): report for report in (*wb.session.reports, *kept)}
        with wb.session.reading() as connection:
            runs = find_runs(connection, wb.session.schema, list(reports.values()))
        run, _ = pick_run(runs, run_id)
        if run.mode != "dry":
            raise UsageError(f"{run_id} was a live run.", f"`workbench run {run_id}` tells what it did.")
        answer = review_dry_run(run, runs, sample, wb.session.options.expected)
        if not approve:
            return answer
        kept_run = dry_runs.find_dry_run(wb.settings.backups, name, wb.environment.name)
        reviewed = dry_runs.approve_dry_run(kept_run, wb.settings.operator, remark)
        review = reviewed.reviews[-1]
        entry = {
            "run_id": reviewed.runs[0],
            "operator": review.by,
            "dry_run": reviewed.name,
            **review.model_dump(include={"content_sha256", "remark"}),
            "configuration_sha256": reviewed.configuration_sha256,
        }
        problem = wb.session.log(DRY_RUN_REVIEWED, entry, about=review.content_sha256)
        says = f"\n{review.by} reviewed it and approves of it."
        says += f"\nNot in the audit log: {problem}" if problem else ""
        facts = {**answer.facts, "approved": review.model_dump(), "logged": not problem}
        return replace(answer, parts={**answer.parts, "approved": says}, facts=facts, code=0)

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
        bundle = bundles.seal(
            map(Path, paths) if paths else self._belonging_to(str(run)),
            Path(output) if output else wb.settings.backups,
            by=wb.settings.operator,
            now=datetime.now(UTC),
            run=run,
            known_runs=lambda: [known.run for known in wb.session.find_runs()],
            environment=wb.environment.name,
            redacting=redact,
        )
        about = {"run_id": bundle.run, "operator": bundle.sealed_by, "bundle": bundle.bundle}
        facts = {**about, "bundle_sha256": bundle.digest, "files": len(bundle.files)}
        return bundle, wb.session.log(BUNDLE_SEALED, facts, about=bundle.digest)

    def bundles(self, run: str | None = None) -> pd.DataFrame:
        """List the bundles that are kept, the newest first; only those that hold a run where one is named."""
        return bundles.bundles_frame(bundles.list_bundles(self.wb.settings.backups, run))

    def verify(self, name: str | Path, digest: str | None = None) -> list[Discrepancy]:
        """Compare a bundle with what was sealed, and its digest with the one that the audit log noted then.

        See `workbench.migration.bundles.verify_bundle`, which asks no database.
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
            detail = f"its digest is {now}, the audit log noted {', '.join(sorted(noted))}"
            wrong.append(Discrepancy(MANIFEST, "altered", detail))
        return wrong

    @answering
    def preflight(self) -> Answer:
        """Answer the guide's checklist for the next migration (§6); looking only."""
        checklist = self.checklist()
        still_open = checklist[checklist["state"] == "open"]
        shown = checklist.assign(evidence=checklist["evidence"].map(mask_text))
        steps = [Step(f"{row.title}: {row.next_step}") for row in still_open.itertuples()]
        return Answer(
            f"{len(checklist) - len(still_open)} of {len(checklist)} settled.",
            {"items": Table(shown[["item", "state", "title", "evidence", "by"]], first=("item", "state"))},
            preflight.findings(checklist),
            steps or [Step("Log that nothing is open", "preflight sign")],
            {"environment": vars(self.wb.environment), "clear": not steps, "items": checklist},
            sample=0,
            code=1 if steps else 0,
        )

    def checklist(self) -> pd.DataFrame:
        """Answer the checklist as a frame: see `workbench.migration.preflight.judge`."""
        wb, evidence = self.wb, self.evidence()
        hours = wb.session.options.preflight_hours
        words = preflight.holding(self._attestations.read(), hours, self._clock)
        level = words["rollback"].says if "rollback" in words and words["rollback"].kind == "attested" else ""
        traces = bool(wb.session.reports) or any(run.traces for run in wb.session.find_runs())
        evidence["rollback"] = preflight.rollback_evidence(level, evidence["backup"], traces)
        checklist = preflight.judge(evidence, words)
        steps = [aim(step, wb.environment.name) for step in checklist["next_step"]]
        return checklist.assign(next_step=steps)

    def evidence(self) -> dict[str, Evidence]:
        """Gather what speaks for each item without anybody's word."""
        wb, clock, kept = self.wb, self._clock, self._kept
        options = wb.session.options
        files = [path for path in options.mappings if path.is_file()]
        digests = {path.name: bundles.file_digest(path) for path in files}
        if len(files) < len(options.mappings):
            digests = {}
        digest = "".join(digests.values())
        digest = sha256(digest.encode()).hexdigest() if len(digests) > 1 else digest
        doubts = self._problems("tiers-unmapped-level", "tiers-not-seeded") if digests else []
        contradictions = self._problems("environment-wrong")
        pinned = options.address is not None
        return {
            "backup": preflight.backup_evidence(wb.snapshots.here(), options.backup_hours, clock),
            "dry-run": preflight.dry_run_evidence(kept, options.dry_run_hours, clock),
            "config": preflight.config_evidence(digests, digest, doubts, kept),
            "operator": preflight.operator_evidence(wb.settings.operator, wb.settings.operator_named),
            "environment": preflight.environment_evidence(str(wb.environment), pinned, contradictions),
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
        who, at, says = signed(self.wb.settings.operator if by is None else by, says)
        if not says and kind != "withdrawn":
            raise UsageError(f"Nothing is said of {item!r}.", "Say what you vouch for, or why it is waived.")
        nothing = Evidence(None, "")
        fact = self.evidence().get(item, nothing) if kind == "attested" else nothing
        if ITEMS[item].by_evidence and fact.holds is not None:
            raise UsageError(
                f"{ITEMS[item].title}: evidence settles this, nobody's word ({fact.says}).",
                f"{fact.next_step or 'Nothing is open there'}. To accept it as it is: `workbench preflight waive {item} --reason REASON`.",
            )
        return self._attestations.add(
            Attestation(item=item, kind=kind, says=says, by=who, at=at, about=fact.about)
        )

    def sign(self) -> str:
        """Write into the audit log that everything on the checklist is settled; return the entry's id.

        Raises
        ------
        Refused
            While anything is open.
        """
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
        """The time now, and when the last live run wrote something."""
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

    def _belonging_to(self, run_id: str) -> list[Path]:
        """List the files that are known to belong to a run: its reports, its dry run, the configuration."""
        runs = self.wb.session.find_runs()
        run, _ = pick_run(runs, run_id)
        paths = [report.path for report in run.reports]
        rehearsed = [pair.dry for pair in rehearsals(runs, 0) if pair.run.run == run.run and pair.dry]
        for dry in rehearsed:
            kept = [known for known in self._kept if dry.run in known.runs]
            paths += [report.path for report in dry.reports if not kept]
            paths += [
                path
                for known in kept[:1]
                for path in (known.path, *(known.folder / f.file for f in known.files))
            ]
        paths += self.wb.session.options.mappings
        paths = [path for path in paths if path.is_file()]
        if not paths:
            raise UsageError(
                f"No file is known to belong to run {run.run}: it left its traces in the database only.",
                "Name the files: workbench bundle create FILE|FOLDER... --run RUN_ID",
            )
        return paths

    def _reported(self, name: str | None) -> tuple[str, tuple[ImportReport, ...]]:
        """Return which run is meant, and the reports that its dry run kept."""
        try:
            kept = dry_runs.find_dry_run(self.wb.settings.backups, name, self.wb.environment.name)
        except UsageError:
            if name is None or all(report.run_id != name for report in self.wb.session.reports):
                raise
            return name, ()
        if not kept.runs:
            raise DocumentError(
                f"{kept.name} left no report that can be read, so there is nothing to review but its log in {kept.folder}.",
                "Name the importer's folder in import_reports, and run it again.",
            )
        reports = read_reports(kept.folder / file.file for file in kept.evidence if file.run)
        return name if name in kept.runs else kept.runs[-1], reports

    def _answer(self, question: Callable[[Connection], T]) -> T | None:
        """Ask; a database that cannot be reached must not keep an importer from being tried out."""
        try:
            with self.wb.session.database.reading() as connection:
                return question(connection)
        except (DatabaseUnreachable, NotMurmurant):
            return None
