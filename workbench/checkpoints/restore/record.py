"""The record of a restore's progress: a file beside the request, flushed before and after every step.

What it says and what stands in the cluster (the databases' numbers) together tell where a restore stopped that
was killed. It is written whole under another name and renamed: it is never half there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workbench.checkpoints.restore.request import PREFIX
from workbench.errors import DocumentError, Refused, WorkbenchError

SUFFIX = ".progress.json"

UNDER_WAY, DONE, ABANDONED, FAILED = "under way", "done", "abandoned", "failed"


@dataclass
class Record:
    """How far a restore has come.

    Attributes
    ----------
    request, approval : str
        The request's id, and the number of the approval that let it begin.
    approved_by, operator : str
        Who approved, who carries it out.
    live : str
        The name of the database that is replaced.
    environment : str
        The environment's name.
    outcome : str
        ``under way``, ``done``, ``abandoned`` or ``failed``.
    done : list of str
        The steps that are done, in order.
    facts : dict
        What later steps need to know, and what is told in the end.
    """

    path: Path
    request: str
    approval: str
    approved_by: str
    operator: str
    live: str
    environment: str
    outcome: str = UNDER_WAY
    done: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def swapped(self) -> bool:
        """Whether what was restored has become the live database, as far as the record knows."""
        return bool({"swap", "replace"} & set(self.done))

    def note(self, **facts: Any) -> None:
        """Remember facts, on disk before anything else happens."""
        self.facts |= facts
        self.save()

    def finish(self, step: str, **facts: Any) -> None:
        """Remember that a step is done."""
        if step not in self.done:
            self.done.append(step)
        self.note(**facts)

    def save(self) -> None:
        """Write it under a temporary name, flush, rename, flush the folder."""
        part = self.path.with_name(f".{self.path.name}.part")
        facts = {key: value for key, value in asdict(self).items() if key != "path"}
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(facts, file, ensure_ascii=False, indent=1, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise WorkbenchError(
                f"The progress of the restore could not be written to {self.path}: {error.strerror}.",
                "Make room there. `workbench snapshot restore --resume` goes on, --abandon gives up.",
            ) from None


def record_beside(request: Path, id: str) -> Path:
    """Return where the record of a request lies."""
    return request.with_name(f"{id}{SUFFIX}")


def read_record(path: Path) -> Record | None:
    """Return a record; None when there is none; `DocumentError` when it cannot be read."""
    try:
        return Record(path=path, **json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise DocumentError(
            f"The record of a restore's progress, {path}, cannot be read: {type(error).__name__}.",
            "The databases' comments on the server say what it made; drop what is half made by hand.",
        ) from None


def records(folder: Path) -> list[Record]:
    """Return every record, by name."""
    found = (read_record(path) for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")))
    return [each for each in found if each is not None]


def interrupted(found: Sequence[Record], environment: str, name: str | None = None) -> Record:
    """Return the one restore of an environment that is neither done nor given up.

    Raises
    ------
    Refused
        When there is none, or more than one and none was named.
    """
    open_ = [
        each
        for each in found
        if each.outcome == UNDER_WAY and each.environment == environment and name in (None, each.request)
    ]
    if len(open_) == 1:
        return open_[0]
    if not open_:
        raise Refused(f"No restore of {environment} was interrupted.", "There is nothing to go on with.")
    raise Refused(
        f"{len(open_)} restores of {environment} were interrupted: {', '.join(each.request for each in open_)}.",
        "Name the one that is meant.",
    )
