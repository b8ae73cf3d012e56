"""The checklist before an import: the evidence for each item, and what people attest (guide §6)."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import pandas as pd
from ipywidgets import HTML, HBox, VBox, Widget
from markupsafe import Markup

from workbench import Workbench, WorkbenchError
from workbench.panels.panel import Actions, Details, Panel
from workbench.panels.table import button, text_field
from workbench.panels.work import Advance
from workbench.reporting.masking import mask_text
from workbench.reporting.tables import listed

_Word = Literal["attested", "waived", "withdrawn"]
_WORDS: dict[str, tuple[_Word, str, str, str]] = {
    "Vouch for it": ("attested", "check", "vouches for", "This person confirms that it is done"),
    "Waive it": ("waived", "forward", "waives", "This person decides that it may stay open"),
    "Take back": (
        "withdrawn",
        "times",
        "withdraws the statement on",
        "Withdraw what was confirmed or waived",
    ),
}

_ANSWER = Markup('<p class="wb-answer wb-{}"><strong>{}</strong>: {} of {} items are settled.</p>')


class PreflightPanel(Panel):
    """The items of the checklist with their evidence; to attest, to waive, and to sign.

    An item that the evidence contradicts cannot be attested, only waived, with a name and a reason.

    Parameters
    ----------
    wb : Workbench
        The environment to import into.

    Attributes
    ----------
    checklist : pandas.DataFrame or None
        The checklist as last read.
    """

    title, key, caption = "May the import begin?", "item", "Checklist"
    reading = "Answering the checklist"

    def __init__(self, wb: Workbench) -> None:
        self.checklist: pd.DataFrame | None = None
        self._sign = f"Sign as {wb.settings.operator}"
        super().__init__(wb)
        self.look()

    def parts(self) -> list[Widget]:
        """Create the summary, the items, and the fields for a statement."""
        self._answer, self._detail = HTML(), Details()
        operator = self.wb.settings.operator if self.wb.settings.operator_named else ""
        self._who = text_field("Name", "who says so", operator, "20rem")
        what = "what you confirm, or why it may stay open; no personal data"
        self._says = text_field("In words", what, width="36rem")
        self._word = VBox([self._detail, HBox([self._who, self._says])])
        again = button("Look again", "refresh", self.look, "Read the checklist again")
        return [self._answer, self.table, self._word, HBox([self.row, again]), self.work]

    def actions(self) -> Actions:
        """Return the statements on an item, and the signature under the checklist."""
        words = {title: (icon, partial(self._say, title), tip) for title, (_, icon, _, tip) in _WORDS.items()}
        sign = "Write into the audit log that every item is settled; enabled once none is open"
        return {**words, self._sign: ("pencil", self._write, sign)}

    def offered(self) -> set[str]:
        """Offer statements on the chosen item, and the signature once no item is open."""
        item, checklist = self._item, self.checklist
        words = set(_WORDS) if item else set()
        words -= {"Take back"} if item and not item["by"] else set()
        return words | (
            {self._sign} if checklist is not None and (checklist["state"] != "open").all() else set()
        )

    def rows(self) -> pd.DataFrame:
        """Read the checklist again."""
        return self.wb.migration.checklist()

    def lay_out(self, checklist: pd.DataFrame) -> None:
        """Show the checklist."""
        self.checklist = checklist
        settled = int((checklist["state"] != "open").sum())
        tone = "pass" if settled == len(checklist) else "fail"
        self._answer.value = _ANSWER.format(tone, "Yes" if tone == "pass" else "No", settled, len(checklist))
        evidence = checklist["evidence"].map(self._covered)
        self.table.show(checklist.assign(evidence=evidence)[["item", "state", "title", "evidence", "by"]])

    def redraw(self) -> None:
        """Show the checklist again."""
        if self.checklist is not None:
            self.lay_out_anew(self.checklist)

    def tell(self, _: Any) -> None:
        """Show the chosen item."""
        item = self._item
        self._word.layout.display = "none" if item is None else ""
        if item is None:
            return
        facts = {
            item["title"]: item["asks"],
            "Evidence": self._covered(item["evidence"]),
            "Stated by": item["by"] or "nobody",
            "State": item["state"],
            "Next step": item["next_step"] or "none",
        }
        self._detail.show(lambda: listed(facts, self.wb.environment.name))

    def _covered(self, evidence: str) -> str:
        return evidence if self.wb.session.shows_people else mask_text(evidence)

    @property
    def _item(self) -> dict[str, Any] | None:
        rows: list[Any] = [] if self.checklist is None else self.checklist.to_dict("records")
        return next((row for row in rows if [row["item"]] == self.wanted), None)

    def _say(self, title: str) -> None:
        kind, _, verb, _ = _WORDS[title]
        item, says, who = self._item, self._says.value, self._who.value.strip()
        assert item is not None
        self._says.value = ""  # at once, since the user may go on to the next item

        def keep(_: Advance) -> Any:
            try:
                return self.wb.migration.attest(item["item"], says, kind, by=who)
            except WorkbenchError:
                self._says.value = self._says.value or says
                raise

        def then(word: Any) -> str:
            self.look()
            return f"{word.by} {verb} {item['title'].lower()}."

        self.work.start("Recording the statement", keep, then)

    def _write(self) -> None:
        def signed(entry: str) -> str:
            self.look()
            return f"Signed by {self.wb.settings.operator}: audit entry {entry}."

        self.work.start("Signing", lambda _: self.wb.migration.sign(), signed)
