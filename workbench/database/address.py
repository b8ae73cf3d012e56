"""Database URLs: parsed, compared and printed without their secrets."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from workbench.errors import UsageError

CONNECT_TIMEOUT = 10
"""Seconds to wait for a server to answer."""

# What Prisma adds to a URL for itself; libpq refuses a URL that carries any of them.
_PRISMA = [
    "schema",
    "connection_limit",
    "pool_timeout",
    "pgbouncer",
    "socket_timeout",
    "statement_cache_size",
    "sslaccept",
    "sslidentity",
    "sslpassword",
    "single_use_connections",
]

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
        For psycopg, without Prisma's own parameters.
    schema : str
        The schema Murmurant's tables are in (Prisma's ``?schema=``, or the first of a ``search_path`` among the URL's
        own options), ``public`` by default.
    """

    url: URL
    schema: str = "public"

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
        own = {key: value if isinstance(value, str) else value[-1] for key, value in self.url.query.items()}
        own |= {
            key: str(value)
            for key, value in self.url.translate_connect_args(username="user", database="dbname").items()
        }
        more = {"connect_timeout": str(CONNECT_TIMEOUT), "application_name": "murmurant-workbench"}
        options = f"{own.get('options', '')} {options}".strip()
        return more | own | ({"options": options} if options else {})

    def __repr__(self) -> str:
        return f"Address({self.where!r})"


def parse_address(text: str, *, named: str) -> Address:
    """Take a database URL apart.

    Parameters
    ----------
    text : str
        ``postgresql://user:password@host:port/database?...`` or ``postgres://``, Prisma's
        parameters allowed.
    named : str
        Where it came from (``$DATABASE_URL``), for the message; the URL itself is never shown.

    Raises
    ------
    UsageError
        When it is not a PostgreSQL URL.
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
    # As psql would: the first schema of a search path in the URL's own options.
    path = re.search(r"search_path\s*=\s*\"?([^\s,\"]+)", _text(url.query.get("options")))
    schema = _text(url.query.get("schema")) or (path.group(1) if path else "public")
    query = {key: value for key, value in url.query.items() if key not in _PRISMA}
    return Address(url.set(drivername="postgresql+psycopg", query=query), schema)


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
