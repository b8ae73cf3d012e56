"""Audit entries in either dialect: the questions of guide §5.2, the entries that §5.1 demands, and their chain."""

from workbench.audit.asking import (
    audit_entries,
    audit_summary,
    imports_by_operator,
    is_of_migration,
    spoken_action,
)
from workbench.audit.links import read_chain
from workbench.audit.noting import read_noted, verdict_facts
from workbench.audit.verifying import verify_chain
from workbench.audit.writing import record, write_entry

__all__ = [
    "audit_entries",
    "audit_summary",
    "imports_by_operator",
    "is_of_migration",
    "read_chain",
    "read_noted",
    "record",
    "spoken_action",
    "verdict_facts",
    "verify_chain",
    "write_entry",
]
