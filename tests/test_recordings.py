"""The excerpts of recordings are what they say: every run of theirs is found, with its own counts."""

from __future__ import annotations

import pytest

from tests.commands import shell as shell
from tests.recorded import recording as recording

RUNS = {
    "truncated": ["api"],
    "rebooked": ["api"],
    "incremental": ["api", "api", "api"],
    "csv_over_api": ["api", "api", "csv"],
    "other_time_zone": ["api", "api", "csv"],
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("whole", [False, True], ids=["excerpt", "whole"])
def test_every_run_is_found(recording, name, whole):
    runs = recording(name, whole=whole).json("runs")
    assert [run["importer"] for run in runs] == RUNS[name]
