"""What the environment (or `.env` in the project) says about where to work and who is working."""

import getpass
import os
from pathlib import Path

from dotenv import load_dotenv
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from weekclose.errors import UsageError, WeekcloseError

# PGUSER, PGPASSWORD or PGTZ alone say how to connect, not that there is a server to connect to.
NAMES_A_SERVER = ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE")


def project_dir() -> Path:
    """The directory of dbt_project.yml: around this package, else around the working directory."""
    for place in (*Path(__file__).resolve().parents, Path.cwd(), *Path.cwd().parents):
        if (place / "dbt_project.yml").is_file():
            return place
    raise WeekcloseError("no dbt_project.yml here or around this package: cd into the project")


def _default_home() -> Path:
    return project_dir() / ".weekclose"


def os_user() -> str:
    """Who is logged in on this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid without a name
        return f"uid {os.getuid()}"


class Settings(BaseSettings):
    """One command's settings; an empty variable counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    database_url: str | None = Field(default=None, alias="DATABASE_URL")
    home: Path = Field(default_factory=_default_home, alias="WEEKCLOSE_HOME")
    actor: str | None = Field(default=None, alias="WEEKCLOSE_ACTOR")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @property
    def names_a_server(self) -> bool:
        """Whether DATABASE_URL or PG* names a server; if not, the embedded one is used."""
        return self.database_url is not None or any(os.environ.get(name) for name in NAMES_A_SERVER)


def load_settings() -> Settings:
    """Settings from the environment; what it leaves open comes from the project's `.env`."""
    # PG* are libpq's to read, so `.env` goes into the environment and not only into the settings.
    load_dotenv(project_dir() / ".env", override=False)
    return Settings()


class TellingSettings(BaseSettings):
    """Where events and notifications go; an empty variable counts as unset. Addresses may hold secrets."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    outbox: SecretStr | None = Field(default=None, alias="WEEKCLOSE_OUTBOX")
    outbox_secret: SecretStr | None = Field(default=None, alias="WEEKCLOSE_OUTBOX_SECRET")
    smtp: SecretStr | None = Field(default=None, alias="WEEKCLOSE_NOTIFY_SMTP")
    sender: str | None = Field(default=None, alias="WEEKCLOSE_NOTIFY_FROM")
    admins: str = Field(default="", alias="WEEKCLOSE_NOTIFY_TO")
    slack: SecretStr | None = Field(default=None, alias="WEEKCLOSE_NOTIFY_SLACK")
    loopback: bool = Field(default=False, alias="WEEKCLOSE_LOOPBACK_RAIL")


def load_telling_settings() -> TellingSettings:
    """Settings from the environment and the project's `.env`. Raises UsageError, without the value."""
    load_dotenv(project_dir() / ".env", override=False)
    try:
        return TellingSettings()
    except ValidationError as error:
        raise UsageError(f"{error.errors()[0]['loc'][0]} has a value that cannot be used") from None
