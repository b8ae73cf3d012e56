"""The traces of each kind of import, and how strong they are as evidence.

============  ==========================  ===========================================================
importer      run id                      traces
============  ==========================  ===========================================================
``guide``     free text                   run id on mappings and records, ``migration:*`` audit entries
``api``       ``sync_<ms>_<random>``      one audit row per create or update, mappings' ``syncedAt``,
                                          the sync state, ``wa_full_sync_report.json``
``csv``       UUID                        nothing in the database; report files only
============  ==========================  ===========================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.errors import unknown
from workbench.murmurant.spellings import ENTITIES, EVENT, MEMBER, REGISTRATION

if TYPE_CHECKING:
    from workbench.murmurant.reports import ImportReport

Counts = dict[str, dict[str, int]]
"""Entity to action to count."""

ACTIONS = ("created", "updated", "mapped", "existing", "unlinked", "refused", "skipped")
"""What a run did with a record, the most informative first.

The importers call the last four *skipped*. ``existing``: the record existed and was left unchanged. ``unlinked``: it had no
member or event. ``refused``: the importer could not process it. ``skipped``: one of these, unknown which.
"""

SYNCS = ("full", "incremental")
"""What a sync may fetch, by ``metadata.mode`` of its audit rows."""

MIGRATION_PREFIX = "migration:"
"""The prefix of the guide's audit actions (§5.1)."""

ROLLBACK_ACTION = "UNDO"
"""The action of a rollback where the audit log's action is the application's enum."""

ROLLED_BACK, UNDONE, REDONE = "migration:rollback:level1", "migration:undone", "migration:redone"
"""Guide §5.1's entry for a rolled back run; and ours for a plan that was undone, and redone."""

MAPPING_CORRECTED, MERGED = "migration:mapping:corrected", "migration:duplicates:merged"
"""Guide §4.2's entry for a corrected mapping; and ours for merged duplicates, for which the guide has none."""

RESTORED = "migration:rollback:level2"
"""Guide §5.1's entry for a restored snapshot."""

REPLAYED = "migration:replayed"
"""The entry for changes that were replayed after a restore (guide §3, level 2)."""

POLICY_CORRECTED = "migration:policy:corrected"
"""The entry for corrections by an organisation's rule."""

BUNDLE_SEALED = "migration:bundle:sealed"
DRY_RUN_REVIEWED, DRY_RUN_PRUNED = "migration:dry-run:reviewed", "migration:dry-run:pruned"
"""The entries for a sealed bundle (guide §2.3), and for a dry run that was reviewed or pruned (§6)."""
MAPPINGS_REBUILT = "migration:mapping:rebuilt"
"""The entry for rebuilt mappings."""

SYNC_STATE_RESET = "migration:sync-state:reset"
"""The entry for a reset of the sync state (guide §7.3)."""

SYNC_STATE_WAS = "sync_state"
"""The key in an entry for the times of the sync state before it was emptied."""

EMPTIED = (
    "The sync state is emptied. Run a full sync next (npx tsx scripts/importing/wa_full_sync.ts): only that fetches"
    " everything, an incremental sync only recent changes."
)

IMPORT_SOURCE = "wa_import"
"""``metadata.source`` of the API sync's audit rows."""


ENTITY_WORDS = {"member": MEMBER, "contact": MEMBER, "event": EVENT, "registration": REGISTRATION, "eventregistration": REGISTRATION}  # fmt: skip
"""The importers' words for the entities."""


class Strength(IntEnum):
    """How reliably a trace ties a record to a run.

    ``certain``: the record or its audit row names the run. ``strong``: a report of the run names the record. ``likely``: its
    mapping was written during the run, or it was created then and an error of the run names it. ``weak``: only its own
    timestamp is from the time of the run.
    """

    weak = 1
    likely = 2
    strong = 3
    certain = 4

    @classmethod
    def named(cls, word: str) -> Strength:
        """Return a strength by name; `UsageError` for an unknown name."""
        if word not in cls.__members__:
            raise unknown("strength of evidence", word, cls.__members__)
        return cls[word]


class Trace(StrEnum):
    """Sources of evidence."""

    AUDIT = "audit row"
    MAPPING = "run id on mapping"
    RECORD = "run id on record"
    REPORT = "report file"
    WINDOW = "time window"
    ERROR = "error in report"
    TIME = "own time"
    SYNC_STATE = "sync state"
    MIGRATION = "migration entry"


STRENGTH = {
    Trace.AUDIT: Strength.certain,
    Trace.MAPPING: Strength.certain,
    Trace.RECORD: Strength.certain,
    Trace.REPORT: Strength.strong,
    Trace.WINDOW: Strength.likely,
    Trace.ERROR: Strength.likely,
    Trace.TIME: Strength.weak,
}

_API_RUN = re.compile(r"^sync_(\d{12,14})_\w+$")
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)

# Skip reasons of an interrupted sync, which reports success all the same.
_FETCH_TROUBLE = re.compile(
    r"fetch error|timed? ?out|timeout|ECONN|socket hang up|network|rate limit|too many requests|abort|\b429\b|\b50[234]\b",
    re.IGNORECASE,
)


def read_moment(value: object) -> datetime:
    """Parse a time into UTC without zone; `ValueError` for anything else."""
    moment = datetime.fromisoformat(str(value))
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def importer_of(run_id: str) -> str:
    """Return the importer whose run ids have this form: ``api``, ``csv`` or ``guide``."""
    if _API_RUN.match(run_id):
        return "api"
    return "csv" if _UUID.match(run_id) else "guide"


def start_in_run_id(run_id: str) -> datetime | None:
    """Return the start in the run id of an API sync (UTC, without zone), if there is one."""
    match = _API_RUN.match(run_id)
    if match is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(match.group(1)))
    return moment.replace(tzinfo=None)


def is_fetch_trouble(reason: str) -> bool:
    """Whether a skip reason is about an unreachable source, not about the record."""
    return _FETCH_TROUBLE.search(reason) is not None


class ReportWarning(NamedTuple):
    """A warning of an importer: ``code``, ``severity`` (``high``, ``medium``, ...) and ``message``."""

    code: str
    severity: str
    message: str

    @property
    def high(self) -> bool:
        """Whether the warning casts doubt on the run."""
        return self.severity.lower() in {"high", "critical", "error", "fatal"}


class Problem(NamedTuple):
    """A record that failed, as the importer lists it.

    Attributes
    ----------
    entity : str
        Empty, or the importer's own word, if it is not one of ours.
    wa_id : str or None
        Wild Apricot's id.
    row : int or None
        The line of the export file.
    message : str
        The importer's reason, whole.
    """

    entity: str
    wa_id: str | None
    row: int | None
    message: str

    @property
    def reason(self) -> str:
        """The last line of the message, which says what was wrong."""
        lines = [line.strip() for line in self.message.splitlines() if line.strip()]
        return lines[-1] if lines else "no reason given"


@dataclass
class Run:
    """An execution of an importer, composed from its traces. Times are UTC without zone.

    Attributes
    ----------
    status : {"completed", "incomplete", "failed", "interrupted", "unknown"}
        By evidence, which `why` names. ``incomplete``: it reached its end, but its report has grave warnings or it fetched
        far too little.
    traced : dict of str to dict of str to int
        Entity to action to count, by rows of the database or records of a full report.
    reported : dict of str to dict of str to int
        The same by the importer's own count.
    traces : dict of Trace to int
        The kinds of evidence, and how much there is of each.
    config, files : dict
        Its configuration; entity to the export file that it read.
    rollbacks : dict of str to dict
        The rollbacks in the audit log that were not undone (guide §5.1), in order: ``plan`` (None if the entry names none),
        ``at`` and ``by``, keyed by plan or time.
    short : dict of str to str
        Entity to a text about far too few records fetched.
    last_trace : datetime or None
        The latest time at which the run is known to have written.
    sync : {"full", "incremental", ""}
        What a sync fetched: everything, or changes; empty for a CSV import, and if unknown.
    superseded_by : str
        A later sync that fetched whatever this incremental one may have missed; empty if there is none.
    """

    run: str
    importer: str
    mode: str = "live"
    sync: str = ""
    operator: str | None = None
    environment: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    last_trace: datetime | None = None
    status: str = "unknown"
    why: str = ""
    traced: Counts = field(default_factory=dict)
    reported: Counts = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    fetched: dict[str, int] = field(default_factory=dict)
    traces: dict[Trace, int] = field(default_factory=dict)
    entries: list[tuple[str, dict[str, Any], datetime]] = field(default_factory=list)
    reports: list[ImportReport] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    rollbacks: dict[str, dict[str, Any]] = field(default_factory=dict)
    superseded_by: str = ""
    short: dict[str, str] = field(default_factory=dict)

    @property
    def rolled_back(self) -> bool:
        """Whether it was rolled back, and that was not undone."""
        return bool(self.rollbacks)

    @property
    def rollback(self) -> dict[str, Any] | None:
        """The last rollback that was not undone: ``plan`` (None if by hand), ``at`` and ``by``."""
        return next(reversed(self.rollbacks.values()), None)

    @property
    def rolled_back_at(self) -> datetime | None:
        """When it was rolled back."""
        return self.rollback["at"] if self.rollback else None

    @property
    def became(self) -> str:
        """A text about its rollback; empty if it was not rolled back."""
        last = self.rollback
        if last is None:
            return ""
        by = f"plan {last['plan']}" if last["plan"] else last["by"] or "hand"
        return f"rolled back by {by}, {last['at']:%Y-%m-%d %H:%M} UTC"

    @property
    def counts(self) -> Counts:
        """Entity to action to count: traced if there are traces, else reported."""
        return merged_counts(self.traced, self.reported)

    @property
    def warnings(self) -> tuple[ReportWarning, ...]:
        """The distinct warnings of its reports."""
        return tuple(dict.fromkeys(warning for report in self.reports for warning in report.warnings))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The distinct failures in its reports; those of an id map only if nothing else names the record."""
        problems = dict.fromkeys(problem for report in self.reports for problem in report.problems)
        named = {(problem.entity, problem.wa_id) for problem in problems}
        missing = dict.fromkeys(pair for report in self.reports for pair in report.missing)
        unpaired = (
            Problem(entity, wa_id, None, "no record is paired with it in the id map")
            for entity, wa_id in missing
            if (entity, wa_id) not in named
        )
        return (*problems, *unpaired)

    @property
    def unread(self) -> tuple[tuple[str, str], ...]:
        """The unknown keys of its reports: file name and key."""
        return tuple((report.path.name, key) for report in self.reports for key in report.unread)

    @property
    def duration(self) -> float | None:
        """Seconds from start to finish, if both are known."""
        if self.started is None or self.finished is None:
            return None
        return (self.finished - self.started).total_seconds()

    @property
    def evidence(self) -> str:
        """A text about the sources of evidence."""
        return ", ".join(
            f"{trace} ({count})" if count else str(trace) for trace, count in self.traces.items()
        )

    def saw(self, trace: Trace, count: int = 0) -> None:
        """Record a trace of this run."""
        self.traces[trace] = self.traces.get(trace, 0) + count


def merged_counts(traced: Counts, reported: Counts) -> Counts:
    """Combine counts cell by cell: traced if there are traces, else reported."""
    merged: Counts = {}
    for entity in ENTITIES:
        cells = dict(reported.get(entity, {}))
        seen = {action: count for action, count in traced.get(entity, {}).items() if count}
        # Importers count a record that was only mapped among those they skipped.
        mapped, skipped = seen.get("mapped", 0), cells.get("skipped", 0)
        existing = max(cells.get("existing", 0) - mapped, seen.get("existing", 0), 0)
        rest = max(cells.get("existing", 0) + skipped - mapped - existing, 0)
        cells.update({"existing": existing} if "existing" in {**cells, **seen} else {})
        cells.update({"skipped": rest} if skipped else {})
        cells.update({action: count for action, count in seen.items() if action != "existing"})
        if cells:
            merged[entity] = cells
    return merged
