"""The snapshots that lie in a folder: which there are, which cannot be read, and the one that is meant."""

from __future__ import annotations

from pathlib import Path

from workbench.checkpoints.manifest import NAME, Manifest, read_manifest
from workbench.errors import SnapshotError, UsageError, unknown


def list_snapshots(folder: Path, environment: str | None = None) -> list[Manifest]:
    """List the snapshots of a folder, oldest first; see `unreadable` for manifests that cannot be read.

    Parameters
    ----------
    folder : Path
        Where they lie, if anywhere.
    environment : str, optional
        Only those of this environment.
    """
    found = [each for _, each, _ in _all(folder) if each]
    chosen = [each for each in found if environment in (None, each.target["environment"])]
    return sorted(chosen, key=lambda each: (each.created_at, each.snapshot))


def unreadable(folder: Path) -> list[SnapshotError]:
    """Return what is wrong with the manifests that are listed nowhere because they cannot be read."""
    return [error for _, _, error in _all(folder) if error]


def find_snapshot(folder: Path, name: str, environment: str | None = None) -> Manifest:
    """Return a snapshot by its name, its file or ``latest``.

    Raises
    ------
    SnapshotError
        When its manifest cannot be read.
    UsageError
        When there is none of this name.
    """
    if name == "latest":
        every = list_snapshots(folder, environment)
        newest = every[-1].snapshot if every else ""
        for path, _, error in reversed(_all(folder)):
            if error is not None and path.stem > newest:
                raise error  # it may be the one that is meant
        if not every:
            of = f" of {environment}" if environment else ""
            raise UsageError(
                f"There is no snapshot{of} in {folder}.", "Take one with `workbench snapshot create`."
            )
        return every[-1]
    path = Path(name)
    beside = [path, folder / path] if path.suffix in {".dump", ".json"} else [folder / f"{name}.json"]
    for each in beside:
        if each.with_suffix(".json").is_file():
            return read_manifest(each)
    for each in beside:
        if each.suffix == ".dump" and each.exists():
            raise UsageError(
                f"{each} has no manifest beside it ({each.with_suffix('.json').name}), so what it holds is not known.",
                "Put the manifest back that was written with it; `workbench snapshot diff FILE` reads any archive without one.",
            )
    raise unknown("snapshot", name, [each.snapshot for each in list_snapshots(folder)])


def _all(folder: Path) -> list[tuple[Path, Manifest | None, SnapshotError | None]]:
    found: list[tuple[Path, Manifest | None, SnapshotError | None]] = []
    for path in sorted(folder.glob("backup_*.json")):
        if not NAME.fullmatch(path.stem):
            continue
        try:
            found.append((path, read_manifest(path), None))
        except SnapshotError as error:
            found.append((path, None, error))
    return found
