"""An organisation's own rules (guide §1.5): read from a file, asked of a database; arguments in, rows out."""

from workbench.investigate.policies.ground import Ground, NoAnswerError
from workbench.investigate.policies.own_sql import OwnSql, SqlAnswer
from workbench.investigate.policies.rule import Rule
from workbench.investigate.policies.rulebook import STARTER, Rulebook, find_rulebook, read_rulebook, starter

__all__ = [
    "STARTER",
    "Ground",
    "NoAnswerError",
    "OwnSql",
    "Rule",
    "Rulebook",
    "SqlAnswer",
    "find_rulebook",
    "read_rulebook",
    "starter",
]
