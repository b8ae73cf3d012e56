"""Database URLs: parsed, compared and printed without their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from threading import RLock
from urllib.parse import unquote

from psycopg import pq
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from workbench.errors import UsageError

CONNECT_TIMEOUT = 10
"""Seconds to wait for a server to answer."""

_SCHEMA = ("schema", "search_path", "currentSchema")
_SECURITY = re.compile("ssl|tls|cert|verif|gss|channel|auth|secur|encrypt|crl", re.IGNORECASE)
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")  # the stronger, the later
# How other clients say it: node-postgres, asyncpg, JDBC, Prisma.
_SSL = {mode: mode for mode in _MODES} | {"no-verify": "require", "strict": "verify-full"}
_SSL |= dict.fromkeys(("true", "1", "on", "yes"), "require")
_SSL |= dict.fromkeys(("false", "0", "off", "no", "accept_invalid_certs"), "")

NOT_FOLLOWED = (
    *(
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGDATABASE",
        "PGSERVICE",
        "PGTARGETSESSIONATTRS",
        "PGLOADBALANCEHOSTS",
    ),
    *("PGTZ", "PGDATESTYLE", "PGCLIENTENCODING", "PGGEQO", "PGOPTIONS", "PGAPPNAME"),
)
"""Variables of PostgreSQL's clients that would lead elsewhere, or change how values are read: the URL decides."""
_CONNECTING = RLock()

# What the shell may demand of a server that is reached through the network; the embedded one has no need of it.
_EMBEDDED = {
    "PGSSLMODE": ("sslmode", "disable"),
    "PGSSLROOTCERT": ("sslrootcert", ""),
    "PGSSLCERTMODE": ("sslcertmode", "disable"),
    "PGSSLNEGOTIATION": ("sslnegotiation", "postgres"),
    "PGGSSENCMODE": ("gssencmode", "disable"),
    "PGCHANNELBINDING": ("channel_binding", "disable"),
    "PGREQUIREAUTH": ("require_auth", ""),
    "PGREQUIREPEER": ("requirepeer", ""),
}

# What libpq would follow instead of the URL's own host and database: the guard must see where it leads.
_OVERRIDING = {"hostaddr", "dbname", "service", "servicefile", "port"}
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGSERVICE")

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
    url : sqlalchemy.URL
        For psycopg, without what only other clients know.
    schema : str
        The schema Murmurant's tables are in (Prisma's ``?schema=``, or the first of a ``search_path`` among the URL's
        own options), ``public`` by default.
    left_out : tuple of str
        Parameters of the URL that PostgreSQL's own client does not know, and that mean nothing here.
    embedded : bool
        Whether it is the embedded server's.
    """

    url: URL
    schema: str = "public"
    left_out: tuple[str, ...] = ()
    embedded: bool = False

    @property
    def where(self) -> str:
        """``host[:port]/database``, lower case; ``local`` for a socket."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}{f':{self.url.port}' if self.url.port else ''}/{self.url.database or ''}"

    @property
    def host(self) -> str:
        """The host's name, lower case; ``local`` for a socket."""
        host = (self.url.host or _text(self.url.query.get("host")) or "local").lower().rstrip(".")
        return "local" if host.startswith("/") else host

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

    @property
    def database(self) -> str:
        """The database's name."""
        return self.url.database or ""

    def parameters(self, options: str = "") -> dict[str, str]:
        """Return libpq's connection parameters, the password among them, and session options.

        Not as a URL: SQLAlchemy writes a space in its query as ``+``, which libpq takes for a plus.
        """
        own = {key: _text(value) for key, value in self.url.query.items()}
        own |= {
            key: str(value)
            for key, value in self.url.translate_connect_args(username="user", database="dbname").items()
        }
        more = {"connect_timeout": str(CONNECT_TIMEOUT), "application_name": "murmurant-workbench"}
        if self.embedded:
            own |= dict(each for name, each in _EMBEDDED.items() if name in os.environ)
        options = f"{own.get('options', '')} {options}".strip()
        return more | own | ({"options": options} if options else {})

    def __repr__(self) -> str:
        return f"Address({self.where!r})"


@contextmanager
def by_the_url() -> Iterator[None]:
    """Let no variable of the shell say where to connect, or how: see `NOT_FOLLOWED`."""
    with _CONNECTING:
        kept = {name: os.environ.pop(name) for name in NOT_FOLLOWED if name in os.environ}
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
        When it is not a PostgreSQL URL, or has a parameter that nobody knows and that could be a misspelt one of
        security's or of the place.
    """
    example = "It must look like postgresql://user:password@host:5432/database."
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise UsageError(f"{named} is not a database URL.", example) from None
    if url.drivername.split("+")[0] not in {"postgresql", "postgres"}:
        raise UsageError(f"{named} is a {url.drivername.split('+')[0]!r} URL, not PostgreSQL's.", example)
    if not url.database:
        raise UsageError(f"{named} names no database.", example)
    if elsewhere := sorted(_OVERRIDING & url.query.keys()):
        raise UsageError(
            f"{named} has the parameter {elsewhere[0]!r}, which would lead somewhere else than the URL says.",
            example,
        )
    hosts = url.query.get("host", ())
    if (
        (isinstance(hosts, tuple) and len(hosts) > 1)
        or (hosts and url.host)
        or "," in (url.host or _text(hosts))
    ):
        raise UsageError(f"{named} names more than one host.", "Name the one that is meant. " + example)
    if not url.host and not hosts and (told := [name for name in _LIBPQ if os.environ.get(name)]):
        raise UsageError(
            f"{named} names no host, and the variable {told[0]} would decide which one it is.",
            f"Put the host into the URL, or unset {told[0]}.",
        )
    # As psql would: the first schema of a search path in the URL's own options; or as other clients say it.
    first = re.compile(r"\s*\"?([^\s,\"]+)")
    path = re.search(rf"search_path\s*={first.pattern}", _text(url.query.get("options")))
    path = path or first.match(_text(url.query.get("search_path")) or _text(url.query.get("currentSchema")))
    schema = _text(url.query.get("schema")) or (path.group(1) if path else "public")
    query = {
        key: value if isinstance(value, str) else value[-1]
        for key, value in url.query.items()
        if key not in _SCHEMA
    }
    left_out = _strangers(query, named)
    return Address(url.set(drivername="postgresql+psycopg", query=query), schema, left_out, embedded)


def _strangers(query: dict[str, str], named: str) -> tuple[str, ...]:
    """Take what libpq does not know out of a URL's parameters, and return its names; what is security's is translated."""
    known = {each.keyword.decode() for each in pq.Conninfo.get_defaults()}
    strangers = {name: query.pop(name) for name in sorted(query.keys() - known)}
    mode, accept = query.pop("sslmode", ""), strangers.pop("sslaccept", "")
    asked = [each.lower() for each in (mode, strangers.pop("ssl", ""), accept) if each]
    if any(each not in _SSL for each in asked):
        raise UsageError(
            f"{named} asks for encryption in a way that is not known (sslmode, ssl, sslaccept).",
            f"Write sslmode= with one of {', '.join(_MODES)}.",
        )
    modes = [_SSL[each] for each in asked]
    if not mode and any(modes):  # what the shell asks for is not made weaker
        modes.append(os.environ.get("PGSSLMODE", ""))
    if stated := [each for each in modes if each in _MODES]:
        query["sslmode"] = max(stated, key=_MODES.index)
    if accept and "sslkey" not in query:  # then it is Prisma's, and the authority's certificate
        authority = query.pop("sslcert", "")
        if accept == "strict" and "sslrootcert" not in query and "PGSSLROOTCERT" not in os.environ:
            query["sslrootcert"] = authority or "system"
    plain = {name.replace("_", ""): name for name in sorted(known | {"schema"})}
    for name in strangers:
        near = get_close_matches(re.sub(r"[\W_]", "", name).lower(), plain, 1, 0.85)
        if near or _SECURITY.search(name):
            raise UsageError(
                f"{named} has the parameter {name!r}, which PostgreSQL's client does not know.",
                f"Did you mean {plain[near[0]]!r}?" if near else "Take it out, or say it by sslmode.",
            )
    return tuple(strangers)


def redact(text: str, *secrets: str) -> str:
    """Replace every password in `text`: in URLs, after ``password=``, and the given ones anywhere."""
    for secret in secrets:
        for form in {secret, unquote(secret)}:
            if len(form) > 2:
                text = text.replace(form, "***")
    text = _URL_SECRET.sub(r"\g<scheme>***@", text)
    return _WORD_SECRET.sub(r"\g<word>***", text)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        value = value[0] if value else ""
    return str(value or "")
