"""The safety backup: the database that is to be replaced, dumped as it is (guide §3, level 2, action 2)."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime

from psycopg.conninfo import make_conninfo

from workbench.checkpoints.archive import failure
from workbench.checkpoints.restore.cluster import Cluster
from workbench.database.tools import plain_english, tool_for
from workbench.errors import WorkbenchError
from workbench.settings import Settings


def bare_dump(cluster: Cluster, settings: Settings) -> str:
    """Dump a database that is not Murmurant's any more: without a manifest, but whole."""
    folder = settings.backups
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"pre_restore_{datetime.now(UTC):%Y%m%d_%H%M%S}.dump"
    part = path.with_name(f".{path.name}.part")
    parameters = cluster.parameters(cluster.live)
    with cluster.connect(cluster.live) as connection:
        version = connection.info.parameter_status("server_version") or ""
    tool = tool_for("pg_dump", version, settings.client_tools, parameters)
    secret = {"PGPASSWORD": parameters.pop("password")} if "password" in parameters else {}
    command = [str(tool.path), "-Fc", f"--file={part}", make_conninfo("", **parameters)]
    done = subprocess.run(command, capture_output=True, env=plain_english(**secret), check=False)
    if done.returncode:
        part.unlink(missing_ok=True)
        raise WorkbenchError(
            f"The safety backup of {cluster.live} could not be made: {cluster.redacted(RuntimeError(failure(done.stderr)))}."
        )
    part.replace(path)
    return str(path)
