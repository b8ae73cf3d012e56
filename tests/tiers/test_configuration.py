"""Configurations: the importer's, and tier policies in every way they are written; what is wrong is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiers.conftest import Written
from workbench.errors import UsageError
from workbench.normalise import lookalike, nearest_name, normalise
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
    "nested.toml": """
[membership.tiers]
defaultCode = "PROSPECT"
[membership.tiers.waMapping]
Newcomer = "NEWCOMER"
"2nd Year" = "NEWCOMER"
Alumni = "ALUMNI"
""",
    "half-nested.yml": """
membership.tiers:
  default: PROSPECT
  waMapping: {Newcomer: NEWCOMER, 2nd Year: NEWCOMER, Alumni: ALUMNI}
""",
    "no-ending": "[membership.tiers]\ndefaultCode='PROSPECT'\n"
    "waMapping={Newcomer='NEWCOMER', '2nd Year'='NEWCOMER', Alumni='ALUMNI'}\n",
}  # fmt: skip


def test_every_way_of_writing_it_down_is_read(tmp_path: Path, written: Written) -> None:
    path = written("membership.yaml", IMPORTER)
    found = read_tier_mapping(path)
    assert (found.kind, found.levels, found.default) == ("importer's configuration", LEVELS, "PROSPECT")
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.codes == ("ALUMNI", "NEWCOMER", "PROSPECT")
    path.write_text(IMPORTER, encoding="utf-8-sig")  # a byte order mark is no part of it
    assert read_tier_mapping(path).levels == LEVELS
    for name, text in POLICIES.items():
        found = read_tier_mapping(written(name, text))
        assert (found.kind, found.levels, found.default, found.remarks) == (
            *("tier policy", LEVELS, "PROSPECT", ()),
        ), name
    text = json.dumps({"membership.tiers.enabled": False, "membership.tiers.waMapping": LEVELS})
    found = read_tier_mapping(written("policy.json", text))
    assert (found.default, found.enabled, "enabled is false" in found.remarks[0]) == (None, False, True)
    found = read_tier_mapping(written("m.yaml", "membership_status_mapping: {2024: NEW, Yes: ON, 1_0: a:b}"))
    assert found.levels == {"2024": "NEW", "Yes": "ON", "1_0": "a:b"}
    # Aliases upon aliases cost nothing.
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))]
    many = "\n".join([*lines, "membership_status_mapping: {A: B}"])
    assert read_tier_mapping(written("m.yaml", many)).levels == {"A": "B"}


WRONG = {
    "empty": ("m.yaml", "", "is empty"),
    "only comments": ("m.yaml", "# nothing\n", "no mapping"),
    "a list": ("m.yaml", "- a\n- b\n", "no mapping"),
    "not YAML": ("m.yaml", "a: [1,\nb: }", "cannot be read as YAML"),
    "two documents": ("m.yaml", "a: 1\n---\nb: 2\n", "cannot be read as YAML"),
    "not JSON": ("m.json", "{", "cannot be read as JSON"),
    "not TOML": ("m.toml", "a = ", "cannot be read as TOML"),
    "nothing at all": ("m.txt", "a: [1,\nb: }", "cannot be read as JSON"),
    "nothing of tiers": ("m.yaml", "version: 1", "says nothing of tiers"),
    "a key misspelt": ("m.yaml", "membership_status_maping: {A: B}", "Nearest: membership_status_mapping"),
    "a policy misspelt": ("m.yaml", "membership: {tiers: {waMaping: {A: B}}}", "Nearest: membership.tiers.waMapping"),
    "a default misspelt": ("m.json", '{"membership": {"tiers": {"waMapping": {"A": "B"}, "defaultCod": "X"}}}',
                           "Nearest: membership.tiers.defaultCode"),
    "two defaults": ("m.json", '{"membership": {"tiers": {"waMapping": {"A": "B"}, "defaultCode": "X", "default": "Y"}}}',
                     "default twice"),
    "both kinds": ("m.yaml", "membership_status_mapping: {A: B}\nmembership.tiers.waMapping: {A: B}", "has both"),
    "the same policy twice": ("m.yaml", "membership: {tiers: {waMapping: {A: B}}}\nmembership.tiers.waMapping: {A: C}",
                              "twice"),
    "no level": ("m.yaml", "membership_status_mapping: {}", "is empty"),
    "only a default": ("m.yaml", "membership_status_mapping: {_default: A}", "is empty"),
    "no mapping": ("m.yaml", "membership_status_mapping: NEWCOMER", "mapping of levels"),
    "a level twice": ("m.yaml", "membership_status_mapping:\n  A: B\n  C: D\n  A: E\n", "the key 'A' twice"),
    "a level twice in JSON": ("m.json", '{"membership_status_mapping": {"A": "B", "A": "C"}}', "the key 'A' twice"),
    "a level twice in TOML": ("m.toml", "[membership_status_mapping]\nA='B'\nA='C'", "cannot be read as TOML"),
    "a level twice in a list": ("m.json", '{"levels": [{"waName": "A"}, {"waName": "A"}]}', "'A' twice"),
    "the mapping twice": ("m.yaml", "membership_status_mapping: {A: B}\nmembership_status_mapping: {A: C}", "twice"),
    "a level without a tier": ("m.yaml", "membership_status_mapping:\n  A:\n", "no tier code for level 'A'"),
    "a level without a name": ("m.yaml", "membership_status_mapping: {'': A}", "without a name"),
    "a blank code": ("m.json", '{"membership_status_mapping": {"A": " "}}', "without a name"),
    "a code that is a number": ("m.json", '{"membership_status_mapping": {"A": 1}}', "not text: 1"),
    "a code that is a mapping": ("m.yaml", "membership_status_mapping: {A: {code: B}}", "not text"),
    "a default that is a list": ("m.yaml", "membership_status_mapping: {A: B, _default: [C]}", "not text"),
    "a zero byte": ("m.json", '{"membership_status_mapping": {"A\\u0000": "B"}}', "no database holds"),
    "half a character": ("m.json", '{"membership_status_mapping": {"A": "\\ud800"}}', "no database holds"),
    "itself": ("m.yaml", "membership_status_mapping: &a {A: *a}", "recursive"),
    "too deep": ("m.json", "[" * 100_000, "nested too deeply"),
    "an object": ("m.yaml", "membership_status_mapping: !!python/object/apply:os.system ['true']", "mapping of levels"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(written: Written, name: str) -> None:
    file, text, words = WRONG[name]
    with pytest.raises(UsageError) as caught:
        read_tier_mapping(written(file, text))
    assert words in str(caught.value)
    assert file in str(caught.value)


def test_a_file_that_is_not_there_or_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    for wrong in (path, tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_tier_mapping(wrong)
    path.write_bytes("membership_status_mapping: {Alumnä: A}".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
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
    if any("\0" in each for pair in levels.items() for each in pair):
        with pytest.raises(UsageError, match="no database holds"):
            read_tier_mapping(path)
    else:
        assert read_tier_mapping(path).levels == levels


def test_names_that_are_nearly_the_same_are_offered() -> None:
    known = ["Newcomer", "Third Year", "Alumni", "Études"]
    for wanted, near in (
        ("NEWCOMER", "Newcomer"),
        ("Third  Year ", "Third Year"),
        ("etudes", "Études"),
        ("3rd Year", "Third Year"),
        ("Alumnus", "Alumni"),
        ("\N{MATHEMATICAL DOUBLE-STRUCK CAPITAL A}lumni", "Alumni"),
    ):
        assert nearest_name(wanted, known) == near
    assert nearest_name("Gold Circle", ["Xyz"]) is None
    assert lookalike("third year", known) == "Third Year"
    assert lookalike("Third Year", known) is None
    assert lookalike("3rd Year", known) is None
    assert normalise(" Ünïted\tStates ", punctuation=True) == "united states"
