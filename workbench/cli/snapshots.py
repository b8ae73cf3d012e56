"""The commands for snapshots (guide §3, level 2) and for the application."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from workbench.answer import Answer, Step, Table, findings_answer
from workbench.cli.command import ask, command
from workbench.cli.options import exclusive, is_request
from workbench.cli.output import Advance, stderr
from workbench.errors import UsageError
from workbench.hints import paths_below

if TYPE_CHECKING:
    from workbench.snapshots.restore.request import Record, Request
    from workbench.workbench import Workbench

_WAYS = {
    "swap": "restore into a new database, compare it, then rename both",
    "in place": "replace the contents in one transaction",
    "swap back": "rename the databases back",
}


@command("snapshot create", "precedes", "reason", "acting", one_state=False)
def create(wb: Workbench, precedes: str | None, reason: str | None, advance: Advance) -> Answer:
    """Take a snapshot: a pg_dump archive and a manifest."""
    from rich.filesize import decimal

    begun = perf_counter()
    manifest = wb.snapshots.create(precedes=precedes, reason=reason, advance=advance)
    contents = f"{manifest.rows:,} rows in {len(manifest.tables):,} tables, {decimal(manifest.size)}"
    return Answer(
        f"{paths_below([manifest.archive])[0]}: {contents}, {perf_counter() - begun:,.1f} s.\nSHA-256 {manifest.sha256}",
        next_steps=[Step("To verify it by restoring it", f"snapshot verify {manifest.snapshot}")],
        facts={**manifest.facts(), "said": _print_notes(wb)},
    )


@command("snapshot verify", "name", "any_size", "acting", one_state=False)
def verify(wb: Workbench, name: str, any_size: bool, advance: Advance) -> Answer:
    """Verify a snapshot by restoring it elsewhere.

    Exit code 0 if it passes, 1 if it fails, 3 if it could not be restored.
    """
    manifest = wb.snapshots.verify(name, any_size=any_size, advance=advance)
    last = manifest.verifications[-1]
    where = f" on {last.where}" if last.where else ""
    return Answer(
        f"{manifest.snapshot}: {last.outcome}{where}, {last.seconds:.1f} s.\n  {last.detail}",
        facts={**manifest.facts(), "outcome": last.outcome, "detail": last.detail, "said": _print_notes(wb)},
        code={"pass": 0, "fail": 1, "not run": 3}[last.outcome],
    )


@command("snapshot list", one_state=False)
def list_snapshots(wb: Workbench) -> Answer:
    """List the snapshots, and whether they were verified."""
    answer = wb.snapshots()
    _print_notes(wb)
    return answer


@command("snapshot prune", "yes", "acting", one_state=False)
def prune(wb: Workbench, yes: bool) -> Answer:
    """Show what may be deleted by the guide; --yes deletes it."""
    import pandas as pd

    decisions = wb.snapshots.retention()
    pruned = wb.snapshots.prune(decisions) if yes else []
    count = sum(not decision.keep for decision in decisions)
    rows = [(decision.name, "keep" if decision.keep else "delete", decision.reason) for decision in decisions]
    frame = pd.DataFrame(rows, columns=["snapshot", "decision", "reason"])
    return Answer(
        f"Deleted: {', '.join(pruned) or 'nothing'}." if yes else "",
        {"decisions": Table(frame, empty="no snapshots yet")},
        next_steps=[Step(f"To delete {count:,}", "snapshot prune --yes")] if count and not yes else (),
        facts={
            "decisions": [vars(decision) for decision in decisions],
            "pruned": pruned,
            "said": _print_notes(wb),
        },
    )


def _print_notes(wb: Workbench) -> list[str]:
    """Print the notes of the last operation to stderr, and return them."""
    for line in wb.snapshots.said:
        stderr().print(line)
    return wb.snapshots.said


_SINCE = ("before", "limit", "import_report", "unmask")


@command("snapshot diff", "since_snapshot", "other", "table", "full", *_SINCE)
def diff(
    wb: Workbench, since_snapshot: str | None, other: str | None, advance: Advance, **given: Any
) -> Answer:
    """Show what changed since a snapshot, and who did it.

    Exit code 1 if anything differs.
    """
    tables, full = given.pop("table"), given.pop("full")
    return wb.history.differences(
        since_snapshot, other, progress=advance, tables=tables, in_full=full, **given
    )


@command("snapshot losses", "since_snapshot", "run", "min_evidence", *_SINCE)
def losses(
    wb: Workbench, since_snapshot: str | None, run: list[str], advance: Advance, **given: Any
) -> Answer:
    """Show what restoring a snapshot would lose.

    Exit code 1 if anything would be lost.
    """
    return wb.history.losses(since_snapshot, run, progress=advance, **given)


_REQUEST = ("in_place", "keep_sync_state", "from_elsewhere", "run")
_CONTINUE = ("resume", "abandon", "undo")


@command("snapshot restore", "name", *_REQUEST, *_CONTINUE, "yes", "acting", one_state=False)
def restore(wb: Workbench, name: str | None, yes: bool, advance: Advance, **given: Any) -> Answer:
    """Request a restore, or carry out an approved request.

    A request changes nothing. Once it is approved (`approve REQUEST --digest D`), carrying it out stops the
    application, backs up the live database, restores into a new one, compares that with the manifest, swaps the two
    and starts the application. It can be interrupted at any time: use --resume or --abandon.
    """
    continued = {option: given.pop(option) for option in _CONTINUE}
    exclusive(**continued)
    if any(given.values()) and (any(continued.values()) or is_request(name)):
        raise UsageError(
            "--in-place, --keep-sync-state, --from-elsewhere and --run belong to a new request.",
            "An existing request cannot be changed: make another one.",
        )
    if continued["undo"]:
        return explain_request(wb, wb.restores.ask_undo(name))
    if continued["abandon"]:
        ask(f"Abandon the interrupted restore of {wb.environment}?", yes)
        return _result(wb.restores.abandon(name, _print_line))
    if continued["resume"]:
        ask(f"Resume the interrupted restore of {wb.environment}?", yes)
        return _result(wb.restores.resume(name, _in_lines(advance), _print_line))
    if name is None:
        raise UsageError("Which snapshot or request?", "`workbench snapshot list` lists the snapshots.")
    if is_request(name):
        request = wb.restores.find(name)
        ask(f"Restore {request.snapshot} over {wb.environment}?", yes)
        return _result(wb.restores.carry_out(request, _in_lines(advance), _print_line))
    return explain_request(wb, wb.restores.ask(name, runs=given.pop("run"), **given))


def explain_request(wb: Workbench, request: Request) -> Answer:
    """Explain a request: what it would do, and what would be lost."""
    import pandas as pd

    target, back, seconds = request.target, request.way == "swap back", wb.restores.estimate(request)
    source = f"the database {request.file}" if back else f"{request.snapshot}, taken at {request.created_at},"
    summary = {
        "How": f"{_WAYS[request.way]}; {request.verified}",
        "From elsewhere": request.elsewhere,
        "Requested by": request.planned_by,
        "Note": " ".join(request.notes),
        "Time": f"about {max(seconds / 60, 0.1):.1f} minutes" if seconds else "unknown: never measured here",
        "Request": request.id,
        "Digest": request.digest,
    }
    frame = pd.DataFrame(list(request.losses))
    steps = (f"  {number}. {step}" for number, step in enumerate(wb.restores.steps(request), 1))
    parts: dict[str, Any] = {"steps": "\n".join(["Steps:", *steps])}
    if not back:
        first = ("table", "change", "who", "rows")
        parts["losses"] = Table(frame, "Changes since then that would be lost", "none", first, limit=20)
    parts["request"] = {title: text for title, text in summary.items() if text}
    confirm = f" --as NAME --confirm {target.environment}" if target.kind == "production" else ""
    replay = Step(
        "First, to bring changes back afterwards", f"plan replay --snapshot {request.snapshot} --run RUN_ID"
    )
    names = "way snapshot file created_at verified elsewhere notes keep_sync_state digest"
    facts: dict[str, Any] = {name: getattr(request, name) for name in names.split()}
    facts |= {"request": request.id, "path": str(request.path), "losses": frame, "estimated_seconds": seconds}
    return Answer(
        f"Restores {source} over database {target.database} of {target.environment} ({target.kind}).",
        parts,
        next_steps=[
            *([replay] if request.losses else []),
            Step("To approve it", f"approve {request.id} --digest {request.digest}{confirm}"),
            Step("To carry it out", f"snapshot restore {request.id}"),
        ],
        facts=facts | {"environment": target.environment, "database": target.database},
    )


def _result(record: Record) -> Answer:
    """Report how a restore ended."""
    from workbench.murmurant.importers import EMPTIED

    facts = {key: value for key, value in record.facts.items() if key != "safety_tables"}
    everything = {"request": record.request, "outcome": record.outcome, "done": record.done, **facts}
    if record.outcome == "abandoned":
        started = " The application was started again." if facts.get("restarted") else ""
        return Answer(f"Abandoned: {record.live} is unchanged.{started}", facts=everything)
    settled, health = facts.get("settled", {}), facts.get("health", ())
    kept, late, unchecked = facts.get("kept"), facts.get("written_late"), facts.get("unchecked_keys")
    back = "swap" in record.done and "fill" not in record.done
    seconds = f"{sum(facts.get('seconds', {}).values()):.1f} s"
    if "swap_seconds" in facts:
        seconds += f"; swap {facts['swap_seconds'] * 1000:.0f} ms"
    notes = {
        "Safety backup": facts.get("safety"),
        "Kept": kept and f"the old database, as {kept}. Drop it when you no longer need it.",
        "Plans": settled.get("gone") and f"{settled['gone']} are no longer applied; see `workbench plans`.",
        "Sync state": settled.get("sync_state") and EMPTIED,
        "Foreign keys": unchecked
        and f"rows of the snapshot violate {', '.join(unchecked)}, which exist but are not valid; see `workbench check`.",
        "Not in the audit log": settled.get("not_logged"),
        "Written late": late
        and f"{', '.join(late)} changed after the safety backup; the changes are only in {kept}.",
    }
    notes |= {f"  {check['check']}": f"{check['status']} {check['reason']}".strip() for check in health}
    undo = [Step("To go back to the old database", "snapshot restore --undo")] if kept else []
    return Answer(
        f"Restored: {record.live} holds {'the database that was kept' if back else 'the snapshot'} ({seconds}).",
        {"notes": {title: str(note) for title, note in notes.items() if note}},
        next_steps=[Step("To verify", "report post-recovery"), *undo],
        facts=everything,
        code=1 if late or any(finding["status"] == "fail" for finding in health) else 0,
    )


def _print_line(line: str) -> None:
    stderr().print(f"  {line}")


def _in_lines(advance: Advance) -> Advance:
    """Without a terminal, print a line for each step."""
    console, last = stderr(), -1
    if console.is_terminal:
        return advance

    def print_step(what: str, done: int, total: int) -> None:
        nonlocal last
        if done != last:
            last = done
            console.print(f"[{min(done + 1, total)}/{total}] {what}")

    return print_step


@command("app stop", one_state=False)
def stop(wb: Workbench) -> Answer:
    """Stop the application with the environment's app_stop command."""
    done = wb.app.stop(_print_line)
    return Answer(f"Stopped (exit code 0, {done['seconds']:.1f} s).", facts=done)


@command("app start", one_state=False)
def start(wb: Workbench) -> Answer:
    """Start the application with the environment's app_start command."""
    done = wb.app.start(_print_line)
    return Answer(f"Started (exit code 0, {done['seconds']:.1f} s).", facts=done)


@command("app health", "wait", "unmask", one_state=False)
def health(wb: Workbench, wait: float | None) -> Answer:
    """Check health, key pages and sign-in (guide §7.2)."""
    findings = wb.app.health(wait)
    facts = {"environment": vars(wb.environment), "dialect": wb.session.dialect}
    # Asked for by name, a health check that is not configured is not a pass.
    healthy = not any(finding.open for finding in findings) and findings[0].status == "pass"
    answer = findings_answer(findings, facts=facts, by_name=True)
    return replace(answer, next_steps=(), code=int(not healthy))
