"""Whether the server's disks have room for a second copy of a database: one that is full stops for everybody."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from workbench.checkpoints.manifest import Manifest
from workbench.checkpoints.restore.cluster import Cluster, Session, Standing
from workbench.errors import Refused

_MORE = 1.1  # than the database's size

_FACTS = """
    SELECT coalesce((SELECT pg_database_size(oid) FROM pg_database WHERE oid = %(live)s), 0),
        pg_size_bytes(current_setting('max_wal_size')),
        CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END,
        pg_tablespace_location(dattablespace)
    FROM pg_database WHERE oid = %(live)s OR (%(live)s = 0 AND datname = 'template0')
"""


def refuse_without_room(cluster: Cluster, beside: Session, live: Standing | None, manifest: Manifest) -> str:
    """Refuse when there is no room for a second copy, and for the log that is written with it.

    Both ways of restoring need that much: also in place nothing of the old is freed before the commit.

    Returns
    -------
    str
        A note where nobody can tell; empty where there is room.
    """
    row = beside.execute(_FACTS, {"live": live.oid if live else 0}).fetchone()
    data, elsewhere = (row[2], row[3]) if row else (None, None)
    if row is None or data is None or not cluster.database.address.on_this_machine or not Path(data).is_dir():
        return "Whether there is room for a second database on the server could not be asked."
    size = int(max(row[0], manifest.database_size or manifest.size * 4) * _MORE)
    needed: dict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    log = Path(data, "pg_wal")
    for folder, much in ((Path(elsewhere or data), size), (log, min(size, row[1]))):
        disk, known = next(_seen(folder, Path(data)))
        needed[disk] += much
        folders.setdefault(disk, known)
    for disk, much in needed.items():
        if (free := shutil.disk_usage(folders[disk]).free) < much:
            raise Refused(
                f"There is no room on the server for a second database: {free / 1e6:,.0f} MB are free,"
                f" {much / 1e6:,.0f} MB are needed, for it and the log that is written with it.",
                "Make room there first: a disk that is full can stop the whole server.",
            )
    return ""


def _seen(*folders: Path) -> Iterator[tuple[int, Path]]:
    """Yield the disks of folders; what only the server's own user may look into is passed over."""
    for each in folders:
        try:
            yield each.stat().st_dev, each
        except OSError:
            continue
