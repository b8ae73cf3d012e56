"""Snapshots: taken before a migration, proved, compared, restored (guide §3, level 2); and the application beside them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from workbench.answer import Answer, Step, Table, findings_answer
from workbench.cli.command import answers, ask
from workbench.cli.options import is_request
from workbench.cli.output import Advance, stderr
from workbench.errors import UsageError
from workbench.hints import paths_below

if TYPE_CHECKING:
    from workbench.snapshots.restore.request import Record, Request
    from workbench.workbench import Workbench

_WAYS = {
    "swap": "restored into a new database beside it, compared, then renamed",
    "in place": "its contents replaced in one transaction",
}
_LOST = ("table", "change", "who", "evidence", "rows", "rows in the snapshot", "rows now")
_SHOWN = 20  # losses; the rest are counted
_EVERY = 2.0  # seconds between two lines of progress within a step


@answers("snapshot create", "acting", one_state=False)
def create(
    wb: Workbench, precedes: str | None = None, reason: str | None = None, *, advance: Advance
) -> Answer:
    """Take a snapshot: an archive of pg_dump with a manifest of what was in it."""
    from rich.filesize import decimal

    begun = perf_counter()
    made = wb.snapshots.create(precedes=precedes, reason=reason, advance=advance)
    held = f"{made.rows:,} rows of {len(made.tables):,} tables, {decimal(made.size)} ({made.compression})"
    return Answer(
        f"{paths_below([made.archive])[0]}: {held}, in {perf_counter() - begun:,.1f} s.\nSHA-256 {made.sha256}",
        next_steps=[Step("To prove it by restoring", f"snapshot verify {made.snapshot}")],
        facts={**made.facts(), "said": _told(wb)},
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
        facts={**manifest.facts(), "outcome": tried.outcome, "detail": tried.detail, "said": _told(wb)},
        code={"pass": 0, "fail": 1, "not run": 3}[tried.outcome],
    )


@answers("snapshot list", one_state=False)
def listed(wb: Workbench) -> Answer:
    """List the environment's snapshots: when, by whom, how large, whether proved by restoring."""
    answer = wb.snapshots()
    _told(wb)
    return answer


@answers("snapshot prune", "acting", one_state=False)
def prune(wb: Workbench, dry_run: bool = False, yes: bool = False) -> Answer:
    """Show which snapshots and dry runs the guide lets go, and why; with --yes delete these."""
    import pandas as pd

    if dry_run and yes:
        raise UsageError("--dry-run and --yes exclude each other.", "Give one.")
    decided = wb.snapshots.retention()
    gone = wb.snapshots.prune(decided) if yes else []
    going = sum(not each.keep for each in decided)
    rows = [(each.name, "keep" if each.keep else "delete", each.reason) for each in decided]
    frame = pd.DataFrame(rows, columns=["snapshot", "decision", "reason"])
    return Answer(
        f"Deleted: {', '.join(gone) or 'nothing'}." if yes else "",
        {"decisions": Table(frame, empty="no snapshots yet")},
        next_steps=[Step(f"To delete {going:,}", "snapshot prune --yes")] if going and not yes else (),
        facts={"decisions": [vars(each) for each in decided], "pruned": gone, "said": _told(wb)},
    )


def _told(wb: Workbench) -> list[str]:
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
    return wb.history.differences(
        since_snapshot, other, before=before, tables=table, limit=limit, in_full=full, progress=advance
    )


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
    return wb.history.losses(
        since_snapshot, run, before=before, limit=limit, min_evidence=min_evidence, progress=advance
    )


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
    if resume + abandon + undo > 1:
        raise UsageError("--resume, --abandon and --undo are three different things.", "Choose one.")
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
        return _given_up(wb.restores.abandon(name, _say))
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

    estimate, target = wb.restores.estimate(request), request.target
    losses = pd.DataFrame(list(request.losses))
    steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(wb.restores.steps(request), 1))
    parts: dict[str, Any] = {"steps": f"\nSteps:\n{steps}\n"}
    notes = list(request.notes)
    if request.way == "swap back":
        headline = f"Puts {request.kept} back as {target.database}; {request.verified}."
    else:
        elsewhere = f"It comes from elsewhere: {request.elsewhere}.\n" if request.elsewhere else ""
        headline = (
            f"Restores {request.snapshot}, taken at {request.created_at} ({request.verified}),\n"
            f"over database {target.database} of {target.environment} ({target.kind}): {_WAYS[request.way]}.\n"
            f"{elsewhere}Asked for by {request.planned_by}."
        )
        shown = losses[[each for each in _LOST if each in losses]]
        parts["losses"] = Table(shown, "What was done since, and would be lost", "nothing", limit=_SHOWN)
        if estimate is None:
            notes.append("How long it takes was never measured here; `workbench snapshot verify` would.")
    if estimate is not None:
        notes.append(f"About {max(estimate / 60, 0.1):.1f} minutes, as measured here.")
    parts["notes"] = "\n".join(notes)
    parts["request"] = f"\nRequest {request.id}\nDigest  {request.digest}"
    confirm = f" --as NAME --confirm {target.environment}" if target.kind == "production" else ""
    replayed = f"plan replay --snapshot {request.snapshot} --run RUN_ID"
    same = "way", "snapshot", "file", "created_at", "verified", "elsewhere", "notes", "keep_sync_state"
    return Answer(
        headline,
        parts,
        next_steps=[
            *([Step("Before it, what is put back after it", replayed)] if request.losses else []),
            Step("", f"approve {request.id} --digest {request.digest}{confirm}"),
            Step("", f"snapshot restore {request.id}"),
        ],
        facts={
            "request": request.id,
            "path": str(request.path),
            "digest": request.digest,
            "environment": target.environment,
            "database": target.database,
            "losses": losses,
            **{name: getattr(request, name) for name in same},
            "estimated_seconds": estimate,
        },
    )


def _ended(record: Record) -> Answer:
    from workbench.murmurant.importers import EMPTIED

    facts, settled = record.facts, record.facts.get("settled", {})
    health, late, kept = facts.get("health", ()), facts.get("written_late") or [], facts.get("kept")
    safety, unchecked, gone = facts.get("safety"), facts.get("unchecked_keys"), settled.get("gone")
    back = "swap" in record.done and "fill" not in record.done
    took = f"{sum(facts.get('seconds', {}).values()):.1f} s"
    if "swap_seconds" in facts:
        took += f"; the swap itself {facts['swap_seconds'] * 1000:.0f} ms"
    lines: list[Any] = [
        f"Restored: {record.live} is {'the database that was kept' if back else 'what the snapshot holds'} ({took}).",
        safety and f"Safety backup: {safety}",
        kept and f"The old database is kept as {kept}; drop it when it is no longer needed.",
        gone and f"{gone} applied plans are not applied any more: `workbench plans` names them.",
        settled.get("sync_state") and EMPTIED,
        unchecked
        and f"Rows of the snapshot itself break {len(unchecked)} foreign keys, which are there but not valid:"
        f" {', '.join(unchecked)}. `workbench check` lists the rows.",
        settled.get("not_logged") and f"The audit log does not say so: {settled['not_logged']}",
        late and f"Somebody wrote to {', '.join(late)} after the safety backup: that is in {kept} alone.",
        *(
            f"  {each['check']}: {each['status']} {each['reason'] and '(' + each['reason'] + ')'}"
            for each in health
        ),
    ]
    undo = [Step("To put the old database back", "snapshot restore --undo")] if kept else []
    return Answer(
        "\n".join(filter(None, lines)),
        next_steps=[Step("To verify", "report post-recovery"), *undo],
        facts=_facts(record),
        code=1 if late or any(each["status"] == "fail" for each in health) else 0,
    )


def _given_up(record: Record) -> Answer:
    started = " The application was started again." if record.facts.get("restarted") else ""
    said = f"Given up: {record.live} is as it was, and what was half made is dropped.{started}"
    return Answer(said, facts=_facts(record))


def _facts(record: Record) -> dict[str, Any]:
    facts = {key: value for key, value in record.facts.items() if key != "safety_tables"}
    return {"request": record.request, "outcome": record.outcome, "done": record.done, **facts}


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
    return _run(wb, "stop", "Stopped")


@answers("app start", one_state=False)
def start(wb: Workbench) -> Answer:
    """Start the application: runs the environment's app_start, shows what it says, waits for its end."""
    return _run(wb, "start", "Started")


def _run(wb: Workbench, act: Literal["stop", "start"], past: str) -> Answer:
    done = (wb.app.stop if act == "stop" else wb.app.start)(_say)
    return Answer(f"{past}: the command ended with exit code 0 after {done['seconds']:.1f} s.", facts=done)


@answers("app health", "unmask", one_state=False)
def health(wb: Workbench, wait: float | None = None) -> Answer:
    """Ask the application until it is well: its health check, key pages, sign-in (guide §7.2)."""
    findings = wb.app.health(wait)
    facts = {"environment": vars(wb.environment), "dialect": wb.session.dialect}
    # Its own health check was asked for by name: nobody having configured it is no pass.
    well = not any(each.open for each in findings) and findings[0].status == "pass"
    return replace(findings_answer(findings, facts=facts, by_name=True), next_steps=(), code=0 if well else 1)
