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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from workbench.errors import UsageError
from workbench.investigate.tiers.documents import read_document

IMPORTER_KEY, IMPORTER_DEFAULT = "membership_status_mapping", "_default"
LEVELS_KEY, LEVEL_NAME = "levels", "waName"
LEVEL_CODES = ("murmurantTier", "clubosTier")
POLICY = "membership.tiers."
POLICY_KEY = POLICY + "waMapping"
_DEFAULTS = (POLICY + "defaultCode", POLICY + "default")
_ENABLED = POLICY + "enabled"

Mappings = str | Path | Sequence[str | Path] | None
"""One file, or one for tiers and one for statuses."""

CALLED = "tier mapping"
_NEEDS = (
    f"It needs {IMPORTER_KEY} (the importer's configuration), {POLICY_KEY} (a tier policy) or the"
    f" {LEVELS_KEY} of a membership_levels_mapping.json: what gives Wild Apricot levels their codes."
)


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
        """Every tier code it gives, sorted."""
        return tuple(sorted({*self.levels.values(), *([self.default] if self.default else [])}))

    def levels_of(self, code: str) -> list[str]:
        """Return the levels that become a tier; the default's are said as such."""
        found = sorted(level for level, each in self.levels.items() if each == code)
        return [*found, "every other level"] if code == self.default else found


def read_tier_mapping(path: Path) -> TierMapping:
    """Read the mapping of levels to codes from any of the three kinds of file, in YAML, JSON or TOML.

    Raises
    ------
    UsageError
        When the file cannot be read, says nothing of tiers or says it twice, or when a level or a
        code is not plain text.
    """
    document, content = read_document(path, CALLED)
    policies = _policies(path, document)
    present = [IMPORTER_KEY] if IMPORTER_KEY in document else []
    present += [POLICY_KEY] if POLICY_KEY in policies else []
    present += [LEVELS_KEY] if _lists_levels(document.get(LEVELS_KEY)) else []
    if len(present) > 1:
        raise _wrong(path, f"has both {present[0]} and {present[1]}", "Leave the one that counts.")
    digest = hashlib.sha256(content).hexdigest()
    if LEVELS_KEY in present:
        mapped, ignored = _level_list(path, document[LEVELS_KEY])
        return TierMapping(path.name, digest, "level mapping", mapped, ignored=ignored)
    if IMPORTER_KEY in document:
        found = _table(path, IMPORTER_KEY, document[IMPORTER_KEY])
        default = found.pop(IMPORTER_DEFAULT, None)
        default = None if default is None else _text(path, f"{IMPORTER_KEY}.{IMPORTER_DEFAULT}", default)
        levels = _levels(path, IMPORTER_KEY, found)
        return TierMapping(path.name, digest, "importer's configuration", levels, default)
    if POLICY_KEY not in policies:
        raise _missing(path, document, policies)
    _refuse_misspelt(path, policies)
    given = [(key, policies[key]) for key in _DEFAULTS if policies.get(key) is not None]
    if len(given) > 1:
        raise _wrong(path, f"gives its default twice, as {given[0][0]} and {given[1][0]}", "Leave one.")
    default = _text(path, *given[0]) if given else None
    off = str(policies.get(_ENABLED, "true")).lower() == "false"
    remark = f"{_ENABLED} is false in {path.name}: an importer that obeys it sets no tier at all."
    levels = _levels(path, POLICY_KEY, _table(path, POLICY_KEY, policies[POLICY_KEY]))
    remarks = (remark,) if off else ()
    return TierMapping(path.name, digest, "tier policy", levels, default, remarks, enabled=not off)


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
    for number, one in enumerate(mappings):
        for other in mappings[:number]:
            if one.gives == other.gives:
                raise UsageError(
                    f"{other.name} ({other.kind}) and {one.name} ({one.kind}) both say which {one.gives} a level"
                    " becomes.",
                    "Name the one that counts.",
                )
    return tuple(mappings)


def _policies(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return the policies on tiers by their full names, whichever way they are written down."""
    found: dict[str, Any] = {}
    for key, value in _spelled_out(document):
        if key in found:
            raise _wrong(path, f"has {key} twice", "Leave the one that counts.")
        found[key] = value
    return found


def _spelled_out(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    bundle = document.get("policies")
    if isinstance(bundle, list):
        for each in bundle:
            if isinstance(each, dict) and str(each.get("key", "")).startswith(POLICY):
                yield str(each["key"]), each.get("value")
    elif isinstance(bundle, dict):
        yield from _walked(bundle, "")
    yield from _walked(document, "")


def _walked(value: dict[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        name = f"{above}{key}"
        if name.startswith(POLICY):
            yield name, inner
        elif isinstance(inner, dict) and POLICY.startswith(f"{name}."):
            yield from _walked(inner, f"{name}.")


def _table(path: Path, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(path, f"has {key}, but that is no mapping of levels to codes", _NEEDS)
    return dict(value)


def _levels(path: Path, key: str, given: dict[str, Any]) -> dict[str, str]:
    if not given:
        raise _wrong(path, f"has {key}, and it is empty", _NEEDS)
    levels = {}
    for level, code in given.items():
        if not level.strip():
            raise _wrong(path, f"has a level without a name in {key}", "Name it, or take the line out.")
        levels[_sendable(path, "level", level)] = _text(path, f"level {level!r}", code)
    return levels


def _lists_levels(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) and LEVEL_NAME in each for each in value)


def _level_list(path: Path, given: list[Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the levels of a captured ``membership_levels_mapping.json``, and those it ignores."""
    mapped: dict[str, Any] = {}
    ignored: list[str] = []
    for each in given:
        name = each.get(LEVEL_NAME) if isinstance(each, dict) else None
        if not isinstance(name, str) or name in mapped or name in ignored:
            what = (
                f"has the level {name!r} twice"
                if isinstance(name, str)
                else f"has a level without {LEVEL_NAME}"
            )
            raise _wrong(path, what, "Correct the line.")
        if str(each.get("ignore", "false")).lower() == "true":
            ignored.append(_sendable(path, "level", name))
        else:
            mapped[name] = next((each[key] for key in LEVEL_CODES if each.get(key) is not None), None)
    return _levels(path, LEVELS_KEY, mapped), tuple(ignored)


def _text(path: Path, what: str, code: Any) -> str:
    if code is None or (isinstance(code, str) and not code.strip()):
        raise _wrong(path, f"gives no tier code for {what}", "Give it one, or take the line out.")
    if not isinstance(code, str):
        raise _wrong(
            path, f"gives {what} a tier that is not text but {code!r}", "A tier code is text: NEWCOMER."
        )
    return _sendable(path, "tier code", code)


def _sendable(path: Path, what: str, text: str) -> str:
    """Return a text that a database can hold: a zero byte or half a character is in none."""
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise _wrong(path, f"has a {what} {text!r} with a character no database holds", "Correct the line.")
    return text


def _refuse_misspelt(path: Path, policies: dict[str, Any]) -> None:
    known = (POLICY_KEY, *_DEFAULTS, _ENABLED)
    for key in policies:
        if key not in known and (close := get_close_matches(key, known, 1, 0.8)):
            raise _wrong(path, f"has a policy {key!r} that is not known", f"Nearest: {close[0]}.")


def _missing(path: Path, document: dict[str, Any], policies: dict[str, Any]) -> UsageError:
    inner = [f"{key}.{each}" for key, value in document.items() if isinstance(value, dict) for each in value]
    wanted = (IMPORTER_KEY, POLICY_KEY)
    pairs = [
        (key, close[0])
        for key in (*document, *policies, *inner)
        if (close := get_close_matches(key, wanted, 1, 0.75))
    ]
    meant = next((f" Its {key!r} may be meant for {close}." for key, close in pairs), "")
    return _wrong(path, f"says nothing of tiers.{meant}".rstrip("."), _NEEDS)


def _wrong(path: Path, what: str, next_step: str) -> UsageError:
    return UsageError(f"The {CALLED} {path} {what}.", next_step)
