"""Which tier each Wild Apricot level becomes: the importer's configuration, or a tier policy (guide §1.3).

Two files say it. The CSV importer's configuration has ``membership_status_mapping``, in which the key
``_default`` is no level but what every other level becomes. The application's policies have
``membership.tiers.waMapping`` and ``membership.tiers.defaultCode``: nested, as dotted keys, or as the
``policies`` of a captured bundle, each with ``key`` and ``value``. No table of the application holds
policies, so a file is the only place they can be read from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from workbench.errors import UsageError
from workbench.investigate.tiers.documents import read_document

IMPORTER_KEY, IMPORTER_DEFAULT = "membership_status_mapping", "_default"
POLICY = "membership.tiers."
POLICY_KEY = POLICY + "waMapping"
_DEFAULTS = (POLICY + "defaultCode", POLICY + "default")
_ENABLED = POLICY + "enabled"

CALLED = "tier mapping"
_NEEDS = (
    f"It needs {IMPORTER_KEY} (the importer's configuration) or {POLICY_KEY} (a tier policy),"
    " a mapping of Wild Apricot levels to tier codes."
)


@dataclass(frozen=True)
class TierMapping:
    """What a configuration says.

    Attributes
    ----------
    name, sha256 : str
        The file's name, and the digest of its bytes.
    kind : {"importer's configuration", "tier policy"}
        Which of the two it is.
    levels : dict of str to str
        Wild Apricot level to tier code, letter by letter.
    default : str or None
        The code of every level it does not name.
    remarks : tuple of str
        What whoever uses it should know.
    """

    name: str
    sha256: str
    kind: Literal["importer's configuration", "tier policy"]
    levels: dict[str, str]
    default: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """Every tier code it gives, sorted."""
        return tuple(sorted({*self.levels.values(), *([self.default] if self.default else [])}))

    def levels_of(self, code: str) -> list[str]:
        """Return the levels that become a tier; the default's are said as such."""
        found = sorted(level for level, each in self.levels.items() if each == code)
        return [*found, "every other level"] if code == self.default else found


def read_tier_mapping(path: Path) -> TierMapping:
    """Read the mapping of levels to tiers from either kind of file, in YAML, JSON or TOML.

    Raises
    ------
    UsageError
        When the file cannot be read, says nothing of tiers or says it twice, or when a level or a
        code is not plain text.
    """
    document, content = read_document(path, CALLED)
    policies = _policies(path, document)
    if IMPORTER_KEY in document and POLICY_KEY in policies:
        raise _wrong(path, f"has both {IMPORTER_KEY} and {POLICY_KEY}", "Leave the one that counts.")
    digest = hashlib.sha256(content).hexdigest()
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
    return TierMapping(path.name, digest, "tier policy", levels, default, (remark,) if off else ())


def mapping_for(named: str | Path | None, configured: Path | None) -> TierMapping:
    """Read the file that is named, else the one that is configured; `UsageError` when there is neither."""
    path = configured if named is None else Path(named)
    if path is None:
        raise UsageError(
            "No tier mapping is configured for this environment.",
            "Name the importer's configuration or a tier policy: --mapping FILE, or tier_mapping in workbench.toml.",
        )
    return read_tier_mapping(path)


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
