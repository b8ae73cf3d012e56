"""Every command of ``workbench``, by its name."""

from __future__ import annotations

import typer

from workbench import __version__
from workbench.cli import (
    applying,
    auditing,
    bundles,
    differences,
    dry_runs,
    duplicates,
    looking,
    making,
    mappings,
    merging,
    planning,
    policies,
    preflight,
    reconciling,
    restoring,
    service,
    serving,
    snapshots,
    tiers,
)

app = typer.Typer(
    name="workbench",
    help="See what an import into Murmurant did, find what is wrong, plan the correction, apply it and take it back."
    " Nothing but `apply` and `undo` writes to the club's data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 clean, 1 findings, 2 wrong usage, 3 refused, 4 failed.",
)

app.command()(making.demo)
app.command()(serving.lab)
app.command()(serving.serve)
app.command()(looking.doctor)
app.command()(looking.triage)
app.add_typer(preflight.preflight, name="preflight")
app.command()(looking.runs)
app.command()(looking.run)
app.command()(looking.check)
app.command()(auditing.audit)
app.command()(tiers.tiers)
planning.plan.command("tiers")(tiers.plan_tiers)
app.command()(policies.policies)
app.command()(duplicates.duplicates)
planning.plan.command("merge")(merging.merge)
planning.plan.command("policies")(policies.plan_policies)
app.command()(mappings.mappings)
app.command()(reconciling.reconcile)
planning.plan.command("sync-state")(service.plan_sync_state)
app.add_typer(planning.plan, name="plan")
app.add_typer(bundles.bundle, name="bundle")
app.add_typer(dry_runs.dry_run, name="dry-run")
app.add_typer(service.app, name="app")
snapshots.snapshot.command("restore")(restoring.restore)
app.command()(applying.show)
app.command()(applying.approve)
app.command()(applying.apply)
app.command()(applying.undo)
app.command()(applying.plans)
app.command()(making.report)
snapshots.snapshot.command("diff")(differences.diff)
snapshots.snapshot.command("losses")(differences.losses)
planning.plan.command("replay")(differences.replay)
app.add_typer(snapshots.snapshot, name="snapshot")


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    if version:
        typer.echo(f"murmurant-workbench {__version__}")
        raise typer.Exit
