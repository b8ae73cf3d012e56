"""The checklist before an import: what speaks for each item, and what people vouch for (guide §6)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from ipywidgets import HTML, HBox, VBox
from markupsafe import Markup

from workbench import (
    Preflight,
    Shown,
    Workbench,
    WorkbenchError,
    in_short,
    mask_text,
    preflight_findings,
    prose,
    show,
    visible,
)
from workbench.panels.controls import button, line
from workbench.panels.panel import Panel, seeing
from workbench.panels.table import Table
from workbench.panels.work import Advance

_COLUMNS = ["item", "state", "title", "evidence", "by"]
_Word = Literal["attested", "waived", "withdrawn"]
_WORDS: dict[_Word, tuple[str, str, str]] = {
    "attested": ("Vouch for it", "check", "It is so, by this person's word"),
    "waived": ("Waive it", "forward", "It may stay open, by this person's decision"),
    "withdrawn": ("Take back", "times", "What was said of it holds no more"),
}
_SAID = {"attested": "vouches for", "waived": "waives", "withdrawn": "takes back what was said of"}


class PreflightPanel(Panel):
    """Every item of the checklist with its evidence; to vouch for, to waive, and to sign.

    Nobody's word makes true what evidence contradicts: that takes a waiver, with a name and a reason.

    Parameters
    ----------
    wb : Workbench
        The environment that is to be imported into.

    Attributes
    ----------
    found : Preflight or None
        The checklist as it was last answered.
    """

    def __init__(self, wb: Workbench) -> None:
        wb = seeing(wb)
        self.found: Preflight | None = None
        self._answer, self._detail = HTML(), HTML()
        self._items = Table("item", "Checklist", wb=wb, chosen=lambda _: self._explain())
        operator = wb.settings.operator if wb.settings.operator_named else ""
        self._who = line("Name", "whose word it is", operator, "20rem")
        self._says = line(
            "In words", "what is vouched for, or why it may stay open; no personal data", width="36rem"
        )
        self._buttons = {
            kind: button(title, icon, partial(self._say, kind), tip)
            for kind, (title, icon, tip) in _WORDS.items()
        }
        self._sign = button(
            f"Sign as {wb.settings.operator}",
            "pencil",
            self._write,
            "Write into the audit log that everything is settled; possible once nothing is open",
        )
        again = button("Look again", "refresh", self.look, "Answer the checklist as it is now")
        self._word = VBox([self._detail, HBox([self._who, self._says]), HBox(list(self._buttons.values()))])
        self._word.layout.display = "none"
        super().__init__(
            wb,
            "May the import begin?",
            [self._answer, self._items, self._word, HBox([self._sign, again])],
        )
        self.work.observe(lambda _: self._offer(), "busy")
        self.look()

    def look(self) -> None:
        """Answer the checklist anew."""
        self.work.start("Answering the checklist", lambda _: self.wb.preflight(), self._lay_out)

    def static(self) -> Shown:
        """Return the checklist as it is now."""
        return show(self._told(self.wb.preflight(), self.wb.unmask), "Checklist", self.wb.unmask)

    def _told(self, found: Preflight, unmask: bool) -> Any:
        told = found.table()[_COLUMNS]
        if not unmask:
            told = told.assign(evidence=told["evidence"].map(mask_text))
        return told

    def _lay_out(self, found: Preflight) -> None:
        self.found = found
        self._answer.value = in_short(preflight_findings(found), "May the import begin?").html
        self._items.show(self._told(found, self.wb.shows_people))
        self._explain()

    def redraw(self) -> None:
        """Show the checklist again."""
        if self.found is not None:
            self._lay_out(self.found)

    def _explain(self) -> None:
        """Say of the chosen item all that is known, and offer to speak for it."""
        item = self._item
        self._word.layout.display = "none" if item is None else ""
        if item is None:
            self._offer()
            return
        evidence = item.evidence if self.wb.shows_people else mask_text(item.evidence)
        facts = {
            item.title: item.asks,
            "Evidence": evidence,
            "Word": item.by or "nobody's",
            "State": item.state,
            "Next step": item.next_step or "none",
        }
        row = Markup("<dt>{}</dt><dd>{}</dd>")
        rows = Markup("").join(
            row.format(name, prose(visible(value), self.wb.environment.name)) for name, value in facts.items()
        )
        self._detail.value = Markup("<dl>{}</dl>").format(rows)
        self._offer()

    @property
    def _item(self) -> Any:
        chosen = self._items.chosen
        return next((each for each in self.found.items if each.id in chosen), None) if self.found else None

    def _offer(self) -> None:
        item, busy = self._item, self.work.busy
        for kind, one in self._buttons.items():
            one.disabled = busy or item is None or (kind == "withdrawn" and not item.by)
        self._sign.disabled = busy or self.found is None or not self.found.clear

    def _say(self, kind: _Word) -> None:
        item, says, who = self._item, self._says.value, self._who.value.strip()
        self._says.value = ""  # at once: by the time it is kept, somebody may be writing of the next item

        def keep(_: Advance) -> Any:
            try:
                if not who:
                    raise WorkbenchError(
                        "This is nobody's word: no name is given.", "Write into “Name” whose word it is."
                    )
                return self.wb.attest(item.id, says, kind, by=who)
            except WorkbenchError:
                self._says.value = self._says.value or says
                raise

        def said(made: Any) -> str:
            self.look()
            return f"{made.by} {_SAID[made.kind]} {item.title.lower()}."

        self.work.start("Keeping the word", keep, said)

    def _write(self) -> None:
        def signed(entry: str) -> str:
            self.look()
            return f"Signed by {self.wb.settings.operator}: audit entry {entry}."

        self.work.start("Signing", lambda _: self.wb.sign_preflight(), signed)
