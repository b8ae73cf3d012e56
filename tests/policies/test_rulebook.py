"""Files of rules: what is read, and every way in which one is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import SettingsError, UsageError
from workbench.investigate.policies import STARTER, read_rulebook, starter
from workbench.investigate.policies.kinds import KINDS
from workbench.settings import load_settings

HEAD = "[[rule]]\nid = 'mine'\ntitle = 'Mine'\n"
LIMIT = HEAD + "ask = 'capacity-limit'\n"

WRONG = {
    "an unknown key": (LIMIT + "limt = 3", "rule 'mine': unknown key 'limt' (did you mean 'limit'?)"),
    "an unknown key outside": ("[rules]\n" + LIMIT, "unknown key 'rules' (did you mean 'rule'?)"),
    "an unknown severity": (LIMIT + "severity = 'error'", "severity = 'error': it must be fail or warn"),
    "an unknown question": (HEAD + "ask = 'capacity-limt'", "no question 'capacity-limt' (did you mean 'capacity-limit'?)"),
    "no question": (HEAD, "does not say what to ask"),
    "no id": ("[[rule]]\ntitle = 'T'\nask = 'visibility'", "rule number 1 (no id): id is missing"),
    "no title": ("[[rule]]\nid = 'a'\nask = 'visibility'", "rule 'a': title is missing"),
    "an id with a space": ("[[rule]]\nid = 'A b'\ntitle = 'T'\nask = 'visibility'", "rule 'A b': id:"),
    "an id that is no text": ("[[rule]]\nid = 3\ntitle = 'T'\nask = 'visibility'", "rule number 1 (no id): id:"),
    "duplicate ids": (LIMIT + LIMIT, "rules number 1 and 2 have the same id"),
    "a limit in quotes": (LIMIT + "limit = '100'", "rule 'mine': limit:"),
    "a negative limit": (LIMIT + "limit = -1", "rule 'mine': limit:"),
    "another kind's fix": (LIMIT + "fix = 'swap'", "fix = 'swap': it must be clamp"),
    "a fix where there is none": (HEAD + "ask = 'email-syntax'\nfix = 'trim'", "this kind of rule has no fix"),
    "an unknown scope": (HEAD + "ask = 'required'\nscope = 'Membr'\nfields = ['email']", "scope = 'Membr': it must be Member"),
    "an unknown field": (HEAD + "ask = 'required'\nscope = 'Member'\nfields = ['emial']", "Member has no field 'emial' (nearest: email"),
    "no fields": (HEAD + "ask = 'required'\nscope = 'Member'\nfields = []", "fields:"),
    "no bound": (HEAD + "ask = 'date-range'\nscope = 'Event'\nfield = 'start'", "needs not_before, days_ahead or both"),
    "a day in quotes": (HEAD + "ask = 'date-range'\nscope = 'Event'\nfield = 'start'\nnot_before = '1990'", "write a day without quotes"),
    "an unknown restriction": (LIMIT + "where = { upcomin = true }", "unknown key 'where.upcomin' (did you mean 'upcoming'?)"),
    "a restriction that does not fit": (HEAD + "ask = 'visibility'\nwhere = { upcoming = true }", "where.upcoming is about events"),
    "a section that is none": (LIMIT + "guide = '1.5'", "guide:"),
    "empty SQL": (HEAD + "scope = 'Event'\nsql = ' ; '", "sql: it is empty"),
    "SQL without a scope": (HEAD + "sql = 'SELECT 1 AS key'", "scope is missing"),
    "SQL with a restriction": (HEAD + "scope = 'Event'\nsql = 'SELECT 1 AS key'\nwhere = { upcoming = true }", "write it into the SQL"),
    "SQL with a fix": (HEAD + "scope = 'Event'\nsql = 'SELECT 1 AS key'\nfix = 'clamp'", "has no fix"),
    "one bracket": ("[rule]\nid = 'a'", "two brackets"),
    "no rule": ("# nothing\n", "there is no rule in it"),
    "an empty file": ("", "there is no rule in it"),
    "an empty list": ("rule = []", "there is no rule in it"),
    "not TOML": ("rules:\n  - id: mine\n", "are not TOML"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_by_name_and_nearest_key(tmp_path: Path, case: str) -> None:
    content, words = WRONG[case]
    path = tmp_path / "policies.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        read_rulebook(path)
    assert str(path) in raised.value.what
    assert words in raised.value.what
    assert "input_value" not in raised.value.what


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    path.write_text("\n".join(content for content, _ in list(WRONG.values())[2:5]), encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        read_rulebook(path)
    assert raised.value.what.count("\n  - ") == 5  # twice the same id as well


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "policies.toml"
    path.write_bytes((LIMIT + "question = 'Größer?'").encode(encoding))
    with pytest.raises(UsageError, match=r"not UTF-8|not TOML"):
        read_rulebook(path)


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "policies.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LIMIT.encode())
    assert [each.id for each in read_rulebook(path).rules] == ["mine"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_rulebook(path)


def test_the_starter_set_tells_of_every_kind_and_key() -> None:
    text = STARTER.read_text(encoding="utf-8")
    for name, kind in KINDS.items():
        assert f"#     {name}" in text, name
        for key in kind.model_fields:
            assert key in text, key
    assert starter().sha256 == read_rulebook(STARTER).sha256
    # What stands in comments works when the signs are taken away.
    awake = text.replace("# limit =", "limit =").replace("# fix =", "fix =")
    own = awake[awake.index("# [[rule]]") :]
    awake = awake[: awake.index("# [[rule]]")] + own.replace("\n# ", "\n")[2:]
    (rule,) = [each for each in tomllib.loads(awake)["rule"] if "sql" in each]
    assert "to_char" in rule["sql"]


def test_a_nearest_rule_is_offered() -> None:
    with pytest.raises(UsageError, match="events-overbooked"):
        starter().choose(["event-overbooked"])


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_no_file_ends_in_anything_but_a_plain_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(UsageError):
        read_rulebook(path)


def test_where_the_rules_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKBENCH_CONFIG", raising=False)
    assert load_settings().environment("demo").policies is None
    (tmp_path / "policies.toml").write_text(LIMIT)
    assert load_settings().environment("demo").policies == tmp_path / "policies.toml"
    (tmp_path / "workbench.toml").write_text(
        "[environments.demo]\nkind = 'demo'\npolicies = 'rules/club.toml'"
    )
    assert load_settings().environment("demo").policies == tmp_path / "rules" / "club.toml"
    (tmp_path / "workbench.toml").write_text("[environments.demo]\nkind = 'demo'\npolicy = 'rules.toml'")
    with pytest.raises(SettingsError, match="policies"):
        load_settings()
