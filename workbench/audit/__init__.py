"""Audit entries in either dialect: the questions of guide §5.2, and the entries that §5.1 demands."""

from workbench.audit.asking import audit_entries, audit_summary, imports_by_operator
from workbench.audit.writing import record, write_entry

__all__ = ["audit_entries", "audit_summary", "imports_by_operator", "record", "write_entry"]
