"""An organisation's rules as checks: asked, masked, waived and shown like any other (guide §1.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Select

from workbench.checks.finding import Finding
from workbench.checks.registry import (
    Answer,
    Check,
    Look,
    NotConfiguredError,
    NotRunError,
    Question,
    asked,
    in_guide_order,
)
from workbench.errors import UsageError
from workbench.investigate.policies import Ground, NoAnswerError, OwnSql, Rule, Rulebook, find_rulebook
from workbench.murmurant.schema import explain_gap


def run_rules(
    look: Look,
    book: Rulebook,
    ids: Sequence[str] = (),
    waivers: Mapping[str, str] | None = None,
    by: str = "",
) -> list[Finding]:
    """Ask the rules of a file, all or the named ones, in the order of the guide, then of the file.

    Raises
    ------
    UsageError
        For an id that the file does not have, and a rule about a run that left no trace.
    """
    book.choose(list(waivers or {}))
    checks = [rule_check(each) for each in book.choose(list(ids))]
    return asked(look, sorted(checks, key=in_guide_order), waivers or {}, by)


def rule_check(rule: Rule) -> Check:
    """Return a rule as a check."""
    return Check(
        rule.id,
        rule.title,
        rule.guide,
        rule.symptom or rule.title,
        rule.severity,
        rule.question,
        rule.remedy,
        (),
        _question(rule),
        rule.risk,
    )


def ground(look: Look) -> Ground:
    """Return what a rule is asked of."""
    settings = look.settings
    return Ground(
        look.connection,
        look.schema,
        settings.event_capacity_limit,
        look.runs,
        look.as_of,
        look.sample,
        settings.statement_timeout,
    )


def ruled_here(starter: Rule) -> Callable[[Look], Check]:
    """Let a check be what the environment's own rules make of it."""

    def here(look: Look) -> Check:
        try:
            book = find_rulebook(look.settings.policies)
        except UsageError as error:
            return _unasked(starter, NotRunError(str(error)))
        rule = book.rule(starter.id)
        if rule is None:
            return _unasked(starter, NotConfiguredError(f"{book.name} has no rule {starter.id!r}."))
        return replace(rule_check(rule), ask=_without_stopping_others(_question(rule)))

    return here


def _without_stopping_others(question: Question) -> Question:
    """Let a rule that is wrong in itself leave its own check unanswered, and no other."""

    def ask(look: Look) -> Any:
        try:
            return question(look)
        except UsageError as error:
            raise NotRunError(str(error)) from None

    return ask


def _unasked(rule: Rule, why: NotRunError) -> Check:
    def ask(look: Look) -> Answer:
        raise why

    return Check(
        rule.id,
        rule.title,
        rule.guide,
        rule.symptom,
        rule.severity,
        rule.question,
        rule.remedy,
        (),
        ask,
        rule.risk,
    )


def _question(rule: Rule) -> Question:
    def ask(look: Look) -> Select[Any] | Answer:
        missing = look.schema.missing(*rule.needs)
        if missing:
            raise (NotConfiguredError if rule.optional else NotRunError)(" ".join(explain_gap(missing[0])))
        try:
            if isinstance(rule, OwnSql):
                answered = rule.answer(ground(look))
                return Answer(answered.count, answered.rows, answered.query)
            return rule.culprits(ground(look))
        except NoAnswerError as error:
            raise (NotRunError if error.configured else NotConfiguredError)(str(error)) from None

    return ask
