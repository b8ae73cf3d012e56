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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
_CORRECT = "Correct the file, or name another with --mapping."

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

    @property
    def remarks(self) -> tuple[str, ...]:
        """What whoever uses it should know."""
        off = f"{ENABLED} is false in {self.name}: an importer that obeys it sets no tier at all."
        return () if self.enabled else (off,)

    def levels_of(self, code: str) -> list[str]:
        """Return the levels that become a code; the default's are said as such."""
        levels = sorted(level for level, given in self.levels.items() if given == code)
        return [*levels, "every other level"] if code == self.default else levels


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
    """What is wrong with a file, in words that follow its name, and what to do."""


@contextmanager
def _about(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The tier mapping {path} is not UTF-8 (byte {error.start + 1}).", _CORRECT
        ) from None
    except OSError as error:
        raise UsageError(f"The tier mapping {path} cannot be read: {error.strerror}.", _CORRECT) from None
    except _WrongError as error:
        what, *remedy = error.args
        raise UsageError(f"The tier mapping {path} {what}.", *remedy or [_CORRECT]) from None


class _StrictLoader(yaml.BaseLoader):
    """YAML in which every scalar is text and no key stands twice; nothing is executed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        return _unique([(self.construct_object(key, deep=True), value) for key, value in node.value]) and (
            super().construct_mapping(node, deep=True)
        )


_StrictLoader.add_implicit_resolver("null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_StrictLoader.add_constructor("null", lambda loader, node: None)


def _unique(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    counts = Counter(str(key) for key, _ in pairs)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise _WrongError(f"has the key {twice[0]!r} twice")
    if not all(isinstance(key, str) for key, _ in pairs):
        raise _WrongError("has a key that is not text")
    return dict(pairs)


_FORMATS: dict[str, Callable[[str], Any]] = {
    "JSON": lambda text: json.loads(text, object_pairs_hook=_unique),
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
    with _about(path):
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        if not text.strip():
            raise _WrongError("is empty")
        ending = path.suffix.upper().removeprefix(".").replace("YML", "YAML")
        wrong = []
        for name in [ending] if ending in _FORMATS else _FORMATS:
            try:
                document = _FORMATS[name](text)
                break
            except RecursionError:
                wrong.append(f"{name}: nested too deeply")
            except (ValueError, yaml.YAMLError) as error:
                wrong.append(f"{name}: {' '.join(str(error).split())}")
        else:
            raise _WrongError(f"cannot be read as {'; '.join(wrong)}")
        if not isinstance(document, dict):
            raise _WrongError("is no mapping of keys to values")
        return document, content


def read_tier_mapping(path: Path) -> TierMapping:
    """Read the mapping of levels to codes from any of the three kinds of file, in YAML, JSON or TOML.

    Raises
    ------
    UsageError
        When the file cannot be read, says nothing of tiers or says it twice, or when a level or a
        code is not plain text.
    """
    document, content = read_document(path)
    digest = hashlib.sha256(content).hexdigest()
    with _about(path):
        policies, levels = _policies(document), document.get(LEVELS_KEY)
        says = {
            IMPORTER_KEY: IMPORTER_KEY in document,
            POLICY_KEY: POLICY_KEY in policies,
            LEVELS_KEY: isinstance(levels, list)
            and any(isinstance(row, dict) and "waName" in row for row in levels),
        }
        present = [key for key, there in says.items() if there]
        if len(present) > 1:
            raise _WrongError(f"has both {present[0]} and {present[1]}", "Leave the one that counts.")
        if says[LEVELS_KEY]:
            mapped, ignored = _level_list(list(levels or ()))
            return TierMapping(path.name, digest, "level mapping", _levels(mapped), ignored=ignored)
        if says[IMPORTER_KEY]:
            table = _table(document[IMPORTER_KEY])
            default = _default({"_default": table.pop("_default", None)})
            return TierMapping(path.name, digest, "importer's configuration", _levels(table), default)
        known = (IMPORTER_KEY, POLICY_KEY, *_DEFAULTS, ENABLED)
        for key in {*policies, *(() if says[POLICY_KEY] else document)} - {*known}:
            if not POLICY.startswith(f"{key}.") and (close := get_close_matches(key, known, 1, 0.8)):
                raise _WrongError(f"has a key {key!r} that is not known", f"Nearest: {close[0]}.")
        if not says[POLICY_KEY]:
            raise _WrongError("says nothing of tiers", _NEEDS)
        default = _default({key: policies.get(key) for key in _DEFAULTS})
        on = str(policies.get(ENABLED, "true")).lower() != "false"
        table = _table(policies[POLICY_KEY])
        return TierMapping(path.name, digest, "tier policy", _levels(table), default, enabled=on)


def _policies(document: dict[str, Any]) -> dict[str, Any]:
    """Return the policies on tiers by their full names, whichever way they are written down."""
    bundle = document.get("policies")
    rows = [row for row in bundle if isinstance(row, dict)] if isinstance(bundle, list) else []
    captured = {str(row.get("key", "")): row.get("value") for row in rows}
    named = [*_dotted(captured), *_dotted(bundle if isinstance(bundle, dict) else {}), *_dotted(document)]
    return _unique(named)


def _dotted(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        name = f"{above}{key}"
        if name.startswith(POLICY):
            yield name, inner
        elif isinstance(inner, dict) and POLICY.startswith(f"{name}."):
            yield from _dotted(inner, f"{name}.")


def _level_list(rows: list[Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the levels of a captured ``membership_levels_mapping.json``, and those it ignores."""
    if not all(isinstance(row, dict) and isinstance(row.get("waName"), str) for row in rows):
        raise _WrongError("has a level without waName")
    named = _unique([(row["waName"], row) for row in rows])
    ignored = [name for name, row in named.items() if str(row.get("ignore", "false")).lower() == "true"]
    codes = {
        name: row["murmurantTier"] if row.get("murmurantTier") is not None else row.get("clubosTier")
        for name, row in named.items()
        if name not in ignored
    }
    return codes, tuple(map(_text, ignored))


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongError("has what should be a mapping of levels to codes, and is none", _NEEDS)
    return dict(value)


def _levels(table: dict[str, Any]) -> dict[str, str]:
    if not table:
        raise _WrongError("names its levels, but it is empty", _NEEDS)
    return {_text(level): _code(f"level {level!r}", code) for level, code in table.items()}


def _default(given: dict[str, Any]) -> str | None:
    named = [key for key, code in given.items() if code is not None]
    if len(named) > 1:
        raise _WrongError(f"gives its default twice, as {named[0]} and {named[1]}", "Leave one.")
    return _code(named[0], given[named[0]]) if named else None


def _code(what: str, code: Any) -> str:
    if not isinstance(code, str):
        what = (
            f"gives no tier code for {what}"
            if code is None
            else f"gives {what} a tier that is not text: {code!r}"
        )
        raise _WrongError(what, "A tier code is text: NEWCOMER.")
    return _text(code)


def _text(text: str) -> str:
    """Return a name that a database can hold: a zero byte or half a character is in none."""
    if not text.strip():
        raise _WrongError("has a level or a tier code without a name", "Name it, or take the line out.")
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise _WrongError(f"has the name {text!r} with a character no database holds")
    return text
