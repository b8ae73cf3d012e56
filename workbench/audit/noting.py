"""A verdict as a document: to be kept elsewhere, and held against the chain at the next verification."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.audit.links import Link
from workbench.audit.verifying import Noted, Verdict
from workbench.errors import UsageError


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain values, its ``head`` being what `read_noted` takes up."""
    return {
        "status": verdict.status,
        "entries": verdict.entries,
        "since": _place(verdict.first),
        "head": _place(verdict.last),
        "pruned": _pruned(verdict.pruned),
        "restores": [
            {**_place(each), "backup_file": each.facts.get("backup_file")} for each in verdict.restores
        ],
        "unchained": verdict.unchained,
        "breaks": [
            {"kind": each.kind, "number": each.number, "entry": each.entry, "what": each.what}
            for each in verdict.breaks
        ],
        "open": list(verdict.open),
    }


def read_noted(path: Path) -> Noted:
    """Read where the chain ended, as an earlier ``workbench audit verify --json`` told it.

    Raises
    ------
    UsageError
        When the file cannot be read as such.
    """
    try:
        head = json.loads(path.read_text(encoding="utf-8"))["head"]
        number, seal, at = head["number"], head["hash"], head["at"]
        moment = datetime.fromisoformat(at) if at is not None else None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _no_note(path) from None
    if type(number) is not int or not isinstance(seal, str) or (moment and moment.tzinfo):
        raise _no_note(path)
    return Noted(number, seal, moment)


def _no_note(path: Path) -> UsageError:
    return UsageError(
        f"{path} does not say where the audit chain ended.",
        "Give what `workbench audit verify --json` wrote earlier, when there were entries.",
    )


def _place(link: Link | None) -> dict[str, Any]:
    if link is None:
        return {}
    return {"number": link.number, "hash": link.hash, "at": link.at, "entry": link.entry}


def _pruned(link: Link | None) -> dict[str, Any] | None:
    if link is None:
        return None
    told = {name: link.facts.get(name) for name in ("through", "cutoff", "export_file", "plan")}
    return {**_place(link), **told}
