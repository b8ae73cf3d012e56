"""What was looked at and what a run did, in plain words."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from workbench.reporting.tables import Shown, prose, visible
from workbench.reporting.verdict import Looked


def looked_at(looked: Looked) -> Shown:
    """Tell which database a report is about, and how it was looked at."""
    state, identity = looked.session, looked.session.identity
    seen = "one state for the whole report" if state.one_state else "as it is at each question"
    return listed(
        {
            "Environment": f"{state.environment.name} ({state.environment.kind})",
            "Database": f"{identity.database} at {state.environment.where}",
            "Server": f"PostgreSQL {identity.version}, system {identity.system_identifier}",
            "Connected as": f"{identity.user}, read only, {seen}",
            "Dialect": state.dialect,
            "Personal data": "shown" if state.unmask else "masked",
        }
    )


def listed(facts: dict[str, str]) -> Shown:
    """Show facts, each under what it is about."""
    items = Markup("").join(
        Markup("<dt>{}</dt><dd>{}</dd>").format(what, visible(fact)) for what, fact in facts.items()
    )
    text = "\n".join(f"{what}: {visible(fact)}" for what, fact in facts.items())
    return Shown(Markup('<dl class="wb-facts">{}</dl>').format(items), text)


def in_steps(steps: Sequence[str]) -> Shown:
    """Show what to do, one thing after the other, with the commands in it set as code."""
    html = Markup("").join(Markup("<li>{}</li>").format(prose(visible(each))) for each in steps)
    text = "\n".join(f"{number}. {each}" for number, each in enumerate(steps, 1))
    return Shown(Markup('<ol class="wb-steps">{}</ol>').format(html), text)
