"""The organisation's own rules: asked, and corrected where a rule says how (guide §1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workbench.answer import Answer, findings_answer
from workbench.checks import Finding
from workbench.checks.finding import SAMPLE
from workbench.checks.rules import Rules, Waivers, read_rules, run_rules
from workbench.covering import answering, covering
from workbench.plans.plan import Plan
from workbench.policies.plan import plan_policies
from workbench.session import Session


class Policies:
    """The rules of a folder, of the environment's own, or the starter set: ``wb.policies()`` asks them."""

    def __init__(self, wb: Session) -> None:
        self.wb = wb

    @answering
    def __call__(
        self,
        rules: str | Path | None = None,
        ids: Sequence[str] = (),
        waive: Waivers = (),
        sample: int = SAMPLE,
    ) -> Answer:
        """Ask the rules, all or the named ones, on one state of the database.

        Parameters
        ----------
        rules : path, optional
            A folder of rules; else the environment's own, else the starter set.
        ids : sequence of str
            Which of them; all when empty.
        waive : mapping of str to str, or sequence of ``rule=reason``
            Rule to the reason why its finding is accepted.
        sample : int
            The most rows of a finding; its count is of all.
        """
        findings, name = self.findings(rules, ids, waive, sample), self.rules(rules).name
        return findings_answer(
            findings,
            facts={"rules": name, "environment": vars(self.wb.environment), "dialect": self.wb.dialect},
            asked_by="policies",
            report="policies",
            by_name=bool(ids),
            headline=f"Rules: {name}.",
        )

    def rules(self, rules: str | Path | None = None) -> Rules:
        """Read the rules of a folder, else the environment's own, else the starter set."""
        return read_rules(Path(rules) if rules else self.wb.options.policies)

    @covering
    def findings(
        self,
        rules: str | Path | None = None,
        ids: Sequence[str] = (),
        waive: Waivers = (),
        sample: int = SAMPLE,
    ) -> list[Finding]:
        """Ask the rules, as the call does; return the findings alone."""
        with self.wb.reading() as connection:
            look = replace(self.wb.look(connection), sample=sample)
            return run_rules(look, self.rules(rules), ids, waive, by=self.wb.settings.operator)

    def plan(self, ids: Sequence[str] = (), *, rules: str | Path | None = None) -> Plan:
        """Plan the corrections that rules ask for; writes a plan file and nothing else.

        Parameters
        ----------
        ids : sequence of str
            Which rules to correct by; every one that says how, when empty.
        rules : path, optional
            A folder of rules; else the environment's own.
        """
        with self.wb.planning() as context:
            return plan_policies(context, self.wb.look(context.connection), self.rules(rules), ids)
