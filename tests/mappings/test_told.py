"""The command and the page as their users meet them: exit codes, masking, hostile values as text."""

from __future__ import annotations

import json

import pandas as pd

from tests.commands import at, shell  # noqa: F401
from tests.mappings.conftest import ALL
from workbench.mappings.problems import COLUMNS
from workbench.mappings.questions import mapping_table
from workbench.reporting.charts import mapping_cycles_chart, show_figure


def test_the_command_from_the_finding_to_the_plan(guide, at):  # noqa: F811
    club, run = guide, at(guide)
    clean = run("mappings", "--json")
    assert (clean.returncode, json.loads(clean.stdout)["problems"]) == (0, [])
    club.breaks(*ALL)
    club.execute("""UPDATE "Member" SET "lastName" = '<script>alert(1)</script>' WHERE id IN
        (SELECT "murmurantId" FROM "WaIdMapping" WHERE "waId" = '50005')""")
    found = run("mappings", "--csv", "sure.csv")
    assert found.returncode == 1
    assert "Member/50005 -> Member/50007 -> Member/50008 -> Member/50005" in found.stdout
    assert "plan mapping --from sure.csv" in found.stdout
    assert "<script>" not in found.stdout
    facts = json.loads(run("mappings", "--json", "--wa-id", "50005").stdout)
    assert facts["cycles"] == [["Member/50005", "Member/50007", "Member/50008"]]
    assert all("•••" in row["contact"] for row in facts["problems"])
    planned = run("plan", "mapping", "--from", "sure.csv", "--move-records", "--json")
    assert planned.returncode == 0, planned.stderr
    assert {"plan", "digest", "changes", "kept", "conflicts", "unresolved"} <= set(json.loads(planned.stdout))
    alone = facts["problems"][0]
    refused = run("plan", "mapping", "Member", alone["wa_id"], alone["should_be"])
    assert refused.returncode == 3
    assert "--whole-cycle" in refused.stderr
    for wrong in (
        ("mappings", "--problem", "wrong-persn"),
        ("mappings", "--wa-id", "5"),
        ("plan", "mapping", "Member", "1"),
        ("plan", "mapping", "--from", "nowhere.csv"),
    ):
        assert run(*wrong).returncode == 2, wrong
    with club.open(unmask=False) as wb:
        assert "<script>alert(1)" not in wb.mappings()._repr_mimebundle_()["text/html"]


def test_charts_draw_hostile_names_as_text_and_nothing_as_nothing():
    empty = pd.DataFrame(columns=list(COLUMNS))
    assert "Nothing" in show_figure(mapping_cycles_chart(empty)).text
    row = dict.fromkeys(COLUMNS, "") | {
        "problem": "wrong-person", "entity": "Member", "wa_id": "$x$", "target": "r2", "should_be": "r1", "score": 0.97,
        "sure": True, "cycle": "", "registrations": 0, "contact": "<b>$\\frac</b>", "person": "=1+1",
    }  # fmt: skip
    frame = pd.DataFrame([row])
    for unmask in (False, True):
        shown = show_figure(mapping_cycles_chart(frame, unmask))
        assert "leads to a wrong record" in shown.text
    assert list(mapping_table(frame)["how_surely"]) == ["97.0%"]
