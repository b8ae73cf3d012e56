"""A small club whose audit log is written to."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from tests.conftest import Clubs
from tests.conftest import Ground as Cloned
from workbench.database.address import parse_address
from workbench.database.connection import SPELLING, Database
from workbench.murmurant.schema import Schema
from workbench.plans.journal import Entry
from workbench.plans.plan import Plan
from workbench.settings import Settings
from workbench.workbench import Workbench


@dataclass(frozen=True)
class Ground:
    """A club of one test's own, opened."""

    club: Cloned
    workbench: Workbench

    @property
    def url(self) -> str:
        return self.club.url

    @property
    def database(self) -> Database:
        return self.workbench.database

    @property
    def schema(self) -> Schema:
        return self.workbench.schema

    def reached_at(self, url: str) -> Database:
        """Return the database as another URL reaches it, or does not."""
        return replace(self.database, address=parse_address(url, named="the test's URL"))

    def connect(self) -> psycopg.Connection[Any]:
        """Connect past the workbench, with values spelled as it does."""
        return psycopg.connect(self.url, options=SPELLING)

    def carry_out(self, plan: Plan) -> Entry:
        """Approve and apply."""
        self.workbench.approve(plan, plan.digest, approver="robin")
        return self.workbench.apply(plan)

    def wait_for_a_lock(self) -> None:
        """Return when somebody waits for a lock here."""
        deadline = time.monotonic() + 10
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        with psycopg.connect(self.url, autocommit=True) as connection:
            while connection.execute(waiting).fetchone() == (0,):
                assert time.monotonic() < deadline, "nobody waits"
                time.sleep(0.02)


def ground_of(clubs: Clubs, dialect: str, folder: Path) -> Ground:
    cloned = clubs.clone(dialect, members=50)
    settings = Settings(operator="dana", home=folder / "home", backups=folder / "backups")
    return Ground(cloned, replace(cloned.workbench(), settings=settings, one_state=False))
