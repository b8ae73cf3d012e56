"""Database URLs: parsed by libpq, checked, and printed without their secrets."""

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

IGNORED_VARIABLES = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGTARGETSESSIONATTRS"),
    *("PGLOADBALANCEHOSTS", "PGTZ", "PGDATESTYLE", "PGCLIENTENCODING", "PGGEQO", "PGOPTIONS", "PGAPPNAME"),
)
"""Variables of PostgreSQL's clients that would change the target, or how values are read: only the URL counts."""

_EXAMPLE = "It must look like postgresql://user:password@host:5432/database; write @, / or ? in the password as %40, %2F, %3F."
# An unescaped @, / or ? in a password would make a part of it the host name, and print it: such a URL does not match.
_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?(://(?:[^@/?]*@)?[^@?]*)\??([^@]*)")
_FIRST_OF_PATH = re.compile(r"\s*\"?([^\s,\"]+)")
_REDIRECTS = {"hostaddr", "service", "servicefile"}  # libpq would follow these instead of the host
_SECURITY = re.compile("ssl|tls|cert|verif|gss|channel|auth|secur|encrypt|crl", re.IGNORECASE)
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")  # weakest first
# The spellings of node-postgres, asyncpg, JDBC and Prisma.
_SSL_SPELLINGS = {mode: mode for mode in _SSL_MODES} | {"no-verify": "require", "strict": "verify-full"}
_SSL_SPELLINGS |= dict.fromkeys(("true", "1", "on", "yes"), "require")
_SSL_SPELLINGS |= dict.fromkeys(("false", "0", "off", "no", "accept_invalid_certs"), "")

# Variables for servers on the network, overridden for the embedded server.
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
_environment_lock = RLock()


@dataclass(frozen=True)
class Address:
    """A parsed database URL.

    Attributes
    ----------
    conninfo : str
        A libpq connection string, including the password, without parameters that libpq does not know.
    schema : str
        The schema of Murmurant's tables: Prisma's ``?schema=``, or the first of the URL's ``search_path``; ``public`` by
        default.
    left_out : tuple of str
        Parameters of the URL that libpq does not know; they are ignored.
    embedded : bool
        Whether it is the embedded server's.
    """

    conninfo: str = field(repr=False)
    schema: str = "public"
    left_out: tuple[str, ...] = ()
    embedded: bool = False

    @property
    def host(self) -> str:
        """The host name in lower case; ``local`` for a socket."""
        host = str(conninfo_to_dict(self.conninfo).get("host", "local")).lower().rstrip(".")
        return "local" if host.startswith(("/", "@")) else host

    @property
    def database(self) -> str:
        """The database's name."""
        return str(conninfo_to_dict(self.conninfo)["dbname"])

    @property
    def where(self) -> str:
        """``host[:port]/database``, with ``local`` for a socket."""
        host, port = f"[{self.host}]" if ":" in self.host else self.host, self.parameters().get("port")
        return f"{host}{f':{port}' if port else ''}/{self.database}"

    @property
    def on_this_machine(self) -> bool:
        """Whether the host is this machine: a socket, ``localhost`` or a loopback address."""
        if self.host in {"local", "localhost"} or self.host.endswith(".localhost"):
            return True
        try:
            number = ip_address(self.host)
        except ValueError:
            return False
        return number.is_loopback or number.is_unspecified

    def parameters(self, options: str = "") -> dict[str, str]:
        """Return libpq's connection parameters, including the password; `options` are added to the URL's own."""
        values = {"connect_timeout": str(CONNECT_TIMEOUT), "application_name": "murmurant-workbench"}
        values |= {name: str(value) for name, value in conninfo_to_dict(self.conninfo).items()}
        if self.embedded:
            variables = {name.removeprefix("PG").lower() for name in os.environ if name.startswith("PG")}
            values |= {name: value for name, value in _EMBEDDED.items() if name.replace("_", "") in variables}
        return values | {"options": f"{values.get('options', '')} {options}".strip()}


@contextmanager
def without_client_variables() -> Iterator[None]:
    """Unset `IGNORED_VARIABLES` while a connection is made."""
    with _environment_lock:
        saved = {name: os.environ.pop(name) for name in IGNORED_VARIABLES if name in os.environ}
        try:
            yield
        finally:
            os.environ.update(saved)


def parse_address(text: str, *, named: str, embedded: bool = False) -> Address:
    """Parse a database URL.

    Parameters
    ----------
    text : str
        ``postgresql://user:password@host:port/database?...`` or ``postgres://``; parameters of other clients are allowed.
    named : str
        Where it came from (``$DATABASE_URL``), for errors; the URL itself is never shown.

    Raises
    ------
    UsageError
        When it is not a PostgreSQL URL, when a parameter would lead to another database than the URL names, or when an
        unknown parameter could be a misspelt one of libpq's or concerns security.
    """
    url, base = _URL.fullmatch(text.strip()), {}
    with suppress(psycopg.ProgrammingError):
        base = conninfo_to_dict(f"postgresql{url[1]}") if url else {}
    query = dict(parse_qsl(url[2].replace("+", "%2B"), keep_blank_values=True)) if url else {}
    port = str(
        base.get("port", query.get("port", "5432"))
    )  # in user:password/database it would be the password
    if "dbname" not in base or not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 1 << 16):
        raise UsageError(f"{named} is not the URL of a PostgreSQL database.", _EXAMPLE)
    named_twice = base.keys() & {"host", "port", "dbname"}
    if redirects := sorted(query.keys() & (_REDIRECTS | named_twice)):
        raise UsageError(
            f"{named} has the parameter {redirects[0]!r}, which leads to another database than the URL names.",
            _EXAMPLE,
        )
    if "sslpassword" in query:  # it would stand on the command lines of pg_dump and psql
        raise UsageError(
            f"{named} has an sslpassword, which other users of this machine could read while a program runs.",
            "Use a key without a password, in a file that only you can read.",
        )
    if "," in str(base.get("host", query.get("host"))):
        raise UsageError(f"{named} names more than one host.", f"Name one host. {_EXAMPLE}")
    paths = re.findall(r"search_path\s*=(.*)", query.get("options", ""))
    paths += [query.pop(name, "") for name in ("search_path", "currentSchema")]
    firsts = (first[1] for path in paths if (first := _FIRST_OF_PATH.match(path)))
    schema = query.pop("schema", "") or next(firsts, "public")
    _translate_encryption(query, named)
    left_out = _remove_unknown(query, named)
    return Address(make_conninfo("", **(base | query)), schema, left_out, embedded)


def _translate_encryption(query: dict[str, str], named: str) -> None:
    """Replace other clients' spellings of ``sslmode``; the strictest one given counts."""
    given = {name: query.pop(name).lower() for name in ("sslmode", "ssl", "sslaccept") if query.get(name)}
    if any(spelling not in _SSL_SPELLINGS for spelling in given.values()):
        raise UsageError(
            f"{named} has an unknown value for sslmode, ssl or sslaccept.",
            f"Write sslmode= with one of {', '.join(_SSL_MODES)}.",
        )
    if modes := [_SSL_SPELLINGS[spelling] for spelling in given.values() if _SSL_SPELLINGS[spelling]]:
        if "sslmode" not in given:
            modes.append(os.environ.get("PGSSLMODE", ""))
        query["sslmode"] = max((mode for mode in modes if mode in _SSL_MODES), key=_SSL_MODES.index)
    if given.get("sslaccept") == "strict" and "PGSSLROOTCERT" not in os.environ:
        query.setdefault("sslrootcert", "system")


def _remove_unknown(query: dict[str, str], named: str) -> tuple[str, ...]:
    """Remove the parameters that libpq does not know and return their names; refuse what may be a misspelling."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    spellings = {name.replace("_", ""): name for name in sorted(known | {"schema"})}
    unknown = sorted(query.keys() - known)
    for name in unknown:
        near = get_close_matches(re.sub(r"[\W_]", "", name).lower(), spellings, 1, 0.85)
        if near or _SECURITY.search(name):
            raise UsageError(
                f"{named} has the parameter {name!r}, which PostgreSQL's client does not know.",
                f"Did you mean {spellings[near[0]]!r}?" if near else "Remove it, or use sslmode.",
            )
        del query[name]
    return tuple(unknown)


def redact(text: str, *secrets: str) -> str:
    """Replace every password in `text`: in URLs, after ``password=``, and the given secrets anywhere."""
    for secret in secrets:
        for form in {secret, unquote(secret)}:
            if len(form) > 2:
                text = text.replace(form, "***")
    text = _URL_SECRET.sub(r"\g<scheme>***@", text)
    return _WORD_SECRET.sub(r"\g<word>***", text)
