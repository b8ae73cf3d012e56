"""Audit entries in either dialect: the questions of guide §5.2, the entries that §5.1 demands, and a digest of our own."""

from workbench.audit.digest import LogState, Noted, compare_with_noted, own_digest
from workbench.audit.entries import (
    MIGRATION_ACTION,
    audit_entries,
    audit_summary,
    has_action,
    imports_by_operator,
    migration_action,
)
from workbench.audit.writing import record, write_entry

__all__ = [
    "MIGRATION_ACTION",
    "LogState",
    "Noted",
    "audit_entries",
    "audit_summary",
    "compare_with_noted",
    "has_action",
    "imports_by_operator",
    "migration_action",
    "own_digest",
    "record",
    "write_entry",
]
