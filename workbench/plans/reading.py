"""Read a plan file: its header, and where its sections lie; never its rows."""

from __future__ import annotations

import hashlib
import json
import mmap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.audit import Noted
from workbench.errors import PlanError
from workbench.plans.plan import END, NOTES, OPERATIONS, VERSION, Header, Plan, Section, Target


def read_plan(path: Path) -> Plan:
    """Read a plan file: its header, and where its sections lie.

    Raises
    ------
    PlanError
        When it cannot be read, is something else, cut short, or of a later version.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not path.stat().st_size:
                raise PlanError(f"The plan {path} is empty.", "Plan again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                header, sections = _parse(path, content)
    except OSError as error:
        raise PlanError(
            f"The plan {path} cannot be read: {error.strerror}.", "`workbench plans` lists the plans."
        ) from None
    return Plan(path, digest, header, sections)


def _parse(path: Path, content: mmap.mmap) -> tuple[Header, tuple[Section, ...]]:
    first = _line(content)
    if not isinstance(first, dict) or "workbench_plan" not in first:
        raise PlanError(f"{path} is not a plan of the workbench.", "`workbench plans` lists the plans.")
    version = first.pop("workbench_plan")
    if version != VERSION:
        raise PlanError(
            f"The plan {path} is of version {version}; this workbench reads version {VERSION}.",
            "Use the version of the workbench that made it, or plan again.",
        )
    try:
        header = Header(
            **{
                **first,
                **{name: tuple(first[name]) for name in ("reasons", "evidence", "notes", "audit")},
                "target": Target(**first["target"]),
                "log": Noted(**first["log"]) if first["log"] else None,
            }
        )
        sections = []
        while isinstance(line := _line(content), dict) and "section" in line:
            start = content.tell()
            at = start if content[start : start + len(END)] == END else content.find(b"\n" + END, start) + 1
            if at <= 0:
                raise _cut_short(path)
            content.seek(at + len(END))
            sections.append(_section(line, start, at))
        if (
            not isinstance(line, dict)
            or line.get("end") != "workbench_plan"
            or content.tell() != len(content)
        ):
            raise _cut_short(path)
        counts = line["rows"]
        if len(counts) != len(sections):
            raise _cut_short(path)
        whole = (
            Section(**{**asdict(each), "rows": int(n)}) for each, n in zip(sections, counts, strict=True)
        )
        return header, tuple(whole)
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError(
            f"The plan {path} is damaged: {type(error).__name__} at {error}.", "Plan again."
        ) from None


def _section(line: dict[str, Any], start: int, stop: int) -> Section:
    name = line["section"]
    if name in NOTES:
        return Section(name, start=start, stop=stop)
    if name not in OPERATIONS:
        raise ValueError(f"section {name!r}")
    key, changed, seen = (tuple(map(str, line.get(each, ()))) for each in ("key", "changed", "seen"))
    return Section(name, str(line["table"]), key, changed, seen, start=start, stop=stop)


def _line(content: mmap.mmap) -> Any:
    try:
        return json.loads(content.readline())
    except (ValueError, RecursionError):
        return None


def _cut_short(path: Path) -> PlanError:
    return PlanError(f"The plan {path} is cut short or was edited.", "Plan again.")
