"""Database URLs: taken apart by PostgreSQL's own client, compared, and printed without their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import ip_address
from threading import RLock
from urllib.parse import parse_qsl, unquote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from workbench.errors import UsageError

CONNECT_TIMEOUT = 10
"""Seconds to wait for a server to answer."""

_EXAMPLE = "It must look like postgresql://user:password@host:5432/database; an @, / or ? in the password is written %40, %2F, %3F."
# Whoever has an @, / or ? in a password writes it %40, %2F, %3F: else a part of it is taken for the place, and shown.
_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?(://(?:[^@/?]*@)?[^@?]*)\??([^@]*)")
_FIRST_OF_PATH = re.compile(r"\s*\"?([^\s,\"]+)")
_ELSEWHERE = {"hostaddr", "service", "servicefile"}  # what libpq would follow instead of the host
_SECURITY = re.compile("ssl|tls|cert|verif|gss|channel|auth|secur|encrypt|crl", re.IGNORECASE)
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")  # the stronger, the later
# How other clients say it: node-postgres, asyncpg, JDBC, Prisma.
_SSL = {mode: mode for mode in _MODES} | {"no-verify": "require", "strict": "verify-full"}
_SSL |= dict.fromkeys(("true", "1", "on", "yes"), "require")
_SSL |= dict.fromkeys(("false", "0", "off", "no", "accept_invalid_certs"), "")

IGNORED_VARIABLES = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGTARGETSESSIONATTRS"),
    *("PGLOADBALANCEHOSTS", "PGTZ", "PGDATESTYLE", "PGCLIENTENCODING", "PGGEQO", "PGOPTIONS", "PGAPPNAME"),
)
"""Variables of PostgreSQL's clients that would lead elsewhere, or change how values are read: the URL decides."""
_CONNECTING = RLock()

# What the shell may demand of a server that is reached through the network; the embedded one has no need of it.
_EMBEDDED = {
    "sslmode": "disable",
    "sslrootcert": "",
    "sslcertmode": "disable",
    "sslnegotiation": "postgres",
    "gssencmode": "disable",
    "channel_binding": "disable",
    "require_auth": "",
    "requirepeer": "",
}

_URL_SECRET = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]*:[^\s@'\"]*@", re.IGNORECASE)
_WORD_SECRET = re.compile(
    r"(?P<word>\b(?:password|passwd|pwd|sslpassword|passfile|token|secret)\b\s*[=:]\s*)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s&,;'\"]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Address:
    """A database URL taken apart.

    Attributes
    ----------
    conninfo : str
        As libpq writes it, the password among it; without what only other clients know.
    schema : str
        The schema Murmurant's tables are in (Prisma's ``?schema=``, or the first of a ``search_path`` among the URL's
        own options), ``public`` by default.
    left_out : tuple of str
        Parameters of the URL that PostgreSQL's own client does not know, and that mean nothing here.
    embedded : bool
        Whether it is the embedded server's.
    """

    conninfo: str = field(repr=False)
    schema: str = "public"
    left_out: tuple[str, ...] = ()
    embedded: bool = False

    @property
    def host(self) -> str:
        """The host's name, lower case; ``local`` for a socket."""
        host = str(conninfo_to_dict(self.conninfo).get("host", "local")).lower().rstrip(".")
        return "local" if host.startswith(("/", "@")) else host

    @property
    def database(self) -> str:
        """The database's name."""
        return str(conninfo_to_dict(self.conninfo)["dbname"])

    @property
    def where(self) -> str:
        """``host[:port]/database``; ``local`` for a socket."""
        host, port = f"[{self.host}]" if ":" in self.host else self.host, self.parameters().get("port")
        return f"{host}{f':{port}' if port else ''}/{self.database}"

    @property
    def on_this_machine(self) -> bool:
        """Whether the host is this machine: a socket, its name, or a loopback address."""
        if self.host in {"local", "localhost"} or self.host.endswith(".localhost"):
            return True
        try:
            number = ip_address(self.host)
        except ValueError:
            return False
        return number.is_loopback or number.is_unspecified

    def parameters(self, options: str = "") -> dict[str, str]:
        """Return libpq's connection parameters, the password among them, and session options."""
        own = {"connect_timeout": str(CONNECT_TIMEOUT), "application_name": "murmurant-workbench"}
        own |= {name: str(value) for name, value in conninfo_to_dict(self.conninfo).items()}
        if self.embedded:
            variables = {name.removeprefix("PG").lower() for name in os.environ if name.startswith("PG")}
            own |= {name: value for name, value in _EMBEDDED.items() if name.replace("_", "") in variables}
        return own | {"options": f"{own.get('options', '')} {options}".strip()}


@contextmanager
def without_client_variables() -> Iterator[None]:
    """Let no variable of the shell say where to connect, or how: see `IGNORED_VARIABLES`."""
    with _CONNECTING:
        kept = {name: os.environ.pop(name) for name in IGNORED_VARIABLES if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(kept)


def parse_address(text: str, *, named: str, embedded: bool = False) -> Address:
    """Take a database URL apart.

    Parameters
    ----------
    text : str
        ``postgresql://user:password@host:port/database?...`` or ``postgres://``, other clients'
        parameters allowed.
    named : str
        Where it came from (``$DATABASE_URL``), for the message; the URL itself is never shown.

    Raises
    ------
    UsageError
        When it is not a PostgreSQL URL, would lead elsewhere than it says, or has a parameter that nobody knows and
        that could be a misspelt one of security's or of the place.
    """
    url, own = _URL.fullmatch(text.strip()), {}
    with suppress(psycopg.ProgrammingError):
        own = conninfo_to_dict(f"postgresql{url[1]}") if url else {}
    more = dict(parse_qsl(url[2].replace("+", "%2B"), keep_blank_values=True)) if url else {}
    port = str(own.get("port", more.get("port", "5432")))  # that of user:password/database is the password
    if "dbname" not in own or not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 1 << 16):
        raise UsageError(f"{named} is not the URL of a PostgreSQL database.", _EXAMPLE)
    stated = own.keys() & {"host", "port", "dbname"}
    if elsewhere := sorted(more.keys() & (_ELSEWHERE | stated)):
        raise UsageError(f"{named} leads elsewhere by its parameter {elsewhere[0]!r} than it says.", _EXAMPLE)
    if "sslpassword" in more:  # pg_dump and psql are told parameters among their arguments
        raise UsageError(
            f"{named} has an sslpassword, which others on this machine could read while a program runs.",
            "Give a key without one, in a file that only you may read.",
        )
    if "," in str(own.get("host", more.get("host"))):
        raise UsageError(f"{named} names more than one host.", f"Name the one that is meant. {_EXAMPLE}")
    # As psql would: the first schema of a search path in the URL's own options; or as other clients say it.
    paths = re.findall(r"search_path\s*=(.*)", more.get("options", ""))
    paths += [more.pop(name, "") for name in ("search_path", "currentSchema")]
    firsts = (first[1] for path in paths if (first := _FIRST_OF_PATH.match(path)))
    schema = more.pop("schema", "") or next(firsts, "public")
    left_out = _leave_out(more, named)
    return Address(make_conninfo("", **(own | more)), schema, left_out, embedded)


def _leave_out(query: dict[str, str], named: str) -> tuple[str, ...]:
    """Take what libpq does not know out of a URL's parameters, and return its names; encryption is translated."""
    asked = {name: query.pop(name).lower() for name in ("sslmode", "ssl", "sslaccept") if query.get(name)}
    if any(mode not in _SSL for mode in asked.values()):
        raise UsageError(
            f"{named} asks for encryption in a way that is not known (sslmode, ssl, sslaccept).",
            f"Write sslmode= with one of {', '.join(_MODES)}.",
        )
    if modes := [_SSL[mode] for mode in asked.values() if _SSL[mode]]:
        if "sslmode" not in asked:  # what the shell asks for is not made weaker
            modes.append(os.environ.get("PGSSLMODE", ""))
        query["sslmode"] = max((mode for mode in modes if mode in _MODES), key=_MODES.index)
    if asked.get("sslaccept") == "strict" and "PGSSLROOTCERT" not in os.environ:
        query.setdefault("sslrootcert", "system")
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    plain = {name.replace("_", ""): name for name in sorted(known | {"schema"})}
    strangers = sorted(query.keys() - known)
    for name in strangers:
        near = get_close_matches(re.sub(r"[\W_]", "", name).lower(), plain, 1, 0.85)
        if near or _SECURITY.search(name):
            raise UsageError(
                f"{named} has the parameter {name!r}, which PostgreSQL's client does not know.",
                f"Did you mean {plain[near[0]]!r}?" if near else "Take it out, or say it by sslmode.",
            )
        del query[name]
    return tuple(strangers)


def redact(text: str, *secrets: str) -> str:
    """Replace every password in `text`: in URLs, after ``password=``, and the given ones anywhere."""
    for secret in secrets:
        for form in {secret, unquote(secret)}:
            if len(form) > 2:
                text = text.replace(form, "***")
    text = _URL_SECRET.sub(r"\g<scheme>***@", text)
    return _WORD_SECRET.sub(r"\g<word>***", text)
