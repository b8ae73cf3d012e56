"""Review decisions: kept, respected, never lost, and never read from a broken file."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.duplicates.conftest import twins
from tests.planting import Planter
from workbench.duplicates.decisions import Decision, decide
from workbench.errors import DocumentError, UsageError, WorkbenchError
from workbench.statements import Statements

ADDRESSES = (
    "aurelia.quuxworthy@example.org",
    "aureliaquuxworthy@example.org",
    "aurelia.quuxworthy+a@example.org",
)


def made(number: int, word: str = "same") -> Decision:
    return decide("Member", "a", f"b{number}", word, by="dana", remark=f"remark {number}")


def kept(folder: Path, name: str = "club") -> Statements[Decision]:
    return Statements(Decision, folder, name)


def test_different_is_not_shown_as_open_nor_joined(ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES[:2])
    wb = ground.wb
    before = wb.duplicates.find()
    assert len(before.clusters) == 1
    decided = wb.duplicates.decide(right, left, "different", remark="twins", by="robin")  # in any order
    assert (decided.left, decided.right, decided.by) == (left, right, "robin")
    assert datetime.now(UTC) - decided.at < timedelta(minutes=1)
    found = wb.duplicates.find()
    assert found.clean
    assert found.clusters.empty
    assert found.open.empty
    assert found.different == 1
    (row,) = found.pairs.to_dict("records")
    assert (row["decision"], row["decided_by"], row["remark"]) == ("different", "robin", "twins")
    assert not row["offered"]
    assert row["cluster"] == ""


def test_same_is_confirmed_even_where_nothing_else_says_so(ground: Ground, planter: Planter):
    one = planter.member(firstName="Una", lastName="Vale", email="una@example.org")
    other = planter.member(firstName="Wim", lastName="Xander", email="wim@example.org")
    wb = ground.wb
    assert wb.duplicates.find().clean
    wb.duplicates.decide(one, other, "same")
    found = wb.duplicates.find()
    (cluster,) = found.clusters.to_dict("records")
    assert cluster["members"] == sorted((one, other))
    assert (cluster["decision"], cluster["offered"]) == ("same", True)
    assert found.pairs.iloc[0]["kind"] == "decided"
    assert not found.clean  # they are still two
    ground.execute('DELETE FROM "Member" WHERE id::text = %s', other)
    assert wb.duplicates.find().clean  # merged, or gone


def test_unsure_is_shown_and_not_offered_and_takes_a_word_back(ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES[:2])
    wb = ground.wb
    wb.duplicates.decide(left, right, "different")
    wb.duplicates.decide(left, right, "unsure", by="robin")
    found = wb.duplicates.find()
    (cluster,) = found.clusters.to_dict("records")
    assert (cluster["decision"], cluster["offered"]) == ("unsure", False)
    assert not found.clean
    listed = wb.duplicates.decisions()
    assert listed["decision"].tolist() == ["different", "unsure"]
    assert listed["holds"].tolist() == [False, True]


def test_one_may_be_left_out_of_three(ground: Ground, planter: Planter):
    one, two, three = twins(planter, *ADDRESSES)
    wb = ground.wb
    wb.duplicates.decide(one, three, "different")
    wb.duplicates.decide(two, three, "different")
    (cluster,) = wb.duplicates.find().clusters.to_dict("records")
    assert cluster["members"] == [one, two]


def test_a_contradiction_is_said(ground: Ground, planter: Planter):
    one, two, three = twins(planter, *ADDRESSES)
    wb = ground.wb
    for left, right, word in ((one, two, "same"), (two, three, "same"), (one, three, "different")):
        wb.duplicates.decide(left, right, word)
    found = wb.duplicates.find()
    assert any("called the same, and others" in each for each in found.said)
    assert not any({one, three} <= set(each) for each in found.clusters["members"])
    assert not found.clean


def test_other_entities_are_decided_too(ground: Ground, planter: Planter):
    spelled = ground.wb.session.schema.resolved["events"].spelling
    one, other = (
        planter.event(**{spelled["title"]: "Café night", spelled["start"]: f"2031-05-05 {hour}:00"})
        for hour in (17, 19)
    )
    wb = ground.wb
    assert len(wb.duplicates.find("Event").loose) == 1
    assert wb.duplicates.decide(one, other, "different").entity == "Event"
    assert wb.duplicates.find("Event").clean


def test_wrong_decisions_are_refused_and_nothing_is_kept(ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES[:2])
    event = planter.event()
    wb = ground.wb
    for arguments, words in (
        ((left, right, "smae"), "same"),
        ((left, left, "same"), "one record"),
        ((left, "00000000-0000-0000-0000-000000000000", "same"), "There is no"),
        ((left, '\'; DROP TABLE "Member"; --', "same"), "There is no"),
        ((left, event, "same"), "two kinds of record"),
    ):
        with pytest.raises(UsageError, match=words):
            wb.duplicates.decide(*arguments)
    with pytest.raises(UsageError, match="personal data"):
        wb.duplicates.decide(left, right, "same", remark="is aurelia@example.org")
    with pytest.raises(UsageError, match="characters"):
        wb.duplicates.decide(left, right, "same", remark="x" * 501)
    with pytest.raises(UsageError, match="name"):
        wb.duplicates.decide(left, right, "same", by=" ")
    assert wb.duplicates.decisions().empty


def test_two_sessions_at_once_lose_nothing(tmp_path):
    folder = tmp_path / "out"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: kept(folder).add(made(number)), range(40)))
    assert sorted(each.right for each in kept(folder).read()) == sorted(f"b{n}" for n in range(40))
    writing = (
        "import sys; from pathlib import Path; from workbench.duplicates.decisions import *\n"
        "from workbench.statements import Statements\n"
        "for n in range(25): Statements(Decision, Path(sys.argv[1]), 'club').add("
        "decide('Member', 'a', sys.argv[2] + str(n), 'same', by='dana'))"
    )
    sessions = [subprocess.Popen([sys.executable, "-c", writing, folder, name]) for name in "cd"]
    assert [each.wait() for each in sessions] == [0, 0]
    assert len(kept(folder).read()) == 90


@pytest.mark.parametrize(
    "damage",
    [
        b'{"entity": "Member", "left": "a"',
        b"not json\n",
        b"[]\n",
        b"\xff\xfe\n",
        b"\n",
        b'{"entity": "Member", "left": "a", "right": "b", "decision": "smae", "by": "d", "at": "2026-01-01T00:00:00+00:00", "remark": ""}\n',
        b'{"entity": "Member", "left": "b", "right": "a", "decision": "same", "by": "d", "at": "2026-01-01T00:00:00+00:00", "remark": ""}\n',
        b'{"entity": "Member", "left": "a", "right": "b", "decision": "same", "by": "d", "at": "2026-01-01", "remark": ""}\n',
    ],
)
def test_a_broken_file_is_an_error_and_is_not_added_to(tmp_path, damage: bytes):
    path = kept(tmp_path).path
    kept(tmp_path).add(made(1))
    whole = path.read_bytes()
    path.write_bytes(whole + damage)
    with pytest.raises(DocumentError, match=r"line 2|cannot be read"):
        kept(tmp_path).read()
    with pytest.raises(DocumentError):
        kept(tmp_path).add(made(2))
    assert path.read_bytes() == whole + damage


def test_a_broken_file_stops_the_question(ground: Ground):
    wb = ground.wb
    path = kept(wb.settings.reports, wb.environment.name).path
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(DocumentError, match="break off in line 1"):
        wb.duplicates.find()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match="could not be written"):
        kept(tmp_path / "file").add(made(1))


def test_a_file_holds_ids_and_no_personal_data(ground: Ground, planter: Planter):
    left, right = twins(planter, *ADDRESSES[:2])
    wb = ground.wb
    wb.duplicates.decide(left, right, "same")
    (line,) = kept(wb.settings.reports, wb.environment.name).path.read_text(encoding="utf-8").splitlines()
    assert set(json.loads(line)) == {"entity", "left", "right", "decision", "by", "at", "remark"}
    assert "urelia" not in line
    assert "Quuxworthy" not in line


def test_an_environments_name_is_no_path(ground: Ground):
    settings = ground.wb.settings
    assert kept(settings.reports, "../../etc/x").path.parent == settings.reports
