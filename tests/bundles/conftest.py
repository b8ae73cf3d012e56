"""An import's files as an importer leaves them, small, and a way to seal them."""

from __future__ import annotations

import json
from collections import Counter
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
    counts = Counter("errors" if record.get("_errors") else record["_action"] for record in records)
    return {
        "totalRows": len(records), "parsed": len(records), "created": counts["create"], "updated": counts["update"],
        "skipped": counts["skip"], "errors": counts["errors"], "records": records, "file": f"exports/{file}",
    }  # fmt: skip


def csv_report(run: str = LIVE, *, dry: bool = False, members: list[Content] | None = None) -> Content:
    """Return a full report of the CSV importer: three members, an event, a registration."""
    people = [member(number) for number in (1, 2, 3)] if members is None else members
    events = [
        {"title": "Evening 1", "startTime": "2025-01-10T18:00:00.000Z", "endTime": "2025-01-10T20:00:00.000Z",
         "_waId": "EVT001", "_action": "create", "_murmurantId": "e-1"},
    ]  # fmt: skip
    seats = [
        {"memberId": "m-1", "eventId": "e-1", "status": "CONFIRMED", "registeredAt": "2025-01-02T00:00:00.000Z",
         "_waId": "REG0001", "_action": "create", "_murmurantId": "r-1"},
    ]  # fmt: skip
    if dry:
        for record in [*people, *events, *seats]:
            record["_murmurantId"] = f"dry-{record['_murmurantId']}"
    sections = {
        "members": section(people, "wa-members-export.csv"),
        "events": section(events, "wa-events-export.csv"),
        "registrations": section(seats, "wa-registrations-export.csv"),
    }
    total = {
        name: sum(part[name] for part in sections.values())
        for name in ("created", "updated", "skipped", "errors")
    }
    return {
        "runId": run, "startedAt": "2026-11-22T17:18:37.338Z", "dryRun": dry,
        "config": {"source": "wild-apricot", "target": "murmurant", "version": "1.0"},
        "summary": {"totalRecords": sum(total.values()), **total, "duration_ms": 2020},
        **sections,
        "errors": [
            {"entity": "member", "waId": person["_waId"], "message": person["_errors"][0]}
            for person in people if person.get("_errors")
        ],
        "idMapping": {
            "members": [pair(person, "email") for person in people if person["_murmurantId"]],
            "events": [pair(event, "title") for event in events],
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
    sections = {}
    for name in ("members", "events"):
        mappings = [
            {"waId": row["waId"], "murmurantId": row["murmurantId"], "identifier": "x"}
            for row in full["idMapping"][name]
        ]
        missing = [record["_waId"] for record in full[name]["records"] if record.get("_errors")]
        total = len(full[name]["records"])
        counts = {"total": total, "mapped": len(mappings), "missing": len(missing), "duplicates": 0}
        sections[name] = {
            "mappings": mappings,
            "counts": counts,
            "duplicateWaIds": [],
            "missingWaIds": missing,
        }
    return {"runId": full["runId"], "generatedAt": full["completedAt"], "dryRun": full["dryRun"], **sections}


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
    reports, full = folder / "reports", csv_report()
    put(reports / "migration-live-2026-11-22T17-18-39-363Z-full.json", full)
    put(reports / "migration-live-2026-11-22T17-18-39-363Z.json", summary_of(full))
    put(reports / "id-map-live-2026-11-22T17-18-39-363Z.json", id_map_of(full))
    put(reports / "migration-dry-run-2026-11-22T17-18-36-215Z-full.json", csv_report(DRY, dry=True))
    texts = {
        "exports/wa-members-export.csv": "Contact ID,Email\nWA001,hiro1@example.com\nWA002,hiro2@example.com\nWA003,\n",
        "exports/wa-events-export.csv": "Event ID,Event name\nEVT001,Evening 1\n",
        "exports/wa-registrations-export.csv": "Registration ID,Contact ID,Event ID\nREG0001,WA001,EVT001\n",
        "membership.yaml": "membership_status_mapping:\n  _default: PROSPECT\n",
        "dry_run_20261122_171836.log": "Would create 3 members\n",
    }
    (folder / "exports").mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def sealed(tmp_path: Path) -> Seal:
    """Seal files into a folder of the test's own."""

    return lambda *paths, **options: seal(paths, tmp_path / "backups", by="dana", now=NOW, **options)
