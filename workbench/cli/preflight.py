"""``preflight``: the guide's checklist before a migration (§6), what people vouch for, and its signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import workbench
from workbench.cli.options import Acting, AsJson, EnvironmentName, ImportReports, open_as
from workbench.cli.output import banner, command, narrow, on, print_json, print_table, say

if TYPE_CHECKING:
    from workbench.migration.preflight import Attestation, Kind, Preflight
    from workbench.workbench import Workbench

preflight = typer.Typer(help="The checklist before a migration (guide §6).", rich_markup_mode=None)
Item = Annotated[str, typer.Argument(metavar="ITEM", help="As `workbench preflight` names it.")]


@preflight.callback(invoke_without_command=True)
def checklist(
    context: typer.Context,
    environment: EnvironmentName = None,
    acting: Acting = None,
    json: AsJson = False,
    import_report: ImportReports = None,
) -> None:
    """Answer the checklist before a migration: by evidence where there is any, else by a named person's word.

    Exit code 1 while anything is open.
    """
    if context.invoked_subcommand is not None:
        return
    with open_as(environment, acting, import_reports=import_report or (), one_state=True) as wb:
        found = wb.preflight()
        if json:
            print_json({"environment": vars(wb.environment), "clear": found.clear, "items": found.table()})
        else:
            banner(wb.environment)
            _print(wb, found)
    raise typer.Exit(0 if found.clear else 1)


@preflight.command("attest")
def attest(
    item: Item,
    says: Annotated[str, typer.Argument(metavar="TEXT", help="What you vouch for, without personal data.")],
    environment: EnvironmentName = None,
    acting: Acting = None,
    json: AsJson = False,
) -> None:
    """Vouch for an item that only a person can know: the window, the stakeholders, the rollback level."""
    _say_word(environment, acting, json, item, says, "attested")


@preflight.command("waive")
def waive(
    item: Item,
    reason: Annotated[str, typer.Option("--reason", help="Why it may stay open.")],
    environment: EnvironmentName = None,
    acting: Acting = None,
    json: AsJson = False,
) -> None:
    """Accept that an item stays open, by name and with a reason."""
    _say_word(environment, acting, json, item, reason, "waived")


@preflight.command("withdraw")
def withdraw(
    item: Item, environment: EnvironmentName = None, acting: Acting = None, json: AsJson = False
) -> None:
    """Take back what was said of an item."""
    _say_word(environment, acting, json, item, "", "withdrawn")


@preflight.command("sign")
def sign(environment: EnvironmentName = None, acting: Acting = None, json: AsJson = False) -> None:
    """Write into the audit log that everything is settled; refused while anything is open."""
    with open_as(environment, acting) as wb:
        entry = wb.sign_preflight()
        if json:
            print_json({"signed": True, "by": wb.settings.operator, "audit_entry": entry})
        else:
            banner(wb.environment)
            say(f"Signed by {wb.settings.operator}: audit entry {entry}.")


def _say_word(
    environment: str | None, acting: str | None, json: bool, item: str, says: str, kind: Kind
) -> None:
    with open_as(environment, acting) as wb:
        made: Attestation = wb.attest(item, says, kind)
        if json:
            print_json(vars(made))
        else:
            banner(wb.environment)
            say(
                f"{item}: {made.kind} by {made.by}."
                + (
                    f" It holds for {wb.options.preflight_hours:g} hours, and for the next import only."
                    if kind != "withdrawn"
                    else ""
                )
            )


def _print(wb: Workbench, found: Preflight) -> None:
    table = found.table()
    table["evidence"] = table["evidence"].map(workbench.mask_text)
    print_table(
        table[["item", "state", "title"]] if narrow() else table[["item", "state", "title", "evidence", "by"]]
    )
    for each in found.items if narrow() else ():
        say(
            "",
            f"{each.title} ({each.asks}): {each.state}",
            f"  {workbench.mask_text(each.evidence)}",
            *([f"  {each.by}"] if each.by else []),
        )
    if found.open:
        say("", "Open:", *(f"  {each.title}: {each.next_step}" for each in found.open))
    say(
        "",
        f"{len(found.items) - len(found.open)} of {len(found.items)} settled."
        + ("" if found.open else f" To log that: {command()} preflight sign{on()}"),
    )
    say(f"To read and to show: {command()} report preflight{on()}")
