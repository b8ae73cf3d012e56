"""The sync state by itself: emptied by a plan, and given back exactly (guide §7.3)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Ground
from tests.dialects import one_dialect as one_dialect
from tests.states import differences, state
from workbench.errors import Refused, SchemaGap
from workbench.settings import Settings
from workbench.workbench import Workbench


def opened(club: Ground, home: Path) -> Workbench:
    return Workbench(replace(club.open().session, settings=Settings(operator="dana", home=home)))


def seen(club: Ground) -> dict[str, list[str]]:
    with psycopg.connect(club.url) as connection:
        return state(connection, {"AuditLog"})


def test_it_is_emptied_and_given_back(club: Ground, tmp_path: Path) -> None:
    before = seen(club)
    with opened(club, tmp_path) as wb:
        plan = wb.runs.plan_sync_state()
        assert plan.changes == {"WaSyncState": {"update": 1}}
        assert plan.digest == wb.runs.plan_sync_state().digest
        wb.plans.approve(plan, plan.digest, approver="erin")
        wb.plans.apply(plan)
        with psycopg.connect(club.url) as connection:
            found = connection.execute('SELECT "lastFullSync", "lastIncSync" FROM "WaSyncState"').fetchall()
        assert found == [(None, None)]
        assert set(differences(before, seen(club))) == {"WaSyncState"}
        log = wb.audit.entries(action="migration:sync-state:reset")
        assert log["metadata"].iloc[-1]["records_affected"] == 1
        with pytest.raises(Refused, match="nothing to reset"):
            wb.runs.plan_sync_state()
        back = wb.plans.plan_undo(plan.id)
        wb.plans.approve(back, back.digest, approver="erin")
        wb.plans.apply(back)
    assert differences(before, seen(club)) == {}


def test_a_club_without_one_says_so(club: Ground, tmp_path: Path) -> None:
    club.execute('DROP TABLE "WaSyncState"')
    with opened(club, tmp_path) as wb, pytest.raises(SchemaGap, match="WaSyncState"):
        wb.runs.plan_sync_state()
    assert not list(tmp_path.rglob("*.plan"))
