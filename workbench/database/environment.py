"""The environment guard: nothing is opened unless an environment's name, kind and address agree.

Guide §1.6 ("Wrong environment targeted") and §6 grep the URL for ``localhost|prod|staging``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from workbench.database.address import Address, parse_address
from workbench.errors import UsageError, WrongEnvironment
from workbench.settings import EnvironmentSettings, Kind

DEMO_MARK = "murmurant-workbench demo club"
"""The comment on the demo's tables; dumps keep it, wherever they are restored."""

# Words in host, database and environment names, by the kind of environment that they suggest.
_WORDS: dict[Kind, set[str]] = {
    "production": {"production", "prod", "live"},
    "staging": {"staging", "stage", "preprod"},
    "development": {"development", "develop", "dev", "test"},
    "demo": {"demo"},
}


@dataclass(frozen=True)
class Environment:
    """A named target, as a banner shows it.

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
        """Whether it holds real people's data."""
        return self.kind == "production"

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}) at {self.where}"


def address_in(variable: str, of: str) -> Address:
    """Parse the URL that an environment variable holds; `of` names its use in errors."""
    text = os.environ.get(variable, "")
    if not text.strip():
        raise UsageError(
            f"The variable {variable}, which should hold the database URL of {of}, is not set.",
            f"Set it, for example: export {variable}=postgresql://user@host/database",
        )
    return parse_address(text, named=f"${variable}")


def guard(name: str, settings: EnvironmentSettings, address: Address) -> Environment:
    """Return the environment if its name, kind and address agree.

    The name must not suggest another kind. If the settings state an address, it must be that one. Otherwise host and
    database name must not suggest another kind, and a production database must not be on this machine (for a tunnel,
    state the address).

    Raises
    ------
    WrongEnvironment
        Naming the word, the kind and the setting to correct.
    """
    kind, where = settings.kind, address.where
    declared = f"Environment {name!r} is declared as {kind}, but"
    if (suggested := kinds_in(name)) and kind not in suggested:
        raise WrongEnvironment(
            f"{declared} its name says {' and '.join(sorted(suggested))}.",
            f"Correct environments.{name}.kind in workbench.toml, or rename it.",
        )
    if settings.address is not None:
        if settings.address.strip().lower() != where.lower():
            raise WrongEnvironment(
                f"Environment {name!r} must be at {settings.address}, but ${settings.url_env} leads to {where}.",
                "Check the variable: it may have been set for another environment.",
            )
        return Environment(name, kind, where)
    suggested = (kinds_in(address.host) | kinds_in(address.database)) - {kind}
    place = "this machine" if kind == "production" and address.on_this_machine else ""
    if suggested or place:
        raise WrongEnvironment(
            f"{declared} its address {where} says {' and '.join(sorted(suggested)) or place}.",
            f"If it is right (a tunnel, for example), state it: environments.{name}.address = {where!r} in workbench.toml.",
        )
    return Environment(name, kind, where)


def kinds_in(text: str) -> set[Kind]:
    """Return the kinds of environment that the words in a name suggest."""
    words = {*re.split(r"[^a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).lower())}
    return {kind for kind, suggested in _WORDS.items() if words & suggested}
