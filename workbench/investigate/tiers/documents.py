"""Configuration files as plain values: YAML, JSON or TOML, no key twice, nothing executed, nothing guessed.

PyYAML takes the last of two equal keys without a word, reads ``Yes`` as a truth value and ``2024``
as a number; here a key that stands twice is an error, and in YAML every scalar is text.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from workbench.errors import UsageError

MOST_BYTES = 1_000_000
"""Larger than any configuration: a file past it is another file."""

_NOTHING = {"", "~", "null", "Null", "NULL"}


class _WrongError(Exception):
    """What is wrong with the text of a file, in words."""


def read_document(path: Path, called: str) -> tuple[dict[str, Any], bytes]:
    """Read a configuration file whose outermost value is a mapping.

    Parameters
    ----------
    called : str
        What an error calls the file: ``tier mapping``.

    Returns
    -------
    tuple of dict and bytes
        Its content, and the bytes that were read.

    Raises
    ------
    UsageError
        When it is not there, too large, not UTF-8, none of YAML, JSON and TOML, has a key twice or
        is no mapping.
    """
    again = "Correct the file, or name another with --mapping."
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UsageError(f"The {called} {path} has {size:,} bytes: this is no configuration.", again)
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The {called} {path} is not UTF-8 (byte {error.start + 1}).", "Save it as UTF-8 and try again."
        ) from None
    except OSError as error:
        raise UsageError(f"The {called} {path} cannot be read: {error.strerror}.", again) from None
    if not text.strip():
        raise UsageError(f"The {called} {path} is empty.", again)
    found = _parsed(path, text, called, again)
    if not isinstance(found, dict):
        raise UsageError(f"The {called} {path} is no mapping of keys to values.", again)
    return found, content


def _parsed(path: Path, text: str, called: str, again: str) -> Any:
    """Parse by the file's ending; where that says nothing, by the first format that fits."""
    formats: dict[str, Callable[[str], Any]] = {"YAML": _from_yaml, "JSON": _from_json, "TOML": _from_toml}
    by_ending = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON", ".toml": "TOML"}.get(path.suffix.lower())
    # Every JSON document is YAML too, and a TOML one can be: so the strictest is tried first.
    tried = [by_ending] if by_ending else ["JSON", "TOML", "YAML"]
    wrong = []
    for name in tried:
        try:
            return formats[name](text)
        except (_WrongError, RecursionError) as error:
            wrong.append(
                f"{name}: {error}" if isinstance(error, _WrongError) else f"{name}: nested too deeply"
            )
    kind = by_ending if by_ending else "neither JSON, TOML nor YAML"
    if by_ending:
        raise UsageError(
            f"The {called} {path} cannot be read as {kind}: {wrong[0].partition(': ')[2]}.", again
        )
    raise UsageError(f"The {called} {path} is {kind} ({'; '.join(wrong)}).", again)


def _from_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise _WrongError(f"the key {key!r} stands twice")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise _WrongError(str(error)) from None


def _from_toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _WrongError(str(error)) from None


def _from_yaml(text: str) -> Any:
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        where = f" on line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _WrongError(f"{error.problem or 'it is not YAML'}{where}") from None
    except yaml.YAMLError as error:
        raise _WrongError(str(error).splitlines()[0]) from None
    return _value(node, {})


def _value(node: Any, known: dict[int, Any]) -> Any:
    """Turn a YAML node into text, lists and dicts; each node once, however often it is referred to."""
    if id(node) in known:
        if known[id(node)] is node:
            raise _WrongError(f"line {node.start_mark.line + 1} contains itself")
        return known[id(node)]
    known[id(node)] = node  # under way
    if isinstance(node, yaml.MappingNode):
        found = _pairs(node, known)
    elif isinstance(node, yaml.SequenceNode):
        found = [_value(each, known) for each in node.value]
    else:
        found = None if node is None or (node.style is None and node.value in _NOTHING) else node.value
    known[id(node)] = found
    return found


def _pairs(node: Any, known: dict[int, Any]) -> Any:
    found: dict[Any, Any] = {}
    lines: dict[Any, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _value(key_node, known)
        if not isinstance(key, str):
            raise _WrongError(f"a key on line {line} is not text")
        if key in found:
            raise _WrongError(f"the key {key!r} stands twice, on lines {lines[key]} and {line}")
        found[key], lines[key] = _value(value_node, known), line
    return found
