"""Report notebooks and their parameters, judged before anything runs."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.reporting.templates import (
    checked_parameters,
    report_names,
    report_parameters,
    report_template,
)

NAMES = report_names()


@pytest.mark.parametrize("name", NAMES)
def test_the_notebooks_are_thin_and_declare_what_they_take(name: str) -> None:
    notebook = json.loads(report_template(name).read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in notebook["cells"]:
        assert cell["id"]
        if cell["cell_type"] == "code":
            nodes = list(ast.walk(ast.parse("".join(cell["source"]))))
            kinds = ast.FunctionDef | ast.Lambda | ast.ClassDef | ast.Import
            assert not any(isinstance(node, kinds) for node in nodes)
            imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
            assert imported <= {"workbench", "workbench.panels"}
    declared = report_parameters(name)
    types = {parameter["inferred_type_name"] for parameter in declared.values()}
    assert types <= {"str", "int", "float", "bool", "list"}
    assert all(parameter["help"] for parameter in declared.values())
    assert not {"url", "database_url", "password"} & set(declared)


def test_a_notebook_is_found_where_it_is_put(report_folder: Callable[..., Path], tmp_path: Path) -> None:
    assert {"plan", "post-recovery", "run"} <= set(NAMES)
    first = report_folder("07_tiers", "level: int = 3  # how many")
    report_folder("plan", "environment: str = 'demo'  # where")
    report_folder("tiers", "other: int = 3  # a later one of the same name")
    (tmp_path / "templates" / "scratch.ipynb").write_text('{"cells": [{"metadata": {}}]}')
    (tmp_path / "templates" / "half.ipynb").write_text('{"cells": ')
    assert report_names() == ["plan", "tiers"]
    assert report_template("tiers") == first
    for name in ("07_tiers", "scratch", "half", "../reports/run", "plan.ipynb", ""):
        with pytest.raises(UsageError, match="no report"):
            report_template(name)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"expected_members": "2,000"}, {"expected_members": 2000}),
        ({"expected_members": None}, {"expected_members": None}),
        ({"expected_members": "none"}, {"expected_members": None}),
        ({"unmask": "yes"}, {"unmask": True}),
        ({"waive": "a=b, c=d"}, {"waive": ["a=b", "c=d"]}),
        ({"waive": '["a=b, c"]'}, {"waive": ["a=b, c"]}),
        ({"waive": ("a=b",)}, {"waive": ["a=b"]}),
        ({}, {}),
    ],
)
def test_text_becomes_what_is_declared(value: dict[str, Any], expected: dict[str, Any]) -> None:
    assert checked_parameters("post-recovery", value) == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"expected_member": 3}, "expected_members"),
        ({"expected_members": "many"}, "a whole number"),
        ({"expected_members": True}, "a whole number"),
        ({"expected_members": 1.5}, "a whole number"),
        ({"unmask": "perhaps"}, "true or false"),
        ({"waive": 3}, "a list"),
        ({"waive": "[1"}, "a list"),
        ({"environment": 3}, "text"),
    ],
)
def test_wrong_parameters_are_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        checked_parameters("post-recovery", value)


def test_a_run_has_to_be_named() -> None:
    for nothing in ({}, {"run_id": ""}):
        with pytest.raises(UsageError, match="run_id"):
            checked_parameters("run", nothing)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=30)
@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_run_id_goes_through_as_it_is(run_id: str) -> None:
    from papermill.translators import PythonTranslator

    namespace: dict[str, Any] = {}
    exec(PythonTranslator.codify(checked_parameters("run", {"run_id": run_id})), namespace)
    assert namespace["run_id"] == run_id
