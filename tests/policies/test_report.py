"""``workbench report policies``: made, honest, masked, and needing nothing but itself."""

from __future__ import annotations

import json

from tests.dialects import one_dialect as one_dialect
from tests.policies.conftest import rule, starter
from tests.reporting.conftest import HOSTILE, club  # noqa: F401
from workbench.reporting.runner import run_report


def test_the_report_is_made(club, write):  # noqa: F811
    rules = write(
        large=rule("SELECT id AS key, title FROM events WHERE capacity > 60", title="<i>Too</i> large"),
        seen=starter("members-visibility"),
        own=rule("""SELECT id AS key, "firstName" AS note FROM "Member" WHERE "firstName" LIKE '<%'"""),
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
    assert "dry run" in page
