"""The SQL of docs/audit.md, as psql runs it: old entries go into a file, and come back out of it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.audit.conftest import log
from tests.conftest import Ground
from workbench.database.embedded import client_tools

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def psql(ground: Ground, folder: Path, statements: str) -> None:
    subprocess.run(
        [client_tools() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", ground.url],
        input=statements,
        text=True,
        cwd=folder,
        env=os.environ,
        check=True,
    )


@pytest.mark.parametrize("dialect", ["application"])
def test_old_entries_are_exported_and_deleted_and_brought_back(ground: Ground, tmp_path: Path) -> None:
    (script,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    old, young = log(ground, odd="\\ \"'\n"), log(ground)
    ground.execute("""UPDATE "AuditLog" SET "createdAt" = now() - interval '25 months' WHERE id = %s""", old)
    before = rows(ground)
    psql(ground, tmp_path, script)
    after = rows(ground)
    assert old not in after
    assert young in after
    file = tmp_path / "audit_older_than_two_years.csv"
    psql(ground, tmp_path, f"""\\copy "AuditLog" FROM '{file.name}' WITH (FORMAT csv, HEADER)""")
    assert rows(ground) == before


def rows(ground: Ground) -> dict[str, str]:
    return dict(ground.ask('SELECT id::text, t::text FROM "AuditLog" t'))
