"""Runs that somebody should not have started like that (guide, §1.6)."""

from __future__ import annotations

from workbench.demo.breakages.intruder import plant_run, small_cargo
from workbench.demo.breakages.truth import Connection, Harm, breakage
from workbench.demo.club import Club
from workbench.demo.reports import CSV_CONFIG, GUIDE_CONFIG


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
