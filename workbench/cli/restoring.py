"""Snapshots: taken before a migration, proved, compared, restored (guide §3, level 2); and the application beside them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from workbench.answer import Answer, Step, Table, findings_answer
from workbench.cli.command import answers, ask
from workbench.cli.options import exclusive, is_request
from workbench.cli.output import Advance, stderr
from workbench.errors import UsageError
from workbench.hints import paths_below

if TYPE_CHECKING:
    from workbench.snapshots.restore.request import Record, Request
    from workbench.workbench import Workbench

_WAYS = {
    "swap": "restored into a new database beside it, compared, then renamed",
    "in place": "its contents replaced in one transaction",
    "swap back": "renamed",
}
_FIRST = ("table", "change", "who", "rows")
_EVERY = 2.0  # seconds between two lines of progress within a step


@answers("snapshot create", "acting", one_state=False)
def create(
    wb: Workbench, precedes: str | None = None, reason: str | None = None, *, advance: Advance
) -> Answer:
    """Take a snapshot: an archive of pg_dump with a manifest of what was in it."""
    from rich.filesize import decimal

    begun = perf_counter()
    manifest = wb.snapshots.create(precedes=precedes, reason=reason, advance=advance)
    contents = f"{manifest.rows:,} rows of {len(manifest.tables):,} tables, {decimal(manifest.size)} ({manifest.compression})"
    return Answer(
        f"{paths_below([manifest.archive])[0]}: {contents}, in {perf_counter() - begun:,.1f} s.\nSHA-256 {manifest.sha256}",
        next_steps=[Step("To prove it by restoring", f"snapshot verify {manifest.snapshot}")],
        facts={**manifest.facts(), "said": _said(wb)},
    )


@answers("snapshot verify", "acting", one_state=False)
def verify(wb: Workbench, name: str = "latest", any_size: bool = False, *, advance: Advance) -> Answer:
    """Prove a snapshot: restore all of it elsewhere, compare every count and digest, and drop it again.

    Exit code 0 when it passes, 1 when it fails, 3 when it could not be tried.
    """
    manifest = wb.snapshots.verify(name, any_size=any_size, advance=advance)
    tried = manifest.verifications[-1]
    where = f" on {tried.where}" if tried.where else ""
    return Answer(
        f"{manifest.snapshot}: {tried.outcome}{where}, {tried.seconds:.1f} s.\n  {tried.detail}",
        facts={**manifest.facts(), "outcome": tried.outcome, "detail": tried.detail, "said": _said(wb)},
        code={"pass": 0, "fail": 1, "not run": 3}[tried.outcome],
    )


@answers("snapshot list", one_state=False)
def list_snapshots(wb: Workbench) -> Answer:
    """List the environment's snapshots: when, by whom, how large, whether proved by restoring."""
    answer = wb.snapshots()
    _said(wb)
    return answer


@answers("snapshot prune", "acting", one_state=False)
def prune(wb: Workbench, dry_run: bool = False, yes: bool = False) -> Answer:
    """Show which snapshots and dry runs the guide lets go, and why; with --yes delete these."""
    import pandas as pd

    exclusive(dry_run=dry_run, yes=yes)
    decisions = wb.snapshots.retention()
    pruned = wb.snapshots.prune(decisions) if yes else []
    going = sum(not decision.keep for decision in decisions)
    rows = [(decision.name, "keep" if decision.keep else "delete", decision.reason) for decision in decisions]
    frame = pd.DataFrame(rows, columns=["snapshot", "decision", "reason"])
    return Answer(
        f"Deleted: {', '.join(pruned) or 'nothing'}." if yes else "",
        {"decisions": Table(frame, empty="no snapshots yet")},
        next_steps=[Step(f"To delete {going:,}", "snapshot prune --yes")] if going and not yes else (),
        facts={"decisions": [vars(decision) for decision in decisions], "pruned": pruned, "said": _said(wb)},
    )


def _said(wb: Workbench) -> list[str]:
    for line in wb.snapshots.said:
        stderr().print(line)
    return wb.snapshots.said


@answers("snapshot diff", "import_report", "unmask")
def diff(
    wb: Workbench,
    since_snapshot: str | None = None,
    other: str | None = None,
    before: str | None = None,
    table: Sequence[str] = (),
    limit: int = 5,
    full: bool = False,
    *,
    advance: Advance,
) -> Answer:
    """Compare a snapshot with the database, or with a later one: rows, columns, and who did it.

    Exit code 1 where anything differs.
    """
    how: dict[str, Any] = {"before": before, "tables": table, "limit": limit, "in_full": full}
    return wb.history.differences(since_snapshot, other, progress=advance, **how)


@answers("snapshot losses", "import_report", "unmask")
def losses(
    wb: Workbench,
    since_snapshot: str | None = None,
    before: str | None = None,
    run: Sequence[str] = (),
    limit: int = 5,
    min_evidence: Literal["certain", "strong", "likely", "weak"] = "likely",
    *,
    advance: Advance,
) -> Answer:
    """Tell what a restore to a snapshot would lose: all that was done since but the bad run's doing.

    Exit code 1 where anything would be lost.
    """
    how: dict[str, Any] = {"before": before, "limit": limit, "min_evidence": min_evidence}
    return wb.history.losses(since_snapshot, run, progress=advance, **how)


@answers("snapshot restore", "acting", one_state=False)
def restore(
    wb: Workbench,
    name: str | None = None,
    in_place: bool = False,
    keep_sync_state: bool = False,
    from_elsewhere: bool = False,
    run: Sequence[str] = (),
    resume: bool = False,
    abandon: bool = False,
    undo: bool = False,
    yes: bool = False,
    *,
    advance: Advance,
) -> Answer:
    """Restore a snapshot over the live database: SNAPSHOT asks and writes a request, REQUEST carries it out.

    Asking changes nothing. An approved request (`approve REQUEST --digest D`) stops the application, backs the live
    database up, restores into a new one beside it, compares that with the manifest, swaps the two and starts the
    application. Interrupted anywhere, the live database is whole; --resume goes on, --abandon gives up.
    """
    exclusive(resume=resume, abandon=abandon, undo=undo)
    asking = in_place or keep_sync_state or from_elsewhere or run
    if asking and (resume or abandon or undo or is_request(name)):
        raise UsageError(
            "--in-place, --keep-sync-state, --from-elsewhere and --run belong to asking for a restore.",
            "What was asked for and approved is carried out as it is; else ask anew.",
        )
    if undo:
        return request_answer(wb, wb.restores.ask_undo(name))
    if abandon:
        ask(f"Give the interrupted restore of {wb.environment} up?", yes)
        return _ended(wb.restores.abandon(name, _say))
    if resume:
        ask(f"Go on with the interrupted restore of {wb.environment}?", yes)
        return _ended(wb.restores.resume(name, _in_lines(advance), _say))
    if name is None:
        raise UsageError("Nothing was named.", "Name a snapshot (`workbench snapshot list`) or a request.")
    if is_request(name):
        request = wb.restores.find(name)
        ask(f"Restore {request.snapshot} over {wb.environment}?", yes)
        return _ended(wb.restores.carry_out(request, _in_lines(advance), _say))
    how = {"in_place": in_place, "keep_sync_state": keep_sync_state, "from_elsewhere": from_elsewhere}
    return request_answer(wb, wb.restores.ask(name, runs=run, **how))


def request_answer(wb: Workbench, request: Request) -> Answer:
    """Explain a request: what would be done, and what would be lost."""
    import pandas as pd

    seconds, target, back = wb.restores.estimate(request), request.target, request.way == "swap back"
    what = (
        f"Puts {request.kept} back as"
        if back
        else f"Restores {request.snapshot}, taken at {request.created_at}, over"
    )
    facts = {
        "How": f"{_WAYS[request.way]}; {request.verified}",
        "From elsewhere": request.elsewhere or "",
        "Asked for by": request.planned_by,
        "Note": " ".join(request.notes),
        "Time": f"about {max(seconds / 60, 0.1):.1f} minutes, as measured here"
        if seconds
        else "never measured here",
        "Request": request.id,
        "Digest": request.digest,
    }
    losses = pd.DataFrame(list(request.losses))
    steps = (f"  {number}. {step}" for number, step in enumerate(wb.restores.steps(request), 1))
    parts: dict[str, Any] = {"steps": "\n".join(["Steps:", *steps])}
    if not back:
        parts["losses"] = Table(losses, "What was done since, and would be lost", "nothing", _FIRST, limit=20)
    confirm = f" --as NAME --confirm {target.environment}" if target.kind == "production" else ""
    replay = Step(
        "Before it, what is put back after it", f"plan replay --snapshot {request.snapshot} --run RUN_ID"
    )
    names = (
        "way",
        "snapshot",
        "file",
        "created_at",
        "verified",
        "elsewhere",
        "notes",
        "keep_sync_state",
        "digest",
    )
    return Answer(
        f"{what} database {target.database} of {target.environment} ({target.kind}).",
        {**parts, "request": {title: fact for title, fact in facts.items() if fact}},
        next_steps=[
            *([replay] if request.losses else []),
            Step("To approve exactly this", f"approve {request.id} --digest {request.digest}{confirm}"),
            Step("To carry it out", f"snapshot restore {request.id}"),
        ],
        facts={
            "request": request.id,
            "path": str(request.path),
            "losses": losses,
            "estimated_seconds": seconds,
            "environment": target.environment,
            "database": target.database,
            **{name: getattr(request, name) for name in names},
        },
    )


def _ended(record: Record) -> Answer:
    """Say what stands after a restore, or after one that was given up."""
    from workbench.murmurant.importers import EMPTIED

    facts = {key: value for key, value in record.facts.items() if key != "safety_tables"}
    machine = {"request": record.request, "outcome": record.outcome, "done": record.done, **facts}
    settled, health = facts.get("settled", {}), facts.get("health", ())
    kept, late, unchecked = facts.get("kept"), facts.get("written_late"), facts.get("unchecked_keys")
    if record.outcome == "abandoned":
        started = " The application was started again." if facts.get("restarted") else ""
        return Answer(
            f"Given up: {record.live} is as it was, and what was half made is dropped.{started}",
            facts=machine,
        )
    back = "swap" in record.done and "fill" not in record.done
    seconds = f"{sum(facts.get('seconds', {}).values()):.1f} s"
    if "swap_seconds" in facts:
        seconds += f"; the swap itself {facts['swap_seconds'] * 1000:.0f} ms"
    notes = {
        "Safety backup": facts.get("safety"),
        "Kept": kept and f"the old database, as {kept}; drop it when it is no longer needed.",
        "Plans": settled.get("gone") and f"{settled['gone']} are not applied any more: `workbench plans` names them.",
        "Sync state": settled.get("sync_state") and EMPTIED,
        "Foreign keys": unchecked and f"the snapshot's own rows break {', '.join(unchecked)}, which are there but not valid:"
        " `workbench check` lists the rows.",
        "Not in the audit log": settled.get("not_logged"),
        "Written late": late and f"somebody wrote to {', '.join(late)} after the safety backup: that is in {kept} alone.",
        **{f"  {check['check']}": f"{check['status']} {check['reason']}".strip() for check in health},
    }  # fmt: skip
    undo = [Step("To put the old database back", "snapshot restore --undo")] if kept else []
    return Answer(
        f"Restored: {record.live} is {'the database that was kept' if back else 'what the snapshot holds'} ({seconds}).",
        {"notes": {title: str(note) for title, note in notes.items() if note}},
        next_steps=[Step("To verify", "report post-recovery"), *undo],
        facts=machine,
        code=1 if late or any(finding["status"] == "fail" for finding in health) else 0,
    )


def _say(line: str) -> None:
    stderr().print(f"  {line}")


def _in_lines(advance: Advance) -> Advance:
    """Where there is no terminal, write a line for every step, and now and then within one."""
    console = stderr()
    if console.is_terminal:
        return advance
    last = [-1, 0.0]

    def tell(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done != last[0] or now - last[1] >= _EVERY:
            last[:] = [done, now]
            console.print(f"[{min(done + 1, total)}/{total}] {what}")

    return tell


@answers("app stop", one_state=False)
def stop(wb: Workbench) -> Answer:
    """Stop the application: runs the environment's app_stop, shows what it says, waits for its end."""
    return _ran("Stopped", wb.app.stop(_say))


@answers("app start", one_state=False)
def start(wb: Workbench) -> Answer:
    """Start the application: runs the environment's app_start, shows what it says, waits for its end."""
    return _ran("Started", wb.app.start(_say))


def _ran(past: str, done: dict[str, Any]) -> Answer:
    return Answer(f"{past}: the command ended with exit code 0 after {done['seconds']:.1f} s.", facts=done)


@answers("app health", "unmask", one_state=False)
def health(wb: Workbench, wait: float | None = None) -> Answer:
    """Ask the application until it is well: its health check, key pages, sign-in (guide §7.2)."""
    findings = wb.app.health(wait)
    facts = {"environment": vars(wb.environment), "dialect": wb.session.dialect}
    # Its own health check was asked for by name: nobody having configured it is no pass.
    well = not any(finding.open for finding in findings) and findings[0].status == "pass"
    return replace(findings_answer(findings, facts=facts, by_name=True), next_steps=(), code=int(not well))
