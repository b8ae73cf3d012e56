"""Commands before an import: the checklist (guide §6), dry runs (§2.2), bundles (§2.3)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.answer import Answer, Step, Table
from workbench.cli.command import answers, open_as
from workbench.cli.output import complain, warn, write
from workbench.errors import DocumentError, UsageError, WorkbenchError
from workbench.hints import paths_below

if TYPE_CHECKING:
    from workbench.migration.bundles import Bundle
    from workbench.migration.dry_runs import DryRun
    from workbench.migration.preflight import Kind
    from workbench.workbench import Workbench


@answers("preflight", "import_report", "acting")
def preflight(wb: Workbench) -> Answer:
    """Answer the checklist before a migration, by evidence or by a named person's word."""
    return wb.migration.preflight()


@answers("preflight attest", "acting")
def attest(wb: Workbench, item: str, says: str) -> Answer:
    """Attest an item that only a person can know: the window, the stakeholders, the rollback level."""
    return _say_word(wb, item, says, "attested")


@answers("preflight waive", "acting")
def waive(wb: Workbench, item: str, reason: str) -> Answer:
    """Accept an open item, by name and with a reason."""
    return _say_word(wb, item, reason, "waived")


@answers("preflight withdraw", "acting")
def withdraw(wb: Workbench, item: str) -> Answer:
    """Revoke an attestation or a waiver."""
    return _say_word(wb, item, "", "withdrawn")


@answers("preflight sign", "acting")
def sign(wb: Workbench) -> Answer:
    """Record in the audit log that the checklist is settled; refused while anything is open."""
    entry, by = wb.migration.sign(), wb.settings.operator
    facts = {"signed": True, "by": by, "audit_entry": entry}
    return Answer(f"Signed by {by}: audit entry {entry}.", facts=facts)


def _say_word(wb: Workbench, item: str, says: str, kind: Kind) -> Answer:
    word = wb.migration.attest(item, says, kind)
    hours = wb.session.options.preflight_hours
    holds = "" if kind == "withdrawn" else f" It is valid for {hours:g} hours and for the next import only."
    return Answer(f"{item}: {word.kind} by {word.by}.{holds}", facts=vars(word))


@answers("dry-run run", "acting", hidden=True)
def dry_run(wb: Workbench, words: Sequence[str], report: Sequence[Path] = (), *, as_json: bool) -> Answer:
    """Run an importer with DRY_RUN=1; keep its log and its reports."""
    stream = sys.stderr if as_json else sys.stdout
    kept = wb.migration.dry_run(words, show=lambda line: write(line, stream), reports=report)
    code = 0 if kept.evidence and not kept.written_meanwhile else 1
    if kept.outcome == "interrupted":
        code = 128 + (kept.signal or 0)
    elif kept.outcome in ("not dry", "failed"):
        failure = _failure(kept)
        complain(failure)
        code = failure.exit_code
    steps = [Step("To review it", f"dry-run review {kept.name}")] if kept.runs else ()
    return Answer("\n".join(["", *_lines(kept)]), next_steps=steps, facts=_dry_run_facts(kept), code=code)


def _dry_run_facts(kept: DryRun) -> dict[str, Any]:
    names = (
        "exit_code signal seconds operator environment command runs configuration_sha256 written_meanwhile"
    )
    facts = {"dry_run": kept.name, "path": str(kept.folder), "outcome": kept.state}
    facts |= {name: getattr(kept, name) for name in names.split()}
    return facts | kept.model_dump(include={"log", "reports", "overwritten"})


def _lines(kept: DryRun) -> list[str]:
    place, *copies = paths_below([kept.folder, *(kept.folder / file.file for file in kept.overwritten)])
    lines = [f"Dry run {kept.name}: {kept.state}, {kept.seconds or 0:,.1f} s. It is kept in {place}."]
    lines += [f"  report {Path(file.file).name}, run {file.run or 'unknown'}" for file in kept.reports]
    lines += [f"  It overwrote a live run's report; a copy is kept: {copy}." for copy in copies]
    if kept.outcome == "completed" and not kept.evidence:
        lines.append(
            "! It left no report in import_reports, --report or the path in its log, so it cannot be reviewed."
        )
    if kept.written_meanwhile is None:
        lines.append("! The database could not be read, so it is unknown whether anything was written.")
    elif kept.written_meanwhile:
        rows = ", ".join(f"{count:,} rows of {table}" for table, count in kept.written_meanwhile.items())
        lines.append(
            f"! {rows} were written meanwhile. A dry run writes nothing: check whether somebody else did."
        )
    return lines


def _failure(kept: DryRun) -> WorkbenchError:
    if kept.outcome == "failed":
        log = paths_below([kept.folder / f"{kept.name}.log"])[0]
        return WorkbenchError(f"The importer failed with exit code {kept.exit_code}.", f"Its log is {log}.")
    live = ", ".join(report.run for report in kept.evidence if report.mode == "live" and report.run)
    evidence = (
        f"its report is of live run {live}" if live else "its output says so; `workbench runs` lists the run"
    )
    return WorkbenchError(
        f"THIS WAS A LIVE RUN: the importer ignored DRY_RUN=1; {evidence}.",
        f"`workbench run {live or 'RUN_ID'}` shows what it did; `workbench plan rollback {live or 'RUN_ID'}` plans to undo it.",
    )


@answers("dry-run review", "import_report", "acting", "unmask", one_state=False)
def review(
    wb: Workbench, name: str | None = None, approve: bool = False, remark: str = "", sample: int = 3
) -> Answer:
    """Show what a dry run would do, beside the previous one and the live run after it."""
    return wb.migration.review(name, sample, approve=approve, remark=remark)


@answers("dry-run list", one_state=False)
def list_dry_runs(wb: Workbench) -> Answer:
    """List the dry runs of an environment, the latest first."""
    runs = wb.migration.dry_runs()
    shown = runs[["dry_run", "seconds", "operator", "state", "runs", "reviewed_by", "fresh"]]
    empty = "no dry run is kept: `workbench dry-run -- COMMAND...` makes one"
    return Answer(parts={"runs": Table(shown, empty=empty)}, facts=runs)


@answers("bundle create", "acting", one_state=False)
def create_bundle(
    wb: Workbench,
    files: Sequence[Path] = (),
    run: str | None = None,
    output: Path | None = None,
) -> Answer:
    """Copy files into a new bundle, with their digests."""
    import pandas as pd

    bundle, not_logged = wb.migration.seal(files, run=run, output=output)
    warn(not_logged and f"Not in the audit log: {not_logged}")
    rows = [(file.path, file.role, file.sha256[:12]) for file in bundle.files]
    return Answer(
        f"Sealed {len(bundle.files):,} files of run {bundle.run} in {paths_below([bundle.folder])[0]}.",
        {
            "files": Table(pd.DataFrame(rows, columns=["file", "role", "sha256"])),
            "digest": f"SHA-256 of bundle.json: {bundle.digest}",
        },
        next_steps=[Step("To verify it", f"bundle verify {bundle.folder.name}")],
        facts={**_facts(bundle), "logged": not not_logged},
    )


@answers("bundle verify", opens=False)
def verify_bundles(
    name: str | None = None, digest: str | None = None, environment: str | None = None
) -> Answer:
    """List the files that were altered, removed or added since a bundle was sealed."""
    import pandas as pd

    from workbench.migration.bundles import bundle_folders, find_bundle, verify_bundle
    from workbench.settings import load_settings

    backups = load_settings().backups
    folders = [find_bundle(backups, name)] if name else bundle_folders(backups)
    if not folders:
        raise UsageError(f"There is no bundle in {backups}.", "`workbench bundle create` makes one.")
    if digest and not name:
        raise UsageError("--digest needs the name of a bundle.", "Name the bundle too.")
    with open_as(environment, None) if environment else nullcontext() as wb:
        verify = wb.migration.verify if wb else verify_bundle
        facts = [_verified(folder, verify, digest) for folder in folders]
    parts: dict[str, Any] = {}
    for bundle in facts:
        place = paths_below([Path(bundle["path"])])[0]
        wrong = pd.DataFrame(bundle["discrepancies"])
        parts[place] = Table(wrong, f"{place}: altered since it was sealed")
        if bundle["status"] == "not run":
            parts[place] = f"{place}: not verified. {bundle['why']}"
        elif bundle["status"] == "pass":
            sealed = f"{place}: intact, {bundle['files'] or 0:,} files, run {bundle['run']}."
            parts[place] = f"{sealed}\nSHA-256 of bundle.json: {bundle['digest']}"
    return Answer("", parts, facts=facts, code=int(any(bundle["status"] != "pass" for bundle in facts)))


def _verified(folder: Path, verify: Any, digest: str | None) -> dict[str, Any]:
    from workbench.migration.bundles import read_bundle

    facts: dict[str, Any] = {"bundle": folder.name, "path": str(folder), "status": "not run", "why": ""}
    facts |= {"digest": None, "run": None, "files": None, "discrepancies": []}
    try:
        wrong = verify(folder, digest)
    except DocumentError as error:
        if digest is not None:
            raise
        return {**facts, "why": error.what}
    facts |= {"status": "fail" if wrong else "pass", "discrepancies": [row._asdict() for row in wrong]}
    with suppress(DocumentError):  # listed as a discrepancy
        bundle = read_bundle(folder)
        facts |= {"digest": bundle.digest, "run": bundle.run, "files": len(bundle.files)}
    return facts


def _facts(bundle: Bundle) -> dict[str, Any]:
    named = ("sealed_by", "sealed_at", "run", "runs", "environment")
    return {
        "bundle": bundle.folder.name,
        "digest": bundle.digest,
        "path": str(bundle.folder),
        **{name: getattr(bundle, name) for name in named},
        "files": [file.model_dump() for file in bundle.files],
    }


@answers("bundle check", "unmask", opens=False)
def check_bundle(name: str) -> Answer:
    """Check an import's own files: ids, counts, mappings and times (guide §2.3)."""
    from workbench.migration.bundles import check_bundle, find_bundle
    from workbench.settings import load_settings

    folder = find_bundle(load_settings().backups, name)
    outcomes, violations = check_bundle(folder)
    return Answer(
        f"{paths_below([folder])[0]}: invariants of the import's files.",
        {
            "invariants": Table(outcomes.drop(columns=["invariant"])),
            "violations": Table(violations, "Violations", "none"),
        },
        facts={"bundle": folder.name, "invariants": outcomes, "violations": violations},
        code=int((outcomes["status"] == "fail").any()),
    )


@answers("bundle list", opens=False)
def list_bundles() -> Answer:
    """List the bundles, the newest first."""
    from workbench.migration.bundles import bundles_frame, list_bundles
    from workbench.settings import load_settings

    bundles = bundles_frame(list_bundles(load_settings().backups))
    shown = bundles.drop(columns=["path"]).assign(digest=bundles["digest"].str[:12])
    empty = "no bundles yet: `workbench bundle create` makes one"
    return Answer(parts={"bundles": Table(shown, empty=empty)}, facts=bundles)
