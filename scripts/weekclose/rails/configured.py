"""The rail that the environment names, ready to use."""

from collections.abc import Callable
from dataclasses import replace

from dotenv import load_dotenv
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from weekclose.errors import UsageError
from weekclose.rails import halfin, paypal
from weekclose.rails.batch import BatchRail
from weekclose.rails.halfin import HalfinRail
from weekclose.rails.paypal import PayPalRail
from weekclose.rails.protocol import Rail
from weekclose.rails.signatures import webhook_key
from weekclose.rails.transport import RollingLimit, Transport
from weekclose.settings import project_dir

RAILS = ("batch", "halfin", "paypal")
CALLS_PER_MINUTE = {"halfin": halfin.CALLS_PER_MINUTE, "paypal": paypal.CALLS_PER_MINUTE}


class RailSettings(BaseSettings):
    """What the environment says about the rail; an empty variable counts as unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True)

    rail: str = Field(default="batch", alias="WEEKCLOSE_RAIL")
    url: str | None = Field(default=None, alias="WEEKCLOSE_RAIL_URL")
    key: SecretStr | None = Field(default=None, alias="WEEKCLOSE_RAIL_KEY")
    webhook_secrets: SecretStr = Field(default=SecretStr(""), alias="WEEKCLOSE_WEBHOOK_SECRETS")
    max_processing_seconds: int | None = Field(
        default=None, ge=0, alias="WEEKCLOSE_RAIL_MAX_PROCESSING_SECONDS"
    )
    loopback_rail: bool = Field(default=False, alias="WEEKCLOSE_LOOPBACK_RAIL")

    @property
    def secrets(self) -> list[str]:
        """The webhook secrets, each of which is valid."""
        return [each.strip() for each in self.webhook_secrets.get_secret_value().split(",") if each.strip()]


def load_rail_settings() -> RailSettings:
    """Settings from the environment and the project's `.env`. Raises UsageError, without the value."""
    load_dotenv(project_dir() / ".env", override=False)
    try:
        return RailSettings()
    except ValidationError as error:
        raise UsageError(f"{error.errors()[0]['loc'][0]} has a value that cannot be used") from None


def open_rail(settings: RailSettings, progress: Callable[[str], None] = lambda message: None) -> Rail:
    """The adapter that the settings name. Raises UsageError for what is missing, Refused for an address that
    money must not be sent to. `progress` is told how far a long submission is."""
    if settings.rail not in RAILS:
        raise UsageError(f"WEEKCLOSE_RAIL {settings.rail!r} is no rail: {', '.join(RAILS)}")
    if settings.url is None or settings.key is None:
        raise UsageError("no rail is set up: set WEEKCLOSE_RAIL_URL and WEEKCLOSE_RAIL_KEY")
    key, secrets = settings.key.get_secret_value(), settings.secrets
    if not (key.isascii() and key.isprintable()):
        raise UsageError("WEEKCLOSE_RAIL_KEY has characters that no key has")
    per_minute = CALLS_PER_MINUTE.get(settings.rail)
    transport = Transport(
        settings.url,
        loopback=settings.loopback_rail,
        limit=RollingLimit(per_minute) if per_minute else None,
    )
    rail: BatchRail | HalfinRail | PayPalRail
    if settings.rail == "halfin":
        rail = HalfinRail(transport, key, secrets, progress=progress)
    elif settings.rail == "paypal":
        rail = PayPalRail(transport, key, secrets)
    else:
        for secret in secrets:
            webhook_key(secret)
        rail = BatchRail(transport, key, secrets)
    quiet = settings.max_processing_seconds
    return rail if quiet is None else replace(rail, max_processing_seconds=quiet)
