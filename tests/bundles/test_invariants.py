"""The migration invariants: silent on what an importer writes, and each one fires on what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bundles.conftest import DRY, api_report, csv_report, id_map_of, member, put, summary_of
from workbench.migration.invariants import INVARIANTS, check_files

Content = dict[str, Any]
Change = Callable[[Content], Any]
Broken = dict[str, list[tuple[str, str]]]

FULL, BRIEF, IDS = "migration-live-full.json", "migration-live.json", "id-map-live.json"
API, MEMBERS_CSV = "wa_full_sync_report.json", "wa-members-export.csv"


def contents() -> dict[str, Content]:
    failed = member(4, "skip", _waId="WA999", _murmurantId=None, _errors=["Missing firstName"])
    full = csv_report(members=[member(1), member(2, "update"), member(3, "skip"), failed])
    return {FULL: full, BRIEF: summary_of(full), IDS: id_map_of(full), API: api_report()}


def check(reports: list[Path], exports: list[Path]) -> tuple[dict[str, str], Broken]:
    """Return the status of each invariant, and what violates it: file and key."""
    outcomes, violations = check_files(reports, exports)
    broken: Broken = {}
    for row in violations.itertuples():
        broken.setdefault(row.invariant, []).append((row.file, row.key))
    assert list(outcomes["count"]) == [len(broken.get(name, ())) for name in INVARIANTS]
    return dict(zip(outcomes["invariant"], outcomes["status"], strict=True)), broken


def check_changed(
    folder: Path, file: str = FULL, change: Change = len, export: str = ""
) -> tuple[dict[str, str], Broken]:
    written = contents()
    change(written[file])
    path = folder / MEMBERS_CSV
    path.write_text("Contact ID,Email\n" + (export or "WA001,a@x.org\nWA002,\nWA003,\nWA999,\n"))
    return check([put(folder / name, content) for name, content in written.items()], [path])


def at(*path: str | int, to: Any) -> Change:
    """Set one field, by its path."""

    def change(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = to

    return change


BROKEN: list[tuple[str, str, Change, str]] = [
    ("readable", FULL, at("members", "created", to="many"), ""),
    ("readable", API, at("finishedAt", to="yesterday"), ""),
    ("wa-ids-present", FULL, at("members", "records", 0, "_waId", to=""), "Member row 2"),
    ("wa-ids-present", IDS, at("members", "mappings", 0, "waId", to=""), "Member mapping 1"),
    ("wa-ids-unique", FULL, at("members", "records", 1, "_waId", to="WA001"), "Member WA001"),
    ("wa-ids-unique", IDS, at("members", "mappings", 1, "waId", to="WA001"), "Member WA001"),
    ("wa-ids-unique", IDS, at("members", "duplicateWaIds", to=["WA001"]), "Member WA001"),
    ("murmurant-ids-present", FULL, at("members", "records", 0, "_murmurantId", to=None), "Member WA001"),
    ("murmurant-ids-present", FULL, at("events", "records", 0, "_murmurantId", to="dry-1"), "Event EVT001"),
    ("murmurant-ids-present", IDS, at("members", "missingWaIds", to=["WA999", "WA002"]), "Member WA002"),
    ("counts-add-up", FULL, at("members", "totalRows", to=5), "members.totalRows + summary.totalRecords"),
    ("counts-add-up", FULL, at("summary", "created", to=9), "summary.created"),
    ("counts-add-up", FULL, lambda content: content["members"]["records"].pop(0), "members.created"),
    ("counts-add-up", BRIEF, at("events", "updated", to=1), "events.totalRows + summary.updated"),
    ("counts-add-up", IDS, at("members", "counts", "mapped", to=4), "members.counts.mapped"),
    ("counts-add-up", IDS, at("members", "counts", "total", to=8), "members.counts.total"),
    ("counts-add-up", API, at("fetched", "contacts", to=4), "fetched.contacts"),
    ("counts-add-up", API, at("errors", to=[{}, {}]), "totalErrorCount"),
    ("counts-not-negative", FULL, at("members", "skipped", to=-1), "members.skipped"),
    ("counts-not-negative", API, at("stats", "events", "created", to=-2), "stats.events.created"),
    ("mappings-processed", IDS, at("members", "mappings", 0, "waId", to="WA777"), "Member WA777"),
    ("mappings-processed", IDS, at("members", "mappings", 0, "murmurantId", to="m-2"), "Member WA001"),
    ("timestamps-valid", FULL, at("completedAt", to="2026-11-22T17:18:00Z"), "end"),
    ("timestamps-valid", FULL, at("events", "records", 0, "endTime", to="2025-01-10T17:00:00Z"), "Event EVT001, endTime"),
    ("timestamps-valid", FULL, at("members", "records", 0, "joinedAt", to="31.12.2023"), "Member WA001, joinedAt"),
]  # fmt: skip


def test_each_fires_on_what_breaks_it_and_all_are_silent_otherwise(tmp_path: Path) -> None:
    states, broken = check_changed(tmp_path)
    assert (set(states.values()), broken) == ({"pass"}, {})
    for invariant, file, change, keys in BROKEN:
        states, broken = check_changed(tmp_path, file, change)
        assert states[invariant] == "fail", keys
        assert " + ".join(key for name, key in broken[invariant] if name == file) == keys
        assert MEMBERS_CSV not in {name for name, _ in broken[invariant]}


def test_the_exports_are_compared(tmp_path: Path) -> None:
    _, broken = check_changed(tmp_path, export="WA001,\nWA001,\n,a@x.org\n")
    assert broken["wa-ids-unique"] == [(MEMBERS_CSV, "Member WA001")]
    assert broken["wa-ids-present"] == [(MEMBERS_CSV, "Member row 4")]
    assert {key for _, key in broken["counts-add-up"]} == {"members.totalRows"}


def test_what_cannot_be_judged_is_no_pass(tmp_path: Path) -> None:
    assert set(check([], [])[0].values()) == {"not run"}
    states, _ = check([put(tmp_path / API, api_report())], [])
    assert {name for name, state in states.items() if state == "not run"} == {
        "wa-ids-present", "wa-ids-unique", "murmurant-ids-present", "mappings-processed",
    }  # fmt: skip
    states, _ = check([put(tmp_path / IDS, id_map_of(csv_report()))], [])
    assert states["mappings-processed"] == "not run"
    full = csv_report()
    full["events"]["truncated"] = True  # what is listed in part judges no more than that part
    states, _ = check([put(tmp_path / FULL, full)], [])
    assert states["mappings-processed"] == "not run"


def test_a_dry_run_has_made_up_ids_and_may_list_fewer(tmp_path: Path) -> None:
    dry = csv_report(DRY, dry=True)
    for name in ("members", "events", "registrations"):
        dry[name]["truncated"] = True
    dry["members"]["records"].pop()
    dry["config"] = {"limit": -1}  # a setting, and no count
    states, _ = check([put(tmp_path / "migration-dry-run-full.json", dry)], [])
    assert "fail" not in states.values()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    texts = {
        "cut.json": '{"runId": "x", "stats": {',
        "other.json": "[]",
        "deep.json": "[" * 100_000,
        "bad.csv": "a,b\n1,2\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    states, broken = check(sorted(tmp_path.glob("*.json")), [tmp_path / "bad.csv"])
    assert states["readable"] == "fail"
    assert {name for name, _ in broken["readable"]} == set(texts)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)  # fmt: skip


@given(st.sampled_from([FULL, BRIEF, IDS, API]), st.randoms(use_true_random=False), JSON)
@settings(max_examples=30, deadline=None)
def test_no_content_makes_it_stumble(tmp_path_factory: Any, name: str, random: Any, value: Any) -> None:
    content = contents()[name]
    place: Any = content
    while isinstance(place, dict | list) and place:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or random.random() < 0.3 or not place[key]:
            place[key] = value
            break
        place = place[key]
    states, _ = check([put(tmp_path_factory.mktemp("any") / name, content)], [])
    assert list(states) == list(INVARIANTS)


@pytest.mark.recordings
def test_the_recordings_give_no_false_alarm(recordings: Path) -> None:
    def broken(reports: Path, exports: Path | None = None) -> list[tuple[str, str, str]]:
        files = sorted(exports.glob("*.csv")) if exports else []
        _, found = check(sorted(reports.glob("*.json")), files)
        return [(invariant, name[:18], key) for invariant, rows in found.items() for name, key in rows]

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
    assert check(sorted(imports.glob("*.json")), [])[1] == {}
