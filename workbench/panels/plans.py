"""Review a plan: what it would change and leave alone; then preview, approve, apply and undo it.

The panel calls `Plans.approve` and `Plans.apply`, as the command line does. An undo is a plan, and reviewed like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import HTML, HBox, Tab, VBox, Widget
from markupsafe import Markup
from traitlets import Unicode

from workbench import LevelZero, Plan, Workbench, WorkbenchError
from workbench.panels.panel import Actions, Panel
from workbench.panels.table import button, text_field
from workbench.panels.work import Advance, Work
from workbench.reporting.plans import QUESTION, WENT, Review

_TABS = {
    "In short": ("", ("plan", "checked")),
    "What changes": ("", ("changes", "rows", "conservation")),
    "Kept": ("kept", ("kept",)),
    "Conflicts": ("conflicts", ("conflicts",)),
    "Undecided": ("unresolved", ("unresolved",)),
}
"""The tabs: the count in the title, and the parts of the plan's answer that are shown."""

_ANSWER = Markup('<p class="wb-answer wb-{}">{} <strong>{}</strong></p>')
_DIGEST = Markup(
    '<dl><dt>Plan</dt><dd class="wb-id">{id} <a class="wb-link" href="#plans/{id}">on its own page</a>{run}</dd>'
    '<dt>State</dt><dd class="wb-state">{state}, {detail}</dd><dt>Digest</dt><dd class="wb-id wb-copy">{digest}</dd></dl>'
)
_RUN = Markup(' · <a class="wb-link" href="#runs/{}">the run it takes back</a>')
_PAGE = Markup(
    '<iframe class="wb-page" sandbox="" title="{}" srcdoc="{}"></iframe>'
    '<p class="wb-note">This page is saved as <code>{}</code>.</p>'
)
"""A report in a sandboxed frame, which cannot run scripts or reach the notebook."""


class PlanReview(Panel):
    """Choose a plan, read it, and apply or undo it.

    Parameters
    ----------
    wb : Workbench
        The environment.
    plan : str
        The id of the first plan; by default none.
    listed : bool
        Whether to list the plans of the environment.
    """

    title, key, caption = "Review a plan", "plan", "Plans"
    reading = "Reading the plans"

    done = Unicode()
    """The plan last seen applied; a change means that the database has changed."""

    def __init__(self, wb: Workbench, plan: str = "", *, listed: bool = True) -> None:
        self._review: Review | None = None
        self._listed, self._scroll = listed, False
        super().__init__(wb, [plan] if plan else [])
        if listed or plan:
            self.look()

    def parts(self) -> list[Widget]:
        """Create the list of plans, the plan's parts, and its buttons."""
        self._answer, self._digest, self._page = HTML(), HTML(), HTML()
        self._tabs = Tab([HTML() for _ in _TABS], titles=list(_TABS))
        self._who = text_field("Approved by", "your name", self.wb.settings.operator, "20rem")
        self._where = text_field("Type the environment's name", self.wb.environment.name, width="26rem")
        self._where.layout.display = "" if self.wb.environment.production else "none"
        again = button("Look again", "refresh", self.look, "Read the state of the plans again")
        # The digest stands next to the name of whoever approves it.
        approval = [self._digest, HBox([self._who, self._where]), HBox([self.row, again])]
        self._shown = VBox([self._answer, self._tabs, *approval])
        self._shown.layout.display = "none"
        return [*([self.table] if self._listed else []), self._shown, self.work, self._page]

    @property
    def plan(self) -> str:
        """The id of the plan that is shown; empty when none is."""
        return self._review.plan.id if self._review else ""

    def go(self, key: str) -> None:
        """Show a plan, and scroll to it."""
        self.wanted, self._scroll = [key], True
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
        """Read a plan, and compare it with the database."""
        return self.wb.report.review(keys[0]) if keys else None

    def tell(self, review: Review | None) -> None:
        """Show the plan."""
        if review is None or review.plan.id != self.plan:
            self._page.value = ""  # another plan's report
        self._review = review
        self._shown.layout.display = "" if review else "none"
        if review is None:
            return
        for number, (title, (counted, names)) in enumerate(_TABS.items()):
            parts = [part.html for part in review.answer.only(*names).shown()]
            self._tabs.children[number].value = "\n".join(parts) or '<p class="wb-note">Nothing.</p>'
            self._tabs.set_title(number, f"{title} ({review.facts[counted]:,})" if counted else title)
        verdict = self.wb.report.conclude(QUESTION, review.findings)
        tone, sentence = verdict.status.replace(" ", "-"), verdict.facts["headline"]
        if review.state in WENT:  # no longer a question of approval
            tone, sentence = "pass", f"It was {review.state}: {review.detail}."
        self._answer.value = _ANSWER.format(tone, review.answer.text(review.answer.headline), sentence)
        plan, run = review.plan, str(review.plan.parameters.get("run") or "")
        facts = {"id": plan.id, "state": review.state, "detail": review.detail, "digest": plan.digest}
        self._digest.value = _DIGEST.format(**facts, run=_RUN.format(run) if run else "")
        if self._scroll:
            self._scroll = False
            self.heading.lead()
        if review.state == "applied":
            self.done = self.plan

    def actions(self) -> Actions:
        """Return the steps from a plan to the database and back."""
        return {
            "Preview": ("search", self._preview, "Make the verification report; nothing is applied"),
            "Approve": ("check", self._approve, "Approve exactly this plan, once"),
            "Apply": ("play", self._apply, "Apply the approved plan, all or nothing"),
            "Plan the undo": ("undo", self._undo, "Plan to take back what this plan did"),
        }

    def offered(self) -> set[str]:
        """Return the steps that are possible in the plan's state."""
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
            headline, status = str(report.verdict["headline"]), str(report.verdict["status"])
            if self.plan == plan:  # not below another plan
                self._page.value = _PAGE.format(headline, report.html.read_text(), report.html)
            self.work.say(headline, status.replace(" ", "-"))

        self.work.start(what, lambda advance: self.wb.report(name, parameters, advance), then)

    def _preview(self) -> None:
        self._report("plan", {"plan": self.plan}, "Making the report")

    def _approve(self) -> None:
        assert self._review is not None
        plan, who, where = self._review.plan, self._who.value.strip(), self._where.value.strip()

        def approve(_: Advance) -> str:
            if not who:
                problem = f"{plan.id} was not approved: no name is given."
                raise WorkbenchError(problem, "Write your name into “Approved by”.")
            approval = self.wb.plans.approve(plan, plan.digest, approver=who, confirm=where or None)
            until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
            return f"{approval.approver} approves {plan.id}, once, until {until}."

        def then(sentence: str) -> str:
            self.look()
            return sentence

        self.work.start("Recording the approval", approve, then)

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
            return f"This plan undoes {name}: read it, approve it and apply it like any other."

        self.work.start("Planning the undo", lambda _: self.wb.plans.plan_undo(name), then)


class Planner(Panel):
    """Choose rows, plan, and review the plan below.

    A subclass also overrides `planning`, which returns a function that makes the plan from the current choice.

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
        """Create the button, and the review below it."""
        self.review = PlanReview(self.wb, listed=False)
        self.review.layout.display = "none"
        return [self.row, self.work, self.review]

    def actions(self) -> Actions:
        """Return the button that plans."""
        title, icon = self.act
        return {title: (icon, lambda: self.plan(self.planning()), "Write a plan; nothing is changed")}

    def applied(self) -> None:
        """Read everything again after a plan was applied."""
        self.look()

    def plan(self, make: Callable[[], Plan | LevelZero], work: Work | None = None) -> None:
        """Make a plan, and show its review."""

        def then(plan: Plan | LevelZero) -> str | None:
            self.review.layout.display = "none" if isinstance(plan, LevelZero) else ""
            if isinstance(plan, LevelZero):
                return " ".join((str(plan), "To correct before it is run again:", *plan.fix))
            self.review.go(plan.id)
            return None

        (work or self.work).start(self.act[0].replace("Plan", "Planning", 1), lambda _: make(), then)
