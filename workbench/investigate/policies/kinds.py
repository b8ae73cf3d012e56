"""Every kind of rule by the word that a file calls it."""

from __future__ import annotations

from workbench.investigate.policies.events import (
    CapacityLimit,
    EndAfterStart,
    EventLength,
    RegisteredInTime,
    WithinCapacity,
)
from workbench.investigate.policies.fields import DateRange, NumberRange, Required
from workbench.investigate.policies.members import EmailSyntax, Visibility
from workbench.investigate.policies.own_sql import OwnSql
from workbench.investigate.policies.rule import Rule

KINDS: dict[str, type[Rule]] = {
    "capacity-limit": CapacityLimit,
    "confirmed-within-capacity": WithinCapacity,
    "end-after-start": EndAfterStart,
    "event-length": EventLength,
    "visibility": Visibility,
    "date-range": DateRange,
    "number-range": NumberRange,
    "registered-in-time": RegisteredInTime,
    "required": Required,
    "email-syntax": EmailSyntax,
    "sql": OwnSql,
}
"""What ``ask`` may say, and the model of what it takes."""
