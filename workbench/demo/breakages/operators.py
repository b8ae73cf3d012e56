"""Runs that somebody should not have started like that (guide, §1.6)."""

from __future__ import annotations

from datetime import timedelta

from workbench.demo import application, guide
from workbench.demo.breakages.intruder import plant_run, small_cargo
from workbench.demo.breakages.truth import Connection, Harm, breakage
from workbench.demo.club import Club
from workbench.demo.people import person
from workbench.demo.reports import CSV_CONFIG, GUIDE_CONFIG
from workbench.demo.rows import copy
from workbench.demo.shape import stamp

# A domain as people have them, that nobody can have: no top-level domain is called so.
REAL_LOOKING = "post.zzclub"
_BEYOND = 900  # numbers that no planted run gives out


@breakage("§1.6", "Wrong environment targeted", "environment-wrong")
def wrong_environment(connection: Connection, club: Club) -> Harm:
    """Add a run that took this database for the development one."""
    name = "wrong-environment"
    planted = plant_run(connection, club, name, small_cargo(club, name), environment="development")
    return {planted.run}, {"environment": "development"}


@breakage("§1.6", "Incorrect config file used", "config-differs")
def wrong_config(connection: Connection, club: Club) -> Harm:
    """Add a run with another configuration than its dry run's."""
    name = "wrong-config"
    if club.dialect == "guide":
        wrong = {**GUIDE_CONFIG, "file": "staging.yaml"}
        planted = plant_run(connection, club, name, small_cargo(club, name), config=wrong)
    else:  # only the CSV importer's reports tell the configuration
        wrong = {**CSV_CONFIG, "target": "murmurant-staging"}
        planted = plant_run(connection, club, name, small_cargo(club, name), importer="csv", config=wrong)
    return {planted.run}, {"config": wrong}


@breakage("§1.6", "Premature execution", "live-run-without-dry-run")
def premature_run(connection: Connection, club: Club) -> Harm:
    """Add a live run that no dry run precedes."""
    name = "premature-run"
    planted = plant_run(connection, club, name, small_cargo(club, name), dry_run=False)
    return {planted.run}, {}


@breakage("§1.6", "Premature execution", "live-run-without-dry-run")
def stale_dry_run(connection: Connection, club: Club) -> Harm:
    """Add a live run whose dry run was four days before."""
    name = "stale-dry-run"
    lead = timedelta(days=4, hours=2)  # between the dry runs of others, not on top of one
    planted = plant_run(connection, club, name, small_cargo(club, name), dry_run_lead=lead)
    return {planted.run}, {}


@breakage("§1.6", "Wrong environment targeted", "real-people-in-demo")
def real_people(connection: Connection, club: Club) -> Harm:
    """Add, by nobody's import, members whose addresses look like those of real people."""
    shape, at = club.shape, stamp(club.anchor - timedelta(hours=1))
    people = [person(shape, club.members + _BEYOND + place) for place in range(3)]
    # Prospects, so that a club whose tiers all became one stays one.
    people = [
        one._replace(level="Prospect", email=f"{one.email.split('@')[0]}@{REAL_LOOKING}") for one in people
    ]
    if club.dialect == "guide":
        tiers = guide.tier_ids(shape)
        rows = [guide.member_row(tiers[one.level], one, None, at, at) for one in people]
        copy(connection, "Member", guide.MEMBER_COLUMNS, rows)
    else:
        copy(
            connection,
            "Member",
            application.MEMBER_COLUMNS,
            [application.member_row(shape, one, at, at, None, None) for one in people],
        )
    return {REAL_LOOKING}, {"members": [one.id for one in people]}
