"""The environment guard: which database one is on, and whether that is the one that was meant.

Guide §1.6 ("Wrong environment targeted") and §6: the guide greps the URL for
``localhost|prod|staging``; here the words in the environment's name, its kind and the address
have to agree, or nothing is opened.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from workbench.database.address import Address, parse_address
from workbench.errors import UsageError, WrongEnvironment
from workbench.settings import EnvironmentSettings, Kind

DEMO_MARK = "murmurant-workbench demo club"
"""The comment that the demo's tables bear: a dump carries it along, wherever it is restored."""

# Words that people put into host, database and environment names, and the kind each speaks of.
_WORDS: dict[str, Kind] = {
    "prod": "production",
    "production": "production",
    "live": "production",
    "staging": "staging",
    "stage": "staging",
    "preprod": "staging",
    "dev": "development",
    "develop": "development",
    "development": "development",
    "test": "development",
    "demo": "demo",
}


@dataclass(frozen=True)
class Environment:
    """A named target and where it is; what a banner shows.

    Attributes
    ----------
    name : str
        As in ``workbench.toml``.
    kind : str
        ``demo``, ``development``, ``staging`` or ``production``.
    where : str
        ``host/database``, without user and password.
    """

    name: str
    kind: Kind
    where: str

    @property
    def production(self) -> bool:
        """Whether real people's data are at stake."""
        return self.kind == "production"

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}) at {self.where}"


def address_of(name: str, settings: EnvironmentSettings) -> Address | None:
    """Return the address an environment's variable holds; None for the embedded demo.

    Raises
    ------
    UsageError
        When the variable is not set or holds no PostgreSQL URL.
    """
    if settings.url_env is None:
        return None
    text = os.environ.get(settings.url_env, "")
    if not text.strip():
        raise UsageError(
            f"The variable {settings.url_env}, which holds the database URL of environment {name!r}, is not set.",
            f"Set it, for example: export {settings.url_env}=postgresql://user@host/database",
        )
    return parse_address(text, named=f"${settings.url_env}")


def guard(name: str, settings: EnvironmentSettings, address: Address) -> Environment:
    """Return the environment if its name, kind and address agree, else refuse.

    Three rules: the name must not speak of another kind; the address must be the one that the
    settings state, where they state one; and where they do not, the words in host and database
    name must not speak of another kind, nor may a production database be on this machine (a
    tunnel to it is a reason to state the address).

    Raises
    ------
    WrongEnvironment
        With the word, the kind and what to correct.
    """
    environment = Environment(name, settings.kind, address.where)
    spoken = kinds_in(name)
    if spoken and settings.kind not in spoken:
        raise WrongEnvironment(
            f"Environment {name!r} is declared as {settings.kind}, but its name says {_list(spoken)}.",
            f"Correct environments.{name}.kind in workbench.toml, or rename it.",
        )
    if settings.address is not None:
        if settings.address.strip().lower() != address.where.lower():
            raise WrongEnvironment(
                f"Environment {name!r} must be at {settings.address}, but ${settings.url_env} leads to"
                f" {address.where}.",
                "Check the variable: it may have been set for another environment.",
            )
        return environment
    spoken = (kinds_in(address.host) | kinds_in(address.database)) - {settings.kind}
    if spoken:
        raise WrongEnvironment(
            f"Environment {name!r} is declared as {settings.kind}, but its address {address.where} says"
            f" {_list(spoken)}.",
            f"If it is right, state it: environments.{name}.address = {address.where!r} in workbench.toml.",
        )
    if settings.kind == "production" and address.on_this_machine:
        raise WrongEnvironment(
            f"Environment {name!r} is declared as production, but its address {address.where} is this machine.",
            f"If that is a tunnel, state it: environments.{name}.address = {address.where!r} in workbench.toml.",
        )
    return environment


def kinds_in(text: str) -> set[Kind]:
    """Return the kinds of environment that the words in a name speak of."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    words = re.split(r"[^a-z]+", apart.lower())
    return {_WORDS[word] for word in words if word in _WORDS}


def _list(kinds: set[Kind]) -> str:
    return " and ".join(sorted(kinds))
