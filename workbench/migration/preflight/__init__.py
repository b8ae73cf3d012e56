"""Preflight: the guide's checklist before a migration (§6), by evidence where there is any, by a named person's word else."""

from __future__ import annotations

from workbench.migration.preflight.attestations import Attestation, attest, attestations_of, preflight_file
from workbench.migration.preflight.evidence import Evidence
from workbench.migration.preflight.items import ITEMS, Item, Preflight, judge

__all__ = [
    "ITEMS",
    "Attestation",
    "Evidence",
    "Item",
    "Preflight",
    "attest",
    "attestations_of",
    "judge",
    "preflight_file",
]
