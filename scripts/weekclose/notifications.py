"""Notifications: people are told what needs them, each thing once, by mail, in a chat or on stdout."""

import json
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Protocol
from urllib.parse import SplitResult, unquote

from psycopg import Connection
from psycopg.rows import class_row

from weekclose.database import statement
from weekclose.errors import NothingToDo, UsageError, WeekcloseError, require_one_of
from weekclose.outbox import only_one
from weekclose.poster import ANSWER_SECONDS, Poster, is_this_machine, parsed_address
from weekclose.reading import shown
from weekclose.settings import TellingSettings

CHANNELS = ("smtp", "slack", "stdout", "outbox")
# One message tells of so many things at most: a bad Tuesday fills no mailbox.
LINES = 100
LONGEST_LINE = 500


@dataclass(frozen=True)
class Notification:
    """Who was told what; instants in UTC, None where there was none."""

    notification_id: int
    about: str
    channel: str
    recipient: str
    message: str
    created_at: datetime
    tries: int
    delivered_at: datetime | None
    last_error: str | None
    next_try_at: datetime | None


class Channel(Protocol):
    """One way to one recipient."""

    @property
    def name(self) -> str:
        """One of CHANNELS."""
        ...

    @property
    def recipient(self) -> str:
        """Who, without anything secret."""
        ...

    def tell(self, lines: Sequence[str]) -> str | None:
        """One message of these lines; what was in the way, None when it is delivered."""
        ...


@dataclass(frozen=True)
class Mail:
    """Through one mail server, encrypted unless that is this machine."""

    server: SplitResult
    sender: str
    recipient: str
    answer_seconds: float = ANSWER_SECONDS
    name: str = "smtp"

    def tell(self, lines: Sequence[str]) -> str | None:
        try:
            with self._connected() as smtp:
                if self.server.username is not None:
                    smtp.login(unquote(self.server.username), unquote(self.server.password or ""))
                smtp.send_message(self._message(lines), self.sender, [self.recipient])
        except smtplib.SMTPRecipientsRefused as error:
            [(code, _)] = error.recipients.values()
            return f"the mail server refuses the recipient: {code}"
        except smtplib.SMTPResponseException as error:
            # What else it said may quote a name or a password.
            return f"the mail server answered {error.smtp_code}"
        except (smtplib.SMTPException, OSError) as error:
            return f"the mail server did not take it: {type(error).__name__}"
        return None

    def _connected(self) -> smtplib.SMTP:
        host, context = self.server.hostname or "", ssl.create_default_context()
        if self.server.scheme == "smtps":
            return smtplib.SMTP_SSL(
                host, self.server.port or 465, timeout=self.answer_seconds, context=context
            )
        smtp = smtplib.SMTP(host, self.server.port or 587, timeout=self.answer_seconds)
        try:
            if not is_this_machine(host):
                smtp.starttls(context=context)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _message(self, lines: Sequence[str]) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, self.recipient
        message["Subject"] = f"weekclose: {lines[0] if len(lines) == 1 else f'{len(lines)} things to know'}"
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n".join(lines) + "\n")
        return message


@dataclass(frozen=True)
class Slack:
    """An incoming webhook as Slack and others have it."""

    poster: Poster
    name: str = "slack"
    recipient: str = "webhook"

    def tell(self, lines: Sequence[str]) -> str | None:
        text = "\n".join(lines)
        # Nobody's name calls the whole channel.
        for character, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(character, written)
        return self.poster.post(json.dumps({"text": text}).encode(), {})


@dataclass(frozen=True)
class Stdout:
    """Whoever reads what the job prints; cron mails it."""

    name: str = "stdout"
    recipient: str = "reader"

    def tell(self, lines: Sequence[str]) -> str | None:
        """Raises OSError when nobody reads."""
        print("\n".join(lines), flush=True)
        return None


def open_channels(settings: TellingSettings, answer_seconds: float = ANSWER_SECONDS) -> list[Channel]:
    """What the settings name: mail to each admin, Slack; stdout when they name neither.

    Raises UsageError, never with an address or a secret.
    """
    channels: list[Channel] = [*_mails(settings, answer_seconds)]
    if settings.slack is not None:
        url = settings.slack.get_secret_value()
        channels.append(
            Slack(
                Poster(
                    url, "WEEKCLOSE_NOTIFY_SLACK", loopback=settings.loopback, answer_seconds=answer_seconds
                )
            )
        )
    return channels or [Stdout()]


def _mails(settings: TellingSettings, answer_seconds: float) -> list[Mail]:
    if settings.smtp is None:
        return []
    server = parsed_address(settings.smtp.get_secret_value(), "WEEKCLOSE_NOTIFY_SMTP", ("smtps", "smtp"))
    admins = list(dict.fromkeys(each.strip() for each in settings.admins.split(",") if each.strip()))
    if settings.sender is None or not admins:
        raise UsageError("WEEKCLOSE_NOTIFY_SMTP needs WEEKCLOSE_NOTIFY_FROM and WEEKCLOSE_NOTIFY_TO")
    for name, addresses in (("FROM", [settings.sender]), ("TO", admins)):
        if not all(each.isascii() and each.isprintable() and "@" in each[1:-1] for each in addresses):
            raise UsageError(f"WEEKCLOSE_NOTIFY_{name} has something that is no mail address")
    return [Mail(server, settings.sender, each, answer_seconds) for each in admins]


def run(conn: Connection[Any], channels: Sequence[Channel]) -> int:
    """Note what is new, each thing once for each channel, and deliver what waits. Returns how many were.

    No transaction is open while a channel is talking: who dies in between has it sent again by the next run.
    Raises NothingToDo when nothing is due, WeekcloseError when something stayed.
    """
    delivered, problems = 0, []
    with only_one(conn, "notify run"):
        conn.execute(
            "select payouts.gather_notifications(%s, %s)",
            ([each.name for each in channels], [each.recipient for each in channels]),
        )
        for channel in channels:
            while due := _due(conn, channel):
                problem = channel.tell([shown(each.message, LONGEST_LINE) for each in due])
                numbers = [each.notification_id for each in due]
                conn.execute("select payouts.note_notifications(%s, %s)", (numbers, problem))
                if problem is not None:
                    problems.append(f"{channel.name} to {shown(channel.recipient)}: {problem}")
                    break
                delivered += len(due)
    if problems:
        raise WeekcloseError(f"{'; '.join(problems)}; {delivered} delivered, the next runs try again")
    if not delivered:
        raise NothingToDo("nothing is to be told now")
    return delivered


def listed(
    conn: Connection[Any], waiting: bool, channel: str | None, after: int, limit: int
) -> list[Notification]:
    """Notifications by id, `limit` of those after `after`; of all channels when None."""
    require_one_of("--channel", channel, CHANNELS)
    with conn.cursor(row_factory=class_row(Notification)) as cursor:
        named = {"waiting": waiting, "channel": channel, "after": after, "limit": limit}
        return cursor.execute(statement("notifications_list"), named).fetchall()


def _due(conn: Connection[Any], channel: Channel) -> list[Notification]:
    with conn.cursor(row_factory=class_row(Notification)) as cursor:
        named = {"channel": channel.name, "recipient": channel.recipient, "limit": LINES}
        return cursor.execute(statement("notifications_due"), named).fetchall()
