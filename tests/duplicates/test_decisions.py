"""Review decisions: kept, respected, never lost, and never read from a broken file."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.planting import Planter
from workbench.duplicates.pairs import Decision, decide
from workbench.errors import DocumentError, UsageError, WorkbenchError
from workbench.statements import Statements


def decision(number: int) -> Decision:
    return decide("Member", "a", f"b{number}", "same", by="dana", remark=f"remark {number}")


def kept(folder: Path, name: str = "club") -> Statements[Decision]:
    return Statements(Decision, folder, name)


def test_decisions_are_respected(ground: Ground, planter: Planter) -> None:
    def records(name: str, count: int) -> list[str]:
        phone = f"+1 555 {sum(map(ord, name)):07}"
        own = {"firstName": name, "lastName": f"{name[::-1]}worthy", "phone": phone}
        addresses = (f"{name}{'.' * number}{name}@example.org" for number in range(count))
        return sorted(planter.member(email=address, **own) for address in addresses)

    apart, doubted = records("Aurelia", 2), records("Bartholomew", 2)
    strangers = sorted(
        planter.member(firstName=name, lastName=name, email=f"{name}@example.net") for name in "XY"
    )
    partly, torn = records("Clementine", 3), records("Dagobert", 3)
    wb = ground.wb.duplicates
    said = wb.decide(apart[1], apart[0], "different", remark="twins", by="robin")  # in any order
    assert (said.left, said.right, said.by) == (*apart, "robin")
    for left, right, word in (
        (*doubted, "different"),
        (*doubted, "unsure"),  # which takes the earlier word back
        (*strangers, "same"),
        *((record, partly[2], "different") for record in partly[:2]),
        *((torn[0], torn[1], "same"), (torn[1], torn[2], "same"), (torn[0], torn[2], "different")),
    ):
        wb.decide(left, right, word)
    duplicates = wb.find()
    clusters = {tuple(cluster["members"]): cluster for cluster in duplicates.clusters.to_dict("records")}
    rest = {*clusters} - {tuple(doubted), tuple(strangers), tuple(partly[:2])}
    assert tuple(apart) not in clusters
    for pair, word, offered in ((doubted, "unsure", False), (strangers, "same", True)):
        assert (clusters[tuple(pair)]["decision"], clusters[tuple(pair)]["offered"]) == (word, offered)
    assert len(rest) == 1
    assert not any({torn[0], torn[2]} <= {*members} for members in rest)
    assert any({torn[1]} & {*line.split()} for line in duplicates.notes)
    assert len(duplicates.pairs) - len(duplicates.open) == 4
    assert not duplicates.clean
    rows = {(row["left"], row["right"]): row for row in duplicates.pairs.to_dict("records")}
    assert rows[tuple(strangers)]["kind"] == "decided"
    row = rows[tuple(apart)]
    assert [row[name] for name in ("decision", "decided_by", "remark", "offered", "cluster")] == [
        *("different", "robin", "twins", False, ""),
    ]  # fmt: skip
    assert wb.decisions()["holds"].tolist() == [True, False, *[True] * 7]
    ground.execute('DELETE FROM "Member" WHERE id::text = %s', strangers[1])
    same = {tuple(members) for members in wb.called_same()["members"]}
    assert tuple(strangers) not in same, "one of them is gone"
    event = planter.event()
    assert wb.decide(event, planter.event(), "different").entity == "Event"
    before = wb.decisions()
    wrong: tuple[tuple[tuple[str, str, str], dict[str, Any], str], ...] = (
        ((*apart, "smae"), {}, "smae"),
        ((apart[0], apart[0], "same"), {}, apart[0]),
        ((apart[0], '\'; DROP TABLE "Member"; --', "same"), {}, "DROP TABLE"),
        ((apart[0], event, "same"), {}, event),
        ((*apart, "same"), {"remark": "is aurelia@example.org"}, "personal data"),
        ((*apart, "same"), {"remark": "x" * 501}, "501"),
        ((*apart, "same"), {"by": " "}, "name"),
    )
    for arguments, options, name in wrong:
        with pytest.raises(UsageError, match=name):
            wb.decide(*arguments, **options)
    assert len(wb.decisions()) == len(before), "nothing of it was kept"
    path = kept(ground.wb.session.settings.reports, ground.wb.environment.name).path
    text = path.read_text(encoding="utf-8")
    assert {*json.loads(text.splitlines()[0])} == {*before.columns} - {"holds"}
    assert "urelia" not in text
    path.write_text(text + "{")
    with pytest.raises(DocumentError):
        wb.find("Event")
    assert kept(path.parent, "../../etc/x").path.parent == path.parent, "an environment's name is no path"


def test_two_sessions_at_once_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code = (
        "import sys; from pathlib import Path; from workbench.duplicates.pairs import *\n"
        "from workbench.statements import Statements\n"
        "for n in range(25): Statements(Decision, Path(sys.argv[1]), 'club').add("
        "decide('Member', 'a', 'c' + str(n), 'same', by='dana'))"
    )
    session = subprocess.Popen([sys.executable, "-c", code, folder])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: kept(folder).add(decision(number)), range(40)))
    assert session.wait() == 0
    expected = [f"b{number}" for number in range(40)] + [f"c{number}" for number in range(25)]
    assert sorted(row.right for row in kept(folder).read()) == sorted(expected)


@pytest.mark.parametrize(
    "damage",
    [
        b'{"entity": "Member", "left": "a"',
        b"[]\n",
        b"\xff\xfe\n",
        b'{"entity": "Member", "left": "b", "right": "a", "decision": "same", "by": "d", "at": "2026-01-01T00:00:00+00:00", "remark": ""}\n',
        b'{"entity": "Member", "left": "a", "right": "b", "decision": "same", "by": "d", "at": "2026-01-01", "remark": ""}\n',
    ],
)
def test_a_broken_file_is_an_error_and_is_not_added_to(tmp_path: Path, damage: bytes) -> None:
    path = kept(tmp_path).path
    kept(tmp_path).add(decision(1))
    whole = path.read_bytes()
    path.write_bytes(whole + damage)
    with pytest.raises(DocumentError, match=r"line 2|cannot be read"):
        kept(tmp_path).read()
    with pytest.raises(DocumentError):
        kept(tmp_path).add(decision(2))
    assert path.read_bytes() == whole + damage


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError):
        kept(tmp_path / "file").add(decision(1))
