"""What was planned, applied and taken back leaves every answer as it was; what stands is deliberate in every check."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs
from tests.imports import import_run
from workbench.demo.breakages import BREAKAGES

QUESTIONS = ("check", "mappings", "tiers", "runs", "policies")
TIMES = {"seconds", "asked_at", "at", "digest", "plan", "path", "trial"}
"""What differs between any two answers to the same question."""


RULE = """-- title = "Too large"

SELECT id AS key FROM events WHERE capacity > 100
-- fix
SELECT 'events' AS "table", id AS key, 'capacity' AS "column", 100 AS value FROM events WHERE capacity > 100
"""


def steady(value: Any) -> Any:
    """Take out of an answer what differs each time."""
    if isinstance(value, dict):
        return {key: steady(cell) for key, cell in value.items() if key not in TIMES}
    return [steady(cell) for cell in value] if isinstance(value, list) else value


def ask(run: Shell, *words: str) -> Any:
    done = run(*words, "--json")
    assert done.returncode in (0, 1), (words, done)
    return json.loads(done.stdout)


def answers(run: Shell, questions: Sequence[str] = QUESTIONS) -> dict[str, Any]:
    """Ask everything that is not made of these answers alone."""
    every = {question: steady(ask(run, question)) for question in questions}
    live = [facts["run"] for facts in every["runs"] if facts["mode"] == "live"]
    return every | {name: steady(ask(run, "run", name)) for name in live[-2:]}


def do(run: Shell, *steps: list[str]) -> None:
    for step in steps:
        done = run(*step)
        assert done.returncode == 0, (step, done)


def apply(run: Shell, *words: str) -> dict[str, Any]:
    """Plan, approve and apply."""
    plan = ask(run, "plan", *words)
    plan["id"] = Path(plan["plan"]).stem
    assert plan["changes"], words
    carry_out(run, plan)
    return dict(plan)


def carry_out(run: Shell, plan: dict[str, Any]) -> None:
    approve = ["approve", plan["id"], "--digest", plan["digest"], "--as", "robin"]
    do(run, approve, ["apply", plan["id"], "--yes"])


def undo(run: Shell, plan: dict[str, Any]) -> None:
    do(run, ["undo", plan["id"], "--yes"])


def effects(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what a plan would do and leave."""
    return {name: plan[name] for name in ("changes", "kept", "conflicts", "unresolved", "notes")}


def planners(run: Shell, folder: Path) -> Iterator[list[str]]:
    """Give what can be planned on a club in which everything is wrong, the few that write most differently first."""
    live = [facts for facts in ask(run, "runs") if facts["mode"] == "live" and any(facts["traced"].values())]
    yield ["rollback", live[-1]["run"]]
    file = str(folder / "corrections.csv")
    assert run("mappings", "--csv", file).returncode in (0, 1)
    yield ["mapping", "--from", file, "--move-records"]
    for entity, duplicates in ask(run, "duplicates").items():
        for cluster in duplicates["clusters"] if entity in ("members", "events", "registrations") else ():
            others = [member for member in cluster["members"] if member != cluster["canonical"]]
            words = ["merge", "--entity", entity[:-1], cluster["canonical"], *others]
            if run("plan", *words).returncode == 0:  # registrations of two people are no duplicates yet
                yield words
                break
    yield ["mapping", "--from", file]
    yield ["mapping", "--rebuild"]
    yield ["tiers", "--level", "Newcomer"]
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    (rules / "large.sql").write_text(RULE)
    yield ["policies", "--rules", str(rules)]
    yield ["sync-state"]


def test_after_plan_apply_and_undo_every_answer_is_as_before(
    at: Callable[..., Shell], clubs: Clubs, dialect: str, tmp_path: Path
) -> None:
    club = clubs.clone(dialect)
    club.breaks(*BREAKAGES)
    # Mappings that somebody thinned: what `plan mapping --rebuild` puts back.
    club.execute(
        """DELETE FROM "WaIdMapping" WHERE id IN (SELECT id FROM "WaIdMapping" WHERE "entityType" = 'Event'
           ORDER BY "waId" LIMIT 3)"""
    )
    # The planners are the same in both dialects: in the other those whose audit entries count.
    whole = dialect == "guide"
    if whole:  # the application forbids it
        club.execute(
            """INSERT INTO "Registration" SELECT (jsonb_populate_record(r, jsonb_build_object('id',
               gen_random_uuid()))).* FROM "Registration" r ORDER BY id LIMIT 1"""
        )
    run = at(club)
    before = answers(run)
    planned: list[tuple[list[str], Any]] = []
    for words in islice(planners(run, tmp_path), None if whole else 3):
        plan = apply(run, *words)
        undo(run, plan)
        planned.append((words, effects(plan)))
    assert len(planned) == (10 if whole else 3), planned
    after = answers(run)
    for question, answer in before.items():
        assert after[question] == answer, question
    for words, did in planned[:3]:
        assert effects(ask(run, "plan", *words)) == did, words


def test_after_a_replay_is_applied_and_undone_every_answer_is_as_before(
    at: Callable[..., Shell], clubs: Clubs
) -> None:
    club = clubs.clone("application", 50)
    run = at(club)
    taken = ask(run, "snapshot", "create")
    with club.connect() as connection:
        bad = import_run(connection, club.club, "api", seed=3, updates=4).run
    (member,) = club.ask('SELECT min(id::text) FROM "Member"')
    club.execute("""UPDATE "Member" SET phone = '805 555 0100' WHERE id::text = %s""", member)
    plan = ask(run, "plan", "replay", "--snapshot", taken["name"], "--run", bad)
    plan["id"] = Path(plan["plan"]).stem
    assert plan["changes"]
    request = ask(run, "snapshot", "restore", taken["name"])
    name = Path(request["request"]).stem
    approve = ["approve", name, "--digest", request["digest"], "--as", "robin"]
    do(run, approve, ["snapshot", "restore", name, "--yes"])
    before = answers(run, ("check", "runs"))
    phone = """SELECT phone FROM "Member" WHERE id::text = %s"""
    was = club.ask(phone, member)
    carry_out(run, plan)
    assert club.ask(phone, member) == ["805 555 0100"] != was
    undo(run, plan)
    assert club.ask(phone, member) == was
    assert answers(run, ("check", "runs")) == before


def statuses(run: Shell) -> dict[str, tuple[str, int | None]]:
    return {row["check"]: (row["status"], row["count"]) for row in ask(run, "check")["findings"]}


def test_what_a_merge_did_is_deliberate_in_every_check_as_long_as_it_stands(
    at: Callable[..., Shell], clubs: Clubs
) -> None:
    club = clubs.clone("application")
    run = at(club)
    # Two whose registrations collide: some are deleted with the merge.
    club.execute('UPDATE "Event" SET capacity = NULL')
    pairs = club.ask(
        """SELECT a."memberId"::text, b."memberId"::text FROM "EventRegistration" a JOIN "EventRegistration" b USING ("eventId")
           WHERE a."memberId" < b."memberId" GROUP BY 1, 2 ORDER BY count(*), 1, 2 LIMIT 20"""
    )
    pair = next(pair for pair in pairs if run("plan", "merge", "--entity", "member", *pair).returncode == 0)
    before = statuses(run)
    plan = apply(run, "merge", "--entity", "member", *pair)
    deleted = {table for table, cells in plan["changes"].items() if "delete" in cells}
    assert deleted >= {"Member", "EventRegistration"}
    assert statuses(run) == before
    undo(run, plan)
    assert statuses(run) == before
    club.execute('DELETE FROM "EventRegistration" WHERE "memberId"::text = %s', pair[1])
    club.execute('DELETE FROM "Member" WHERE id::text = %s', pair[1])
    after = statuses(run)
    assert {name for name in ("members-missing", "records-missing") if after[name][0] == "fail"} == {
        "members-missing", "records-missing"
    }  # fmt: skip


def test_a_correction_is_believed_only_where_the_rows_are_as_it_says(
    at: Callable[..., Shell], clubs: Clubs, tmp_path: Path
) -> None:
    club = clubs.clone("guide", 50)
    club.breaks("registrations-on-wrong-event")
    run, file = at(club), str(tmp_path / "corrections.csv")

    def wrong() -> tuple[str, int]:
        (finding,) = ask(run, "check", "registrations-wrong-event")["findings"]
        return finding["status"], finding["count"]

    assert run("mappings", "--csv", file).returncode == 1
    assert wrong() == ("fail", 2)
    stays = apply(run, "mapping", "--from", file)
    assert wrong() == ("fail", 2), "the mappings are right, and the rows where they were"
    undo(run, stays)
    moves = apply(run, "mapping", "--from", file, "--move-records")
    assert wrong() == ("pass", 0)
    undo(run, moves)
    assert wrong() == ("fail", 2)
    again = apply(run, "mapping", "--from", file, "--move-records")
    assert (again["changes"], wrong()) == (moves["changes"], ("pass", 0))


def test_of_a_run_that_was_rolled_back_is_told_what_became(at: Callable[..., Shell], clubs: Clubs) -> None:
    club = clubs.clone("application", 50)
    run, name = at(club), club.club.last_live_run.run
    before = {facts["run"]: facts for facts in ask(run, "runs")}
    plan = apply(run, "rollback", name)
    after = {facts["run"]: facts for facts in ask(run, "runs")}
    became = after[name]["rolled_back"]
    assert (became["plan"], became["by"]) == (plan["id"], "dana")
    for other in before.keys() - {name}:
        assert after[other]["status"] == before[other]["status"]
        assert after[other]["why"] == before[other]["why"]
    facts = ask(run, "run", name)
    fates = {row["fate"] for row in facts["listed"] if row["exists"] is False}
    assert fates == {f"rolled back by plan {plan['id']}"}
    assert not any("no longer exist" in line for line in facts["differences"])
    undo(run, plan)
    assert {facts["run"]: facts["rolled_back"] for facts in ask(run, "runs")}[name] is None
    assert {row["fate"] for row in ask(run, "run", name)["listed"]} == {""}
