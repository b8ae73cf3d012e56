"""Panels: choose, preview, approve, apply and undo by clicks, in JupyterLab or on a page.

A panel has no query and no rule of its own: it calls the public methods of the workbench and shows their results and
errors. Where there is no browser it leaves a static table.
"""

from importlib import import_module
from typing import Any

PAGES = {
    "runs": ("Runs", "corrections.RunPicker"),
    "plans": ("Plans", "plans.PlanReview"),
    "mappings": ("Mappings", "corrections.MappingCorrection"),
    "tiers": ("Tiers", "corrections.TierCorrection"),
    "duplicates": ("Duplicates", "duplicates.DuplicateReview"),
    "preflight": ("Before an import", "preflight.PreflightPanel"),
}
"""Each page's name in the address, its title, and its panel."""


def panel_of(page: str) -> Any:
    """Return the class of a page's panel; it is imported only now, since the process that serves pages needs none."""
    module, _, name = PAGES[page][1].partition(".")
    return getattr(import_module(f"workbench.panels.{module}"), name)
