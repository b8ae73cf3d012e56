"""A plan, reviewed: what it would do, to whom, what it leaves; then previewed, approved, applied and undone.

Every step goes through the same door as the command line's: `Workbench.approve` and `Workbench.apply`. The undo
of a plan is a plan too, and is reviewed like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import HTML, Button, HBox, Tab, VBox
from markupsafe import Markup

from workbench import (
    Plan,
    ReportResult,
    Review,
    Shown,
    Workbench,
    WorkbenchError,
    plan_affected,
    plan_answer,
    plan_changes,
    plan_checks,
    plan_conflicts,
    plan_conservation,
    plan_kept,
    plan_summary,
    plan_unresolved,
    plan_values,
    review_plan,
    show,
)
from workbench.panels.controls import button, line
from workbench.panels.page import page
from workbench.panels.panel import Panel, seeing, words
from workbench.panels.table import Table
from workbench.panels.work import Advance

_PARTS: dict[str, tuple[Callable[[Review], Shown], ...]] = {
    "In short": (plan_summary, plan_checks),
    "What changes": (
        lambda review: show(plan_changes(review.plan), "Rows by table"),
        plan_values,
        plan_conservation,
    ),
    "Who is affected": (plan_affected,),
    "Kept": (plan_kept,),
    "Conflicts": (plan_conflicts,),
    "Undecided": (plan_unresolved,),
}


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

    def __init__(self, wb: Workbench, plan: str = "", *, listed: bool = True) -> None:
        wb = seeing(wb)
        self._review: Review | None = None
        self._listed = listed
        self._wanted = ""  # the plan that is to be seen
        self._followers: list[Callable[[], None]] = []
        self._followed = ("", "")  # the plan, and its state, that they were last told of
        self._choice = Table("plan", "Plans", wb=wb, chosen=self._chosen)
        self._answer, self._digest, self._page = HTML(), HTML(), VBox()
        self._parts = Tab([VBox() for _ in _PARTS], titles=list(_PARTS))
        self._who = line("Approved by", "whose consent it is", wb.settings.operator, "20rem")
        self._where = line("Type the environment's name", wb.environment.name, width="26rem")
        self._where.layout.display = "" if wb.environment.production else "none"
        self._buttons: dict[str, Button] = {}
        self._row = HBox()
        # Beside the name that consents stands what it is consent to.
        self._act = VBox([self._digest, HBox([self._who, self._where]), self._row])
        self._shown = VBox([self._answer, self._parts, self._act, self._page])
        parts = [*([self._choice] if listed else []), self._shown]
        super().__init__(wb, "Review a plan", parts, switch=listed)
        self.work.observe(lambda _: self._offer(), "busy")
        if listed or plan:
            self.show(plan)
        else:  # within another panel, which will show the plan it makes
            self._shown.layout.display = "none"

    @property
    def plan(self) -> str:
        """The id of the plan that is shown; empty when none is."""
        return self._review.plan.id if self._review else ""

    @property
    def state(self) -> str:
        """What became of it so far: planned, approved, applied, ...; empty when none is shown."""
        return self._review.state if self._review else ""

    def show(self, plan: str | Plan) -> None:
        """Show a plan, and the list of plans as it is now."""
        name = self._wanted = plan.id if isinstance(plan, Plan) else plan
        self.work.start(
            "Reading the plan" if name else "Reading the plans", lambda _: self._read(name), self._lay_out
        )

    def redraw(self) -> None:
        """Show the plan again, with people or without them."""
        if self.plan:
            self.show(self.plan)

    def follow(self, told: Callable[[], None]) -> None:
        """Have somebody told whenever a plan that was applied is shown: the database is another by then."""
        self._followers.append(told)

    def static(self) -> Shown:
        """Return the plans and what became of each."""
        return show(self.wb.plans(), "Plans", self.wb.unmask, limit=40)

    def _read(self, name: str) -> tuple[Any, Review | None, list[list[HTML]]]:
        review = review_plan(self.wb, name) if name else None
        parts = [[words(part(review)) for part in parts] for parts in _PARTS.values()] if review else []
        return self.wb.plans(), review, parts

    def _lay_out(self, read: tuple[Any, Review | None, list[list[HTML]]]) -> None:
        plans, review, parts = read
        if review is None or self._review is None or review.plan.digest != self._review.plan.digest:
            self._renew()
            self._page.children = ()  # it is another plan's
        self._review = review
        self._choice.show(plans.iloc[::-1])
        self._choice.choose([self.plan])
        self._shown.layout.display = "" if self._review else "none"
        if self._review is None:
            return
        for at, (title, part) in enumerate(zip(_PARTS, parts, strict=True)):
            self._parts.children[at].children = part
            self._parts.set_title(at, f"{title}{self._count(title)}")
        self._answer.value = plan_answer(self._review).html
        self._digest.value = Markup(
            '<dl><dt>Plan</dt><dd class="wb-id">{}</dd><dt>State</dt><dd class="wb-state">{}, {}</dd>'
            '<dt>Digest</dt><dd class="wb-id wb-copy">{}</dd></dl>'
        ).format(self.plan, self._review.state, self._review.detail, self._review.plan.digest)
        self._offer()

    def _renew(self) -> None:
        """Make the buttons anew: one that was pressed beside another plan, on its way until now, is not heard."""
        for each in self._buttons.values():
            each.disabled = True
        self._buttons = {
            "preview": button(
                "Preview", "search", self._preview, "Make the verification report; nothing is applied"
            ),
            "approve": button("Approve", "check", self._approve, "Consent to exactly this plan, once"),
            "apply": button("Apply", "play", self._apply, "Carry the approved plan out, whole or not at all"),
            "undo": button("Plan the undo", "undo", self._undo, "Plan to take back what this plan did"),
        }
        again = button(
            "Look again", "refresh", lambda: self.show(self.plan), "See what became of the plans since"
        )
        for each in self._buttons.values():
            each.disabled = True  # until it is known what can be done with this one
        self._row.children = (*self._buttons.values(), again)

    def _count(self, title: str) -> str:
        assert self._review is not None
        facts = self._review.facts
        counted = {"Kept": "kept", "Conflicts": "conflicts", "Undecided": "unresolved"}
        return f" ({facts[counted[title]]:,})" if title in counted else ""

    def _offer(self) -> None:
        """Offer what can be done with the plan as it stands."""
        # Another row is chosen in two messages, and a click on a button may come between them.
        left = self._listed and self._choice.lists(self.plan) and self._choice.chosen != [self.plan]
        review, busy = self._review, self.work.busy or left
        state = review.state if review else ""
        able = review is not None and review.here and not review.refused
        on = {
            "preview": review is not None,
            "approve": able and state in {"planned", "expired", "undone"},
            "apply": able and state == "approved",
            "undo": review is not None and review.here and state == "applied",
        }
        for name, each in self._buttons.items():
            each.disabled = busy or not on[name]
        if not busy and self._followed != (now := (self.plan, state)):
            self._followed = now
            for told in self._followers if state == "applied" else ():
                told()

    def _chosen(self, keys: list[str]) -> None:
        if keys and keys[0] != self.plan:
            self.show(keys[0])
        else:
            self._offer()

    def _preview(self) -> None:
        name = self.plan
        self.work.start(
            "Making the report",
            lambda advance: self.wb.report("plan", {"plan": name}, advance),
            lambda made: self._print(made, name),
        )

    def _approve(self) -> None:
        assert self._review is not None
        plan, who, where = self._review.plan, self._who.value.strip(), self._where.value.strip()

        def consent(_: Advance) -> str:
            if not who:
                raise WorkbenchError(
                    f"Nobody consents to {plan.id}: no name is given.",
                    "Write into “Approved by” whose consent it is.",
                )
            made = self.wb.approve(plan, plan.digest, approver=who, confirm=where or None)
            return f"{made.approver} approves {plan.id}, once, until {made.expires_at:%Y-%m-%d %H:%M} UTC."

        self.work.start("Recording the approval", consent, self._then)

    def _apply(self) -> None:
        assert self._review is not None
        plan = self._review.plan

        def verify(_: Any) -> str:
            if self._wanted == plan.id:
                self.show(plan)
            self.work.start(
                "Verifying",
                lambda advance: self.wb.report("post-recovery", {}, advance),
                lambda made: self._print(made, plan.id),
            )
            return (
                f"Applied: {plan.total:,} changes, and nothing else, by {plan.id}."
                " The check of the whole database follows."
            )

        self.work.start(
            f"Applying {plan.id}", lambda advance: self.wb.apply(plan, advance), verify, lasting=True
        )

    def _undo(self) -> None:
        name = self.plan
        self.work.start("Planning the undo", lambda _: self.wb.plan_undo(name), self._to_the_undo)

    def _to_the_undo(self, plan: Plan) -> str:
        self.show(plan)
        return (
            f"This is the plan that takes back {self.plan}: read it, approve it and apply it like any other."
        )

    def _then(self, sentence: str) -> str:
        self.show(self.plan)
        return sentence

    def _print(self, made: ReportResult, name: str) -> None:
        if self.plan == name:  # a page below another plan would be taken for that plan's
            self._page.children = (page(made),)
        status = str(made.verdict["status"]).replace(" ", "-")
        self.work.say(str(made.verdict["headline"]), status)
