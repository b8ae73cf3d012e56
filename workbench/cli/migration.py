"""The commands before an import: checklist (guide §6), dry runs (§2.2), bundles (§2.3)."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.answer import Answer, Step, Table
from workbench.cli.command import command, open_as
from workbench.cli.output import print_error, warn, write
from workbench.errors import DocumentError, UsageError, WorkbenchError
from workbench.hints import paths_below

if TYPE_CHECKING:
    from workbench.migration.dry_runs import DryRun
    from workbench.migration.preflight import Kind
    from workbench.workbench import Workbench


@command("preflight", "import_report", "acting")
def preflight(wb: Workbench) -> Answer:
    """Answer the checklist before a migration."""
    return wb.migration.preflight()


@command("preflight attest", "item", "says", "acting")
def attest(wb: Workbench, item: str, says: str) -> Answer:
    """Vouch for an item that only a person can know."""
    return _attest(wb, item, says, "attested")


@command("preflight waive", "item", "reason", "acting")
def waive(wb: Workbench, item: str, reason: str) -> Answer:
    """Accept an open item, with a reason."""
    return _attest(wb, item, reason, "waived")


@command("preflight withdraw", "item", "acting")
def withdraw(wb: Workbench, item: str) -> Answer:
    """Withdraw the statement about an item."""
    return _attest(wb, item, "", "withdrawn")


def _attest(wb: Workbench, item: str, says: str, kind: Kind) -> Answer:
    statement = wb.migration.attest(item, says, kind)
    hours = wb.session.options.preflight_hours
    valid = "" if kind == "withdrawn" else f" Valid for {hours:g} hours, for the next import only."
    return Answer(f"{item}: {statement.kind} by {statement.by}.{valid}", facts=vars(statement))


@command("preflight sign", "acting")
def sign(wb: Workbench) -> Answer:
    """Record that the checklist is complete."""
    entry, by = wb.migration.sign(), wb.settings.operator
    return Answer(
        f"Signed by {by}: audit entry {entry}.", facts={"signed": True, "by": by, "audit_entry": entry}
    )


@command("dry-run run", "words", "report", "acting", hidden=True)
def dry_run(wb: Workbench, words: list[str], report: list[Path], as_json: bool) -> Answer:
    """Run an importer with DRY_RUN=1; keep its log and its reports."""
    stream = sys.stderr if as_json else sys.stdout
    kept = wb.migration.dry_run(words, show=lambda line: write(line, stream), reports=report)
    code = 0 if kept.evidence and not kept.written_meanwhile else 1
    if kept.outcome == "interrupted":
        code = 128 + (kept.signal or 0)
    elif kept.outcome in ("not dry", "failed"):
        failure = _failure(kept)
        print_error(failure)
        code = failure.exit_code
    names = (
        "exit_code signal seconds operator environment command runs configuration_sha256 written_meanwhile"
    )
    facts = {"dry_run": kept.name, "path": str(kept.folder), "outcome": kept.state}
    facts |= {name: getattr(kept, name) for name in names.split()}
    facts |= kept.model_dump(include={"log", "reports", "overwritten"})
    steps = [Step("To review it", f"dry-run review {kept.name}")] if kept.runs else ()
    return Answer("\n".join(["", *_summary(kept)]), next_steps=steps, facts=facts, code=code)


def _summary(kept: DryRun) -> list[str]:
    folder, *copies = paths_below([kept.folder, *(kept.folder / file.file for file in kept.overwritten)])
    lines = [f"Dry run {kept.name}: {kept.state}, {kept.seconds or 0:,.1f} s, kept in {folder}."]
    lines += [f"  report {Path(file.file).name}, run {file.run or 'unknown'}" for file in kept.reports]
    lines += [f"  It overwrote a live run's report; a copy is kept: {copy}." for copy in copies]
    if kept.outcome == "completed" and not kept.evidence:
        lines.append(
            "! It left no report file, so it cannot be reviewed. Check import_reports or use --report."
        )
    if kept.written_meanwhile is None:
        lines.append("! The database could not be read, so writes during the dry run are unknown.")
    elif kept.written_meanwhile:
        rows = ", ".join(f"{count:,} rows of {table}" for table, count in kept.written_meanwhile.items())
        lines.append(f"! During the dry run {rows} were written, by the importer or by somebody else.")
    return lines


def _failure(kept: DryRun) -> WorkbenchError:
    if kept.outcome == "failed":
        log = paths_below([kept.folder / f"{kept.name}.log"])[0]
        return WorkbenchError(f"The importer failed with exit code {kept.exit_code}.", f"Its log is {log}.")
    live = ", ".join(report.run for report in kept.evidence if report.mode == "live" and report.run)
    evidence = f"its report is of live run {live}" if live else "its output says so; see `workbench runs`"
    return WorkbenchError(
        f"THIS WAS A LIVE RUN: the importer ignored DRY_RUN=1, {evidence}.",
        f"`workbench run {live or 'RUN_ID'}` shows what it did; `workbench plan rollback {live or 'RUN_ID'}` plans the way back.",
    )


@command("dry-run review", "name", "approve", "remark", "import_report", "acting", "unmask", one_state=False)
def review(wb: Workbench, name: str | None, approve: bool, remark: str) -> Answer:
    """Show what a dry run would do, and compare it."""
    return wb.migration.review(name, approve=approve, remark=remark)


@command("dry-run list", one_state=False)
def list_dry_runs(wb: Workbench) -> Answer:
    """List the dry runs of an environment, the latest first."""
    runs = wb.migration.dry_runs()
    shown = runs[["dry_run", "seconds", "operator", "state", "runs", "reviewed_by", "fresh"]]
    empty = "no dry runs yet; `workbench dry-run -- COMMAND...` makes one"
    return Answer(parts={"runs": Table(shown, empty=empty)}, facts=runs)


@command("bundle create", "files", "run", "output", "acting", one_state=False)
def create_bundle(wb: Workbench, files: list[Path], **given: Any) -> Answer:
    """Copy files into a bundle, sealed by their digests."""
    import pandas as pd

    bundle, not_logged = wb.migration.seal(files, **given)
    warn(not_logged and f"Not in the audit log: {not_logged}")
    rows = [(file.path, file.role, file.sha256[:12]) for file in bundle.files]
    facts: dict[str, Any] = {
        "bundle": bundle.folder.name,
        "digest": bundle.digest,
        "path": str(bundle.folder),
    }
    names = ("sealed_by", "sealed_at", "run", "runs", "environment")
    facts |= {name: getattr(bundle, name) for name in names}
    facts |= {"files": [file.model_dump() for file in bundle.files], "logged": not not_logged}
    return Answer(
        f"Sealed {len(bundle.files):,} files of run {bundle.run} in {paths_below([bundle.folder])[0]}.",
        {
            "files": Table(pd.DataFrame(rows, columns=["file", "role", "sha256"])),
            "digest": f"SHA-256 of bundle.json: {bundle.digest}",
        },
        next_steps=[Step("To verify it", f"bundle verify {bundle.folder.name}")],
        facts=facts,
    )


@command("bundle verify", "name", "digest", "environment", opens=False)
def verify_bundles(name: str | None, digest: str | None, environment: str | None) -> Answer:
    """Find files that were changed, removed or added since a bundle was sealed."""
    import pandas as pd

    from workbench.migration.bundles import bundle_folders, find_bundle, read_bundle, verify_bundle
    from workbench.settings import load_settings

    backups = load_settings().backups
    folders = [find_bundle(backups, name)] if name else bundle_folders(backups)
    if not folders:
        raise UsageError(f"There is no bundle in {backups}.", "`workbench bundle create FILE...` makes one.")
    if digest and not name:
        raise UsageError("--digest needs the name of a bundle.", "Name the bundle too.")
    parts: dict[str, Any] = {}
    facts: list[dict[str, Any]] = []
    with open_as(environment, None) if environment else nullcontext() as wb:
        verify = wb.migration.verify if wb else verify_bundle
        for folder, place in zip(folders, paths_below(folders), strict=True):
            known: dict[str, Any] = {
                "bundle": folder.name,
                "path": str(folder),
                "status": "not run",
                "why": "",
            }
            known |= {"digest": None, "run": None, "files": None, "discrepancies": []}
            facts.append(known)
            try:
                wrong = verify(folder, digest)
                known |= {
                    "status": "fail" if wrong else "pass",
                    "discrepancies": [row._asdict() for row in wrong],
                }
                parts[place] = Table(pd.DataFrame(wrong), f"{place}: changed since it was sealed")
                bundle = read_bundle(folder)
                known |= {"digest": bundle.digest, "run": bundle.run, "files": len(bundle.files)}
            except DocumentError as error:
                if known["status"] == "not run":  # otherwise it is among the discrepancies
                    if digest:
                        raise
                    known["why"] = error.what
                    parts[place] = f"{place}: not verified. {error.what}"
                continue
            if not wrong:
                sealed = f"{place}: unchanged, {len(bundle.files):,} files, run {bundle.run}."
                parts[place] = f"{sealed}\nSHA-256 of bundle.json: {bundle.digest}"
    return Answer("", parts, facts=facts, code=int(any(known["status"] != "pass" for known in facts)))


@command("bundle check", "name", "unmask", opens=False)
def check_bundle(name: str, unmask: bool) -> Answer:
    """Check an import's files for consistency (guide §2.3)."""
    from workbench.migration.bundles import check_bundle, find_bundle
    from workbench.settings import load_settings

    folder = find_bundle(load_settings().backups, name)
    outcomes, violations = check_bundle(folder)
    return Answer(
        f"{paths_below([folder])[0]}: consistency of the import's own files.",
        {
            "invariants": Table(outcomes.drop(columns=["invariant"])),
            "violations": Table(violations, "Violations", "none"),
        },
        facts={"bundle": folder.name, "invariants": outcomes, "violations": violations},
        code=int((outcomes["status"] == "fail").any()),
        unmask=unmask,
    )


@command("bundle list", opens=False)
def list_bundles() -> Answer:
    """List the bundles, the newest first."""
    from workbench.migration.bundles import bundles_frame, list_bundles
    from workbench.settings import load_settings

    bundles = bundles_frame(list_bundles(load_settings().backups))
    shown = bundles.drop(columns=["path"]).assign(digest=bundles["digest"].str[:12])
    empty = "no bundles yet; `workbench bundle create FILE...` makes one"
    return Answer(parts={"bundles": Table(shown, empty=empty)}, facts=bundles)
