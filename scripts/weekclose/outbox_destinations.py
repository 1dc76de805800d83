"""Where events go: a webhook, RabbitMQ or stdout. Each says event by event what was in the way."""

import json
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from weekclose.errors import UsageError, WeekcloseError
from weekclose.poster import ANSWER_SECONDS, CONNECTIONS, Poster, is_this_machine, parsed_address
from weekclose.rails.signatures import sign_standard, webhook_key
from weekclose.settings import TellingSettings

EXCHANGE = "weekclose"


@dataclass(frozen=True)
class Event:
    """An event as the outbox has it; `message_id` is the same whenever it is sent."""

    event_id: int
    message_id: str
    type: str
    entity: str
    payload: dict[str, Any]
    created_at: datetime

    def body(self) -> bytes:
        """The same bytes at each try, wherever it goes."""
        told = {
            "id": self.message_id,
            "type": self.type,
            "timestamp": self.created_at.astimezone(UTC).isoformat(),
            "entity": self.entity,
            "data": self.payload,
        }
        return json.dumps(told, ensure_ascii=True, separators=(",", ":")).encode()


class Destination(Protocol):
    """Takes events of which no two are of one entity, so that their order does not matter."""

    def deliver(self, events: Sequence[Event]) -> list[str | None]:
        """For each event what was in the way, None when it is delivered."""
        ...


class Stdout:
    """A line of JSON for each event."""

    def deliver(self, events: Sequence[Event]) -> list[str | None]:
        """Raises OSError when nobody reads."""
        for event in events:
            print(event.body().decode())
        sys.stdout.flush()
        return [None] * len(events)


class Webhook:
    """Signed as Standard Webhooks says, several at a time."""

    def __init__(self, poster: Poster, secret: str) -> None:
        self._poster, self._secret = poster, secret

    def deliver(self, events: Sequence[Event]) -> list[str | None]:
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return list(threads.map(self._send, events))

    def _send(self, event: Event) -> str | None:
        body = event.body()
        return self._poster.post(body, sign_standard(self._secret, event.message_id, datetime.now(UTC), body))


class RabbitMQ:
    """Persistent messages to the topic exchange `weekclose`, each confirmed; the routing key is the type."""

    def __init__(self, url: str) -> None:
        """Raises WeekcloseError without the library."""
        try:
            import pika  # the extra `rabbitmq`
        except ImportError:
            raise WeekcloseError(
                "WEEKCLOSE_OUTBOX is RabbitMQ, whose library is missing: pip install weekclose[rabbitmq]"
            ) from None
        # It would say on stderr what it was given.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._pika, self._parameters = pika, pika.URLParameters(url)
        self._parameters.connection_attempts = 1
        self._parameters.socket_timeout = self._parameters.stack_timeout = ANSWER_SECONDS
        self._parameters.blocked_connection_timeout = ANSWER_SECONDS

    def deliver(self, events: Sequence[Event]) -> list[str | None]:
        problems: list[str | None] = []
        try:
            with closing(self._pika.BlockingConnection(self._parameters)) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
                for event in events:
                    problems.append(self._send(channel, event))
        except (self._pika.exceptions.AMQPError, OSError) as error:
            # What is not confirmed may have arrived, and goes again under its id.
            unsure = len(events) - len(problems)
            problems += [f"RabbitMQ did not take it: {type(error).__name__}"] * unsure
        return problems

    def _send(self, channel: Any, event: Event) -> str | None:
        properties = self._pika.BasicProperties(
            message_id=event.message_id,
            type=event.type,
            content_type="application/json",
            delivery_mode=self._pika.DeliveryMode.Persistent.value,
            timestamp=int(event.created_at.timestamp()),
        )
        try:
            # Mandatory: what no queue takes would be confirmed and lost.
            channel.basic_publish(EXCHANGE, event.type, event.body(), properties, mandatory=True)
        except self._pika.exceptions.UnroutableError:
            return "no queue takes it: bind one to the exchange weekclose"
        except self._pika.exceptions.NackError:
            return "RabbitMQ could not keep it"
        return None


def open_destination(settings: TellingSettings, answer_seconds: float = ANSWER_SECONDS) -> Destination:
    """What WEEKCLOSE_OUTBOX names. Raises UsageError, never with an address or a secret."""
    if settings.outbox is None:
        raise UsageError("WEEKCLOSE_OUTBOX is not set: stdout, https://host/path or amqps://user@host/vhost")
    url = settings.outbox.get_secret_value()
    if url == "stdout":
        return Stdout()
    parts = parsed_address(url, "WEEKCLOSE_OUTBOX", ("https", "http", "amqps", "amqp"))
    if parts.scheme.startswith("http"):
        poster = Poster(url, "WEEKCLOSE_OUTBOX", loopback=settings.loopback, answer_seconds=answer_seconds)
        return Webhook(poster, _secret(settings))
    if parts.scheme == "amqp" and not is_this_machine(parts.hostname or ""):
        raise UsageError("WEEKCLOSE_OUTBOX is amqp to another machine: write amqps://")
    return RabbitMQ(url)


def _secret(settings: TellingSettings) -> str:
    secret = settings.outbox_secret.get_secret_value() if settings.outbox_secret else ""
    try:
        webhook_key(secret)
    except UsageError:
        raise UsageError("WEEKCLOSE_OUTBOX_SECRET is not whsec_ and 16 or more bytes in base64") from None
    return secret
