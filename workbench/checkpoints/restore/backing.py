"""The safety backup: the database that is to be replaced, dumped as it is (guide §3, level 2, action 2)."""

from __future__ import annotations

from datetime import UTC, datetime

from workbench.checkpoints.restore.cluster import Cluster
from workbench.database.connection import SPELLING, WITHOUT_LIMITS
from workbench.database.programs import failure, program_for
from workbench.errors import WorkbenchError
from workbench.settings import Settings


def bare_dump(cluster: Cluster, settings: Settings) -> str:
    """Dump a database that is not Murmurant's any more: without a manifest, but whole."""
    folder = settings.backups
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"pre_restore_{datetime.now(UTC):%Y%m%d_%H%M%S}.dump"
    part = path.with_name(f".{path.name}.part")
    live = cluster.at(cluster.live)
    parameters = live.address.parameters(f"{WITHOUT_LIMITS}{SPELLING}")
    with live.session() as connection:
        version = connection.info.parameter_status("server_version") or ""
    program = program_for("pg_dump", version, settings.client_tools, parameters)
    done = program.run("--format=custom", f"--file={part}", to=parameters)
    if done.returncode:
        part.unlink(missing_ok=True)
        raise WorkbenchError(
            f"The safety backup of {cluster.live} could not be made: {live.redacted(failure(done.stderr))}."
        )
    part.replace(path)
    return str(path)
