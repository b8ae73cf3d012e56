"""The output of an incremental sync, which writes no report file."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from workbench.murmurant.importers import ENTITY_WORDS, Problem, ReportWarning, read_moment
from workbench.murmurant.spellings import EVENT, MEMBER, REGISTRATION

_ENTITIES = {"members": MEMBER, "events": EVENT, "registrations": REGISTRATION}
_LOG_LINE = re.compile(r"^\[WA-IMPORT\] \[(INFO|WARN|ERROR)\] ?")
_COUNTS_LINE = re.compile(
    r"^[\s-]*(Members|Events|Registrations):\s+(\d+) created, (\d+) updated(?:, (\d+) skipped)?(?:, (\d+) errors)?\s*$"
)
_FETCHED = re.compile(r"^[\s-]*Found (\d+) (?:changed )?(contacts|events)\s*$")
_FAILURE = re.compile(r"^\s*- (\w+) WA#(\S+?): ?(.*)$")
_BOXED = re.compile(r"^║ \[(\w+)\s*\] (\S+)")
_ALL_UNCHANGED = re.compile(r"upserted 0\. Top skip reasons: unknown$")
"""The warning of a sync that wrote no registration and has no reasons: all registrations were unchanged."""

_SOURCES = {"contacts": MEMBER, "events": EVENT}


def read_output(text: str) -> dict[str, Any] | None:
    """Read the output of an incremental sync as the fields of an `ImportReport`.

    Returns
    -------
    dict or None
        ``mode``, ``sync``, ``started``, ``finished``, ``success``, ``counts``, ``errors``, ``fetched``, ``warnings``,
        ``problems``; None for other output, and for a sync that did not start.
    """
    logged = []
    for line in text.splitlines():
        match = _LOG_LINE.match(line)
        logged.append((match[1], line[match.end() :].rstrip()) if match else ("", line.rstrip()))
    lines = [line for _, line in logged]
    started = _first(lines, r"^\s*Started:\s+(\S+)")
    mode = _first(lines, r"^\s*Mode:\s+(DRY RUN|LIVE)")
    if not any("Wild Apricot Incremental Sync" in line for line in lines) or not started or not mode:
        return None
    began = read_moment(started)
    ended = _first(lines, r"^\s*Status:\s+(SUCCESS|COMPLETED WITH ERRORS)")
    fatal = _first(lines, r"^\s*(?:FATAL ERROR|Unhandled error):\s*(.*)")
    lasted = _first(lines, r"^\s*Duration:\s+(\d+)s")
    counts: dict[str, dict[str, int]] = {}
    errors: dict[str, int] = {}
    for line in lines:
        if match := _COUNTS_LINE.match(line):
            entity = _ENTITIES[match[1].lower()]
            created, updated, skipped, failed = (int(number or 0) for number in match.groups()[1:])
            counts[entity] = {"created": created, "updated": updated, "skipped": skipped}
            errors[entity] = failed
    warnings = _warnings(logged)
    if any(_ALL_UNCHANGED.search(warning.message) for warning in warnings) and REGISTRATION in counts:
        counts[REGISTRATION]["existing"] = counts[REGISTRATION].pop("skipped")
    return {
        "importer": "api",
        "mode": "dry" if mode == "DRY RUN" else "live",
        "sync": "incremental",
        "started": began,
        "finished": began + timedelta(seconds=int(lasted or 0)) if ended else None,
        "success": False if fatal or ended == "COMPLETED WITH ERRORS" else True if ended else None,
        "counts": counts,
        "errors": errors,
        "fetched": {_SOURCES[m[2]]: int(m[1]) for line in lines if (m := _FETCHED.match(line))},
        "warnings": warnings,
        "problems": _problems(lines, fatal),
    }


def _first(lines: list[str], pattern: str) -> str:
    return next((match[1].strip() for line in lines if (match := re.match(pattern, line))), "")


def _warnings(logged: list[tuple[str, str]]) -> tuple[ReportWarning, ...]:
    """Return the warnings in boxes, and the lines that were logged as warnings or errors."""
    warnings: list[ReportWarning] = []
    boxed = False
    for level, line in logged:
        if match := _BOXED.match(line):
            warnings.append(ReportWarning(match[2], match[1].lower(), ""))
            boxed = True
        elif boxed and line.startswith("║ "):
            last = warnings[-1]
            warnings[-1] = last._replace(message=f"{last.message}{line[4:]}")
        elif level in ("WARN", "ERROR"):
            warnings.append(ReportWarning("LOG", "high" if level == "ERROR" else "medium", line.strip()))
        else:
            boxed = False
    return tuple(dict.fromkeys(warnings))


def _problems(lines: list[str], fatal: str) -> tuple[Problem, ...]:
    problems = [Problem("", None, None, fatal)] if fatal else []
    listing = False
    for line in lines:
        if match := _FAILURE.match(line):
            problems.append(Problem(ENTITY_WORDS.get(match[1].lower(), match[1]), match[2], None, match[3]))
            listing = True
        elif listing and (line.startswith(("===", "  ... and ")) or not line):
            listing = not line and listing  # an importer's message may have empty lines in it
        elif listing:
            problems[-1] = problems[-1]._replace(message=f"{problems[-1].message}\n{line}")
    return tuple(problems)
