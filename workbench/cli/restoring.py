"""``snapshot restore``: level 2 of the guide (§3), asked for, approved, carried out, resumed, given up, taken back."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import Yes, answers, ask, is_request
from workbench.cli.output import Advance, print_table, progress_bar, stderr
from workbench.errors import Drift, UsageError

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.snapshots.restore.request import Record, Request
    from workbench.workbench import Workbench

_WAYS = {
    "swap": "restored into a new database beside it, compared, then renamed",
    "in place": "its contents replaced in one transaction",
}
_ORDER = ("table", "change", "who", "evidence", "rows", "rows in the snapshot", "rows now")
_SHOWN = 20  # losses; the rest are counted
_EVERY = 2.0  # seconds between two lines of progress within a step


@answers("acting", one_state=False)
def restore(
    wb: Workbench,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[SNAPSHOT | REQUEST]",
            help="A snapshot, to ask for its restore; or an approved request, to carry it out.",
        ),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the contents in one transaction; nothing is renamed.")
    ] = False,
    keep_sync_state: Annotated[
        bool, typer.Option("--keep-sync-state", help="Leave the sync state as the snapshot has it (§7.3).")
    ] = False,
    from_elsewhere: Annotated[
        bool,
        typer.Option("--from-elsewhere", help="A snapshot of another server will do: the club has moved."),
    ] = False,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", metavar="RUN_ID", help="A bad run, whose doing is not counted as lost; repeatable."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with one that was interrupted.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give up one that was interrupted.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Ask to put the database back that the last one kept.")
    ] = False,
    yes: Yes = False,
) -> Answer:
    """Restore a snapshot over the live database: SNAPSHOT asks and writes a request, REQUEST carries it out.

    Asking changes nothing. An approved request (`approve REQUEST --digest D`) stops the application, backs the live
    database up, restores into a new one beside it, compares that with the manifest, swaps the two and starts the
    application. Interrupted anywhere, the live database is whole; --resume goes on, --abandon gives up.
    """
    if resume + abandon + undo > 1:
        raise UsageError("--resume, --abandon and --undo are three different things.", "Choose one.")
    asking = in_place or keep_sync_state or from_elsewhere or run
    if asking and (resume or abandon or undo or (name is not None and is_request(name))):
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
        with _acting() as advance:
            return _ended(wb.restores.resume(name, advance, _say))
    if name is None:
        raise UsageError("Nothing was named.", "Name a snapshot (`workbench snapshot list`) or a request.")
    if is_request(name):
        request = wb.restores.find(name)
        ask(f"Restore {request.snapshot} over {wb.environment}?", yes)
        with _acting() as advance:
            return _ended(wb.restores.carry_out(request, advance, _say))
    how = {"in_place": in_place, "keep_sync_state": keep_sync_state, "from_elsewhere": from_elsewhere}
    return request_answer(wb, wb.restores.ask(name, runs=run or (), **how))


def request_answer(wb: Workbench, request: Request) -> Answer:
    """Explain a request: what would be done, and what would be lost."""
    import pandas as pd

    from workbench.answer import Answer, Step, Table

    estimate, target = wb.restores.estimate(request), request.target
    losses = pd.DataFrame(list(request.losses))
    if request.way == "swap back":
        headline = f"Puts {request.kept} back as {target.database}; {request.verified}."
    else:
        elsewhere = f"It comes from elsewhere: {request.elsewhere}.\n" if request.elsewhere else ""
        headline = (
            f"Restores {request.snapshot}, taken at {request.created_at} ({request.verified}),\n"
            f"over database {target.database} of {target.environment} ({target.kind}): {_WAYS[request.way]}.\n"
            f"{elsewhere}Asked for by {request.planned_by}."
        )
    steps = "\n".join(f"  {number}. {step}" for number, step in enumerate(wb.restores.steps(request), 1))
    parts: dict[str, Any] = {"steps": f"\nSteps:\n{steps}\n"}
    if request.way != "swap back":
        shown = losses[[each for each in _ORDER if each in losses]]
        caption = "What was done since, and would be lost"
        parts["losses"] = Table(shown, caption, empty="nothing", limit=_SHOWN)
    notes = list(request.notes)
    if estimate is not None:
        notes.append(f"About {max(estimate / 60, 0.1):.1f} minutes, as measured here.")
    elif request.way != "swap back":
        notes.append("How long it takes was never measured here; `workbench snapshot verify` would.")
    parts["notes"] = "\n".join(notes)
    parts["request"] = f"\nRequest {request.id}\nDigest  {request.digest}"
    confirm = f" --as NAME --confirm {target.environment}" if target.kind == "production" else ""
    before = Step(
        "Before it, what is put back after it", f"plan replay --snapshot {request.snapshot} --run RUN_ID"
    )
    same = "way", "snapshot", "file", "created_at", "verified", "elsewhere", "notes", "keep_sync_state"
    return Answer(
        headline,
        parts,
        next_steps=[
            *([before] if request.losses else []),
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
    from workbench.answer import Answer, Step
    from workbench.murmurant.importers import EMPTIED

    facts, settled = record.facts, record.facts.get("settled", {})
    health, late, kept = facts.get("health", ()), facts.get("written_late") or [], facts.get("kept")
    back = "swap" in record.done and "fill" not in record.done
    holds = "the database that was kept" if back else "what the snapshot holds"
    took = f"{sum(facts.get('seconds', {}).values()):.1f} s"
    if "swap_seconds" in facts:
        took += f"; the swap itself {facts['swap_seconds'] * 1000:.0f} ms"
    lines = [f"Restored: {record.live} is {holds} ({took})."]
    if safety := facts.get("safety"):
        lines.append(f"Safety backup: {safety}")
    if kept:
        lines.append(f"The old database is kept as {kept}; drop it when it is no longer needed.")
    if gone := settled.get("gone"):
        lines.append(f"{gone} applied plans are not applied any more: `workbench plans` names them.")
    if settled.get("sync_state"):
        lines.append(EMPTIED)
    if unchecked := facts.get("unchecked_keys"):
        lines.append(
            f"Rows of the snapshot itself break {len(unchecked)} foreign keys, which are there but not valid:"
            f" {', '.join(unchecked)}. `workbench check` lists the rows."
        )
    if not_logged := settled.get("not_logged"):
        lines.append(f"The audit log does not say so: {not_logged}")
    if late:
        lines.append(f"Somebody wrote to {', '.join(late)} after the safety backup: that is in {kept} alone.")
    for each in health:
        reason = f" ({each['reason']})" if each["reason"] else ""
        lines.append(f"  {each['check']}: {each['status']}{reason}")
    undo = [Step("To put the old database back", "snapshot restore --undo")] if kept else []
    return Answer(
        "\n".join(lines),
        next_steps=[Step("To verify", "report post-recovery"), *undo],
        facts=_facts(record),
        code=1 if late or any(each["status"] == "fail" for each in health) else 0,
    )


def _given_up(record: Record) -> Answer:
    from workbench.answer import Answer

    started = " The application was started again." if record.facts.get("restarted") else ""
    said = f"Given up: {record.live} is as it was, and what was half made is dropped.{started}"
    return Answer(said, facts=_facts(record))


def _facts(record: Record) -> dict[str, Any]:
    facts = {key: value for key, value in record.facts.items() if key not in {"safety_tables"}}
    return {"request": record.request, "outcome": record.outcome, "done": record.done, **facts}


def _say(line: str) -> None:
    stderr().print(f"  {line}")


@contextmanager
def _acting() -> Iterator[Advance]:
    """Show how far it is, which tables are not as they were shown, and after ctrl-C what stands and how to go on."""
    try:
        with progress_bar() if sys.stderr.isatty() else _lines() as advance:
            yield advance
    except Drift as error:
        if error.rows:
            import pandas as pd

            rows = [(table, what) for table, _, what in error.rows]
            table = pd.DataFrame(rows, columns=["table", "what is different"])
            print_table(table, "Not as it was shown", as_message=True)
        raise
    except KeyboardInterrupt as interrupt:
        if interrupt.args:
            stderr().print(f"workbench: {interrupt}")
        raise


@contextmanager
def _lines() -> Iterator[Advance]:
    """Write a line for every step, and now and then within one."""
    console, last = stderr(), [-1, 0.0]

    def tell(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done != last[0] or now - last[1] >= _EVERY:
            last[:] = [done, now]
            console.print(f"[{min(done + 1, total)}/{total}] {what}")

    yield tell
