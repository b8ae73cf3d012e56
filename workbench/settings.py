"""Settings from ``workbench.toml`` and ``WORKBENCH_*`` variables.

A database URL is never stored here: an environment names the *variable* that holds it.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from workbench.errors import UsageError, nearest, unknown

Kind = Literal["demo", "development", "staging", "production"]

DEMO = "demo"

EXPECTED = "expected.json"
"""The demo club's expected row counts, in the folder of its import files."""

_PREFIX, _BETWEEN = "WORKBENCH_", "__"  # of variables


def _names_a_variable(name: str) -> str:
    if not name.isidentifier():
        raise ValueError(
            "this must be the name of a variable, such as DATABASE_URL, not the URL or token itself"
        )
    return name


def _is_a_limit(limit: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)?%|\d+", limit.replace(" ", "")):
        raise ValueError("this must be a number or a share: 3, or 0.5%")
    return limit.replace(" ", "")


def _is_a_zone(name: str) -> str:
    if name not in available_timezones():
        near = nearest(name, available_timezones(), 1)
        raise ValueError(f"there is no such time zone{f'; the nearest is {near[0]}' if near else ''}")
    return name


VariableName = Annotated[str, AfterValidator(_names_a_variable)]
AtMost = Annotated[str, AfterValidator(_is_a_limit)]
TimeZone = Annotated[str, AfterValidator(_is_a_zone)]
FieldKind = Literal["name", "email", "phone", "date", "address", "identifier"]


class ReconcileSettings(BaseModel):
    """The differences between export and database that `workbench reconcile` accepts.

    Attributes
    ----------
    missing_at_most, differs_at_most, extra_at_most : str
        Of each entity: a number, or a share such as ``0.5%``.
    time_zone : str or None
        The time zone of the export, such as ``America/Los_Angeles``; the database has UTC.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    missing_at_most: AtMost = "0"
    differs_at_most: AtMost = "0"
    extra_at_most: AtMost = "20%"
    time_zone: TimeZone | None = None


def _says_how(value: str) -> str:
    if value != "bearer" and not re.fullmatch(r"cookie:[\w!#$%&'*+.^`|~-]+", value, re.ASCII):
        raise ValueError('this must be "bearer", or "cookie:NAME" with the name of the session cookie')
    return value


class EnvironmentSettings(BaseModel):
    """One named target database.

    Attributes
    ----------
    kind : {"demo", "development", "staging", "production"}
        Decides how strict the guard is.
    url_env : str or None
        Name of the variable that holds the database URL; a demo environment without one is on the embedded server.
    address : str or None
        The required ``host[:port]/database``.
    app_url : str or None
        Base URL of the application for the checks of guide §7.2, which do not run without it.
    app_pages : tuple of str
        Pages that must load without an error.
    app_auth_page : str
        A page that needs a sign-in.
    app_token_env : str or None
        Name of the variable with a session token for ``app_auth_page``.
    app_auth : str
        How the token is sent: ``bearer``, or ``cookie:NAME`` with the session cookie's name.
    app_stop, app_start : tuple of str
        Commands that stop and start the application, as lists of words; they do not go through a shell.
    app_timeout : float
        Time limit for these commands, seconds.
    app_health_limit : float
        Time limit for the application to become healthy after its start, seconds.
    import_reports : tuple of Path
        Files or folders with the importers' report files.
    tier_mapping, status_mapping : Path or None
        Which tier and status a Wild Apricot level becomes (guide §1.3): a tier policy, the importer's configuration
        with ``membership_status_mapping``, or a ``membership_levels_mapping.json``.
    event_capacity_limit : int or None
        Most seats of an event (guide §1.5).
    policies : Path or None
        Folder of the organisation's rules (guide §1.5). Default: ``policies`` next to the settings file, or else the
        starter set.
    expected : dict of str to int
        Expected row counts (guide §7.1): ``members``, ``events``, ``registrations``.
    reconcile : ReconcileSettings
        See `ReconcileSettings`.
    duplicate_fields : dict of str to str
        Additional member columns for finding duplicates, with their kinds: ``name``, ``email``, ``phone``, ``date``,
        ``address`` or ``identifier``.
    dry_run_hours : float
        How old the dry run before a live run may be (guide §1.6).
    backup_hours : float
        How old the snapshot before a migration may be (guide §2.1, §6).
    preflight_hours : float
        How long a signed item of the preflight checklist is valid (guide §6).
    statement_timeout : float
        Time limit for a query, seconds.
    apply_timeout : float
        Time limit for a statement of an apply, seconds.
    lock_timeout : float
        How long an apply waits for locks, seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    url_env: VariableName | None = None
    address: str | None = None
    app_url: str | None = None
    app_pages: tuple[str, ...] = ("/admin/members",)
    app_auth_page: str = "/api/v1/me"
    app_token_env: VariableName | None = None
    app_auth: Annotated[str, AfterValidator(_says_how)] = "bearer"
    app_stop: tuple[str, ...] = ()
    app_start: tuple[str, ...] = ()
    app_timeout: float = Field(default=120.0, gt=0)
    app_health_limit: float = Field(default=60.0, gt=0)
    import_reports: tuple[Path, ...] = ()
    tier_mapping: Path | None = None
    status_mapping: Path | None = None
    event_capacity_limit: int | None = Field(default=None, ge=0)
    policies: Path | None = None
    expected: dict[Literal["members", "events", "registrations"], int] = Field(default_factory=dict)
    reconcile: ReconcileSettings = Field(default_factory=ReconcileSettings)
    duplicate_fields: dict[str, FieldKind] = Field(default_factory=dict)
    dry_run_hours: float = Field(default=24.0, gt=0)
    backup_hours: float = Field(default=24.0, gt=0)
    preflight_hours: float = Field(default=72.0, gt=0)
    statement_timeout: float = Field(default=120.0, gt=0)
    apply_timeout: float = Field(default=900.0, gt=0)
    lock_timeout: float = Field(default=10.0, gt=0)

    @property
    def mappings(self) -> tuple[Path, ...]:
        """The configured mapping files."""
        return tuple(path for path in (self.tier_mapping, self.status_mapping) if path is not None)


class Settings(BaseSettings):
    """All settings; the README has an example.

    Attributes
    ----------
    operator : str
        The user's name; by default the login name.
    approval_hours : float
        How long an approval is valid.
    reports, backups, home : Path
        Executed reports; snapshots and bundles; plans and the embedded server's data.
    scratch_url_env : str or None
        Name of the variable with the URL of a server for scratch databases; by default the embedded server.
    client_tools : Path or None
        Folder of PostgreSQL client programs, searched before the embedded server's and the PATH.
    environments : dict of str to EnvironmentSettings
        The named databases; ``demo``, on the embedded server, always exists.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter=_BETWEEN, extra="forbid")

    operator: str = Field(default_factory=lambda: getpass.getuser())
    approval_hours: float = Field(default=24.0, gt=0)
    reports: Path = Path("reports")
    backups: Path = Path("backups")
    home: Path = Path(".workbench")
    scratch_url_env: VariableName | None = None
    client_tools: Path | None = None
    environments: dict[str, EnvironmentSettings] = Field(default_factory=dict)

    @property
    def operator_named(self) -> bool:
        """Whether the operator is configured rather than the login name."""
        return "operator" in self.model_fields_set

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables override the file."""
        return init_settings, env_settings, _File(settings_cls, config_file())

    def environment(self, name: str) -> EnvironmentSettings:
        """Return an environment, or raise `UsageError`."""
        if name not in self.environments:
            error = unknown("environment", name, self.environments)
            by_variable = name == os.environ.get("WORKBENCH_ENVIRONMENT")
            raise UsageError(
                f"{error.what}{' The variable WORKBENCH_ENVIRONMENT names it.' if by_variable else ''}",
                error.next_step,
            )
        return self.environments[name]


class _File(TomlConfigSettingsSource):
    """A TOML file, with or without a byte order mark."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return tomllib.loads(file_path.read_bytes().decode("utf-8-sig"))


def config_file() -> Path:
    """Return the settings file's path: ``WORKBENCH_CONFIG``, or in the working directory."""
    return Path(os.environ.get("WORKBENCH_CONFIG", "workbench.toml"))


def load_settings() -> Settings:
    """Read the settings; relative paths start at the settings file's folder.

    Raises
    ------
    UsageError
        For an invalid file, an unknown key or a wrong value; it names the file or the variable.
    """
    path = config_file()
    if "WORKBENCH_CONFIG" in os.environ and not path.is_file():
        raise UsageError(f"WORKBENCH_CONFIG names {path}, which is not there.", "Correct or unset it.")
    try:
        settings = Settings()
    except ValidationError as error:
        problems: dict[str, list[str]] = {}
        for problem in error.errors(include_url=False):
            problems.setdefault(_source(path, dict(problem)), []).append(_problem(dict(problem)))
        reasons = "; ".join(f"{source}: {'; '.join(listed)}" for source, listed in problems.items())
        raise UsageError(f"{reasons}.", "Correct the settings and try again.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path} is not UTF-8 (line {line}).", "Save it as UTF-8 and try again.") from None
    except (ValueError, OSError) as error:  # an invalid or unreadable file, or a variable that is not JSON
        cause = error.__cause__
        for name, value in _variables().items():
            if isinstance(cause, json.JSONDecodeError) and value == cause.doc:
                raise UsageError(
                    f"The variable {name} is not JSON: {cause.msg}.",
                    """Write a list as '["word", "word"]', a table as '{"key": "value"}'.""",
                ) from None
        raise UsageError(f"{path} cannot be read: {error}.", "Correct the file and try again.") from None
    return _anchored(settings, path.resolve().parent)


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper().startswith(_PREFIX)}


def _source(path: Path, detail: dict[str, Any]) -> str:
    """Return the source of a wrong value: a variable, which overrides the file, or the file."""
    keys = [str(part) for part in detail["loc"] if part != "[key]"]
    variables = {name.upper(): name for name in sorted(_variables())}
    if detail["type"] == "missing":  # the source of the table that lacks it
        keys.pop()
        if path.is_file() and _holds(tomllib.loads(path.read_bytes().decode("utf-8-sig")), keys):
            return str(path)
        within = _variable(keys) + _BETWEEN
        if names := [name for spelling, name in variables.items() if spelling.startswith(within)]:
            return f"The variable {names[0]}"
    for length in range(len(keys), 0, -1):
        name = variables.get(_variable(keys[:length]))
        with suppress(ValueError):
            if name and (length == len(keys) or _holds(json.loads(os.environ[name]), keys[length:])):
                return f"The variable {name}"
    return str(path)


def _variable(keys: list[str]) -> str:
    return _PREFIX + _BETWEEN.join(keys).upper()


def _holds(table: Any, keys: list[str]) -> bool:
    for key in keys:
        if isinstance(table, list) and key.isdecimal() and int(key) < len(table):
            table = table[int(key)]
        elif isinstance(table, dict) and key in table:
            table = table[key]
        else:
            return False
    return True


def _problem(detail: dict[str, Any]) -> str:
    """Describe a validation problem without its value, which may be a secret."""
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] != "extra_forbidden":
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
    key = str(detail["loc"][-1])
    fields = EnvironmentSettings.model_fields if detail["loc"][0] == "environments" else Settings.model_fields
    close = nearest(key, fields)
    if key == "url":
        return f"unknown key {where!r}: a URL is never stored here; url_env names the variable that holds it"
    return f"unknown key {where!r}" + (f" (did you mean {close[0]!r}?)" if close else "")


def _anchored(settings: Settings, root: Path) -> Settings:
    """Return the settings with absolute paths, the demo environment, and the default rules folder."""
    settings = _absolute(settings, root)
    rules = root / "policies" if (root / "policies").is_dir() else None
    imports = settings.home / DEMO / "imports"
    expected = settings.home / DEMO / EXPECTED
    demo = EnvironmentSettings(
        expected=json.loads(expected.read_text()) if expected.is_file() else {},
        kind="demo",
        import_reports=(imports,),
        tier_mapping=imports / "membership.yaml",
        event_capacity_limit=100,
    )
    environments = {}
    for name, options in ({DEMO: demo} | settings.environments).items():
        if not options.url_env and options.kind != "demo":
            raise UsageError(
                f"environments.{name} has no url_env.", "Name the variable with its database URL."
            )
        environments[name] = _absolute(
            options.model_copy(update={"policies": options.policies or rules}), root
        )
    return settings.model_copy(update={"environments": environments})


M = TypeVar("M", bound=BaseModel)


def _absolute(model: M, root: Path) -> M:
    """Return a model with its relative paths below a folder."""

    def anchored(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(anchored, value))
        return root / value if isinstance(value, Path) else value

    return model.model_copy(
        update={name: anchored(value) for name, value in model if isinstance(value, Path | tuple)}
    )
