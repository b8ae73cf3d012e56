"""A plan, reviewed: what it would do, to whom, what it leaves; then previewed, approved, applied and undone.

Every step goes through the same door as the command line's: `Plans.approve` and `Plans.apply`. The undo
of a plan is a plan too, and is reviewed like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import HTML, HBox, Tab, VBox, Widget
from markupsafe import Markup
from traitlets import Unicode

from workbench import LevelZero, Plan, Workbench, WorkbenchError
from workbench.panels.controls import button, line
from workbench.panels.panel import Actions, Panel
from workbench.panels.work import Advance, Work
from workbench.reporting.plans import QUESTION, WENT, Review

_TABS = {
    "In short": ("", ("plan", "checked")),
    "What changes": ("", ("changes", "rows", "conservation")),
    "Kept": ("kept", ("kept",)),
    "Conflicts": ("conflicts", ("conflicts",)),
    "Undecided": ("unresolved", ("unresolved",)),
}
"""The tabs: which of the plan's counts stands in the title, and which parts of its answer are shown."""

_ANSWER = Markup('<p class="wb-answer wb-{}">{} <strong>{}</strong></p>')
_DIGEST = Markup(
    '<dl><dt>Plan</dt><dd class="wb-id">{id} <a class="wb-link" href="#plans/{id}">on its own page</a>{run}</dd>'
    '<dt>State</dt><dd class="wb-state">{state}, {detail}</dd><dt>Digest</dt><dd class="wb-id wb-copy">{digest}</dd></dl>'
)
_ITS_RUN = Markup(' · <a class="wb-link" href="#runs/{}">the run it takes back</a>')
_PAGE = Markup(
    '<iframe class="wb-page" sandbox="" title="{}" srcdoc="{}"></iframe>'
    '<p class="wb-note">The same page is kept as <code>{}</code>.</p>'
)
"""A report in a frame of its own, that can neither run scripts nor reach the notebook."""


class PlanReview(Panel):
    """Choose a plan, read it, and carry it out or take it back.

    Parameters
    ----------
    wb : Workbench
        The environment.
    plan : str
        The plan to begin with, by its id; else none.
    listed : bool
        Whether the plans of the environment are listed, to choose from.
    """

    title, key, caption = "Review a plan", "plan", "Plans"
    reading = "Reading the plans"

    done = Unicode()
    """The plan that was last seen applied: with it, the database is another."""

    def __init__(self, wb: Workbench, plan: str = "", *, listed: bool = True) -> None:
        self._review: Review | None = None
        self._listed, self._leads = listed, False
        super().__init__(wb, [plan] if plan else [])
        if listed or plan:
            self.look()

    def parts(self) -> list[Widget]:
        """Lay out the plans, one plan's parts, and what can be done with it."""
        self._answer, self._digest, self._page = HTML(), HTML(), HTML()
        self._tabs = Tab([HTML() for _ in _TABS], titles=list(_TABS))
        self._who = line("Approved by", "whose consent it is", self.wb.settings.operator, "20rem")
        self._where = line("Type the environment's name", self.wb.environment.name, width="26rem")
        self._where.layout.display = "" if self.wb.environment.production else "none"
        again = button("Look again", "refresh", self.look, "See what became of the plans since")
        # Beside the name that consents stands what it is consent to.
        consent = [self._digest, HBox([self._who, self._where]), HBox([self.row, again])]
        self._seen = VBox([self._answer, self._tabs, *consent])
        self._seen.layout.display = "none"
        return [*([self.table] if self._listed else []), self._seen, self.work, self._page]

    @property
    def plan(self) -> str:
        """The id of the plan that is seen; empty when none is."""
        return self._review.plan.id if self._review else ""

    def go(self, key: str) -> None:
        """Show a plan, and lead whoever asked for it there."""
        self.wanted, self._leads = [key], True
        self.offer()
        self.look()

    def redraw(self) -> None:
        """Show the plan again, with people or without them."""
        if self.plan:
            self.look()

    def rows(self) -> Any:
        """Read the plans, where they are listed."""
        return self.wb.plans.states() if self._listed else None

    def lay_out(self, plans: Any) -> None:
        """Show the plans, the latest first."""
        if plans is not None:
            self.table.show(plans.iloc[::-1])

    def details(self, keys: list[str]) -> Review | None:
        """Read a plan beside the database."""
        return self.wb.report.review(keys[0]) if keys else None

    def tell(self, review: Review | None) -> None:
        """Show the plan."""
        if review is None or review.plan.id != self.plan:
            self._page.value = ""  # it is another plan's
        self._review = review
        self._seen.layout.display = "" if review else "none"
        if review is None:
            return
        for number, (title, (counted, names)) in enumerate(_TABS.items()):
            parts = [part.html for part in review.answer.only(*names).shown()]
            self._tabs.children[number].value = "\n".join(parts) or '<p class="wb-note">Nothing.</p>'
            self._tabs.set_title(number, f"{title} ({review.facts[counted]:,})" if counted else title)
        verdict = self.wb.report.conclude(QUESTION, review.findings)
        tone, says = verdict.status.replace(" ", "-"), verdict.facts["headline"]
        if review.state in WENT:  # whether it can be approved is the question no more
            tone, says = "pass", f"It was {review.state}: {review.detail}."
        self._answer.value = _ANSWER.format(tone, review.answer.text(review.answer.headline), says)
        run = str(review.plan.parameters.get("run") or "")
        facts = {
            "id": self.plan,
            "state": review.state,
            "detail": review.detail,
            "digest": review.plan.digest,
        }
        self._digest.value = _DIGEST.format(**facts, run=_ITS_RUN.format(run) if run else "")
        if self._leads:
            self._leads = False
            self.heading.lead()
        if review.state == "applied":
            self.done = self.plan

    def actions(self) -> Actions:
        """Return what leads from a plan to the database and back."""
        return {
            "Preview": ("search", self._preview, "Make the verification report; nothing is applied"),
            "Approve": ("check", self._approve, "Consent to exactly this plan, once"),
            "Apply": ("play", self._apply, "Carry the approved plan out, whole or not at all"),
            "Plan the undo": ("undo", self._undo, "Plan to take back what this plan did"),
        }

    def offered(self) -> set[str]:
        """Return what can be done with the plan as it stands."""
        review = self._review
        if review is None:
            return set()
        able = review.here and not review.refused
        possible = {
            "Preview": True,
            "Approve": able and review.state in {"planned", "expired", "undone"},
            "Apply": able and review.state == "approved",
            "Plan the undo": review.here and review.state == "applied",
        }
        return {title for title, is_possible in possible.items() if is_possible}

    def _report(self, name: str, parameters: dict[str, str], what: str) -> None:
        plan = self.plan

        def then(report: Any) -> None:
            if self.plan == plan:  # a page below another plan would be taken for that plan's
                page = report.html.read_text()
                self._page.value = _PAGE.format(report.verdict["headline"], page, report.html)
            self.work.say(str(report.verdict["headline"]), str(report.verdict["status"]).replace(" ", "-"))

        self.work.start(what, lambda advance: self.wb.report(name, parameters, advance), then)

    def _preview(self) -> None:
        self._report("plan", {"plan": self.plan}, "Making the report")

    def _approve(self) -> None:
        assert self._review is not None
        plan, who, where = self._review.plan, self._who.value.strip(), self._where.value.strip()

        def consent(_: Advance) -> str:
            if not who:
                name = "Write into “Approved by” whose consent it is."
                raise WorkbenchError(f"Nobody consents to {plan.id}: no name is given.", name)
            approval = self.wb.plans.approve(plan, plan.digest, approver=who, confirm=where or None)
            until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
            return f"{approval.approver} approves {plan.id}, once, until {until}."

        def then(sentence: str) -> str:
            self.look()
            return sentence

        self.work.start("Recording the approval", consent, then)

    def _apply(self) -> None:
        assert self._review is not None
        plan = self._review.plan

        def verify(_: Any) -> str:
            self.look()
            self._report("post-recovery", {}, "Verifying")
            done = f"Applied: {plan.total:,} changes, and nothing else, by {plan.id}."
            return f"{done} The check of the whole database follows."

        what = f"Applying {plan.id}"
        self.work.start(what, lambda advance: self.wb.plans.apply(plan, advance), verify, lasting=True)

    def _undo(self) -> None:
        name = self.plan

        def then(plan: Plan) -> str:
            self.go(plan.id)
            return (
                f"This is the plan that takes back {name}: read it, approve it and apply it like any other."
            )

        self.work.start("Planning the undo", lambda _: self.wb.plans.plan_undo(name), then)


class Planner(Panel):
    """Choose, plan, and review what was planned below.

    A subclass has, beside what every `Panel` has, in `planning` how the plan is made of what is chosen now.

    Attributes
    ----------
    review : PlanReview
        Where the plan is reviewed, approved and applied.
    """

    act = ("Plan the correction", "wrench")
    planning: Callable[[], Callable[[], Plan | LevelZero]]

    def __init__(self, wb: Workbench, wanted: str = "") -> None:
        super().__init__(wb, [wanted] if wanted else [])
        self.review.observe(lambda _: self.applied(), "done")
        self.look()

    def parts(self) -> list[Widget]:
        """Make the button, and the review below it."""
        self.review = PlanReview(self.wb, listed=False)
        self.review.layout.display = "none"
        return [self.row, self.work, self.review]

    def actions(self) -> Actions:
        """Return the button that plans."""
        title, icon = self.act
        return {title: (icon, lambda: self.plan(self.planning()), "Write a plan; nothing is changed")}

    def applied(self) -> None:
        """See how things are, now that a plan was applied."""
        self.look()

    def plan(self, make: Callable[[], Plan | LevelZero], work: Work | None = None) -> None:
        """Make a plan, and show its review."""

        def then(plan: Plan | LevelZero) -> str | None:
            self.review.layout.display = "none" if isinstance(plan, LevelZero) else ""
            if isinstance(plan, LevelZero):
                return " ".join((str(plan), "To put right before it is run again:", *plan.fix))
            self.review.go(plan.id)
            return None

        (work or self.work).start(self.act[0].replace("Plan", "Planning", 1), lambda _: make(), then)
