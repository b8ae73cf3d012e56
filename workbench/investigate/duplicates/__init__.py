"""Duplicates (guide §1.4, §4.4): members, events and registrations that are there more than once."""

from __future__ import annotations

from workbench.investigate.duplicates.beside import Beside, records_beside
from workbench.investigate.duplicates.clusters import CLUSTER_COLUMNS, duplicate_clusters
from workbench.investigate.duplicates.events import duplicate_events, shifted_events
from workbench.investigate.duplicates.found import Found, describe_records
from workbench.investigate.duplicates.members import FLOOR, duplicate_members, left_uncompared, match_chances
from workbench.investigate.duplicates.pairs import COLUMNS, open_pairs
from workbench.investigate.duplicates.registrations import split_registrations
from workbench.investigate.duplicates.reviewed import called_same

__all__ = [
    "CLUSTER_COLUMNS",
    "COLUMNS",
    "FLOOR",
    "Beside",
    "Found",
    "called_same",
    "describe_records",
    "duplicate_clusters",
    "duplicate_events",
    "duplicate_members",
    "left_uncompared",
    "match_chances",
    "open_pairs",
    "records_beside",
    "shifted_events",
    "split_registrations",
]
