"""Which tier or status each Wild Apricot level becomes, read from the importers' own files (guide §1.3).

There are three kinds of file. The application's policies, ``membership.tiers.waMapping`` and ``.defaultCode`` (nested, as
dotted keys, or as the ``policies`` of a captured bundle), give tiers. The CSV importer's configuration, with
``membership_status_mapping`` and its ``_default`` for every other level, gives statuses; so does a captured
``membership_levels_mapping.json``, whose ``levels`` are mapped or ignored, although it calls its codes tiers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import UsageError

IMPORTER_KEY, POLICY = "membership_status_mapping", "membership.tiers."

Mappings = str | Path | Sequence[str | Path] | None
"""One file, or one for tiers and one for statuses."""


def _check_name(text: str) -> str:
    if not text.strip() or b"\0" in text.encode():  # which fails for half a surrogate pair
        raise ValueError("a level or a code needs a name that a database can hold")
    return text


Name = Annotated[str, AfterValidator(_check_name)]


class TierMapping(BaseModel):
    """The content of a configuration.

    Attributes
    ----------
    name, sha256 : str
        The file's name and digest.
    kind : {"importer's configuration", "tier policy", "level mapping"}
    levels : dict of str to str
        Wild Apricot level to code.
    default : str or None
        The code of every other level.
    ignored : tuple of str
        Levels that are skipped on purpose.
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
        """Every code that it gives, sorted, with the levels that become it."""
        pairs = [(code, level) for level, code in sorted(self.levels.items())]
        pairs += [(self.default, "every other level")] if self.default else []
        codes: dict[str, list[str]] = {code: [] for code, _ in sorted(pairs)}
        for code, level in pairs:
            codes[code].append(level)
        return codes


def mappings_for(named: Mappings, configured: Sequence[Path]) -> tuple[TierMapping, ...]:
    """Read the named files, or else the configured ones.

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
    """Return the mappings; `UsageError` when two of them give tiers, or two give statuses."""
    giving: dict[str, TierMapping] = {}
    for mapping in mappings:
        first = giving.setdefault(mapping.gives, mapping)
        if first is not mapping:
            raise UsageError(
                f"Both {first.name} and {mapping.name} say which {mapping.gives} a level becomes.",
                "Name one of them.",
            )
    return tuple(mappings)


def read_document(path: Path) -> tuple[dict[str, Any], bytes]:
    """Read a configuration file as plain values, and its bytes: JSON by its ending, else YAML.

    Raises
    ------
    UsageError
        When it cannot be read, is not a mapping, or has a key twice.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        match path.suffix.lower():
            case ".json":
                document = json.loads(text, object_pairs_hook=_unique)
            case _:
                document = yaml.load(text, _TextLoader)
        if not isinstance(document, dict):
            raise ValueError("it is not a mapping of keys to values")
    except OSError as error:
        raise _unreadable(path, error.strerror) from None
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"it is not UTF-8 (byte {error.start + 1})") from None
    except (RecursionError, ValueError, yaml.YAMLError) as error:
        raise _unreadable(path, error) from None
    return document, content


def read_tier_mapping(path: Path) -> TierMapping:
    """Read the mapping of levels to codes from any of the three kinds of file.

    Raises
    ------
    UsageError
        When the file cannot be read, has no mapping or several, or a level or code is not plain text.
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
        raise _unreadable(path, error) from None


def _mapping_in(document: dict[str, Any]) -> dict[str, Any]:
    bundle, levels = document.get("policies"), document.get("levels")
    captured = bundle if isinstance(bundle, list) else []
    values = {str(row.get("key")): row.get("value") for row in captured if isinstance(row, dict)}
    policies = _unique([*_dotted(values), *_dotted(document)])
    listed = [row for row in levels if isinstance(row, dict)] if isinstance(levels, list) else []
    rows = (
        _unique([(row.get("waName"), row) for row in listed])
        if any("waName" in row for row in listed)
        else {}
    )
    mapped = policies.get(f"{POLICY}waMapping")
    if (IMPORTER_KEY in document) + (mapped is not None) + bool(rows) != 1:
        raise ValueError(f"it needs one of {IMPORTER_KEY}, {POLICY}waMapping, or levels with waName")
    if mapped is not None:
        return {
            "kind": "tier policy",
            "levels": mapped,
            "default": policies.get(f"{POLICY}defaultCode"),
            "enabled": str(policies.get(f"{POLICY}enabled")).lower() != "false",
        }
    if not rows:
        table = document[IMPORTER_KEY]
        codes = dict(table) if isinstance(table, dict) else {}
        default = codes.pop("_default", None)
        return {"kind": "importer's configuration", "levels": codes, "default": default}
    ignored = tuple(name for name, row in rows.items() if str(row.get("ignore")).lower() == "true")
    codes = {name: row.get("murmurantTier", row.get("clubosTier")) for name, row in rows.items()}
    return {
        "kind": "level mapping",
        "levels": {name: code for name, code in codes.items() if name not in ignored},
        "ignored": ignored,
    }


def _dotted(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the tier policies by their full names, at any depth."""
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
            raise ValueError(f"the key {key!r} is repeated, or not text")
        unique[key] = value
    return unique


class _TextLoader(yaml.BaseLoader):
    """YAML in which every scalar is text and no key is repeated; nothing is executed."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [[self.construct_object(child, deep=True) for child in pair] for pair in node.value]
        return _unique([(key, value) for key, value in pairs])


def _unreadable(path: Path, why: object) -> UsageError:
    return UsageError(
        f"The tier mapping {path} cannot be read: {' '.join(str(why).split()).rstrip('.')}.",
        "Correct the file, or name another with --mapping.",
    )
