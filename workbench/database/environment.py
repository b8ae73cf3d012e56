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
_WORDS: dict[Kind, set[str]] = {
    "production": {"production", "prod", "live"},
    "staging": {"staging", "stage", "preprod"},
    "development": {"development", "develop", "dev", "test"},
    "demo": {"demo"},
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


def address_in(variable: str, of: str) -> Address:
    """Return the address that a variable holds, or raise `UsageError`; `of` says whose URL it is."""
    text = os.environ.get(variable, "")
    if not text.strip():
        raise UsageError(
            f"The variable {variable}, which holds the database URL of {of}, is not set.",
            f"Set it, for example: export {variable}=postgresql://user@host/database",
        )
    return parse_address(text, named=f"${variable}")


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
    kind, where = settings.kind, address.where
    declared = f"Environment {name!r} is declared as {kind}, but"
    if (spoken := kinds_in(name)) and kind not in spoken:
        raise WrongEnvironment(
            f"{declared} its name says {' and '.join(sorted(spoken))}.",
            f"Correct environments.{name}.kind in workbench.toml, or rename it.",
        )
    if settings.address is not None:
        if settings.address.strip().lower() != where.lower():
            raise WrongEnvironment(
                f"Environment {name!r} must be at {settings.address}, but ${settings.url_env} leads to {where}.",
                "Check the variable: it may have been set for another environment.",
            )
        return Environment(name, kind, where)
    spoken = (kinds_in(address.host) | kinds_in(address.database)) - {kind}
    place = "this machine" if kind == "production" and address.on_this_machine else ""
    if spoken or place:
        raise WrongEnvironment(
            f"{declared} its address {where} says {' and '.join(sorted(spoken)) or place}.",
            f"If it is right (a tunnel, say), state it: environments.{name}.address = {where!r} in workbench.toml.",
        )
    return Environment(name, kind, where)


def kinds_in(text: str) -> set[Kind]:
    """Return the kinds of environment that the words in a name speak of."""
    words = {*re.split(r"[^a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower())}
    return {kind for kind, spoken in _WORDS.items() if words & spoken}
