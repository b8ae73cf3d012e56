"""A report, shown within the page: what papermill made, as whoever is sent the file will see it."""

from __future__ import annotations

from ipywidgets import HTML
from markupsafe import Markup

from workbench import ReportResult


def page(made: ReportResult) -> HTML:
    """Show a report's page in a frame of its own, that can neither run scripts nor reach the notebook."""
    frame = Markup('<iframe class="wb-page" sandbox="" title="{}" srcdoc="{}"></iframe>')
    where = Markup('<p class="wb-note">The same page is kept as <code>{}</code>.</p>').format(made.html)
    return HTML(frame.format(made.verdict.get("headline", ""), made.html.read_text()) + where)
