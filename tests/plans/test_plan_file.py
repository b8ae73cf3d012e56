"""Plan files: the same input gives the same bytes, and nothing but those bytes is ever taken for a plan."""

from __future__ import annotations

import itertools
import json
import os
import resource
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from tests.conftest import Server
from tests.plans.conftest import Ground
from workbench.documents import Target
from workbench.errors import DocumentError, Refused, UsageError, WorkbenchError
from workbench.plans.plan import Plan, Section, format_row, parse_row, write_plan

TARGET = Target(system_identifier="7", database="club", schema="public", environment="demo", kind="demo")
HEADER = Plan(
    kind="rollback", parameters={"run": "r"}, reasons=("Because.",), target=TARGET, planned_by="dana"
)

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
awkward = st.sampled_from(
    ["", "\\", "\\.", "\\N", "\\\\N", "\t", "\n", "\r\n", "\\\n", "\v\b\f", "\u2028", "\x85"]
)
rows = st.lists(st.one_of(st.none(), texts, awkward), min_size=1, max_size=5)


def lines(plan: Plan) -> list[bytes]:
    return plan.path.read_bytes().splitlines(keepends=True)


def small(folder: Path, header: Plan = HEADER) -> Plan:
    """Write a plan of one change and one note."""
    change = Section("delete", "Event", ("id",), seen=("id",)), [format_row(["a", "1"])]
    note = Section("kept"), [format_row(["Member", "b", "tab\there, \\. there"])]
    return write_plan(folder, header, [change, note])


def test_a_plan_is_text_with_a_header_its_sections_and_notes(ground: Ground) -> None:
    plan = ground.planned(snapshot=True)
    header = json.loads(lines(plan)[0])
    assert header["workbench_plan"] == Plan.version
    assert (header["kind"], header["planned_by"]) == ("rollback", "dana")
    assert header["parameters"]["run"] == ground.imported.run
    assert header["target"]["database"] == ground.database
    assert ground.imported.run in header["reasons"][0]
    footer = json.loads(lines(plan)[-1])
    assert [section["rows"] for section in footer["sections"]] == [each.rows for each in plan.sections]
    for each in plan.sections:
        found = list(plan.rows(each))
        assert len(found) == each.rows > 0
        assert {len(row) for row in found} == {len(each.columns)}
        assert [row[0] for row in found] == sorted(str(row[0]) for row in found)
        assert b"".join(plan.blocks(each, size=7)) == b"".join(map(format_row, found))
    assert {each.name for each in plan.operations} == {"delete", "update"}
    table = ground.imported.table["Registration"]
    assert plan.changes[table] == {"delete": 10, "update": 2}
    assert set(plan.kept[0]) == {"table", "key", "reason"}
    assert "@" not in lines(plan)[0].decode()  # no URL, and nobody's address


def test_its_digest_is_that_of_sha256sum_and_it_is_for_its_owners_eyes_only(guide: Ground) -> None:
    was = os.umask(0o000)
    try:
        plan = guide.planned()
    finally:
        os.umask(was)
    assert stat.S_IMODE(plan.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(plan.path.parent.stat().st_mode) == 0o700
    said = subprocess.run(["sha256sum", plan.path], capture_output=True, text=True, check=True).stdout
    assert plan.digest == said.split()[0]
    assert plan.path.name == f"{plan.id}.plan" == f"rollback-{plan.digest[:12]}.plan"
    again = Plan.read(plan.path)
    assert again == plan


def test_the_same_database_and_parameters_give_the_same_bytes(application: Ground, tmp_path: Path) -> None:
    ground = application
    first = ground.planned(snapshot=True)
    # The same rows in another place on disk, under other settings of the database's own.
    for table in ("Member", "Event", "WaIdMapping", ground.imported.table["Registration"]):
        ground.execute(f"""UPDATE "{table}" SET id = id WHERE left(id::text, 1) < '8'""")
        ground.execute(f'ANALYZE "{table}"')
    for setting in ("TimeZone = 'Asia/Tokyo'", "DateStyle = 'SQL, DMY'", "extra_float_digits = 0",
                    "IntervalStyle = 'iso_8601'", "bytea_output = 'escape'", "enable_hashjoin = off"):  # fmt: skip
        ground.execute(f"ALTER DATABASE {ground.database} SET {setting}")
    second = ground.planned(snapshot=True, home=tmp_path)
    assert second.path.read_bytes() == first.path.read_bytes()
    assert second.path != first.path
    assert ground.planned(snapshot=True).path == first.path
    assert ground.retargeted(ground.template(True)).path == first.path  # nor in another copy of the database
    assert list(ground.plans.iterdir()) == [first.path]


@given(rows)
@example(["\\."])
@example(["", ""])
@example([None, "\\N", "a\tb\nc"])
def test_a_row_comes_back_from_its_line(row: list[str | None]) -> None:
    line = format_row(row)
    assert line.count(b"\n") == 1
    assert line != b"\\.\n"
    assert parse_row(line) == tuple(row)


def test_the_server_writes_and_reads_rows_as_we_do(server: Server, empty_url: str) -> None:
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE t (n serial, one text, two text)")

        @settings(max_examples=25, deadline=None, phases=[Phase.generate])
        @given(st.lists(st.tuples(*[st.one_of(st.none(), texts, awkward)] * 2), min_size=1, max_size=20))
        def compare(many: list[tuple[str | None, str | None]]) -> None:
            ours = b"".join(map(format_row, many))
            connection.execute("TRUNCATE t")
            with connection.cursor().copy("COPY t (one, two) FROM STDIN") as stream:
                stream.write(ours)
            with connection.cursor().copy("COPY (SELECT one, two FROM t ORDER BY n) TO STDOUT") as stream:
                assert b"".join(map(bytes, stream)) == ours
            assert connection.execute("SELECT one, two FROM t ORDER BY n").fetchall() == many

        compare()


def test_a_plan_cut_short_anywhere_is_refused(application: Ground) -> None:
    plan = application.planned()
    whole = plan.path.read_bytes()
    ends = list(itertools.accumulate(map(len, lines(plan))))
    places = {
        0,
        *range(1, len(whole), 211),
        *ends,
        *(each - 1 for each in ends),
        *(each + 1 for each in ends),
    }
    with application.open() as wb:
        for place in sorted(each for each in places if each < len(whole)):
            plan.path.write_bytes(whole[:place])
            with pytest.raises((DocumentError, Refused)) as caught:
                wb.plans[plan.id]
            assert caught.value.exit_code in {2, 3}
            assert caught.value.next_step
        plan.path.write_bytes(whole)
        assert wb.plans[plan.id] == plan


def test_a_plan_is_found_by_its_id_its_beginning_and_its_path(guide: Ground) -> None:
    plan = guide.planned()
    with guide.open() as wb:
        assert wb.plans[plan.id] == wb.plans[plan.id[:14]] == wb.plans[str(plan.path)] == plan
        for name in ("rollback-ffffffffffff", "", f"{plan.id[:-2]}zz"):
            with pytest.raises(UsageError):
                wb.plans[name]


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a digit": lambda each: [*each[:2], each[2].replace(b"\t", b"\t9"), *each[3:]],
    "a reason": lambda each: [each[0].replace(b"Rolls back", b"Mends"), *each[1:]],
    "another table": lambda each: [line.replace(b'"Event"', b'"Product"') for line in each],
    "a count": lambda each: [*each[:-1], each[-1].replace(b": [", b": [9")],
    "a row more": lambda each: [*each[:3], *each[2:]],
    "a row less": lambda each: [*each[:2], *each[3:]],
    "a section less": lambda each: [each[0], *each[each.index(b"\\.\n") + 1 :]],
    "windows line ends": lambda each: [line.replace(b"\n", b"\r\n") for line in each],
    "something behind": lambda each: [*each, b"\n"],
    "twice": lambda each: each * 2,
}


def test_a_plan_whose_bytes_were_changed_is_refused(application: Ground) -> None:
    plan = application.approved()
    whole, before = lines(plan), application.everything()
    with application.open() as wb:
        for name, change in CHANGES.items():
            changed = change(whole)
            assert changed != whole, name
            plan.path.write_bytes(b"".join(changed))
            for named in (plan.id, str(plan.path)):
                with pytest.raises((DocumentError, Refused), match=r"edited|damaged|cut short|is no plan"):
                    wb.plans[named]
            assert wb.plans.states()["state"].tolist() == ["damaged"]
            for read in (Plan.read, lambda _: plan):  # anew, and as it was read before the change
                with pytest.raises((DocumentError, Refused)) as caught:
                    wb.plans.apply(read(plan.path))
                assert caught.value.next_step
    assert application.everything() == before


@pytest.mark.parametrize(
    "note", [b"Member\tb\n", b"Member\tb\tc\td\n", b"Member\tb\t\xff\xfe\n"], ids=["few", "many", "no text"]
)
def test_a_plan_with_notes_that_cannot_be_read_is_said_to_be_damaged(tmp_path: Path, note: bytes) -> None:
    plan = small(tmp_path)
    content = lines(plan)
    content[-3] = note
    (tmp_path / "other.plan").write_bytes(b"".join(content))
    with pytest.raises(DocumentError, match=r"damaged|cut short|edited"):
        _ = Plan.read(tmp_path / "other.plan").kept


@contextmanager
def a_full_disk(room: int) -> Iterator[None]:
    """Let no file grow past some bytes; the kernel refuses, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_neither_a_file_nor_a_change(application: Ground) -> None:
    before = application.everything()
    size = application.planned().path.stat().st_size
    for path in application.plans.iterdir():
        path.unlink()
    for room in (0, 100, size - 1):
        with (
            pytest.raises(WorkbenchError, match=r"could not be written") as caught,
            a_full_disk(room),
        ):
            application.planned()
        assert caught.value.exit_code == 4
        assert list(application.plans.iterdir()) == []
    assert application.everything() == before
    with a_full_disk(size):
        assert application.planned().path.stat().st_size == size


def test_planning_needs_no_right_but_to_read(
    application: Ground, role: Callable[[Ground, list[str]], str], tmp_path: Path
) -> None:
    ground = application
    before = ground.everything()
    url = role(ground, ["GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE"])
    plan = ground.planned(url=url, home=tmp_path)
    assert ground.everything() == before
    assert ground.ask("SELECT 1 FROM pg_namespace WHERE nspname = 'workbench'") == []
    assert plan.path.read_bytes() == ground.planned().path.read_bytes()
    with ground.open(url=url, home=tmp_path) as wb:
        wb.plans.approve(plan, plan.digest, approver="erin")
        with pytest.raises(WorkbenchError, match="may not create the schema") as caught:
            wb.plans.apply(plan)
        assert caught.value.exit_code == 4
        assert wb.plans.states()["state"].tolist() == ["approved"]
    assert ground.everything() == before
