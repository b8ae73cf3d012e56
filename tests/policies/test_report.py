"""``workbench report policies``: made, honest, masked, and needing nothing but itself."""

from __future__ import annotations

import json

from tests.reporting.conftest import HOSTILE, club  # noqa: F401
from workbench.reporting.runner import run_report


def test_the_report_is_made(club, tmp_path):  # noqa: F811
    rules = tmp_path / "mine.toml"
    rules.write_text(
        "[[rule]]\nid = 'large'\ntitle = '<i>Too</i> large'\nask = 'capacity-limit'\nlimit = 60\n"
        "[[rule]]\nid = 'seen'\ntitle = 'Seen'\nask = 'visibility'\n"
        "[[rule]]\nid = 'own'\ntitle = 'Own'\nscope = 'Member'\n"
        """sql = '''SELECT id AS key, "firstName" AS note FROM "Member" WHERE "firstName" LIKE '<%' '''\n""",
        encoding="utf-8",
    )
    given = {"rules": str(rules), "waive": ["seen=known", "real-people-in-demo=ours"]}
    made = run_report("policies", given, environment="club", settings=club)
    verdict = json.loads(made.json.read_text(encoding="utf-8"))
    status = {each["check"]: each["status"] for each in verdict["findings"]}
    assert (verdict["status"], status["large"], status["seen"], status["own"]) == (
        "fail",
        "fail",
        "waived",
        "fail",
    )
    assert status["live-run-without-dry-run"] == "warn"
    page = made.html.read_text(encoding="utf-8")
    for secret in (*HOSTILE, "<i>Too"):
        assert secret not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/svg+xml;base64,") >= 2
    assert "dry run" in page
