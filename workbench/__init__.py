"""The Murmurant workbench: see what an import did, find what is wrong, plan the way back.

>>> from workbench import open_workbench
>>> wb = open_workbench()  # doctest: +SKIP
>>> wb.runs()  # doctest: +SKIP

Everything a notebook needs is a name of this module, loaded when it is first used, so that a
command that needs little starts at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.checks.tiers import TIER_CHECKS
    from workbench.errors import WorkbenchError
    from workbench.fixes.telling import LevelZero
    from workbench.plans.plan import Plan
    from workbench.reporting import (
        DUPLICATE_CHECKS,
        MAPPING_CHECKS,
        OPERATOR_CHECKS,
        RUN_CHECKS,
        Review,
        Shown,
        about_run,
        actions_chart,
        answer,
        applied_plans,
        capacity_chart,
        changes_chart,
        cluster_sizes_chart,
        conclude,
        counts_chart,
        coverage_table,
        duplicate_steps,
        duplicates_summary,
        duplicates_table,
        findings_in_full,
        findings_table,
        heading,
        looked_at,
        mapping_cycles_chart,
        mapping_scores_chart,
        mapping_steps,
        mapping_summary,
        mapping_table,
        mask,
        mask_text,
        match_histogram_chart,
        match_waterfall_chart,
        next_steps,
        pair_to_look_at,
        plan_affected,
        plan_answer,
        plan_approval,
        plan_changes,
        plan_checks,
        plan_conflicts,
        plan_conservation,
        plan_kept,
        plan_summary,
        plan_unresolved,
        plan_values,
        plan_verdict,
        preflight_findings,
        preflight_list,
        preflight_steps,
        probable_finding,
        prose,
        rehearsals_chart,
        review_plan,
        run_counts,
        run_differences,
        run_summary,
        runs_chart,
        show,
        show_figure,
        text_of,
        tier_changes,
        tier_chart,
        tier_configuration,
        tier_drift_chart,
        tier_facts,
        tier_levels,
        tier_matrix_chart,
        tier_moves,
        triage_advice,
        triage_steps,
        triage_summary,
        triage_ways,
        visible,
        waivers,
        ways_chart,
    )
    from workbench.reporting.runner import ReportResult
    from workbench.triage import Triage
    from workbench.workbench import Workbench, open_workbench

__version__ = "0.1.0"

__all__ = [
    "DUPLICATE_CHECKS",
    "MAPPING_CHECKS",
    "OPERATOR_CHECKS",
    "RUN_CHECKS",
    "TIER_CHECKS",
    "LevelZero",
    "Plan",
    "ReportResult",
    "Review",
    "Shown",
    "Triage",
    "Workbench",
    "WorkbenchError",
    "about_run",
    "actions_chart",
    "answer",
    "applied_plans",
    "capacity_chart",
    "changes_chart",
    "cluster_sizes_chart",
    "conclude",
    "counts_chart",
    "coverage_table",
    "duplicate_steps",
    "duplicates_summary",
    "duplicates_table",
    "findings_in_full",
    "findings_table",
    "heading",
    "looked_at",
    "mapping_cycles_chart",
    "mapping_scores_chart",
    "mapping_steps",
    "mapping_summary",
    "mapping_table",
    "mask",
    "mask_text",
    "match_histogram_chart",
    "match_waterfall_chart",
    "next_steps",
    "open_workbench",
    "pair_to_look_at",
    "plan_affected",
    "plan_answer",
    "plan_approval",
    "plan_changes",
    "plan_checks",
    "plan_conflicts",
    "plan_conservation",
    "plan_kept",
    "plan_summary",
    "plan_unresolved",
    "plan_values",
    "plan_verdict",
    "preflight_findings",
    "preflight_list",
    "preflight_steps",
    "probable_finding",
    "prose",
    "rehearsals_chart",
    "review_plan",
    "run_counts",
    "run_differences",
    "run_summary",
    "runs_chart",
    "show",
    "show_figure",
    "text_of",
    "tier_changes",
    "tier_chart",
    "tier_configuration",
    "tier_drift_chart",
    "tier_facts",
    "tier_levels",
    "tier_matrix_chart",
    "tier_moves",
    "triage_advice",
    "triage_steps",
    "triage_summary",
    "triage_ways",
    "visible",
    "waivers",
    "ways_chart",
]

_HOME = {
    "LevelZero": "workbench.fixes.telling",
    "Plan": "workbench.plans.plan",
    "ReportResult": "workbench.reporting.runner",
    "TIER_CHECKS": "workbench.checks.tiers",
    "Triage": "workbench.triage",
    "WorkbenchError": "workbench.errors",
    "Workbench": "workbench.workbench",
    "open_workbench": "workbench.workbench",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(import_module(_HOME.get(name, "workbench.reporting")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
