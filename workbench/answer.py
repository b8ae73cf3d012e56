"""The answer that every question returns: it renders in a terminal, in a notebook or report, and as JSON.

Renderers know nothing about subjects. The terminal's is `workbench.cli.output.print_answer`; that of notebooks and reports
is here. In text, a command stands between backquotes without its environment: the renderers add it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from workbench.hints import DEFAULT, on_environment

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from workbench.checks import Finding

Value = TypeVar("Value")


class Table(NamedTuple):
    """A frame with its caption.

    Attributes
    ----------
    frame : pandas.DataFrame
        Its columns, the more important ones first.
    empty : str
        The text shown when there are no rows; nothing if it is empty.
    first : tuple of str
        The columns to keep when there is no room for all; by default those at the left.
    limit : int, optional
        The largest number of rows shown.
    total : int, optional
        The number of all rows, where the frame is a sample.
    note : str
        A text below the table.
    """

    frame: pd.DataFrame
    caption: str = ""
    empty: str = "none"
    first: tuple[str, ...] = ()
    limit: int | None = None
    total: int | None = None
    note: str = ""


class Step(NamedTuple):
    """A next step: a sentence, and the command for it, such as ``plan tiers``."""

    sentence: str
    command: str = ""

    def line(self, environment: str) -> str:
        """Return both as one line."""
        command = f"`workbench {self.command}{on_environment(environment)}`" if self.command else ""
        return ": ".join(filter(None, (self.sentence.rstrip(".:") if command else self.sentence, command)))


Part = str | Mapping[str, str] | Table | Callable[[], "Figure"]
"""A part of an answer: lines of text, labelled facts, a table, or a function that draws a figure on demand."""


class Named(dict[str, Value], Generic[Value]):
    """A mapping whose values are attributes as well, so that Tab completes them."""

    def __getattr__(self, name: str) -> Value:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r} is not one of {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]


@dataclass(frozen=True)
class Answer:
    """The answer to a question.

    Attributes
    ----------
    headline : str
        The answer in a sentence or two.
    parts : mapping of str to Part
        Text, facts, tables and figures by name, in reading order.
    findings : sequence of Finding
        The findings behind it.
    next_steps : sequence of Step
        What to do next.
    facts : Any
        The output of ``--json``.
    asked_by : str
        The command that repeats one of the findings.
    sample : int, optional
        The largest number of rows of a finding in a terminal; 0 shows no findings.
    code : int
        The exit code: 0 clean, 1 findings.
    environment : str
        The environment of its commands; empty for the default one.
    unmask : bool
        Whether personal data are shown.
    """

    headline: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    next_steps: Sequence[Step] = ()
    facts: Any = None
    asked_by: str = "check"
    sample: int | None = None
    code: int = 0
    environment: str = ""
    unmask: bool = False

    @property
    def tables(self) -> Named[pd.DataFrame]:
        """The frames by name, masked unless `unmask` is set."""
        from workbench.reporting.masking import mask

        tables = {name: part for name, part in self.parts.items() if isinstance(part, Table)}
        return Named({name: mask(table.frame, self.unmask) for name, table in tables.items()})

    @property
    def figures(self) -> Named[Figure]:
        """The figures by name."""
        return Named({name: part() for name, part in self.parts.items() if callable(part)})

    def only(self, *names: str, steps: bool = False) -> Answer:
        """Return an answer with only the named parts and, if wanted, the next steps."""
        parts = {name: self.parts[name] for name in names if name in self.parts}
        return replace(
            self, headline="", parts=parts, findings=(), next_steps=self.next_steps if steps else ()
        )

    def masked(self, table: Table) -> pd.DataFrame:
        """Return the rows of a table to show, masked unless `unmask` is set."""
        from workbench.reporting.masking import mask

        return mask(table.frame if table.limit is None else table.frame.head(table.limit), self.unmask)

    def text(self, sentence: str) -> str:
        """Return a sentence to show: masked unless `unmask` is set, control characters visible."""
        from workbench.reporting.masking import mask_text
        from workbench.reporting.tables import visible

        return visible(sentence if self.unmask else mask_text(sentence))

    def as_json(self) -> Any:
        """Return the facts as values for `json.dumps`."""
        return plain(self.facts, self.unmask)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from workbench.reporting.tables import Shown

        shown = list(self.shown())
        html = "\n".join(part.html for part in shown)
        bundle: dict[str, str] = Shown(html, "\n\n".join(part.text for part in shown))._repr_mimebundle_()
        return bundle

    def shown(self) -> Iterator[Any]:
        """Yield each part as HTML and text."""
        from markupsafe import Markup

        from workbench.reporting.charts import show_figure
        from workbench.reporting.tables import Shown, findings_in_full, listed, prose, show

        here = self.environment or DEFAULT

        def paragraph(sentence: str, kind: str = "note") -> Shown:
            return Shown(Markup('<p class="wb-{}">{}</p>').format(kind, prose(self.text(sentence), here)))

        if self.headline:
            yield paragraph(self.headline, "answer")
        for part in self.parts.values():
            if isinstance(part, str):
                yield from (paragraph(line) for line in part.splitlines() if line)
            elif isinstance(part, Mapping):
                yield listed({what: self.text(fact) for what, fact in part.items() if fact}, here)
            elif isinstance(part, Table):
                if len(part.frame):
                    limit = part.limit or max(len(part.frame), 1)
                    yield show(part.frame, part.caption, self.unmask, limit=limit, total=part.total)
                elif part.empty:
                    yield paragraph(f"{': '.join(filter(None, (part.caption, part.empty)))}.")
                if part.note:
                    yield paragraph(part.note)
            else:
                yield show_figure(part())
        if any(finding.status != "pass" for finding in self.findings):
            yield findings_in_full(self.findings, self.unmask)
        # A page does not lead to itself.
        steps = [step for step in self.next_steps if not step.command.startswith("report ")]
        if steps:
            lines = [prose(self.text(step.line(here))) for step in steps]
            items = Markup("").join(map(Markup("<li>{}</li>").format, lines))
            yield Shown(Markup('<ol class="wb-steps">{}</ol>').format(items))

    def __repr__(self) -> str:
        return self._repr_mimebundle_()["text/plain"]


def plain(value: Any, unmask: bool = True) -> Any:
    """Convert frames, times and decimals to JSON values; frames are masked unless `unmask` is set."""
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        from workbench.reporting.masking import mask

        return [plain(row, unmask) for row in mask(value, unmask).to_dict("records")]
    if isinstance(value, Mapping):
        return {str(key): plain(one, unmask) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one, unmask) for one in value]
    if isinstance(value, str | bool | None.__class__):
        return value
    if pd.isna(value):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if hasattr(value, "item"):
        return value.item()
    return value if isinstance(value, int | float) else str(value)


def many(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun: ``1 entry``, ``1,200 entries``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def findings_answer(
    findings: Sequence[Finding],
    *,
    facts: Mapping[str, Any],
    asked_by: str = "check",
    report: str = "",
    by_name: bool = False,
    headline: str = "",
) -> Answer:
    """Return an answer with one line per finding, then the open findings in full.

    Parameters
    ----------
    facts : mapping
        Further output of ``--json``.
    report : str
        The report with the same findings.
    by_name : bool
        Whether they were asked for by name: then checks that are not configured count, and whole samples are shown.
    """
    import pandas as pd

    from workbench.checks import REGISTRY

    concern = any(finding.open or (finding.bad and by_name) for finding in findings)
    items = {
        finding.check: REGISTRY[finding.check].symptom for finding in findings if finding.check in REGISTRY
    }
    columns = ["guide", "status", "check", "count", "finding"]
    rows = [
        (row.guide, row.status, row.check, row.count, row.reason or row.title, items.get(row.check))
        for row in findings
    ]
    digest = pd.DataFrame(rows, columns=[*columns, "item"]).drop(columns=[] if items else ["item"])
    counts = Counter[str](finding.status for finding in findings)
    named = "check title guide status count reason configured question remedy rows query"
    summary = ", ".join(f"{counts[status]} {status}" for status in WORST_FIRST if counts[status])
    return Answer(
        headline,
        {"findings": Table(digest.astype({"count": "Int64"}), first=tuple(columns)), "counts": summary},
        findings,
        [Step("The same as a page to read", f"report {report}")] if concern and report else (),
        {
            **facts,
            "findings": [{name: getattr(finding, name) for name in named.split()} for finding in findings],
        },
        asked_by,
        None if by_name else 3,
        int(concern),
    )


WORST_FIRST = ("fail", "warn", "not run", "waived", "pass")
