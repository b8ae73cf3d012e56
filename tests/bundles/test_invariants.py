"""The migration invariants: silent on what an importer writes, and each one fires on what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bundles.conftest import DRY, api_report, csv_report, id_map_of, member, put, summary_of
from workbench.migration.invariants import INVARIANTS, check_invariants, read_files

Content = dict[str, Any]
Change = Callable[[Content], Any]

FULL, BRIEF, IDS, API = (
    "migration-live-full.json",
    "migration-live.json",
    "id-map-live.json",
    "wa_full_sync_report.json",
)
MEMBERS_CSV = "wa-members-export.csv"


def written(folder: Path) -> dict[str, Content]:
    people = [
        member(1), member(2, "update"), member(3, "skip"),
        member(4, "skip", _waId="WA999", _murmurantId=None, _errors=["Missing firstName"]),
    ]  # fmt: skip
    full = csv_report(members=people)
    return {FULL: full, BRIEF: summary_of(full), IDS: id_map_of(full), API: api_report()}


def asked(
    folder: Path, changes: dict[str, Change], export: str | None = None
) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]]]:
    """Return the status of each invariant, and what violates it: file and key."""
    contents = written(folder)
    for name, change in changes.items():
        change(contents[name])
    reports = [put(folder / name, content) for name, content in contents.items()]
    path = folder / MEMBERS_CSV
    path.write_text("Contact ID,Email\n" + (export or "WA001,a@x.org\nWA002,\nWA003,\nWA999,\n"))
    return told(reports, [path])


def told(reports: list[Path], exports: list[Path]) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]]]:
    outcomes, violations = check_invariants(read_files(reports, exports))
    broken: dict[str, list[tuple[str, str]]] = {}
    for row in violations.itertuples():
        broken.setdefault(row.invariant, []).append((row.file, row.key))
    assert dict(zip(outcomes["invariant"], outcomes["count"], strict=True)) == {
        name: len(broken.get(name, ())) for name in INVARIANTS
    }
    return dict(zip(outcomes["invariant"], outcomes["status"], strict=True)), broken


def test_silent_on_what_an_importer_writes(tmp_path: Path) -> None:
    states, broken = asked(tmp_path, {})
    assert (set(states.values()), broken) == ({"pass"}, {})


def at(*path: str | int, to: Any) -> Change:
    """Set one field, by its path."""

    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = to

    return change


def add(*path: str | int, value: Any) -> Change:
    def change(content: Any) -> None:
        for step in path:
            content = content[step]
        content.append(value)

    return change


BROKEN: list[tuple[str, str, Change, str]] = [
    ("readable", FULL, at("members", "created", to="many"), ""),
    ("readable", FULL, at("members", "records", 0, "_action", to="delete"), ""),
    ("readable", API, at("finishedAt", to="yesterday"), ""),
    ("readable", BRIEF, at("summary", "errors", to="none"), ""),
    ("wa-ids-present", FULL, at("members", "records", 0, "_waId", to=""), "Member of row 2"),
    ("wa-ids-present", FULL, at("members", "records", 1, "_waId", to=None), "Member of row 3"),
    ("wa-ids-present", IDS, at("members", "mappings", 0, "waId", to=""), "Member mapping 1"),
    ("wa-ids-unique", FULL, at("members", "records", 1, "_waId", to="WA001"), "Member WA001"),
    ("wa-ids-unique", IDS, at("members", "mappings", 1, "waId", to="WA001"), "Member WA001"),
    ("wa-ids-unique", IDS, at("members", "duplicateWaIds", to=["WA001"]), "Member WA001"),
    ("murmurant-ids-present", FULL, at("members", "records", 0, "_murmurantId", to=None), "Member WA001"),
    ("murmurant-ids-present", FULL, at("events", "records", 0, "_murmurantId", to="dry-1"), "Event EVT001"),
    ("murmurant-ids-present", IDS, at("members", "mappings", 0, "murmurantId", to=""), "Member WA001"),
    ("murmurant-ids-present", IDS, add("members", "missingWaIds", value="WA002"), "Member WA002"),
    ("counts-add-up", FULL, at("members", "totalRows", to=5), "members.totalRows + members.totalRows + summary.totalRecords"),
    ("counts-add-up", FULL, at("summary", "created", to=9), "summary.created"),
    ("counts-add-up", FULL, at("summary", "totalRecords", to=1), "summary.totalRecords"),
    ("counts-add-up", FULL, lambda each: each["members"]["records"].pop(0), "members.created"),
    ("counts-add-up", BRIEF, at("events", "updated", to=1), "events.totalRows + summary.updated"),
    ("counts-add-up", IDS, at("members", "counts", "mapped", to=4), "members.counts.mapped"),
    ("counts-add-up", IDS, at("members", "counts", "total", to=8), "members.counts.total"),
    ("counts-add-up", IDS, at("members", "counts", "missing", to=2), "members.counts.missing"),
    ("counts-add-up", API, at("fetched", "contacts", to=4), "fetched.contacts"),
    ("counts-add-up", API, at("errors", to=[{}, {}]), "totalErrorCount"),
    ("counts-not-negative", FULL, at("members", "skipped", to=-1), "members.skipped"),
    ("counts-not-negative", API, at("stats", "events", "created", to=-2), "stats.events.created"),
    ("counts-not-negative", API, at("durationMs", to=-1), "durationMs"),
    ("mappings-processed", IDS, at("members", "mappings", 0, "waId", to="WA777"), "Member WA777"),
    ("mappings-processed", FULL, add("idMapping", "members", value={"waId": "WA999", "murmurantId": "m-9"}), "Member WA999"),
    ("mappings-processed", IDS, at("members", "mappings", 0, "murmurantId", to="m-2"), "Member WA001"),
    ("timestamps-valid", FULL, at("completedAt", to="2026-11-22T17:18:00Z"), "end"),
    ("timestamps-valid", FULL, at("events", "records", 0, "endTime", to="2025-01-10T17:00:00Z"), "Event EVT001, endTime"),
    ("timestamps-valid", FULL, at("members", "records", 0, "joinedAt", to="31.12.2023"), "Member WA001, joinedAt"),
]  # fmt: skip


@pytest.mark.parametrize(("invariant", "file", "change", "keys"), BROKEN, ids=range(len(BROKEN)))
def test_each_fires_on_what_breaks_it(
    invariant: str, file: str, change: Change, keys: str, tmp_path: Path
) -> None:
    states, broken = asked(tmp_path, {file: change})
    assert states[invariant] == "fail"
    assert " + ".join(key for name, key in broken[invariant] if name == file) == keys
    assert {name for name, _ in broken[invariant]} <= {FULL, BRIEF, IDS, API}


def test_the_exports_are_compared(tmp_path: Path) -> None:
    _, broken = asked(tmp_path, {}, "WA001,\nWA001,\n,a@x.org\n")
    assert broken["wa-ids-unique"] == [(MEMBERS_CSV, "Member WA001")]
    assert broken["wa-ids-present"] == [(MEMBERS_CSV, "Member of row 4")]
    assert {key for _, key in broken["counts-add-up"]} == {"members.totalRows"}


def test_what_cannot_be_judged_is_no_pass(tmp_path: Path) -> None:
    states, _ = told([], [])
    assert set(states.values()) == {"not run"}
    states, _ = told([put(tmp_path / API, api_report())], [])
    assert {key for key, state in states.items() if state == "not run"} == {
        "wa-ids-present", "wa-ids-unique", "murmurant-ids-present", "mappings-processed",
    }  # fmt: skip
    states, _ = told([put(tmp_path / IDS, id_map_of(csv_report()))], [])
    assert states["mappings-processed"] == "not run"


def test_a_dry_run_has_made_up_ids_and_may_list_fewer(tmp_path: Path) -> None:
    dry = csv_report(DRY, dry=True)
    for name in ("members", "events", "registrations"):
        dry[name]["truncated"] = True
    dry["members"]["records"].pop()
    dry["config"] = {"limit": -1}  # a setting, and no count
    states, _ = told([put(tmp_path / "migration-dry-run-full.json", dry)], [])
    assert "fail" not in states.values()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"runId": "x", "stats": {')
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    states, broken = told(sorted(tmp_path.glob("*.json")), [tmp_path / "bad.csv"])
    assert states["readable"] == "fail"
    assert [name for name, _ in broken["readable"]] == ["cut.json", "deep.json", "other.json", "bad.csv"]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)  # fmt: skip


@given(st.sampled_from([FULL, BRIEF, IDS, API]), st.randoms(use_true_random=False), JSON)
@settings(max_examples=60, deadline=None)
def test_no_content_makes_it_stumble(tmp_path_factory: Any, name: str, random: Any, value: Any) -> None:
    folder = tmp_path_factory.mktemp("any")
    content = written(folder)[name]
    place: Any = content
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = random.choice(list(keys))
        if not isinstance(place[key], dict | list) or random.random() < 0.3 or not place[key]:
            place[key] = value
            break
        place = place[key]
    path = put(folder / name, content)
    states, _ = told([path], [])
    assert list(states) == list(INVARIANTS)


@pytest.mark.recordings
def test_the_recordings_give_no_false_alarm(recordings: Path) -> None:
    def broken(reports: Path, exports: Path | None = None) -> list[tuple[str, str, str]]:
        files = sorted(exports.glob("*.csv")) if exports else []
        _, found = told(sorted(reports.glob("*.json")), files)
        return [(invariant, name[:18], key) for invariant, each in found.items() for name, key in each]

    csv = recordings / "csv_import"
    assert broken(csv / "run1" / "reports", csv / "run1" / "export") == []
    # The second export has an event that ends before it starts; the importer took it as it was.
    assert broken(csv / "run2" / "reports", csv / "run2" / "export") == [
        ("timestamps-valid", "migration-dry-run-", "Event EVT001, endTime"),
        ("timestamps-valid", "migration-live-202", "Event EVT001, endTime"),
    ]
    assert broken(recordings / "api_sync") == []


def test_silent_on_a_healthy_clubs_reports(clubs: Any, dialect: str) -> None:
    imports = clubs.clone(dialect, 60).club.imports
    _, broken = told(sorted(imports.glob("*.json")), [])
    assert broken == {}
