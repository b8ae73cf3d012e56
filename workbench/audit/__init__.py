"""Audit entries in either dialect: the questions of guide §5.2, the entries that §5.1 demands, and a digest of our own."""

from workbench.audit.digest import LogState as LogState
from workbench.audit.digest import Noted as Noted
from workbench.audit.digest import compare_with_noted as compare_with_noted
from workbench.audit.digest import own_digest as own_digest
from workbench.audit.entries import audit_entries as audit_entries
from workbench.audit.entries import has_action as has_action
from workbench.audit.entries import migration_action as migration_action
from workbench.audit.writing import record as record
from workbench.audit.writing import write_entry as write_entry
