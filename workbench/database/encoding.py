"""Text in SQL_ASCII databases, which declare no encoding.

UTF-8 is read as such. Any other byte becomes a character of Unicode's private use area, and is written back as the
same byte.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

import psycopg
from psycopg import _encodings
from psycopg.types import string
from psycopg.types.json import set_json_dumps, set_json_loads

_NAME = "murmurant_bytes"
_FIRST, _LAST, _ESCAPED = 0xF780, 0xF7FF, 0xDC80
_TO_PRIVATE = {_ESCAPED + offset: _FIRST + offset for offset in range(_LAST - _FIRST + 1)}
_TO_ESCAPED = {private: escaped for escaped, private in _TO_PRIVATE.items()}
# Private characters that are in the data already are read as bytes too, so that they come back unchanged.
_PRIVATE_TO_BYTES = {code: chr(code).encode().decode("ascii", "surrogateescape") for code in _TO_ESCAPED}


def encoding_for(connection: psycopg.Connection[Any]) -> str:
    """Return the client encoding that can read and write every row of the database."""
    undeclared = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
    return "SQL_ASCII" if undeclared else "UTF8"


def read_as_bytes(connection: psycopg.Connection[Any]) -> None:
    """Register the loaders and dumpers for a session with a SQL_ASCII database."""
    for name in ("text", "varchar", "bpchar", "name"):
        connection.adapters.register_loader(name, _TextLoader)
        connection.adapters.register_loader(name, _BinaryLoader)
    connection.adapters.register_loader(0, _TextLoader)  # types without a loader of their own
    set_json_loads(lambda raw: json.loads(_decode(raw)[0]), connection)
    set_json_dumps(lambda value: _encode(json.dumps(value, ensure_ascii=False))[0], connection)


def to_client_encoding(text: bytes, connection: psycopg.Connection[Any]) -> bytes:
    """Convert UTF-8 to the session's encoding."""
    encoding = connection.info.encoding
    return text if encoding == "utf-8" else text.decode().encode(encoding)


def from_client_encoding(text: bytes, connection: psycopg.Connection[Any]) -> bytes:
    """Convert text in the session's encoding to UTF-8."""
    return text.decode(connection.info.encoding).encode()


class _TextLoader(string.TextLoader):
    """psycopg's loader in Python, which uses our codec; the one in C does not."""


class _BinaryLoader(string.TextBinaryLoader):
    """The same for the binary format."""


def _decode(raw: Any, errors: str = "strict") -> tuple[str, int]:
    text = bytes(raw).decode("utf-8", "surrogateescape")
    return text.translate(_PRIVATE_TO_BYTES).translate(_TO_PRIVATE), len(bytes(raw))


def _encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
    return text.translate(_TO_ESCAPED).encode("utf-8", "surrogateescape"), len(text)


def _codec(name: str) -> codecs.CodecInfo | None:
    return codecs.CodecInfo(_encode, _decode, name=_NAME) if name == _NAME else None


codecs.register(_codec)
# psycopg maps SQL_ASCII to bytes and would send ASCII only.
_encodings.py_codecs[b"SQLASCII"] = _NAME
