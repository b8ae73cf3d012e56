"""Which tier or status each Wild Apricot level becomes: read from the importers' own files (guide §1.3).

Three kinds of file say it. The application's policies have ``membership.tiers.waMapping`` and ``.defaultCode`` (nested,
as dotted keys, or as the ``policies`` of a captured bundle, each with ``key`` and ``value``): they give *tiers*. The CSV
importer's configuration has ``membership_status_mapping``, in which ``_default`` is no level but what every other level
becomes; a captured ``membership_levels_mapping.json`` has ``levels``, each mapped or ignored. Both give *statuses*,
although the latter calls its codes tiers. No table holds any of this, so files are the only place to read it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import UsageError

IMPORTER_KEY, POLICY = "membership_status_mapping", "membership.tiers."
_NEEDS = f"{IMPORTER_KEY}, {POLICY}waMapping, or levels with waName"

Mappings = str | Path | Sequence[str | Path] | None
"""One file, or one for tiers and one for statuses."""


def _with_a_name(text: str) -> str:
    if not text.strip() or b"\0" in text.encode():  # half a character is no UTF-8
        raise ValueError("a level or a code needs a name that a database can hold")
    return text


Name = Annotated[str, AfterValidator(_with_a_name)]


class TierMapping(BaseModel):
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

    model_config = ConfigDict(frozen=True, strict=True)

    name: str
    sha256: str
    kind: Literal["importer's configuration", "tier policy", "level mapping"]
    levels: Annotated[dict[Name, Name], Field(min_length=1)]
    default: Name | None = None
    ignored: tuple[Name, ...] = ()
    enabled: bool = True

    @property
    def gives(self) -> Literal["tier", "status"]:
        """What its codes are, where a database has both."""
        return "tier" if self.kind == "tier policy" else "status"

    @property
    def codes(self) -> dict[str, list[str]]:
        """Every code it gives, sorted, with the levels that become it."""
        pairs = [(code, level) for level, code in sorted(self.levels.items())]
        pairs += [(self.default, "every other level")] if self.default else []
        codes: dict[str, list[str]] = {code: [] for code, _ in sorted(pairs)}
        for code, level in pairs:
            codes[code].append(level)
        return codes


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
    for mapping in mappings:
        first = giving.setdefault(mapping.gives, mapping)
        if first is not mapping:
            raise UsageError(
                f"{first.name} ({first.kind}) and {mapping.name} ({mapping.kind}) both say which {mapping.gives} a"
                " level becomes.",
                "Name the one that counts.",
            )
    return tuple(mappings)


def read_document(path: Path) -> tuple[dict[str, Any], bytes]:
    """Read a configuration file as plain values, and its bytes: JSON or TOML by its ending, else YAML.

    Raises
    ------
    UsageError
        When it cannot be read, is no mapping, or has a key twice.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        match path.suffix.lower():
            case ".json":
                document = json.loads(text, object_pairs_hook=_unique)
            case ".toml":
                document = tomllib.loads(text)
            case _:
                document = yaml.load(text, _TextLoader)
        if not isinstance(document, dict):
            raise ValueError("it is no mapping of keys to values")
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from None
    except RecursionError:
        raise _unreadable(path, "it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is not UTF-8 (byte {error.start + 1})") from None
    except (ValueError, yaml.YAMLError) as error:
        raise _unreadable(path, " ".join(str(error).split())) from None
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
    try:
        return TierMapping(
            name=path.name, sha256=hashlib.sha256(content).hexdigest(), **_mapping_in(document)
        )
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors())
        raise _unreadable(path, "; ".join(problems)) from None
    except ValueError as error:
        raise _unreadable(path, str(error)) from None


def _mapping_in(document: dict[str, Any]) -> dict[str, Any]:
    bundle, levels = document.get("policies"), document.get("levels")
    captured = bundle if isinstance(bundle, list) else []
    values = {str(row.get("key")): row.get("value") for row in captured if isinstance(row, dict)}
    policies = _unique([*_dotted(values), *_dotted(document)])
    rows = [row for row in levels if isinstance(row, dict)] if isinstance(levels, list) else []
    present = (
        IMPORTER_KEY in document,
        f"{POLICY}waMapping" in policies,
        any("waName" in row for row in rows),
    )
    if sum(present) != 1:
        says = "says it in more than one way" if any(present) else "says nothing of tiers"
        raise ValueError(f"it {says}; it needs one of {_NEEDS}")
    if present[0]:
        table = document[IMPORTER_KEY]
        default = table.get("_default") if isinstance(table, dict) else None
        rest = (
            {key: code for key, code in table.items() if key != "_default"}
            if isinstance(table, dict)
            else table
        )
        return {"kind": "importer's configuration", "levels": rest, "default": default}
    if present[1]:
        return {
            "kind": "tier policy",
            "levels": policies[f"{POLICY}waMapping"],
            "default": policies.get(f"{POLICY}defaultCode"),
            "enabled": str(policies.get(f"{POLICY}enabled")).lower() != "false",
        }
    named = _unique([(row.get("waName"), row) for row in rows])
    ignored = tuple(name for name, row in named.items() if str(row.get("ignore")).lower() == "true")
    codes = {name: row.get("murmurantTier", row.get("clubosTier")) for name, row in named.items()}
    mapped = {name: code for name, code in codes.items() if name not in ignored}
    return {"kind": "level mapping", "levels": mapped, "ignored": ignored}


def _dotted(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the policies on tiers by their full names, however deep they are nested."""
    for key, inner in value.items():
        name = f"{above}{key}"
        if name.startswith(POLICY):
            yield name, inner
        elif isinstance(inner, dict) and POLICY.startswith(f"{name}."):
            yield from _dotted(inner, f"{name}.")


def _unique(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str) or key in unique:
            raise ValueError(f"the key {key!r} stands twice, or is no text")
        unique[key] = value
    return unique


class _TextLoader(yaml.BaseLoader):
    """YAML in which every scalar is text and no key stands twice; nothing is executed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [[self.construct_object(child, deep=True) for child in pair] for pair in node.value]
        return _unique([(key, value) for key, value in pairs])


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"The tier mapping {path} cannot be read: {why.rstrip('.')}.",
        "Correct the file, or name another with --mapping.",
    )
