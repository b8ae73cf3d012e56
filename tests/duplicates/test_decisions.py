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
from tests.planting import Planter
from workbench.duplicates.decisions import Decision, decide
from workbench.errors import DocumentError, UsageError, WorkbenchError
from workbench.statements import Statements


def made(number: int, word: str = "same") -> Decision:
    return decide("Member", "a", f"b{number}", word, by="dana", remark=f"remark {number}")


def kept(folder: Path, name: str = "club") -> Statements[Decision]:
    return Statements(Decision, folder, name)


def test_what_people_say_is_respected(ground: Ground, planter: Planter) -> None:
    def twins(name: str, count: int) -> list[str]:
        own = {
            "firstName": name,
            "lastName": f"{name[::-1]}worthy",
            "phone": f"+1 555 {sum(map(ord, name)):07}",
        }
        addresses = (f"{name}{'.' * each}{name}@example.org" for each in range(count))
        return sorted(planter.member(email=each, **own) for each in addresses)

    apart, doubted = twins("Aurelia", 2), twins("Bartholomew", 2)
    strangers = sorted(
        planter.member(firstName=each, lastName=each, email=f"{each}@example.net") for each in "XY"
    )
    partly, torn = twins("Clementine", 3), twins("Dagobert", 3)
    wb = ground.wb.duplicates
    assert len(wb.find().clusters) == 4
    said = wb.decide(apart[1], apart[0], "different", remark="twins", by="robin")  # in any order
    assert (said.left, said.right, said.by) == (*apart, "robin")
    assert datetime.now(UTC) - said.at < timedelta(minutes=1)
    wb.decide(*doubted, "different")
    wb.decide(*doubted, "unsure", by="robin")  # which takes the earlier word back
    wb.decide(*strangers, "same")
    for one in partly[:2]:
        wb.decide(one, partly[2], "different")
    for left, right, word in ((0, 1, "same"), (1, 2, "same"), (0, 2, "different")):
        wb.decide(torn[left], torn[right], word)
    found = wb.find()
    clusters = {tuple(each["members"]): each for each in found.clusters.to_dict("records")}
    rest = {*clusters} - {tuple(doubted), tuple(strangers), tuple(partly[:2])}
    assert tuple(apart) not in clusters
    assert (clusters[tuple(doubted)]["decision"], clusters[tuple(doubted)]["offered"]) == ("unsure", False)
    assert (clusters[tuple(strangers)]["decision"], clusters[tuple(strangers)]["offered"]) == ("same", True)
    assert len(rest) == 1
    assert not any({torn[0], torn[2]} <= {*members} for members in rest)
    assert any("called the same, and others" in each for each in found.said)
    assert found.different == 4
    assert not found.clean
    rows = {(each["left"], each["right"]): each for each in found.pairs.to_dict("records")}
    assert rows[tuple(strangers)]["kind"] == "decided"
    row = rows[tuple(apart)]
    assert [row[name] for name in ("decision", "decided_by", "remark", "offered", "cluster")] == [
        *("different", "robin", "twins", False, ""),
    ]  # fmt: skip
    assert wb.decisions()["holds"].tolist() == [True, False, *[True] * 7]
    ground.execute('DELETE FROM "Member" WHERE id::text = %s', strangers[1])
    assert tuple(strangers) not in {tuple(each) for each in wb.find().clusters["members"]}  # merged, or gone
    event = planter.event()
    assert wb.decide(event, planter.event(), "different").entity == "Event"
    before = len(wb.decisions())
    for arguments, words in (
        ((*apart, "smae"), "same"),
        ((apart[0], apart[0], "same"), "one record"),
        ((apart[0], "00000000-0000-0000-0000-000000000000", "same"), "There is no"),
        ((apart[0], '\'; DROP TABLE "Member"; --', "same"), "There is no"),
        ((apart[0], event, "same"), "two kinds of record"),
    ):
        with pytest.raises(UsageError, match=words):
            wb.decide(*arguments)
    for how, words in (
        ({"remark": "is aurelia@example.org"}, "personal data"),
        ({"remark": "x" * 501}, "characters"),
        ({"by": " "}, "name"),
    ):
        with pytest.raises(UsageError, match=words):
            wb.decide(*apart, "same", **how)
    assert len(wb.decisions()) == before, "nothing of it was kept"
    path = kept(ground.wb.session.settings.reports, ground.wb.environment.name).path
    text = path.read_text(encoding="utf-8")
    assert set(json.loads(text.splitlines()[0])) == {
        *("entity", "left", "right", "decision", "by", "at", "remark")
    }
    assert "urelia" not in text
    path.write_text(text + "{")
    with pytest.raises(DocumentError, match="break off in line"):
        wb.find()
    assert kept(path.parent, "../../etc/x").path.parent == path.parent, "an environment's name is no path"


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


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match="could not be written"):
        kept(tmp_path / "file").add(made(1))
