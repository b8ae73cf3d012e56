"""Guide §1.5: imported data that violate the organisation's own rules.

What the guide names is asked with every other check; an environment's ``policies.toml`` decides how. All of
its rules are asked by ``workbench policies``.
"""

from __future__ import annotations

from dataclasses import replace

from workbench.checks.registry import REGISTRY
from workbench.checks.rules import rule_check, ruled_here
from workbench.investigate.policies import starter

NAMED_BY_THE_GUIDE = (
    "events-over-capacity-limit",
    "events-overbooked",
    "events-invalid-dates",
    "members-visibility",
)
"""The rules of the starter set that are checks too."""

for _rule in starter().choose(list(NAMED_BY_THE_GUIDE)):
    REGISTRY[_rule.id] = replace(rule_check(_rule), here=ruled_here(_rule))
