"""An answer on each surface: people masked, columns chosen and named, commands whole and for the right environment."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pandas as pd
import pytest

from workbench.answer import Answer, Step, Table, many
from workbench.cli.output import print_answer, print_json

PEOPLE = pd.DataFrame({"key": ["k1"], "email": ["zoe@example.org"], "count": [1]})
COMMAND = "approve mapping-1 --digest " + "f" * 64


@pytest.fixture
def answer() -> Answer:
    return Answer(
        "Ask zoe@example.org.",
        {"people": Table(PEOPLE, "People"), "said": "See `workbench runs`."},
        next_steps=[Step("To approve it", COMMAND), Step("As a page", "report runs")],
        facts={"people": PEOPLE},
        code=1,
        environment="club",
    )


@pytest.mark.parametrize("unmask", [False, True])
def test_people_are_masked_on_every_surface(answer: Answer, capsys, unmask: bool) -> None:
    answer = replace(answer, unmask=unmask)
    print_answer(answer)
    page = answer._repr_mimebundle_()
    shown = (capsys.readouterr().out, page["text/html"], page["text/plain"], json.dumps(answer.as_json()))
    assert [("zoe@" in text) for text in (*shown, answer.tables.people.to_string())] == [unmask] * 5


def test_commands_ask_the_answers_environment(answer: Answer, capsys) -> None:
    page = answer._repr_mimebundle_()["text/plain"]
    print_answer(answer)
    assert f"workbench {COMMAND} -e club" in page
    assert "workbench report" not in page
    assert f"{COMMAND} -e club" in capsys.readouterr().out
    assert "workbench runs -e club" in page


def test_a_narrow_terminal_leaves_columns_out_and_names_them(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    wide = pd.DataFrame({name: ["x" * 18] * 5 for name in ("first_one", "second", "third", "last")})
    print_answer(
        Answer(unmask=True, parts={"wide": Table(wide, first=("last",))}, next_steps=[Step("Then", COMMAND)])
    )
    lines = capsys.readouterr().out.splitlines()
    assert "first one" in lines[0]
    assert "last" in lines[0]
    assert "second, third" in " ".join(" ".join(lines).split())
    assert any(COMMAND in line for line in lines)  # wider than the terminal, and not broken


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_terminal_with_few_letters_gets_json_all_the_same(encoding: str, monkeypatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", stream)
    print_json({"guide": "§1.1"})
    written = stream.buffer.getvalue()  # type: ignore[attr-defined]
    assert json.loads(written.decode(encoding)) == {"guide": "§1.1"}


def test_one_is_one() -> None:
    assert [many(1, "entry", "entries"), many(1200, "entry", "entries"), many(1, "row")] == [
        "1 entry", "1,200 entries", "1 row",
    ]  # fmt: skip
