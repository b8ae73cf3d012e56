"""Duplicates (guide §1.4, §4.4): members, events and registrations that are there more than once."""

from __future__ import annotations

from workbench.duplicates.beside import Beside, records_beside
from workbench.duplicates.clusters import CLUSTER_COLUMNS, duplicate_clusters
from workbench.duplicates.events import duplicate_events, shifted_events
from workbench.duplicates.found import Found, describe_records
from workbench.duplicates.members import FLOOR, duplicate_members, left_uncompared, match_chances
from workbench.duplicates.pairs import COLUMNS, open_pairs
from workbench.duplicates.registrations import split_registrations
from workbench.duplicates.reviewed import called_same

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
