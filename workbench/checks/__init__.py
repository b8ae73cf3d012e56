"""The checks, one module per section family of the guide; importing this registers them all."""

from workbench.checks import (
    application,
    audit_trail,
    duplicates,
    integrity,
    mappings,
    operations,
    partial,
    policies,
    tiers,
)
from workbench.checks.finding import Finding
from workbench.checks.registry import REGISTRY, Check, Look, choose, run_checks

__all__ = [
    "REGISTRY",
    "Check",
    "Finding",
    "Look",
    "application",
    "audit_trail",
    "choose",
    "duplicates",
    "integrity",
    "mappings",
    "operations",
    "partial",
    "policies",
    "run_checks",
    "tiers",
]
