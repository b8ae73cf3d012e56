"""What was planned, applied and taken back leaves every answer as it was; what stands is deliberate in every check."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Shell
from tests.commands import at as at
from tests.commands import shell as shell
from tests.conftest import Clubs, Ground
from tests.imports import import_run
from workbench.demo.breakages import BREAKAGES

QUESTIONS = ("check", "mappings", "duplicates", "tiers", "runs", "policies")
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
        return {key: steady(each) for key, each in value.items() if key not in TIMES}
    return [steady(each) for each in value] if isinstance(value, list) else value


def said(run: Shell, *words: str) -> Any:
    done = run(*words, "--json")
    assert done.returncode in (0, 1), (words, done)
    return json.loads(done.stdout)


def answers(run: Shell) -> dict[str, Any]:
    """Ask everything that is not made of these answers alone."""
    found = {question: steady(said(run, question)) for question in QUESTIONS}
    live = [each["run"] for each in found["runs"] if each["mode"] == "live"]
    return found | {name: steady(said(run, "run", name)) for name in live[-2:]}


def apply(run: Shell, *words: str) -> dict[str, Any]:
    """Plan, approve and apply."""
    plan = said(run, "plan", *words)
    plan["id"] = Path(plan["plan"]).stem
    assert plan["changes"], words
    carry_out(run, plan)
    return dict(plan)


def carry_out(run: Shell, plan: dict[str, Any]) -> None:
    """Approve a plan and apply it."""
    for step in (
        ["approve", plan["id"], "--digest", plan["digest"], "--as", "robin"],
        ["apply", plan["id"], "--yes"],
    ):
        done = run(*step)
        assert done.returncode == 0, (step, done)


def what(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what a plan would do and leave."""
    return {name: plan[name] for name in ("changes", "kept", "conflicts", "unresolved", "notes")}


def undo(run: Shell, plan: dict[str, Any]) -> None:
    done = run("undo", plan["id"], "--yes")
    assert done.returncode == 0, done


def planners(run: Shell, folder: Path) -> Iterator[list[str]]:
    """Give what can be planned on a club in which everything is wrong, the few that write most differently first."""
    live = [each for each in said(run, "runs") if each["mode"] == "live" and any(each["traced"].values())]
    yield ["rollback", live[-1]["run"]]
    file = str(folder / "corrections.csv")
    assert run("mappings", "--csv", file).returncode in (0, 1)
    yield ["mapping", "--from", file, "--move-records"]
    for entity, found in said(run, "duplicates").items():
        for one in found["clusters"] if entity in ("members", "events", "registrations") else ():
            others = [each for each in one["members"] if each != one["canonical"]]
            words = ["merge", "--entity", entity[:-1], one["canonical"], *others]
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
    whole = (
        dialect == "guide"
    )  # the planners are the same in both: in the other those whose audit entries count
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
        planned.append((words, what(plan)))
    assert len(planned) == (10 if whole else 3), planned
    after = answers(run)
    for question, answer in before.items():
        assert after[question] == answer, question
    for words, did in planned[:3]:
        assert what(said(run, "plan", *words)) == did, words


def test_after_a_replay_is_applied_and_undone_every_answer_is_as_before(
    at: Callable[..., Shell], clubs: Clubs
) -> None:
    club = clubs.clone("application")
    run = at(club)
    taken = said(run, "snapshot", "create")
    with club.connect() as connection:
        bad = import_run(connection, club.club, "api", seed=3, updates=4).run
    (member,) = club.ask('SELECT min(id::text) FROM "Member"')
    club.execute("""UPDATE "Member" SET phone = '805 555 0100' WHERE id::text = %s""", member)
    plan = said(run, "plan", "replay", "--snapshot", taken["name"], "--run", bad)
    plan["id"] = Path(plan["plan"]).stem
    assert plan["changes"]
    request = said(run, "snapshot", "restore", taken["name"])
    name = Path(request["request"]).stem
    for step in (
        ["approve", name, "--digest", request["digest"], "--as", "robin"],
        ["snapshot", "restore", name, "--yes"],
    ):
        done = run(*step)
        assert done.returncode == 0, (step, done)
    before = answers(run)
    phone = """SELECT phone FROM "Member" WHERE id::text = %s"""
    was = club.ask(phone, member)
    carry_out(run, plan)
    assert club.ask(phone, member) == ["805 555 0100"] != was
    undo(run, plan)
    assert club.ask(phone, member) == was
    assert answers(run) == before


def statuses(run: Shell) -> dict[str, tuple[str, int | None]]:
    return {each["check"]: (each["status"], each["count"]) for each in said(run, "check")["findings"]}


@pytest.mark.parametrize(("dialect", "entity"), [("guide", "event"), ("application", "member")])
def test_what_a_merge_did_is_deliberate_in_every_check_as_long_as_it_stands(
    at: Callable[..., Shell], club: Ground, entity: str
) -> None:
    run, table = at(club), entity.capitalize()
    with club.connect() as connection:
        # Two whose registrations collide: some are deleted with the merge.
        column, other = ("memberId", "eventId") if entity == "member" else ("eventId", "memberId")
        of = "Registration" if club.club.dialect == "guide" else "EventRegistration"
        connection.execute('UPDATE "Event" SET capacity = NULL')
        pairs = connection.execute(
            f"""SELECT a."{column}"::text, b."{column}"::text FROM "{of}" a JOIN "{of}" b USING ("{other}")
                WHERE a."{column}"::text < b."{column}"::text GROUP BY 1, 2 ORDER BY count(*), 1, 2 LIMIT 20"""  # type: ignore[arg-type]
        ).fetchall()
    row = next(each for each in pairs if run("plan", "merge", "--entity", entity, *each).returncode == 0)
    before = statuses(run)
    plan = apply(run, "merge", "--entity", entity, *row)
    assert {table, of} <= {name for name, cells in plan["changes"].items() if "delete" in cells}
    assert statuses(run) == before
    undo(run, plan)
    assert statuses(run) == before
    club.execute(f'DELETE FROM "{of}" WHERE "{column}"::text = %s', row[1])
    club.execute(f'DELETE FROM "{table}" WHERE id::text = %s', row[1])
    missing = {name for name in ("members-missing", "records-missing") if statuses(run)[name][0] == "fail"}
    assert missing == ({"members-missing", "records-missing"} if entity == "member" else {"records-missing"})


def test_a_correction_is_believed_only_where_the_rows_are_as_it_says(
    at: Callable[..., Shell], clubs: Clubs, tmp_path: Path
) -> None:
    club = clubs.clone("guide")
    club.breaks("registrations-on-wrong-event")
    run, file = at(club), str(tmp_path / "corrections.csv")

    def wrong() -> tuple[str, int]:
        (found,) = said(run, "check", "registrations-wrong-event")["findings"]
        return found["status"], found["count"]

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
    club = clubs.clone("application")
    run = at(club)
    name = club.club.last_live_run.run
    others = {each["run"]: (each["status"], each["why"]) for each in said(run, "runs")}
    plan = apply(run, "rollback", name)
    now = {each["run"]: (each["status"], each["why"]) for each in said(run, "runs")}
    assert {each: now[each] for each in others} == others
    (facts,) = [each for each in said(run, "runs") if each["run"] == name]
    assert (facts["rolled_back"]["plan"], facts["rolled_back"]["by"]) == (plan["id"], "dana")
    assert plan["id"] in run("runs").stdout
    did = said(run, "run", name)
    fates = {each["fate"] for each in did["listed"] if each["exists"] is False}
    assert fates == {f"rolled back by plan {plan['id']}"}
    assert not any("no longer exist" in each for each in did["differences"])
    undo(run, plan)
    (facts,) = [each for each in said(run, "runs") if each["run"] == name]
    assert facts["rolled_back"] is None
    assert {each["fate"] for each in said(run, "run", name)["listed"]} == {""}
