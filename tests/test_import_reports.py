"""Report files of importers: the three formats, and everything that is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import DocumentError
from workbench.murmurant.reports import read_report, read_reports

API = {
    "runId": "sync_1795367840787_f3yhlg",
    "startedAt": "2026-11-22T17:17:20.786Z",
    "finishedAt": "2026-11-22T17:17:35.550Z",
    "success": True,
    "dryRun": False,
    "fetched": {"contacts": 3, "events": 1, "registrations": 0},
    "stats": {
        "members": {"created": 2, "updated": 0, "skipped": 1, "errors": 0},
        "events": {"created": 1, "updated": 0, "skipped": 0, "errors": 0},
        "registrations": {"created": 0, "updated": 0, "skipped": 0, "errors": 0},
    },
    "registrationDiagnostics": {"topSkipReasons": [{"reason": "Fetch error for event 9020", "count": 1}]},
}


@pytest.fixture
def write(tmp_path):
    def _write(content, name="report.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return _write


def test_an_api_report_is_read(write):
    report = read_report(write(API))
    assert (report.importer, report.mode) == ("api", "live")
    assert report.counts["Member"] == {"created": 2, "updated": 0, "skipped": 1}  # nothing says why
    assert report.fetched == {"Member": 3, "Event": 1, "Registration": 0}
    assert report.skip_reasons == {"Fetch error for event 9020": 1}
    assert report.started.isoformat() == "2026-11-22T17:17:20.786000"


def test_what_a_report_warns_of_gives_up_on_and_skips_is_read(write):
    """As the API sync writes it, and the CSV importer; and any key that nobody knows is named."""
    registrations = {"created": 1, "updated": 0, "skipped": 9, "errors": 0, "merged": 4}
    lost = {"MissingMember": 5, "MissingEvent": 1, "TransformError": 1}
    path = write(
        {
            **API,
            "stats": {**API["stats"], "registrations": registrations},
            "registrationDiagnostics": {f"registrationsSkipped{name}": n for name, n in lost.items()},
            "warnings": [{"code": "LOW", "severity": "high", "message": "Few.", "hint": 1}, "in words"],
            "errors": [
                {"entityType": "EventRegistration", "waId": 70, "message": "\nInvalid call\n\nIt is taken"}
            ],
            "quarantined": [],
        }
    )
    report = read_report(path)
    assert report.counts["Registration"] == {
        "created": 1,
        "updated": 0,
        "existing": 2,
        "unlinked": 6,
        "refused": 1,
    }
    assert [(each.code, each.high) for each in report.warnings] == [("LOW", True), ("", False)]
    (problem,) = report.problems
    assert (problem.entity, problem.wa_id, problem.reason) == ("Registration", "70", "It is taken")
    assert set(report.unread) == {"stats.registrations.merged", "warnings[].hint", "quarantined"}


def test_a_report_may_say_more_than_is_known_or_nothing(write):
    report = read_report(write({**API, "fetched": {**API["fetched"], "levels": 4}, "idMapping": None}))
    assert report.fetched == {"Member": 3, "Event": 1, "Registration": 0}
    assert report.unread == ("fetched.levels",)


def test_a_csv_report_names_each_row_that_it_gave_up_on_once(write):
    section = {"totalRows": 3, "parsed": 3, "created": 1, "updated": 0, "skipped": 1, "errors": 1}
    given_up = {"_sourceRow": 4, "_waId": "9", "_action": "skip", "_errors": ["Missing lastName"]}
    there = {"_sourceRow": 3, "_waId": "8", "_action": "skip", "_murmurantId": "m8", "_score": 1}
    new = {"_sourceRow": 2, "_waId": "7", "_action": "create", "_murmurantId": "m7", "phone": "1"}
    path = write(
        {
            "runId": "de1dc0d5-8a0a-4769-b800-d442972b0292",
            "dryRun": False,
            "summary": {"hoax": 1},
            "members": {**section, "records": [new, there, given_up]},
            "idMapping": {"events": [{"waId": "E1", "murmurantId": "e1"}]},
            "errors": [{"entity": "member", "sourceRow": 4, "waId": "9", "message": "Missing lastName"}],
        }
    )
    report = read_report(path)
    assert report.counts["Member"] == {"created": 1, "updated": 0, "existing": 1}
    assert report.problems == (("Member", "9", 4, "Missing lastName"),)
    assert report.identities == (("Event", "E1", "e1"),)
    assert set(report.unread) == {"summary.hoax", "members.records[]._score"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cut short"),
        (json.dumps(API)[:-20], "cut short or damaged"),
        ("not json at all", "not JSON"),
        ("[1, 2]", "not an import report"),
        ({"runId": 7}, "not an import report"),
        ({"runId": "x", "other": 1}, "not an import report"),
        ({**API, "stats": {"members": {}}}, "is invalid"),
        ({**API, "startedAt": "yesterday"}, "is invalid"),
        ({"runId": "x", "dryRun": False, "summary": {}, "members": None}, "no members"),
    ],
)
def test_what_is_no_report_is_said_plainly(write, content, said):
    path = write(content)
    with pytest.raises(DocumentError, match=said) as caught:
        read_report(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_or_not_text_is_said_plainly(tmp_path):
    with pytest.raises(DocumentError, match="cannot be read"):
        read_reports([tmp_path / "none.json"])
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DocumentError, match="cannot be read"):
        read_report(tmp_path / "binary.json")


def test_a_folder_may_hold_other_files_but_no_report_cut_short(write, tmp_path):
    write(API)
    write({"something": "else"}, "other.json")
    assert len(read_reports([tmp_path])) == 1
    write(json.dumps(API)[:100], "cut.json")
    with pytest.raises(DocumentError, match=r"cut\.json"):
        read_reports([tmp_path])


@given(cut=st.integers(min_value=0, max_value=len(json.dumps(API)) - 1))
def test_every_cut_is_noticed(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "report.json"
    path.write_text(json.dumps(API)[:cut], encoding="utf-8")
    with pytest.raises(DocumentError):
        read_report(path)
