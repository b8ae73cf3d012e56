"""Text of a database in whichever encoding, and of SQL_ASCII, which has none.

What a SQL_ASCII database holds is bytes that nobody has looked at. Those that are UTF-8 are read as that; each other
byte is read as a character of Unicode's private area, and written back as the byte that it was.
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
_SHOWN = {_ESCAPED + offset: _FIRST + offset for offset in range(_LAST - _FIRST + 1)}
_MEANT = {shown: escaped for escaped, shown in _SHOWN.items()}
# Such characters that are there already are read byte by byte, so that nothing is written back as something else.
_THERE = {code: chr(code).encode().decode("ascii", "surrogateescape") for code in _MEANT}


def encoding_for(connection: psycopg.Connection[Any]) -> str:
    """Return the client's encoding with which every row of the database can be read and written."""
    unknown = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
    return "SQL_ASCII" if unknown else "UTF8"


def read_as_bytes(connection: psycopg.Connection[Any]) -> None:
    """Let a session at a SQL_ASCII database read and write text as is said above."""
    for name in ("text", "varchar", "bpchar", "name"):
        connection.adapters.register_loader(name, _Loader)
        connection.adapters.register_loader(name, _BinaryLoader)
    connection.adapters.register_loader(0, _Loader)  # of each type that the driver has no other for
    set_json_loads(lambda raw: json.loads(_decode(raw)[0]), connection)
    set_json_dumps(lambda value: _encode(json.dumps(value, ensure_ascii=False))[0], connection)


def to_client_encoding(text: bytes, connection: psycopg.Connection[Any]) -> bytes:
    """Return text of a file of ours, which is UTF-8, as a session sends it."""
    encoding = connection.info.encoding
    return text if encoding == "utf-8" else text.decode().encode(encoding)


def from_client_encoding(text: bytes, connection: psycopg.Connection[Any]) -> bytes:
    """Return text as a session received it as a file of ours has it, in UTF-8."""
    return text.decode(connection.info.encoding).encode()


class _Loader(string.TextLoader):
    """The driver's own in Python, which asks our codec; the quicker one in C knows better."""


class _BinaryLoader(string.TextBinaryLoader):
    """Likewise, of what comes in PostgreSQL's own form."""


def _decode(raw: Any, errors: str = "strict") -> tuple[str, int]:
    text = bytes(raw).decode("utf-8", "surrogateescape")
    return text.translate(_THERE).translate(_SHOWN), len(bytes(raw))


def _encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
    return text.translate(_MEANT).encode("utf-8", "surrogateescape"), len(text)


def _codec(name: str) -> codecs.CodecInfo | None:
    return codecs.CodecInfo(_encode, _decode, name=_NAME) if name == _NAME else None


codecs.register(_codec)
# The driver has no text for it otherwise, only bytes, and could ask for nothing but ASCII.
_encodings.py_codecs[b"SQLASCII"] = _NAME
