"""One way of finding duplicate members, in a process of its own: ``duplicates_by.py WAY MEMBERS.csv PAIRS.csv``.

Reads the members, times what follows, writes scored pairs, and prints seconds and peak memory as JSON. The
others are used as their documentation shows, with blocking of their own kind; imported where they are used,
since they live in an environment of their own.
"""

from __future__ import annotations

import csv
import json
import random
import resource
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

Pairs = Iterable[tuple[Any, ...]]  # two ids, how probable it is that they are one person, and more
COLUMNS = ("id", "first_name", "last_name", "email", "phone", "joined")
KINDS = {"joined": "joined", "birth_date": "date", "ssn": "identifier"}  # beside names and ways to reach


def ours(members: list[dict[str, str]], _truth: Path) -> Pairs:
    """Match with what the product does by default, at any probability from 0.05 on; the fourth: whether it is offered."""
    from workbench.duplicates.matching.matching import match_people
    from workbench.duplicates.matching.model import FIELDS

    fields = {name: kind for name, kind in (FIELDS | KINDS).items() if name in members[0]}
    rows = [
        [
            each["id"],
            *(date.fromisoformat(each[name]) if name == "joined" else each[name] or None for name in fields),
        ]
        for each in members
    ]
    fields = {"joined_at" if name == "joined" else name: kind for name, kind in fields.items()}
    found = match_people(rows, fields, threshold=0.05)
    return zip(found["left"], found["right"], found["probability"], found["offered"], strict=True)


def splink(members: list[dict[str, str]], _truth: Path) -> Pairs:
    """Splink as its tutorial has it: its own comparisons, u by sampling, m by expectation maximisation."""
    import pandas as pd
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    rules = [
        block_on("first_name", "last_name"),
        block_on("email"),
        block_on("phone"),
        block_on("last_name", "joined"),
    ]
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="id",
        comparisons=[
            cl.NameComparison("first_name").configure(term_frequency_adjustments=True),
            cl.NameComparison("last_name").configure(term_frequency_adjustments=True),
            cl.EmailComparison("email"),
            cl.LevenshteinAtThresholds("phone", [1, 2]),
            cl.ExactMatch("joined"),
        ],
        blocking_rules_to_generate_predictions=rules,
    )
    api = DuckDBAPI()
    linker = Linker(api.register(pd.DataFrame(members)), settings)
    linker.training.estimate_probability_two_random_records_match(
        [block_on("first_name", "last_name", "phone"), block_on("email")], recall=0.7
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("first_name", "last_name"))
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("phone"))
    found = linker.inference.predict(threshold_match_probability=0.05).as_pandas_dataframe()
    return zip(found["id_l"], found["id_r"], found["match_probability"], strict=True)


def recordlinkage(members: list[dict[str, str]], _truth: Path) -> Pairs:
    """Use the toolkit with blocks, Jaro and Winkler's similarity, and the mean of the comparisons."""
    import pandas as pd
    import recordlinkage as toolkit

    frame = pd.DataFrame(members).set_index("id")
    index = toolkit.Index()
    for keys in (["first_name", "last_name"], ["phone"], ["email"], ["last_name", "joined"]):
        index.block(keys)
    compare = toolkit.Compare()
    for name in ("first_name", "last_name", "email"):
        compare.string(name, name, method="jarowinkler")
    compare.exact("phone", "phone")
    compare.exact("joined", "joined")
    features = compare.compute(index.index(frame), frame)
    score = features.mean(axis=1)
    score = score[score >= 0.5]
    return ((left, right, float(share)) for (left, right), share in score.items())


def splink_of_people(members: list[dict[str, str]], _truth: Path) -> Pairs:
    """Splink trained as its tutorial has it, with an identifier and more blocks as in its examples of Febrl."""
    import pandas as pd
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    names = ("first_name", "last_name")
    comparisons: list[Any] = [
        *(cl.NameComparison(name).configure(term_frequency_adjustments=True) for name in names),
        cl.DateOfBirthComparison("birth_date", input_is_string=True),
    ]
    alike = "l.first_name = r.first_name AND levenshtein(l.last_name, r.last_name) <= 2"
    certain: list[Any] = [block_on("first_name", "birth_date"), alike]
    if "email" in members[0]:
        comparisons.append(cl.EmailComparison("email"))
        certain.append(block_on("email"))
    if "ssn" in members[0]:
        comparisons.append(cl.DamerauLevenshteinAtThresholds("ssn", [1, 2]))
        certain.append(block_on("ssn"))
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="id",
        comparisons=comparisons,
        blocking_rules_to_generate_predictions=[block_on(name) for name in members[0] if name != "id"],
    )
    people = pd.DataFrame(members).replace({"": None})
    api = DuckDBAPI()
    linker = Linker(api.register(people), settings)
    linker.training.estimate_probability_two_random_records_match(certain, recall=0.7)
    linker.training.estimate_u_using_random_sampling(max_pairs=2e6, seed=1)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on(*names))
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("birth_date"))
    found = linker.inference.predict(threshold_match_probability=0.05).as_pandas_dataframe()
    return zip(found["id_l"], found["id_r"], found["match_probability"], strict=True)


def recordlinkage_of_people(members: list[dict[str, str]], _truth: Path) -> Pairs:
    """Use the toolkit with blocks, Jaro and Winkler's similarity and its unsupervised classifier."""
    import pandas as pd
    import recordlinkage as toolkit

    frame = pd.DataFrame(members).set_index("id").replace({"": None})
    index, compare = toolkit.Index(), toolkit.Compare()
    for name in frame.columns:
        index.block(name)
        if name in {"birth_date", "ssn"}:
            compare.exact(name, name, label=name)
        else:
            compare.string(name, name, method="jarowinkler", threshold=0.85, label=name)
    links = toolkit.ECMClassifier().fit_predict(compare.compute(index.index(frame), frame))
    return ((left, right, 1.0) for left, right in links)


def dedupe(members: list[dict[str, str]], truth: Path) -> Pairs:
    """Train dedupe with a hundred pairs that are one person and as many that are not, then partition."""
    import dedupe as library
    from dedupe import variables

    data: dict[str, dict[str, Any]] = {
        each["id"]: {name: each[name] or None for name in COLUMNS[1:]} for each in members
    }
    deduper = library.Dedupe(
        [variables.String(name, has_missing=True) for name in COLUMNS[1:]],
        num_cores=1,
    )
    random.seed(1)
    pairs = [tuple(row) for row in csv.reader(truth.open(encoding="utf-8"))]
    ids = list(data)
    distinct = [tuple(random.sample(ids, 2)) for _ in range(100)]
    deduper.prepare_training(data, sample_size=5000)
    deduper.mark_pairs(
        {
            "match": [(data[left], data[right]) for left, right in pairs[:100]],
            "distinct": [(data[left], data[right]) for left, right in distinct],
        }
    )
    deduper.train()
    found: list[tuple[str, str, float]] = []
    for ids_of_one, scores in deduper.partition(data, 0.5):
        named = sorted(zip(ids_of_one, scores, strict=True))
        found += [(named[0][0], other, float(score)) for other, score in named[1:]]
    return found


def tidied(member: dict[str, str]) -> dict[str, str]:
    """Return a member in lower case, with the digits of their phone: the others' documentation asks for it."""
    tidy = {name: value.lower() for name, value in member.items()}
    if "phone" in tidy:
        tidy["phone"] = "".join(sign for sign in tidy["phone"] if sign.isdigit())[-10:]
    return tidy


def main() -> None:
    """Run one of them."""
    way, source, target, truth = sys.argv[1], *map(Path, sys.argv[2:5])
    with source.open(encoding="utf-8", newline="") as file:
        members = list(csv.DictReader(file))
    if way != "ours":
        members = [tidied(each) for each in members]
    begun, used = perf_counter(), process_time()
    found = list(globals()[way](members, truth))
    seconds, processor = perf_counter() - begun, process_time() - used
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "processor": processor, "megabytes": peak}))


if __name__ == "__main__":
    main()
