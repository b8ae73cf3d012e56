"""Reports: an executed notebook, a page that needs nothing else, and a verdict for machines."""

from workbench.reporting.beside import (
    not_reviewed,
    pair_evidence,
    pairs_to_review,
    records_side_by_side,
)
from workbench.reporting.charts import (
    actions_chart,
    changes_chart,
    cluster_sizes_chart,
    counts_chart,
    mapping_scores_chart,
    match_histogram_chart,
    match_waterfall_chart,
    rehearsals_chart,
    runs_chart,
    tier_chart,
    tier_matrix_chart,
    ways_chart,
)
from workbench.reporting.cycles import mapping_cycles_chart
from workbench.reporting.drawing import show_figure
from workbench.reporting.duplicates import (
    DUPLICATE_CHECKS,
    pair_to_look_at,
    probable_finding,
)
from workbench.reporting.findings import (
    OPERATOR_CHECKS,
    RUN_CHECKS,
    about_run,
    coverage_table,
    findings_in_full,
    findings_table,
    in_short,
    next_steps,
    waivers,
)
from workbench.reporting.mappings import (
    MAPPING_CHECKS,
    mapping_circles,
    mapping_corrections,
)
from workbench.reporting.masking import mask, mask_text
from workbench.reporting.plan_rows import (
    plan_affected,
    plan_conflicts,
    plan_conservation,
    plan_kept,
    plan_unresolved,
    plan_values,
)
from workbench.reporting.plans import (
    applied_plans,
    plan_answer,
    plan_approval,
    plan_changes,
    plan_checks,
    plan_summary,
    plan_verdict,
)
from workbench.reporting.reviewing import Review, review_plan
from workbench.reporting.summaries import listed, looked_at
from workbench.reporting.tables import Shown, heading, prose, show, text_of, visible
from workbench.reporting.tiers import (
    tier_corrections,
)
from workbench.reporting.verdict import conclude
