"""A triage for people: the advice first, then what is wrong and the ways out, in words."""

from __future__ import annotations

from markupsafe import Markup

from workbench.hints import on_environment
from workbench.reporting.masking import mask_text
from workbench.reporting.summaries import in_steps, listed
from workbench.reporting.tables import Shown, visible
from workbench.reporting.verdict import Looked
from workbench.triage import Triage


def triage_advice(found: Triage) -> Shown:
    """Say which way to take, and why."""
    way = next((each for each in found.ways if each.name == found.advice.way), None)
    head = (
        f"Recommended: {way.name}, {way.title[0].lower()}{way.title[1:]}."
        if way
        else "None of the ways out is open as things stand."
    )
    why = visible(mask_text(found.advice.why))
    html = Markup('<div class="wb-advice"><p><strong>{}</strong><br>{}</p></div>').format(head, why)
    return Shown(html, f"{head} {why}")


def triage_summary(found: Triage) -> Shown:
    """Name the run in question, and the runs to blame."""
    facts = {}
    if found.run is not None:
        chosen = "as asked" if found.asked else "the most to blame"
        facts["the run in question"] = (
            f"{found.run.run}, {chosen}: {found.run.status}, {mask_text(found.run.why)}"
        )
    bad = [each for each in found.suspects if each.bad]
    facts["runs that are bad as a whole"] = ", ".join(each.run.run for each in bad) or "none"
    here = [each for each in found.modes if each.here]
    facts["failures that are here"] = (
        ", ".join(f"{each.name.lower()} ({each.section}, {each.risk} risk)" for each in here) or "none"
    )
    open_ = [each for each in found.modes if each.state == "not known"]
    if open_:
        facts["could not be told"] = ", ".join(each.name.lower() for each in open_)
    return listed(facts)


def triage_ways(found: Triage) -> Shown:
    """Say of each way what to know before it is gone, or why it cannot be."""
    return listed(
        {
            f"{each.name}{'' if each.possible else ' (not possible here)'}": mask_text(" ".join(each.notes))
            for each in found.ways
        }
    )


def triage_steps(looked: Looked, found: Triage) -> Shown:
    """Say how to go the way that is recommended, as commands; then what else is to be known of it."""
    on = on_environment(looked.environment.name)
    way = next((each for each in found.ways if each.name == found.advice.way), None)
    steps = [f"`{each}`" for each in (way.commands if way else ())]
    steps += [mask_text(each) for each in (way.notes if way else ())]
    if way is not None and way.name in {"level 1", "targeted"}:
        steps.append(
            f"Then `workbench report plan -p plan ID{on}`, approve, apply: nothing is written before that, and `workbench undo ID{on}` takes it back."
        )
    return in_steps(steps or ["Look at what each way lacks, in the table above."])
