"""The files that importers leave on disk, in the formats that Murmurant's own write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.demo.history import Run

Record = dict[str, Any]

MOST_RECORDS = 20_000
"""How many records one section of a report lists; past it the report says it is truncated."""

CSV_CONFIG = {"source": "wild-apricot", "target": "murmurant", "version": "1.0"}
GUIDE_CONFIG = {**CSV_CONFIG, "file": "membership.yaml"}

_SECTIONS = {"members": "Member", "events": "Event", "registrations": "Registration"}
_IDENTIFIERS = {"members": "email", "events": "title"}


def iso(moment: datetime) -> str:
    """Write a moment as JavaScript does."""
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def _write(path: Path, content: Mapping[str, Any], *, roomy: bool = True) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2 if roomy else None), encoding="utf-8")


def write_api_report(
    imports: Path,
    run: Run,
    *,
    mapped_events: int,
    unmapped: Iterable[int] = (),
    unfetched: Iterable[int] = (),
) -> Path:
    """Write an API sync's ``wa_full_sync_report``.

    Parameters
    ----------
    mapped_events : int
        Events the run found or made a mapping for.
    unmapped, unfetched : iterable of int
        WA ids of events it knew no mapping of (every new one, in a dry run), and of those whose
        registrations it failed to fetch. A sync that loses its source still says success.
    """
    skipped, failed = list(unmapped), list(unfetched)
    stats: dict[str, dict[str, int]] = {}
    for section, entity in _SECTIONS.items():
        count = run.counts[entity]
        stats[section] = {
            "created": count["created"],
            "updated": count["updated"],
            # The sync does not count what it only mapped apart from what it left alone.
            "skipped": count["existing"] + count["mapped"],
            "errors": 0,
        }
    fetched = {section: sum(counts.values()) for section, counts in stats.items()}
    upserted = stats["registrations"]["created"] + stats["registrations"]["updated"]
    path = imports / f"wa_full_sync_report-{run.run}.json"
    _write(
        path,
        {
            "version": 1,
            "runId": run.run,
            "startedAt": iso(run.started),
            "finishedAt": iso(run.finished),
            "durationMs": (run.finished - run.started) // timedelta(milliseconds=1),
            "success": True,
            "dryRun": run.mode == "dry",
            "fetched": {
                "contacts": fetched["members"],
                "events": fetched["events"],
                "registrations": fetched["registrations"],
            },
            "warnings": [],
            "stats": stats,
            "registrationDiagnostics": {
                "eventsProcessed": fetched["events"],
                "eventsSkippedUnmapped": len(skipped),
                "registrationFetchCalls": mapped_events,
                "registrationsFetchedTotal": fetched["registrations"],
                "registrationsTransformedOk": fetched["registrations"],
                "registrationsSkippedMissingEvent": 0,
                "registrationsSkippedMissingMember": 0,
                "registrationsSkippedTransformError": 0,
                "registrationsUpserted": upserted if run.mode == "live" else 0,
                "topSkipReasons": [
                    *({"reason": f"Event {event} not mapped", "count": 1} for event in skipped[:10]),
                    *({"reason": f"Fetch error for event {event}", "count": 1} for event in failed[:10]),
                ],
            },
            "errors": [],
            "totalErrorCount": 0,
        },
    )
    return path


def write_listing(
    imports: Path, run: Run, config: Mapping[str, str], records: Mapping[str, Iterable[Record]]
) -> tuple[Path, ...]:
    """Write the three files of the CSV importer's format: summary, full listing and id map.

    Parameters
    ----------
    records : mapping of str to iterable of dict
        Section (``members``, ``events``, ``registrations``) to its records in the order of the
        source, each with ``_waId``, ``_action`` and ``_murmurantId``. At most `MOST_RECORDS` of a
        section are listed; the counts are those of the run.
    """
    sections: dict[str, dict[str, Any]] = {}
    listed: dict[str, list[Record]] = {}
    for section, entity in _SECTIONS.items():
        count = run.counts[entity]
        total = sum(count.values())
        rows = [
            {"_sourceRow": row, **each} for row, each in enumerate(islice(records[section], MOST_RECORDS), 2)
        ]
        listed[section] = rows
        sections[section] = {
            "totalRows": total,
            "parsed": total,
            "created": count["created"],
            "updated": count["updated"],
            "skipped": count["existing"] + count["mapped"],
            "errors": 0,
            **({"truncated": True} if len(rows) < total else {}),
        }
    totals = {name: sum(s[name] for s in sections.values()) for name in ("created", "updated", "skipped")}
    head = {
        "runId": run.run,
        "startedAt": iso(run.started),
        "dryRun": run.mode == "dry",
        "config": dict(config),
        "summary": {
            "totalRecords": sum(totals.values()),
            **totals,
            "errors": 0,
            "duration_ms": (run.finished - run.started) // timedelta(milliseconds=1),
        },
        **({"truncated": True} if any("truncated" in s for s in sections.values()) else {}),
    }
    pairs = {
        section: [(each["_waId"], each["_murmurantId"], each[name]) for each in listed[section]]
        for section, name in _IDENTIFIERS.items()
    }
    tail = {
        "errors": [],
        "idMapping": {
            section: [
                {"waId": wa_id, "murmurantId": record, _IDENTIFIERS[section]: identifier}
                for wa_id, record, identifier in each
            ]
            for section, each in pairs.items()
        },
        "completedAt": iso(run.finished),
    }
    files = {section: f"exports/wa-{section}-export.csv" for section in _SECTIONS}

    def body(listing: Mapping[str, Any]) -> dict[str, Any]:
        whole = {s: {**sections[s], "records": listing[s], "file": files[s]} for s in _SECTIONS}
        return {**head, **whole, **tail}

    kind = "dry-run" if run.mode == "dry" else "live"
    when = iso(run.finished).replace(":", "-").replace(".", "-")
    id_map = {
        section: {
            "mappings": [
                {"waId": wa_id, "murmurantId": record, "identifier": identifier}
                for wa_id, record, identifier in each
            ],
            "counts": {"total": len(each), "mapped": len(each), "missing": 0, "duplicates": 0},
            "duplicateWaIds": [],
            "missingWaIds": [],
        }
        for section, each in pairs.items()
    }
    contents = {
        f"migration-{kind}-{when}.json": body({s: f"[{len(rows)}]" for s, rows in listed.items()}),
        f"migration-{kind}-{when}-full.json": body(listed),
        f"id-map-{kind}-{when}.json": {
            "runId": run.run,
            "generatedAt": iso(run.finished),
            "dryRun": run.mode == "dry",
            **id_map,
        },
    }
    # Indented to be read by people, unless nobody would: that is a third of a large file, and of the time.
    roomy = sum(map(len, listed.values())) <= 5000
    for name, content in contents.items():
        _write(imports / name, content, roomy=roomy)
    return tuple(imports / name for name in contents)
