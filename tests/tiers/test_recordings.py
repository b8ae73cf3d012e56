"""The tiers of what the application's own importers left: no tier was ever made, statuses tell."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.conftest import Server, database_at
from tests.recorded import STATES, load
from tests.tiers.conftest import RIGHT, Written, mapping_of
from workbench.errors import Refused, UsageError
from workbench.session import Session
from workbench.settings import EnvironmentSettings, Settings
from workbench.workbench import Workbench

pytestmark = pytest.mark.recordings


def recorded(server: Server, name: str, home: Path) -> Workbench:
    def fill(connection: psycopg.Connection) -> None:  # type: ignore[type-arg]
        load(connection, STATES[name])

    url = server.url(server.create(server.template(f"recorded-tiers-{name}", fill)))
    options = EnvironmentSettings(kind="development", url_env="CLUB_URL")
    return Workbench(Session(database_at(url), options, Settings(operator="dana", home=home)))


def test_a_sync_brings_levels_and_statuses_of_its_own(
    server: Server, recordings: Path, tmp_path: Path, written: Written
) -> None:
    wb = recorded(server, "api_second", tmp_path)
    review = wb.tiers.review(written("m.yaml", mapping_of(RIGHT, "membership_status_mapping")))
    assert review.kind == "status"
    assert review.members == review.distribution["members"].sum()
    assert review.unknown_levels.empty
    # Its statuses come from elsewhere than the level: nobody's is wrong, and none of the codes is here.
    assert review.correctable == 0
    assert review.count("of its own") == review.members
    assert set(review.unknown_codes["code"]) == set(RIGHT.values())
    with pytest.raises(UsageError, match="does not exist here"):
        wb.tiers.plan(tmp_path / "m.yaml")


def test_a_csv_import_loses_the_levels(
    server: Server, recordings: Path, tmp_path: Path, written: Written
) -> None:
    wb = recorded(server, "csv_run2", tmp_path)
    review = wb.tiers.review(written("m.yaml", mapping_of(RIGHT, "membership_status_mapping")))
    assert review.kind == "status"
    assert review.unknown_codes.empty  # it sets the status from the level, by the very mapping
    assert review.count("no level") == review.members
    with pytest.raises(Refused, match=r"\d+ unresolved"):
        wb.tiers.plan(tmp_path / "m.yaml")
