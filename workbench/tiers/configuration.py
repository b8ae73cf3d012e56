"""Which tier or status each Wild Apricot level becomes: read from the importers' own files (guide §1.3).

Three kinds of file say it. The application's policies have ``membership.tiers.waMapping`` and
``membership.tiers.defaultCode`` (nested, as dotted keys, or as the ``policies`` of a captured bundle, each
with ``key`` and ``value``): they give *tiers*. The CSV importer's configuration has
``membership_status_mapping``, in which the key ``_default`` is no level but what every other level becomes;
a captured ``membership_levels_mapping.json`` has ``levels``, each mapped or ignored. Both give *statuses*,
although the latter calls its codes tiers. Where a database has no statuses, as the guide describes it, the
importer's configuration gives tiers. No table holds any of this, so files are the only place to read it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml

from workbench.errors import UsageError

IMPORTER_KEY, LEVELS_KEY = "membership_status_mapping", "levels"
POLICY = "membership.tiers."
POLICY_KEY, ENABLED = POLICY + "waMapping", POLICY + "enabled"
_DEFAULTS = (POLICY + "defaultCode", POLICY + "default")
_NEEDS = (
    f"It needs {IMPORTER_KEY} (the importer's configuration), {POLICY_KEY} (a tier policy) or the"
    f" {LEVELS_KEY} of a membership_levels_mapping.json: what gives Wild Apricot levels their codes."
)

Mappings = str | Path | Sequence[str | Path] | None
"""One file, or one for tiers and one for statuses."""


@dataclass(frozen=True)
class TierMapping:
    """What a configuration says.

    Attributes
    ----------
    name, sha256 : str
        The file's name, and the digest of its bytes.
    kind : {"importer's configuration", "tier policy", "level mapping"}
        Which of the three it is.
    levels : dict of str to str
        Wild Apricot level to code, letter by letter.
    default : str or None
        The code of every level it does not name.
    remarks : tuple of str
        What whoever uses it should know.
    ignored : tuple of str
        Levels that it leaves out on purpose.
    enabled : bool
        False for a policy that switches tiers off.
    """

    name: str
    sha256: str
    kind: Literal["importer's configuration", "tier policy", "level mapping"]
    levels: dict[str, str]
    default: str | None = None
    remarks: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def gives(self) -> Literal["tier", "status"]:
        """What its codes are, where a database has both."""
        return "tier" if self.kind == "tier policy" else "status"

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code it gives, sorted."""
        return tuple(sorted({*self.levels.values(), *([self.default] if self.default else [])}))

    def levels_of(self, code: str) -> list[str]:
        """Return the levels that become a code; the default's are said as such."""
        levels = sorted(level for level, given in self.levels.items() if given == code)
        return [*levels, "every other level"] if code == self.default else levels


def read_tier_mapping(path: Path) -> TierMapping:
    """Read the mapping of levels to codes from any of the three kinds of file, in YAML, JSON or TOML.

    Raises
    ------
    UsageError
        When the file cannot be read, says nothing of tiers or says it twice, or when a level or a
        code is not plain text.
    """
    document, content = read_document(path)
    try:
        return _understood(path.name, hashlib.sha256(content).hexdigest(), document)
    except _WrongError as error:
        raise UsageError(f"The tier mapping {path} {error}.", error.remedy) from None


def mappings_for(named: Mappings, configured: Sequence[Path]) -> tuple[TierMapping, ...]:
    """Read the files that are named, else those that are configured: one for tiers, one for statuses, or either.

    Raises
    ------
    UsageError
        When there is none, or two give the same.
    """
    paths = configured if named is None else [named] if isinstance(named, str | Path) else named
    if not paths:
        raise UsageError(
            "No tier mapping is configured for this environment.",
            "Name a tier policy or the importer's configuration: --mapping FILE, or tier_mapping in workbench.toml.",
        )
    return distinct([read_tier_mapping(Path(path)) for path in paths])


def distinct(mappings: Sequence[TierMapping]) -> tuple[TierMapping, ...]:
    """Return mappings as they are; `UsageError` when two say which tier, or which status, a level becomes."""
    giving: dict[str, TierMapping] = {}
    for one in mappings:
        if other := giving.get(one.gives):
            raise UsageError(
                f"{other.name} ({other.kind}) and {one.name} ({one.kind}) both say which {one.gives} a level becomes.",
                "Name the one that counts.",
            )
        giving[one.gives] = one
    return tuple(mappings)


class _WrongError(Exception):
    """What is wrong with a file, in words that follow its name."""

    def __init__(self, what: str, remedy: str = "Correct the file, or name another with --mapping.") -> None:
        super().__init__(what)
        self.remedy = remedy


class _StrictLoader(yaml.BaseLoader):
    """YAML in which every scalar is text and no key stands twice; nothing is executed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag == "null":
                raise _WrongError(f"has a key on line {line} that is not text")
            if key.value in lines:
                raise _WrongError(f"has the key {key.value!r} twice, on lines {lines[key.value]} and {line}")
            lines[key.value] = line
        return super().construct_mapping(node, deep=True)


_StrictLoader.add_implicit_resolver("null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_StrictLoader.add_constructor("null", lambda loader, node: None)


def _from_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for number, (key, _) in enumerate(pairs):
            if any(key == other for other, _ in pairs[:number]):
                raise _WrongError(f"has the key {key!r} twice")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique)


_FORMATS: dict[str, Callable[[str], Any]] = {
    "JSON": _from_json,
    "TOML": tomllib.loads,
    "YAML": lambda text: yaml.load(text, _StrictLoader),
}
"""The strictest first: every JSON document is YAML too, and a TOML one can be."""


def read_document(path: Path) -> tuple[dict[str, Any], bytes]:
    """Read a configuration file as plain values: YAML, JSON or TOML, by its ending or the first that fits.

    Raises
    ------
    UsageError
        When it cannot be read, is empty or no mapping, or has a key twice.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        if not text.strip():
            raise _WrongError("is empty")
        document = _parsed(path.suffix.lower().removeprefix("."), text)
        if not isinstance(document, dict):
            raise _WrongError("is no mapping of keys to values")
    except UnicodeDecodeError as error:
        wrong = _WrongError(f"is not UTF-8 (byte {error.start + 1})", "Save it as UTF-8 and try again.")
    except OSError as error:
        wrong = _WrongError(f"cannot be read: {error.strerror}")
    except _WrongError as error:
        wrong = error
    else:
        return document, content
    raise UsageError(f"The tier mapping {path} {wrong}.", wrong.remedy)


def _parsed(ending: str, text: str) -> Any:
    by_ending = {"yaml": "YAML", "yml": "YAML", "json": "JSON", "toml": "TOML"}.get(ending)
    wrong = []
    for name in [by_ending] if by_ending else _FORMATS:
        try:
            return _FORMATS[name](text)
        except RecursionError:
            wrong.append(f"{name}: nested too deeply")
        except (ValueError, yaml.YAMLError) as error:
            wrong.append(f"{name}: {' '.join(str(error).split())}")
    raise _WrongError(
        f"cannot be read as {wrong[0]}"
        if by_ending
        else f"is neither JSON, TOML nor YAML ({'; '.join(wrong)})"
    )


def _understood(name: str, digest: str, document: dict[str, Any]) -> TierMapping:
    policies = _policies(document)
    listed = document.get(LEVELS_KEY)
    is_list = isinstance(listed, list) and any(isinstance(row, dict) and "waName" in row for row in listed)
    present = [
        key
        for key, there in (
            (IMPORTER_KEY, IMPORTER_KEY in document),
            (POLICY_KEY, POLICY_KEY in policies),
            (LEVELS_KEY, is_list),
        )
        if there
    ]
    if len(present) > 1:
        raise _WrongError(f"has both {present[0]} and {present[1]}", "Leave the one that counts.")
    if is_list:
        mapped, ignored = _level_list(listed or [])
        return TierMapping(name, digest, "level mapping", _levels(LEVELS_KEY, mapped), ignored=ignored)
    if IMPORTER_KEY in document:
        table = _table(IMPORTER_KEY, document[IMPORTER_KEY])
        given_default = table.pop("_default", None)
        default = None if given_default is None else _code(f"{IMPORTER_KEY}._default", given_default)
        return TierMapping(name, digest, "importer's configuration", _levels(IMPORTER_KEY, table), default)
    known = (POLICY_KEY, *_DEFAULTS, ENABLED)
    for key in policies if POLICY_KEY in policies else ():
        if key not in known and (close := get_close_matches(key, known, 1, 0.8)):
            raise _WrongError(f"has a policy {key!r} that is not known", f"Nearest: {close[0]}.")
    if POLICY_KEY not in policies:
        inner = [
            f"{key}.{each}" for key, value in document.items() if isinstance(value, dict) for each in value
        ]
        near = (
            f". Its {key!r} may be meant for {close[0]}"
            for key in (*document, *policies, *inner)
            if (close := get_close_matches(key, (IMPORTER_KEY, POLICY_KEY), 1, 0.75))
        )
        raise _WrongError(f"says nothing of tiers{next(near, '')}", _NEEDS)
    given = [key for key in _DEFAULTS if policies.get(key) is not None]
    if len(given) > 1:
        raise _WrongError(f"gives its default twice, as {given[0]} and {given[1]}", "Leave one.")
    default = _code(given[0], policies[given[0]]) if given else None
    levels = _levels(POLICY_KEY, _table(POLICY_KEY, policies[POLICY_KEY]))
    off = str(policies.get(ENABLED, "true")).lower() == "false"
    remark = f"{ENABLED} is false in {name}: an importer that obeys it sets no tier at all."
    return TierMapping(
        name, digest, "tier policy", levels, default, (remark,) if off else (), enabled=not off
    )


def _policies(document: dict[str, Any]) -> dict[str, Any]:
    """Return the policies on tiers by their full names, whichever way they are written down."""
    policies: dict[str, Any] = {}
    bundle = document.get("policies")
    rows = [row for row in bundle if isinstance(row, dict)] if isinstance(bundle, list) else []
    captured = {str(row.get("key", "")): row.get("value") for row in rows}
    for above in (captured, bundle if isinstance(bundle, dict) else {}, document):
        for key, value in _dotted(above):
            if key in policies:
                raise _WrongError(f"has {key} twice", "Leave the one that counts.")
            policies[key] = value
    return policies


def _dotted(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        name = f"{above}{key}"
        if name.startswith(POLICY):
            yield name, inner
        elif isinstance(inner, dict) and POLICY.startswith(f"{name}."):
            yield from _dotted(inner, f"{name}.")


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError(f"has {key}, but that is no mapping of levels to codes", _NEEDS)
    return dict(value)


def _level_list(rows: list[Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the levels of a captured ``membership_levels_mapping.json``, and those it ignores."""
    mapped: dict[str, Any] = {}
    ignored: list[str] = []
    for row in rows:
        name = row.get("waName") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise _WrongError("has a level without waName", "Correct the line.")
        if name in mapped or name in ignored:
            raise _WrongError(f"has the level {name!r} twice", "Correct the line.")
        if str(row.get("ignore", "false")).lower() == "true":
            ignored.append(_text("level", name))
        else:
            mapped[name] = (
                row["murmurantTier"] if row.get("murmurantTier") is not None else row.get("clubosTier")
            )
    return mapped, tuple(ignored)


def _levels(key: str, table: dict[str, Any]) -> dict[str, str]:
    if not table:
        raise _WrongError(f"has {key}, and it is empty", _NEEDS)
    if not all(level.strip() for level in table):
        raise _WrongError(f"has a level without a name in {key}", "Name it, or take the line out.")
    return {_text("level", level): _code(f"level {level!r}", code) for level, code in table.items()}


def _code(what: str, code: Any) -> str:
    if code is None or (isinstance(code, str) and not code.strip()):
        raise _WrongError(f"gives no tier code for {what}", "Give it one, or take the line out.")
    if not isinstance(code, str):
        raise _WrongError(
            f"gives {what} a tier that is not text but {code!r}", "A tier code is text: NEWCOMER."
        )
    return _text("tier code", code)


def _text(what: str, text: str) -> str:
    """Return a text that a database can hold: a zero byte or half a character is in none."""
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise _WrongError(f"has a {what} {text!r} with a character no database holds", "Correct the line.")
    return text
