"""Spark finds what DuckDB finds. Both need what not everybody has: ``make spark``, and Java 17."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import pytest

from benchmarks.another_club import another_club
from workbench.duplicates.matching.matching import match_people
from workbench.errors import UsageError


@pytest.mark.skipif(find_spec("pyspark") is None, reason="Spark is not installed here: make spark")
@pytest.mark.skipif(shutil.which("java") is None, reason="Java 17 is not installed here")
def test_spark_finds_the_same_pairs_with_the_same_evidence(monkeypatch):
    # For half a minute's work a quick start of Java counts more than what it makes of its code later.
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
    rows = another_club(20_000, 3).rows
    pairs, again = (match_people(rows, threshold=0.05, on=name) for name in ("duckdb", "spark"))
    assert len(pairs) > 200
    assert again.attrs == pairs.attrs
    assert again.round(9).to_csv().encode() == pairs.round(9).to_csv().encode()


def test_without_java_it_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UsageError, match="Java"):
        match_people([], on="spark")


def test_another_engine_is_refused():
    with pytest.raises(UsageError, match="duckdb"):
        match_people([], on="abacus")
