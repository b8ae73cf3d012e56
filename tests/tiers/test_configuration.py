"""Configurations of every kind and spelling are read; damaged ones are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiers.conftest import Written
from workbench.errors import UsageError
from workbench.tiers.configuration import read_tier_mapping

LEVELS = {"Newcomer": "NEWCOMER", "2nd Year": "NEWCOMER", "Alumni": "ALUMNI"}

IMPORTER = """
version: "1.0"
source: wild-apricot
membership_status_mapping:
  Newcomer: NEWCOMER
  2nd Year: NEWCOMER   # no quotes needed
  "Alumni": ALUMNI
  _default: PROSPECT
"""
POLICIES = {
    "nested.yaml": """
membership:
  tiers:
    enabled: true
    defaultCode: PROSPECT
    waMapping: {Newcomer: NEWCOMER, 2nd Year: NEWCOMER, Alumni: ALUMNI}
""",
    "dotted.json": json.dumps(
        {"membership.tiers.enabled": True, "membership.tiers.defaultCode": "PROSPECT",
         "membership.tiers.waMapping": LEVELS}
    ),
    "bundle.json": json.dumps(
        {"version": "1.0", "policies": [
            {"key": "scheduling.timezone", "value": "America/Los_Angeles"},
            {"key": "membership.tiers.waMapping", "value": LEVELS, "source": "manual"},
            {"key": "membership.tiers.defaultCode", "value": "PROSPECT"}]}
    ),
    "half-nested.yml": """
membership.tiers:
  defaultCode: PROSPECT
  waMapping: {Newcomer: NEWCOMER, 2nd Year: NEWCOMER, Alumni: ALUMNI}
""",
}  # fmt: skip


def test_every_way_of_writing_it_down_is_read(written: Written) -> None:
    path = written("membership.yaml", IMPORTER)
    mapping = read_tier_mapping(path)
    assert (mapping.kind, mapping.levels, mapping.default) == ("importer's configuration", LEVELS, "PROSPECT")
    assert mapping.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [*mapping.codes] == ["ALUMNI", "NEWCOMER", "PROSPECT"]
    path.write_text(IMPORTER, encoding="utf-8-sig")  # a byte order mark is no part of it
    assert read_tier_mapping(path).levels == LEVELS
    for name, text in POLICIES.items():
        mapping = read_tier_mapping(written(name, text))
        assert (mapping.kind, mapping.levels, mapping.default) == ("tier policy", LEVELS, "PROSPECT"), name
    text = json.dumps({"membership.tiers.enabled": False, "membership.tiers.waMapping": LEVELS})
    mapping = read_tier_mapping(written("policy.json", text))
    assert (mapping.default, mapping.enabled) == (None, False)
    path = written("m.yaml", "membership_status_mapping: {2024: NEW, Yes: ON, 1_0: a:b}")
    assert read_tier_mapping(path).levels == {"2024": "NEW", "Yes": "ON", "1_0": "a:b"}
    # Aliases upon aliases cost nothing.
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    many = "\n".join([*lines, "membership_status_mapping: {A: B}"])
    assert read_tier_mapping(written("m.yaml", many)).levels == {"A": "B"}


WRONG = {
    "empty": ("m.yaml", ""),
    "a list": ("m.yaml", "- a\n- b\n"),
    "not YAML": ("m.yaml", "a: [1,\nb: }"),
    "two documents": ("m.yaml", "a: 1\n---\nb: 2\n"),
    "not JSON": ("m.json", "{"),
    "nothing of tiers": ("m.yaml", "version: 1"),
    "a key misspelt": ("m.yaml", "membership_status_maping: {A: B}"),
    "both kinds": ("m.yaml", "membership_status_mapping: {A: B}\nmembership.tiers.waMapping: {A: B}"),
    "the same policy twice": ("m.yaml", "membership: {tiers: {waMapping: {A: B}}}\nmembership.tiers.waMapping: {A: C}"),
    "only a default": ("m.yaml", "membership_status_mapping: {_default: A}"),
    "no mapping": ("m.yaml", "membership_status_mapping: NEWCOMER"),
    "a level twice": ("m.yaml", "membership_status_mapping:\n  A: B\n  C: D\n  A: E\n"),
    "a level twice in JSON": ("m.json", '{"membership_status_mapping": {"A": "B", "A": "C"}}'),
    "a level twice in a list": ("m.json", '{"levels": [{"waName": "A"}, {"waName": "A"}]}'),
    "a level without a tier": ("m.yaml", "membership_status_mapping:\n  A:\n"),
    "a level without a name": ("m.yaml", "membership_status_mapping: {'': A}"),
    "a code that is a number": ("m.json", '{"membership_status_mapping": {"A": 1}}'),
    "a code that is a mapping": ("m.yaml", "membership_status_mapping: {A: {code: B}}"),
    "a default that is a list": ("m.yaml", "membership_status_mapping: {A: B, _default: [C]}"),
    "a zero byte": ("m.json", '{"membership_status_mapping": {"A\\u0000": "B"}}'),
    "half a character": ("m.json", '{"membership_status_mapping": {"A": "\\ud800"}}'),
    "itself": ("m.yaml", "membership_status_mapping: &a {A: *a}"),
    "too deep": ("m.json", "[" * 100_000),
    "an object": ("m.yaml", "membership_status_mapping: !!python/object/apply:os.system ['true']"),
    "a key that is a list": ("m.yaml", "? [a]\n: b\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_by_name(written: Written, name: str) -> None:
    file, text = WRONG[name]
    path = written(file, text)
    with pytest.raises(UsageError) as caught:
        read_tier_mapping(path)
    assert str(path) in caught.value.what


def test_a_file_that_is_missing_or_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("membership_status_mapping: {Alumnä: A}".encode("latin-1"))
    for path in (tmp_path / "latin.yaml", tmp_path / "nothing.yaml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_tier_mapping(path)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip), min_size=1)
)
def test_whatever_json_says_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, levels: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    path.write_text(json.dumps({"membership.tiers.waMapping": levels}), encoding="utf-8")
    if any("\0" in text for pair in levels.items() for text in pair):
        with pytest.raises(UsageError):
            read_tier_mapping(path)
    else:
        assert read_tier_mapping(path).levels == levels
