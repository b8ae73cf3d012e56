"""``bundle``: what an import read and wrote, sealed, and verified (guide §2.3)."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import Acting, AsJson, EnvironmentName, Unmask, open_as
from workbench.cli.output import (
    banner,
    command,
    on,
    paths_below,
    print_json,
    print_table,
    say,
    say_not_logged,
)
from workbench.errors import DocumentError, UsageError

if TYPE_CHECKING:
    from workbench.migration.bundles import Bundle

bundle = typer.Typer(
    no_args_is_help=True, help="Seal what an import read and wrote by SHA-256, and verify it (guide §2.3)."
)


@bundle.command("create")
def create(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE|FOLDER...",
            help="Exports, configuration, reports, logs; else what is known to belong to --run.",
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="The import; else the one its report names.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the bundle's folder is made. [default: backups]")
    ] = None,
    redact: Annotated[
        bool,
        typer.Option("--redact", help="Seal copies with *** for passwords in URLs, instead of refusing."),
    ] = False,
    environment: EnvironmentName = None,
    json: AsJson = False,
    acting: Acting = None,
) -> None:
    """Seal files into a bundle: copied, listed with their digests, and written whole or not at all."""
    with open_as(environment, acting) as wb:
        made, not_logged = wb.migration.seal(files or (), run=run, output=output, redact=redact)
    say_not_logged(not_logged)
    if json:
        print_json({**_facts(made), "logged": not not_logged})
        return
    banner(wb.environment)
    say(f"Sealed {len(made.files):,} files of run {made.run} in {paths_below([made.folder])[0]}.")
    import pandas as pd

    rows = [(each.path, each.role, each.size, each.sha256[:12]) for each in made.files]
    print_table(pd.DataFrame(rows, columns=["file", "role", "bytes", "sha256"]))
    say(*(f"! {each}." for each in made.notes))
    say(
        f"SHA-256 of bundle.json: {made.digest}",
        f"To verify it: {command()} bundle verify {made.folder.name}{on()}",
    )


@bundle.command("verify")
def verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[BUNDLE]", help="A folder, a name or a digest; else all of them.")
    ] = None,
    digest: Annotated[
        str | None, typer.Option(help="The bundle's SHA-256 as it was noted when it was sealed.")
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            "--environment", "-e", help="Compare with what its audit log noted, too. [default: no database]"
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Name what was altered, is missing or was added since a bundle was sealed."""
    import pandas as pd

    from workbench.migration.bundles import bundle_folders, find_bundle, verify_bundle
    from workbench.settings import load_settings

    backups = load_settings().backups
    folders = [find_bundle(backups, name)] if name else bundle_folders(backups)
    if not folders:
        raise UsageError(f"There is no bundle in {backups}.", "`workbench bundle create` makes one.")
    if digest and not name:
        raise UsageError("--digest is of one bundle.", "Name the bundle too.")
    with open_as(environment, None) if environment else nullcontext() as wb:
        verify = wb.migration.verify if wb else verify_bundle
        facts = [_verified(folder, verify, digest) for folder in folders]
    if json:
        print_json(facts)
    for each in () if json else facts:
        place = paths_below([Path(each["path"])])[0]
        if each["status"] == "not run":
            say(f"{place}: not verified. {each['why']}")
        elif each["status"] == "fail":
            wrong = pd.DataFrame(each["discrepancies"])
            print_table(wrong, title=f"{place}: not as it was sealed")
        else:
            say(f"{place}: as it was sealed, {each['files']:,} files, run {each['run']}.")
            say(f"SHA-256 of bundle.json: {each['digest']}")
    raise typer.Exit(1 if any(each["status"] != "pass" for each in facts) else 0)


@bundle.command("check")
def check(
    name: Annotated[str, typer.Argument(metavar="BUNDLE", help="A folder, a name or a digest.")],
    json: AsJson = False,
    unmask: Unmask = False,
) -> None:
    """Ask of an import's own files what must hold: ids, counts, mappings, times (guide §2.3)."""
    import workbench
    from workbench.migration.bundles import check_bundle, find_bundle
    from workbench.settings import load_settings

    folder = find_bundle(load_settings().backups, name)
    outcomes, violations = check_bundle(folder)
    violations = workbench.mask(violations, unmask=unmask)
    if json:
        print_json({"bundle": folder.name, "invariants": outcomes, "violations": violations})
    else:
        say(f"{paths_below([folder])[0]}: what must hold of an import's own files.")
        print_table(outcomes.drop(columns=["invariant"]))
        print_table(violations, title="What does not hold", empty="nothing")
    raise typer.Exit(1 if (outcomes["status"] == "fail").any() else 0)


@bundle.command("list")
def list_(json: AsJson = False) -> None:
    """List the bundles that are kept, the newest first."""
    from workbench.migration.bundles import bundles_frame, list_bundles
    from workbench.settings import load_settings

    found = bundles_frame(list_bundles(load_settings().backups))
    if json:
        print_json(found)
    else:
        shown = found.drop(columns=["path", "altered", "mode"]).assign(digest=found["digest"].str[:12])
        print_table(shown, empty="no bundles yet: `workbench bundle create` makes one")


def _verified(folder: Path, verify: Any, digest: str | None) -> dict[str, Any]:
    from workbench.migration.bundles import read_bundle

    facts: dict[str, Any] = {
        "bundle": folder.name,
        "path": str(folder),
        "status": "not run",
        "digest": None,
        "run": None,
    }
    facts |= {"files": None, "why": "", "discrepancies": []}
    try:
        wrong = verify(folder, digest)
    except DocumentError as error:
        if digest is not None:
            raise
        return {**facts, "why": error.what}
    facts |= {"status": "fail" if wrong else "pass", "discrepancies": [each._asdict() for each in wrong]}
    with suppress(DocumentError):  # which is among the discrepancies
        bundle = read_bundle(folder)
        facts |= {"digest": bundle.digest, "run": bundle.run, "files": len(bundle.files)}
    return facts


def _facts(made: Bundle) -> dict[str, Any]:
    named = ("sealed_by", "sealed_at", "run", "importer", "mode", "environment", "totals", "notes")
    return {
        "bundle": made.folder.name,
        "digest": made.digest,
        "path": str(made.folder),
        **{name: getattr(made, name) for name in named},
        "files": [each.model_dump() for each in made.files],
    }
