"""An import's files as an importer leaves them, small, and a way to seal them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from workbench.migration.bundles import Bundle, seal

LIVE, DRY = "de1dc0d5-8a0a-4769-b800-d442972b0292", "0b51d323-25d1-42c6-bcaa-bf662acb9aa9"
NOW = datetime(2026, 11, 23, 9, 30, 1, tzinfo=UTC)

Seal = Callable[..., Bundle]
Content = dict[str, Any]


def member(number: int, action: str = "create", **more: Any) -> Content:
    return {
        "_sourceRow": number + 1, "firstName": "Hiro", "email": f"hiro{number}@example.com",
        "joinedAt": "2023-01-19T00:00:00.000Z", "_waId": f"WA{number:03}", "_action": action, "_murmurantId": f"m-{number}",
        **more,
    }  # fmt: skip


def section(records: list[Content], file: str) -> Content:
    count = {"create": 0, "update": 0, "skip": 0}
    errors = 0
    for each in records:
        if each.get("_errors"):
            errors += 1
        else:
            count[each["_action"]] += 1
    return {
        "totalRows": len(records), "parsed": len(records), "created": count["create"], "updated": count["update"],
        "skipped": count["skip"], "errors": errors, "records": records, "file": f"exports/{file}",
    }  # fmt: skip


def csv_report(run: str = LIVE, *, dry: bool = False, members: list[Content] | None = None) -> Content:
    """Return a full report of the CSV importer: three members, an event, a registration."""
    people = [member(each) for each in (1, 2, 3)] if members is None else members
    events = [
        {"title": "Evening 1", "startTime": "2025-01-10T18:00:00.000Z", "endTime": "2025-01-10T20:00:00.000Z",
         "_waId": "EVT001", "_action": "create", "_murmurantId": "e-1"},
    ]  # fmt: skip
    seats = [
        {"memberId": "m-1", "eventId": "e-1", "status": "CONFIRMED", "registeredAt": "2025-01-02T00:00:00.000Z",
         "_waId": "REG0001", "_action": "create", "_murmurantId": "r-1"},
    ]  # fmt: skip
    if dry:
        for each in [*people, *events, *seats]:
            each["_murmurantId"] = f"dry-{each['_murmurantId']}"
    sections = {
        "members": section(people, "wa-members-export.csv"),
        "events": section(events, "wa-events-export.csv"),
        "registrations": section(seats, "wa-registrations-export.csv"),
    }
    total = {
        name: sum(each[name] for each in sections.values())
        for name in ("created", "updated", "skipped", "errors")
    }
    return {
        "runId": run, "startedAt": "2026-11-22T17:18:37.338Z", "dryRun": dry,
        "config": {"source": "wild-apricot", "target": "murmurant", "version": "1.0"},
        "summary": {"totalRecords": sum(total.values()), **total, "duration_ms": 2020},
        **sections,
        "errors": [
            {"entity": "member", "waId": each["_waId"], "message": each["_errors"][0]} for each in people if each.get("_errors")
        ],
        "idMapping": {
            "members": [pair(each, "email") for each in people if each["_murmurantId"]],
            "events": [pair(each, "title") for each in events],
        },
        "completedAt": "2026-11-22T17:18:39.363Z",
    }  # fmt: skip


def pair(record: Content, identifier: str) -> Content:
    return {
        "waId": record["_waId"],
        "murmurantId": record["_murmurantId"],
        identifier: record.get(identifier, ""),
    }


def summary_of(full: Content) -> Content:
    """Return the summary that goes with a full report."""
    brief = json.loads(json.dumps(full))
    for name in ("members", "events", "registrations"):
        brief[name]["records"] = f"[{len(brief[name]['records'])}]"
    return dict(brief)


def id_map_of(full: Content) -> Content:
    """Return the id map that goes with a full report."""
    found = {}
    for name in ("members", "events"):
        mappings = [
            {"waId": each["waId"], "murmurantId": each["murmurantId"], "identifier": "x"} for each in full["idMapping"][name]
        ]  # fmt: skip
        missing = [each["_waId"] for each in full[name]["records"] if each.get("_errors")]
        total = len(full[name]["records"])
        counts = {"total": total, "mapped": len(mappings), "missing": len(missing), "duplicates": 0}
        found[name] = {"mappings": mappings, "counts": counts, "duplicateWaIds": [], "missingWaIds": missing}
    return {"runId": full["runId"], "generatedAt": full["completedAt"], "dryRun": full["dryRun"], **found}


def api_report(**changes: Any) -> Content:
    """Return a report of the API sync."""
    counts = {"created": 2, "updated": 1, "skipped": 0, "errors": 0}
    report: Content = {
        "version": 1, "runId": "sync_1795367840787_f3yhlg", "startedAt": "2026-11-22T17:17:20.786Z",
        "finishedAt": "2026-11-22T17:17:35.550Z", "durationMs": 14764, "success": True, "dryRun": False,
        "fetched": {"contacts": 3, "events": 3, "registrations": 3}, "warnings": [],
        "stats": {name: dict(counts) for name in ("members", "events", "registrations")},
        "registrationDiagnostics": {
            "eventsProcessed": 3, "eventsSkippedUnmapped": 0, "registrationFetchCalls": 3, "registrationsFetchedTotal": 3,
            "registrationsTransformedOk": 3, "registrationsUpserted": 3, "topSkipReasons": [],
        },
        "errors": [], "totalErrorCount": 0,
    }  # fmt: skip
    return {**report, **changes}


def put(path: Path, content: Content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return path


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """What a CSV import read and wrote: exports, configuration, reports, id map, the dry run's log."""
    folder = tmp_path / "import"
    full = csv_report()
    put(folder / "reports" / "migration-live-2026-11-22T17-18-39-363Z-full.json", full)
    put(folder / "reports" / "migration-live-2026-11-22T17-18-39-363Z.json", summary_of(full))
    put(folder / "reports" / "id-map-live-2026-11-22T17-18-39-363Z.json", id_map_of(full))
    put(
        folder / "reports" / "migration-dry-run-2026-11-22T17-18-36-215Z-full.json", csv_report(DRY, dry=True)
    )
    exports = folder / "exports"
    exports.mkdir()
    (exports / "wa-members-export.csv").write_text(
        "Contact ID,Email\n" + "".join(f"WA00{each},hiro{each}@example.com\n" for each in (1, 2, 3))
    )
    (exports / "wa-events-export.csv").write_text("Event ID,Event name\nEVT001,Evening 1\n")
    (exports / "wa-registrations-export.csv").write_text(
        "Registration ID,Contact ID,Event ID\nREG0001,WA001,EVT001\n"
    )
    (folder / "membership.yaml").write_text("membership_status_mapping:\n  _default: PROSPECT\n")
    (folder / "dry_run_20261122_171836.log").write_text("Would create 3 members\n")
    return folder


@pytest.fixture
def sealed(tmp_path: Path) -> Seal:
    """Seal files into a folder of the test's own."""

    def made(*paths: Path, **options: Any) -> Bundle:
        return seal(paths, tmp_path / "backups", **{"by": "dana", "now": NOW, **options})

    return made
