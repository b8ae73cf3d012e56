"""``workbench demo``: a new club on the embedded server, with failures planted in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.database.databases import embedded_data, embedded_database
from workbench.demo.breakages import BREAKAGES, Truth, break_club
from workbench.demo.club import Club, build_club
from workbench.demo.history import Dialect
from workbench.documents import approval_path
from workbench.errors import Refused
from workbench.plans.plan import Plan
from workbench.plans.states import plans_in
from workbench.settings import DEMO, EXPECTED, Settings


@dataclass(frozen=True)
class Demo:
    """The demo club, and the ground truth of every planted failure."""

    club: Club
    truths: tuple[Truth, ...]


def make_demo(
    settings: Settings,
    *,
    dialect: Dialect = "application",
    members: int = 2000,
    seed: int = 1,
    breakages: Sequence[str] = tuple(BREAKAGES),
) -> Demo:
    """Recreate the demo club on the embedded server, and plant failures in it.

    Parameters
    ----------
    breakages : sequence of str
        Names from `BREAKAGES`; empty leaves the club healthy.

    Raises
    ------
    Refused
        When the environment ``demo`` is the user's own database.
    """
    if settings.environment(DEMO).url_env is not None:
        raise Refused(
            "The environment 'demo' is configured as a database of your own; the demo would overwrite it.",
            "Give that environment another name in workbench.toml.",
        )
    home = settings.home / DEMO
    shutil.rmtree(home, ignore_errors=True)
    _drop_plans(settings)
    with embedded_database(embedded_data(settings), DEMO, anew=True).session() as connection:
        club = build_club(connection, dialect=dialect, members=members, seed=seed, imports=home / "imports")
        sizes = club.members, club.sizes["all_events"], club.registrations
        expected = dict(zip(("members", "events", "registrations"), sizes, strict=True))
        (home / EXPECTED).write_text(json.dumps(expected))
        truths = break_club(connection, club, breakages)
    return Demo(club, truths)


def _drop_plans(settings: Settings) -> None:
    """Delete plans and approvals of the previous demo club, whose journal is gone."""
    for path, plan in plans_in(settings).scan():
        if isinstance(plan, Plan) and plan.target.environment == DEMO:
            approval_path(path).unlink(missing_ok=True)
            path.unlink()
