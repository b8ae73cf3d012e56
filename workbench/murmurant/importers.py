"""What each kind of import leaves behind, and how strong each trace is.

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
from workbench.murmurant.spellings import ENTITIES

if TYPE_CHECKING:
    from workbench.murmurant.reports import ImportReport

Counts = dict[str, dict[str, int]]
"""Entity to action to count."""

ACTIONS = ("created", "updated", "mapped", "existing", "unlinked", "refused", "skipped")
"""What a run did with a record, most telling first.

The importers call the last four *skipped*. An ``existing`` record was there and left as it is. ``unlinked``: no member
or event for it. ``refused``: the importer could not take it. ``skipped``: it is not known which of these.
"""

SYNCS = ("full", "incremental")
"""What a sync may fetch, as ``metadata.mode`` of its audit rows says."""

MIGRATION_PREFIX = "migration:"
"""How the guide's audit actions begin (§5.1)."""

ROLLBACK_ACTION = "UNDO"
"""What a rollback is logged as where the audit log's action is the application's enum."""

ROLLED_BACK, UNDONE, REDONE = "migration:rollback:level1", "migration:undone", "migration:redone"
"""Guide §5.1's entry for a rolled back run; and ours for a plan that was taken back, and taken back again."""

MAPPING_CORRECTED, MERGED = "migration:mapping:corrected", "migration:duplicates:merged"
"""Guide §4.2's entry for a corrected mapping; and ours for merged duplicates, in the spirit of §5.1, which names none."""

RESTORED = "migration:rollback:level2"
"""Guide §5.1's entry for a snapshot that was restored."""

REPLAYED = "migration:replayed"
"""The entry for what was put back after a restore (guide §3, level 2)."""

POLICY_CORRECTED = "migration:policy:corrected"
"""The entry for what was corrected by one of the organisation's rules."""

BUNDLE_SEALED = "migration:bundle:sealed"
DRY_RUN_REVIEWED, DRY_RUN_PRUNED = "migration:dry-run:reviewed", "migration:dry-run:pruned"
"""Guide §2.3: a bundle's digest belongs in the audit log. And §6: somebody read a dry run and approves of it."""
MAPPINGS_REBUILT = "migration:mapping:rebuilt"
"""The entry for mappings that were put back after they were lost."""

SYNC_STATE_RESET = "migration:sync-state:reset"
"""The entry for a reset of the sync state by itself (guide §7.3)."""

SYNC_STATE_WAS = "sync_state"
"""In the entry of whatever emptied the sync state: the moments that were in it."""

EMPTIED = (
    "The sync state is emptied. Run a full sync next (npx tsx scripts/importing/wa_full_sync.ts): only that fetches"
    " everything, an incremental sync only recent changes."
)

IMPORT_SOURCE = "wa_import"
"""``metadata.source`` of the API sync's audit rows."""


class Strength(IntEnum):
    """How far a trace can be trusted to tie a record to a run.

    ``certain``: the record or its audit row names the run. ``strong``: a report file of the run
    names the record. ``likely``: its mapping was written within the run's time window, or it was
    made there and an error of the run names it. ``weak``: only its own timestamp lies there.
    """

    weak = 1
    likely = 2
    strong = 3
    certain = 4

    @classmethod
    def named(cls, word: str) -> Strength:
        """Return a strength by its name; `UsageError` for a word that is none."""
        if word not in cls.__members__:
            raise unknown("strength of evidence", word, cls.__members__)
        return cls[word]


class Trace(StrEnum):
    """Where evidence comes from."""

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

# What an interrupted sync says of itself while it also says success.
_FETCH_TROUBLE = re.compile(
    r"fetch error|timed? ?out|timeout|ECONN|socket hang up|network|rate limit|too many requests|abort|\b429\b|\b50[234]\b",
    re.IGNORECASE,
)


def importer_of(run_id: str) -> str:
    """Tell which importer gives out ids of this form: ``api``, ``csv`` or ``guide``."""
    if _API_RUN.match(run_id):
        return "api"
    return "csv" if _UUID.match(run_id) else "guide"


def start_in_run_id(run_id: str) -> datetime | None:
    """Return the start that an API sync writes into its run id (UTC, without zone), if it does."""
    match = _API_RUN.match(run_id)
    if match is None:
        return None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(match.group(1)))
    return moment.replace(tzinfo=None)


def is_fetch_trouble(reason: str) -> bool:
    """Whether a skip reason speaks of a source that could not be reached, not of the record."""
    return _FETCH_TROUBLE.search(reason) is not None


class ReportWarning(NamedTuple):
    """What an importer warns of: ``code``, ``severity`` (``high``, ``medium``, ...) and ``message``, as it wrote them."""

    code: str
    severity: str
    message: str

    @property
    def high(self) -> bool:
        """Whether the importer itself doubts its run."""
        return self.severity.lower() in {"high", "critical", "error", "fatal"}


class Problem(NamedTuple):
    """One record that the importer gave up on, as it lists it.

    Attributes
    ----------
    entity : str
        Empty, or the importer's own word, where it names none of ours.
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
        """The message in one line: of a long one the last, which says what was wrong."""
        lines = [line.strip() for line in self.message.splitlines() if line.strip()]
        return lines[-1] if lines else "no reason given"


@dataclass
class Run:
    """One execution of an importer, put together from its traces. Times are UTC, without zone.

    Attributes
    ----------
    status : {"completed", "incomplete", "failed", "interrupted", "unknown"}
        By evidence; `why` says by which. ``incomplete``: it reached its end, and its report warns gravely, or it
        fetched far less than it should have.
    traced : dict of str to dict of str to int
        Entity to action to count, as rows of the database or records of a full report show it.
    reported : dict of str to dict of str to int
        The same as the importer counted it.
    traces : dict of Trace to int
        What ties records to the run, and how many there are of each.
    config, files : dict
        What it recorded of its configuration; entity to the export file that it read.
    rollbacks : dict of str to dict
        The rollbacks that the audit log tells of and nobody took back (guide §5.1), in order: ``plan`` (None where
        the entry names none), ``at`` and ``by``, by the plan or the moment.
    short : dict of str to str
        Entity to what the run fetched far too little of, in words.
    last_trace : datetime or None
        The latest moment the run is known to have written something.
    sync : {"full", "incremental", ""}
        What a sync fetched: everything, or what changed; empty for a CSV import, and where nothing says it.
    superseded_by : str
        The later sync that fetched whatever this incremental one may have missed; empty where none did.
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
        """Whether a rollback of it stands: then its records are gone rightly."""
        return bool(self.rollbacks)

    @property
    def rollback(self) -> dict[str, Any] | None:
        """The last rollback of it that stands: ``plan`` (None for one by hand), ``at`` and ``by``."""
        return next(reversed(self.rollbacks.values()), None)

    @property
    def rolled_back_at(self) -> datetime | None:
        """When that was."""
        return self.rollback["at"] if self.rollback else None

    @property
    def became(self) -> str:
        """What became of it, in words; empty where it was not rolled back."""
        last = self.rollback
        if last is None:
            return ""
        by = f"plan {last['plan']}" if last["plan"] else last["by"] or "hand"
        return f"rolled back by {by}, {last['at']:%Y-%m-%d %H:%M} UTC"

    @property
    def counts(self) -> Counts:
        """Entity to action to count: traced where there is a trace, else as reported."""
        return merged_counts(self.traced, self.reported)

    @property
    def warnings(self) -> tuple[ReportWarning, ...]:
        """What its reports warn of, each once."""
        return tuple(dict.fromkeys(warning for report in self.reports for warning in report.warnings))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every record that its reports say it gave up on, each once; an id map's only where nothing else names it."""
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
        """Keys of its reports that nobody reads: the file's name and the key."""
        return tuple((report.path.name, key) for report in self.reports for key in report.unread)

    @property
    def duration(self) -> float | None:
        """Seconds from start to finish, where both are known."""
        if self.started is None or self.finished is None:
            return None
        return (self.finished - self.started).total_seconds()

    @property
    def evidence(self) -> str:
        """Where the evidence comes from, in words."""
        return ", ".join(
            f"{trace} ({count})" if count else str(trace) for trace, count in self.traces.items()
        )

    def saw(self, trace: Trace, count: int = 0) -> None:
        """Note a trace of this run."""
        self.traces[trace] = self.traces.get(trace, 0) + count


def merged_counts(traced: Counts, reported: Counts) -> Counts:
    """Combine counts cell by cell: what was traced, and where nothing was, what was reported."""
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
