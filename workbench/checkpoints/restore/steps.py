"""The steps of a restore into a new database, and of the way back (guide §3, level 2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from psycopg import sql

from workbench.checkpoints.contents import WORKERS, Connect, contents_of, differences
from workbench.checkpoints.restore.act import Restore, Step, forget_unmarked
from workbench.checkpoints.restore.cluster import name_beside
from workbench.checkpoints.restore.likeness import (
    create_as_dumped,
    create_like,
    likeness_of,
    make_as_dumped,
    make_like,
)
from workbench.checkpoints.restore.request import Counted, more_is_lost
from workbench.checkpoints.restore.settling import settle
from workbench.checkpoints.restore.swap import others, refuse_who_stays, swap
from workbench.database import programs
from workbench.database.exclusion import HALF_MADE, is_half_made, mark_of
from workbench.errors import Drift, Refused, SnapshotError

MOST_NAMED = 5


def stop(restore: Restore) -> None:
    """Stop the application; where nobody said how, tell who is connected. Refuse early whoever would keep the swap off."""
    live = restore.record.live
    if restore.around.stop is None:
        connected = others(restore.beside, [live])
        restore.record.note(stopped=False, connected=connected)
        restore.tell(f"no app_stop is configured; {connected} sessions are connected")
    else:
        restore.record.note(
            stopped=True, restarted=False
        )  # first: what may have stopped must be started again
        restore.around.stop()
    if restore.request.way != "in place":
        refuse_who_stays(restore.beside, [live])


def safety(restore: Restore) -> None:
    """Back the live database up, and refuse when it is not what whoever approved saw."""
    record = restore.record
    if not restore.request.replaced.there:
        return
    now, known = restore.around.watch(record.live), record.facts.get("safety_tables")
    refuse_drift(restore, now)
    if known is None or counted_in(known) != now:
        file = restore.around.backup()
        record.note(safety=file, safety_tables={name: list(each) for name, each in now.items()})


def refuse_drift(restore: Restore, now: Counted) -> None:
    """Refuse when the live database holds something else than when its losses were shown."""
    different = more_is_lost(restore.request, now)
    if different:
        tables = ", ".join(table for table, _, _ in different[:MOST_NAMED])
        more = f" and {len(different) - MOST_NAMED} more" if len(different) > MOST_NAMED else ""
        raise Drift(
            f"{restore.record.live} has changed since what a restore would lose was shown: {tables}{more}.",
            "Ask for the restore anew, to see what would be lost now; stop the application first"
            " (`workbench app stop`), or it will change again.",
            tuple((table, "", f"was {before}, is {after}") for table, before, after in different),
        )


def create(restore: Restore) -> None:
    """Make a new database beside the live one, with its encoding and locale; an earlier half one goes."""
    record, beside = restore.record, restore.beside
    for name, each in restore.cluster.standing(beside).items():
        if is_half_made(each.comment, record.live, record.request):
            restore.cluster.drop(beside, name)
    forget_unmarked(restore)
    attempt, standing = int(record.facts.get("attempt", 0)) + 1, restore.cluster.standing(beside)
    while (name := name_beside(record.live, f"_{record.request[-6:]}_{attempt}")) in standing:
        attempt += 1
    # Noted first, so that one whose mark was never written can be found and dropped.
    record.note(attempt=attempt, new=name, new_oid=None, filling=False)
    live = restore.cluster.standing(beside).get(record.live)
    if live is None:
        create_as_dumped(beside, name, Path(restore.request.source.file), restore.cluster.tools)
    else:
        create_like(beside, name, likeness_of(beside, live.oid))
    mark_half_made(restore)
    record.note(new_oid=restore.cluster.standing(beside)[name].oid)


def mark_half_made(restore: Restore) -> None:
    """Let the new database say whose it is, committed to the disk."""
    record = restore.record
    begun = f" at {record.facts['begun']}" if "begun" in record.facts else ""
    whose = f"{HALF_MADE}, begun by {record.operator}{begun}"
    mark = mark_of(record.request, record.live, whose)
    with restore.beside.transaction():
        restore.beside.execute("SET LOCAL synchronous_commit = on")
        restore.beside.execute(
            sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(_new(restore)), sql.Literal(mark))
        )


def fill_it(restore: Restore) -> None:
    """Restore the archive into the new database."""
    _still_empty(restore)
    made = programs.restore(
        Path(restore.request.source.file),
        restore.cluster.at(_new(restore)),
        restore.cluster.tools,
        f"--jobs={restore.around.jobs}",
        advance=lambda what, done, of: restore.tell(f"restoring {what}", done, of),
    )
    # It did not wait for the disk. One commit that does takes everything before it along: without that a crash of
    # the server could lose the last indexes after the record has called this step done.
    mark_half_made(restore)
    restore.record.note(unchecked_keys=made.unchecked_keys)


def verify(restore: Restore) -> None:
    """Compare the new database with the manifest: tables, rows, digests, sequences."""
    name = _new(restore)
    with ThreadPoolExecutor(1) as other:
        analysed = other.submit(_analyse, restore, name)
        refuse_differences(restore, lambda: restore.cluster.connect(name))
        analysed.result()


def _analyse(restore: Restore, name: str) -> None:
    with restore.cluster.connect(name, autocommit=True) as connection:
        connection.execute("ANALYZE")


def refuse_differences(restore: Restore, connect: Connect, workers: int = WORKERS) -> None:
    """Raise `SnapshotError` where a database does not hold what the manifest says."""
    manifest = restore.around.manifest(restore.request)
    wrong = differences(manifest.contents, contents_of(connect, workers), manifest.target.schema)
    if wrong:
        more = f"; and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        raise SnapshotError(
            f"What {manifest.snapshot} holds is not what its manifest says: {'; '.join(wrong[:MOST_NAMED])}{more}.",
            "Use another snapshot.",
        )


def settle_it(restore: Restore) -> None:
    """Write into the new database what it must say of itself."""
    there = restore.record.live in restore.cluster.standing(restore.beside)
    live = restore.cluster.at(restore.record.live) if there else None
    done = settle(restore.cluster.at(_new(restore)), restore.request, restore.record, live)
    restore.record.note(settled=asdict(done))


def liken(restore: Restore) -> None:
    """Give the new database the live one's owner, rights and settings."""
    live = restore.cluster.standing(restore.beside).get(restore.record.live)
    if live is not None:
        make_like(restore.beside, _new(restore), likeness_of(restore.beside, live.oid))
    else:
        said = make_as_dumped(
            restore.beside, _new(restore), Path(restore.request.source.file), restore.cluster.tools
        )
        restore.record.note(comment=said)


def swap_it(restore: Restore) -> None:
    """Let the new database be the live one, and keep the old one under a dated name."""
    record, beside = restore.record, restore.beside
    standing = restore.cluster.standing(beside)
    live, new = standing.get(record.live), _new(restore)
    now = datetime.now(UTC)
    renames, comments = (
        {new: record.live},
        {record.live: live.comment if live else record.facts.get("comment", "")},
    )
    if live is not None:
        if live.oid != restore.request.replaced.oid:
            raise Drift(
                f"{record.live} is not the database that it was when the restore was asked for.",
                "Somebody put another one in its place. Ask for the restore anew.",
            )
        kept = name_beside(record.live, f"_before_{now:%Y%m%d_%H%M%S}")
        renames = {record.live: kept, **renames}
        comments[kept] = mark_of(record.request, record.live, f"kept at {now:%Y-%m-%d %H:%M:%S} UTC")
        record.note(kept=kept)
    seconds = swap(restore.cluster, beside, renames, comments)
    record.note(swap_seconds=round(seconds, 4), downtime_end=now.isoformat())


def start(restore: Restore) -> None:
    """Start the application, where the environment says how."""
    if restore.around.start is None:
        restore.tell("no app_start is configured; start the application yourself")
        return
    restore.around.start()
    restore.record.note(restarted=True)


def health(restore: Restore) -> None:
    """Ask the application how it is, and remember what it said."""
    restore.record.note(health=restore.around.health())


def look_back(restore: Restore) -> None:
    """Look whether somebody wrote to the old database after its backup: that is in neither of the two."""
    kept, known = restore.record.facts.get("kept"), restore.record.facts.get("safety_tables")
    if kept is None or known is None or kept not in restore.cluster.standing(restore.beside):
        return
    was, now = counted_in(known), restore.around.watch(kept)
    late = sorted(table for table in {*was, *now} if was.get(table) != now.get(table))
    restore.record.note(written_late=late)


def settle_kept(restore: Restore) -> None:
    """Write into the kept database what it takes away in its turn: the plans that were applied since, and who did it."""
    there = restore.cluster.standing(restore.beside)
    if restore.request.kept in there:  # else there is nothing to go back to, as is said next
        live = restore.cluster.at(restore.record.live)
        done = settle(restore.cluster.at(restore.request.kept), restore.request, restore.record, live)
        restore.record.note(settled=asdict(done))


def go_back(restore: Restore) -> None:
    """Put the database that a restore kept back under the live name; the restored one is kept instead."""
    record, request, beside = restore.record, restore.request, restore.beside
    standing = restore.cluster.standing(beside)
    live, kept = standing.get(record.live), standing.get(request.kept)
    if kept is None or live is None or live.oid != request.replaced.oid:
        raise Refused(
            f"{record.live} and {request.kept} are not the databases that they were.",
            "`workbench snapshot restore --undo` anew shows what there is.",
        )
    record.note(new_oid=kept.oid)
    aside = name_beside(record.live, f"_undone_{datetime.now(UTC):%Y%m%d_%H%M%S}")
    record.note(kept=aside)
    seconds = swap(
        restore.cluster,
        beside,
        {record.live: aside, request.kept: record.live},
        {record.live: live.comment, aside: mark_of(record.request, record.live, "put aside")},
    )
    record.note(swap_seconds=round(seconds, 4))


def _new(restore: Restore) -> str:
    return str(restore.record.facts["new"])


def _still_empty(restore: Restore) -> None:
    """Make the new database anew where an earlier attempt has filled a part of it."""
    new = restore.cluster.standing(restore.beside).get(_new(restore))
    if new is None or new.oid != restore.record.facts.get("new_oid") or restore.record.facts.get("filling"):
        create(restore)
    restore.record.note(filling=True)


def counted_in(found: dict[str, list[object]]) -> Counted:
    """Return tables and their rows as a record has kept them."""
    return {
        name: (int(str(rows)), None if digest is None else str(digest))
        for name, (rows, digest) in found.items()
    }


SWAP = [
    Step("stop", "stopping the application", stop),
    Step("safety", "backing the live database up", safety),
    Step("create", "making a new database", create),
    Step("fill", "restoring into it", fill_it),
    Step("verify", "comparing it with the manifest", verify),
    Step("settle", "writing what was done into it", settle_it),
    Step("liken", "giving it the live one's owner, rights and settings", liken),
    Step("swap", "swapping", swap_it),
    Step("start", "starting the application", start),
    Step("health", "asking the application how it is", health),
    Step("look back", "looking for late writes", look_back),
]

SWAP_BACK = [
    Step("stop", "stopping the application", stop),
    Step("settle", "writing what was done into the database that was kept", settle_kept),
    Step("swap", "swapping back", go_back),
    Step("start", "starting the application", start),
    Step("health", "asking the application how it is", health),
]
