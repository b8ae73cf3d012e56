"""``preflight``: the guide's checklist before a migration (§6), what people vouch for, and its signature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.options import Acting, AsJson, EnvironmentName, ImportReports, answers, open_as
from workbench.cli.output import banner, print_json, say

if TYPE_CHECKING:
    from workbench.answer import Answer
    from workbench.migration.preflight import Kind
    from workbench.workbench import Workbench

preflight = typer.Typer(help="The checklist before a migration (guide §6).", rich_markup_mode=None)
Item = Annotated[str, typer.Argument(metavar="ITEM", help="As `workbench preflight` names it.")]


@answers("import_report", "acting")
def _answer(wb: Workbench) -> Answer:
    return wb.migration.preflight()


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
    if context.invoked_subcommand is None:
        _answer(environment=environment, acting=acting, json=json, import_report=import_report)


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
        entry = wb.migration.sign()
        if json:
            print_json({"signed": True, "by": wb.settings.operator, "audit_entry": entry})
        else:
            banner(wb.environment)
            say(f"Signed by {wb.settings.operator}: audit entry {entry}.")


def _say_word(
    environment: str | None, acting: str | None, json: bool, item: str, says: str, kind: Kind
) -> None:
    with open_as(environment, acting) as wb:
        word = wb.migration.attest(item, says, kind)
        if json:
            print_json(vars(word))
            return
        banner(wb.environment)
        holds = f" It holds for {wb.session.options.preflight_hours:g} hours, and for the next import only."
        say(f"{item}: {word.kind} by {word.by}.{'' if kind == 'withdrawn' else holds}")
