"""Where there is nothing to do every planner says so alike: exit code 3, and no plan."""

from __future__ import annotations

import json

from tests.commands import at, shell  # noqa: F401


def test_nothing_to_do_is_three(club, at, tmp_path):  # noqa: F811
    run = at(club)
    with club.workbench() as wb:
        row = wb.search("50000", "Mapping").iloc[0]
    (tmp_path / "right.csv").write_text(
        f"entity,wa_id,new_id,reason\n{row['entity']},{row['wa_id']},{row['target']},x\n"
    )
    run("duplicates", "--entity", "member", "--to", "none.csv")
    for words in (
        "plan tiers",
        f"plan mapping {row['entity']} {row['wa_id']} {row['target']}",
        "plan mapping --from right.csv",
        "plan merge --from none.csv",
    ):
        done = run(*words.split(), "--json")
        assert (done.returncode, done.stdout) == (3, ""), (words, done)
    assert json.loads(run("plans", "--json").stdout) == []
