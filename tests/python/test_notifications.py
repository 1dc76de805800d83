"""Notifications: each thing is told once to each who is to know, by a real mail server, chat or stdout."""

import base64
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from desk import Desk, desk, people  # noqa: F401
from frozen_window import frozen_window, one, submitted_window
from receivers import MailServer, mail_server, receiver
from tuesday import marts  # noqa: F401

FAILED = "payout JPO0000001 failed: 90.00 USD of seller s1"
SCHEDULE_FAILED = "payout schedule SCH0000001 failed: 20.00 USD of seller s1 (the floor)"


@dataclass
class Office:
    """A desk, its mail server, and what the environment says of it."""

    desk: Desk
    mail: MailServer
    given: dict[str, str] = field(default_factory=dict)

    def run(self, who: str = "olga", code: int = 0, **more: str) -> str:
        """`notify run`; what it says on stderr."""
        said = self.desk.run(who, "notify", "run", **self.given | more)
        assert said.code == code, said
        assert "canary" not in said.err
        return said.err.removeprefix("weekclose: ").rstrip("\n")

    def mails(self) -> list[tuple[str, str, list[str]]]:
        """Recipient, subject and lines of each mail, by recipient."""
        return sorted(
            (to, str(mail["Subject"]), mail.get_content().splitlines()) for to, mail in self.mail.mails
        )

    def listed(self, *more: object) -> list[dict[str, object]]:
        found: list[dict[str, object]] = self.desk.does("arne", "notify", "list", "--json", *more).json
        return found

    def hurry(self) -> None:
        with self.desk.owner.transaction():
            self.desk.owner.execute("set local session_replication_role = replica")
            self.desk.owner.execute(
                "update payouts.notifications set next_try_at = now() where next_try_at is not null"
            )


@pytest.fixture
def office(desk: Desk) -> Iterator[Office]:  # noqa: F811
    with mail_server() as mail:
        given = {
            "WEEKCLOSE_NOTIFY_SMTP": f"smtp://127.0.0.1:{mail.port}",
            "WEEKCLOSE_NOTIFY_FROM": "weekclose@example.com",
            "WEEKCLOSE_NOTIFY_TO": "ada@example.com, finance@example.com",
            "WEEKCLOSE_LOOPBACK_RAIL": "1",
        }
        yield Office(desk, mail, given)


def fail(desk: Desk) -> None:  # noqa: F811
    """A payout that the rail could not make."""
    submitted_window(desk.owner, ["90.00"])
    desk.confirm({"reference": "JPO0000001", "status": "failed", "amount": "90.00"})


def schedule_fails(desk: Desk) -> None:  # noqa: F811
    desk.owner.execute(
        "insert into payouts.payout_schedules"
        " (seller_id, currency, amount, trigger_event, note, created_by)"
        " values ('s1', 'USD', 20, 'manual', 'so', 'olga')"
    )
    for change in (
        "status = 'processing', next_try_at = now(), retry_count = 1, last_error = 'the floor'",
        "retry_count = 2",
        "status = 'failed', next_try_at = null, retry_count = 3, ended_by = 'cron', ended_at = now()",
    ):
        desk.owner.execute(f"update payouts.payout_schedules set {change}".encode())


def test_each_thing_is_told_once(office: Office) -> None:
    schedule_fails(office.desk)
    assert office.run() == "2 delivered"
    assert office.mails() == [
        ("ada@example.com", f"weekclose: {SCHEDULE_FAILED}", [SCHEDULE_FAILED]),
        ("finance@example.com", f"weekclose: {SCHEDULE_FAILED}", [SCHEDULE_FAILED]),
    ]
    assert office.run(code=5) == "nothing is to be told now"
    assert len(office.mail.mails) == 2
    # Somebody new is told what was news in these days, the others hear nothing twice.
    assert office.run(WEEKCLOSE_NOTIFY_TO="ada@example.com, eve@example.com") == "1 delivered"
    assert [to for to, _, _ in office.mails()] == [
        "ada@example.com",
        "eve@example.com",
        "finance@example.com",
    ]


def test_one_message_tells_of_all_that_is_new(office: Office) -> None:
    submitted_window(office.desk.owner, ["90.00", "80.00"])
    office.desk.confirm(
        *(
            {"reference": number, "status": "failed", "amount": amount}
            for number, amount in (("JPO0000001", "90.00"), ("JPO0000002", "80.00"))
        )
    )
    assert office.run(WEEKCLOSE_NOTIFY_TO="ada@example.com") == "2 delivered"
    [(_, subject, lines)] = office.mails()
    assert subject == "weekclose: 2 things to know"
    assert [line.partition(":")[0] for line in lines] == [
        "payout JPO0000001 failed",
        "payout JPO0000002 failed",
    ]


def test_alerts_are_one_per_thing(office: Office) -> None:
    """An overdue hold and a break, for as long as they are."""
    it = office.desk
    frozen_window(it.owner, ["90.00"])
    it.does(
        *("olga", "holds", "create", "s1", "--currency", "USD", "--amount", "5", "--reason", "other"),
        *("--note", "odd", "--until", "2100-01-01T00:00:00Z"),
    )
    assert office.run(code=5) == "nothing is to be told now"
    with it.owner.transaction():
        it.owner.execute("set local session_replication_role = replica")
        it.owner.execute("update payouts.escrow_holds set release_at = '2026-11-10T12:00Z'")
        # The rail tells of a payout that there is not.
        it.owner.execute(
            "select payouts.receive_event('batch', 'e1', 'payout.completed', 'completed', 'JPO9999999', 1,"
            " 'USD', 'TX', null, null, now(), true, '')"
        )
        it.owner.execute(
            "insert into payouts.event_outcomes (event_id) select event_id from payouts.rail_events"
        )
    assert it.owner.execute("select break_type from marts.reconciliation_breaks").fetchall()
    told = office.run(WEEKCLOSE_NOTIFY_TO="ada@example.com")
    [(_, _, lines)] = office.mails()
    assert lines[-1].startswith("hold HLD0000001 is over since 2026-11-10 12:00 UTC and still keeps 5.00 USD")
    assert [line for line in lines if line.startswith("break event unknown payout: ")]
    assert told == f"{len(lines)} delivered"
    assert office.run(code=5, WEEKCLOSE_NOTIFY_TO="ada@example.com") == "nothing is to be told now"
    it.does("olga", "holds", "release", "HLD0000001", "--reason", "over")


def test_a_mail_server_that_refuses_one(office: Office) -> None:
    """The other is told, and the one again when it is time."""
    schedule_fails(office.desk)
    office.mail.refused.add("ada@example.com")
    assert office.run(code=1) == (
        "smtp to ada@example.com: the mail server refuses the recipient: 550; 1 delivered, the next runs try"
        " again"
    )
    office.mail.refused.clear()
    assert office.run(code=5) == "nothing is to be told now"
    office.hurry()
    assert office.run() == "1 delivered"
    assert [(each["recipient"], each["tries"], each["last_error"]) for each in office.listed()] == [
        ("ada@example.com", 2, "the mail server refuses the recipient: 550"),
        ("finance@example.com", 1, None),
    ]
    assert office.listed("--waiting") == []


def test_a_mail_server_that_asks_who_it_is(office: Office) -> None:
    """The answer to a wrong password quotes it; nobody else does."""
    schedule_fails(office.desk)
    office.mail.login = base64.b64encode(b"\0me@x\0right:canary").decode()
    to = {"WEEKCLOSE_NOTIFY_TO": "ada@example.com"}
    url = f"smtp://me%40x:{{}}@127.0.0.1:{office.mail.port}"
    wrong = office.run("olga", 1, WEEKCLOSE_NOTIFY_SMTP=url.format("wrong-canary"), **to)
    assert wrong.startswith("smtp to ada@example.com: the mail server answered 535")
    office.hurry()
    assert office.run("olga", 0, WEEKCLOSE_NOTIFY_SMTP=url.format("right%3Acanary"), **to) == "1 delivered"


def test_a_mail_server_that_is_down(office: Office) -> None:
    schedule_fails(office.desk)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said = office.run(code=1, WEEKCLOSE_NOTIFY_SMTP=f"smtp://me:canary@127.0.0.1:{port}")
    assert "the mail server did not take it: ConnectionRefusedError" in said
    assert [each["tries"] for each in office.listed("--waiting", "--channel", "smtp")] == [1, 1]


def test_slack_and_mail_stand_for_themselves(office: Office) -> None:
    """One that is down keeps the other from nothing; nobody's name calls the whole channel."""
    schedule_fails(office.desk)
    office.desk.owner.execute(
        "insert into payouts.payout_requests (seller_id, currency, amount, reason, requested_by)"
        " values ('<!channel>', 'USD', 20, 'rent & more', 'olga')"
    )
    with receiver() as chat:
        slack = {"WEEKCLOSE_NOTIFY_SLACK": chat.url, "WEEKCLOSE_NOTIFY_TO": "ada@example.com"}
        chat.answer = lambda delivery: 500
        assert office.run("olga", 1, **slack) == (
            "slack to webhook: the receiver answered 500; 2 delivered, the next runs try again"
        )
        chat.answer = lambda delivery: 200
        office.hurry()
        assert office.run("olga", 0, **slack) == "2 delivered"
        text = json.loads(chat.deliveries[-1].body)["text"].splitlines()
    assert text == [
        SCHEDULE_FAILED,
        "request REQ0000001 created: 20.00 USD of seller &lt;!channel&gt; (rent &amp; more)",
    ]


def test_on_stdout_when_nothing_is_set_up(office: Office) -> None:
    schedule_fails(office.desk)
    office.given.clear()
    said = office.desk.does("ada", "notify", "run")
    assert (said.out.decode(), said.err) == (f"{SCHEDULE_FAILED}\n", "1 delivered\n")


def test_a_seller_is_told_by_the_platform(office: Office) -> None:
    """Delivered when the platform has taken the event: how it reaches him, it alone knows."""
    owner = office.desk.owner
    owner.execute(
        "insert into payouts.payout_requests (seller_id, currency, amount, reason, requested_by)"
        " values ('s1', 'USD', 20, 'rent', 'olga')"
    )
    owner.execute(
        "update payouts.payout_requests set decision = 'rejected', decision_reason = 'the floor',"
        " decided_by = 'anna', decided_at = now()"
    )
    assert office.run(WEEKCLOSE_NOTIFY_TO="ada@example.com") == "2 delivered"
    [told] = office.listed("--channel", "outbox")
    message = "request REQ0000001 rejected: 20.00 USD of seller s1 (the floor)"
    assert (told["recipient"], told["message"], told["delivered_at"]) == ("seller:s1", message, None)
    office.desk.does("olga", "outbox", "publish", WEEKCLOSE_OUTBOX="stdout")
    office.run(code=5, WEEKCLOSE_NOTIFY_TO="ada@example.com")
    [told] = office.listed("--channel", "outbox")
    [event] = office.desk.does("arne", "outbox", "list", "--type", "request.rejected", "--json").json
    assert told["delivered_at"] == event["delivered_at"] is not None


def test_old_news_is_none(office: Office) -> None:
    """Whoever is told for the first time does not get the news of a year."""
    schedule_fails(office.desk)
    with office.desk.owner.transaction():
        office.desk.owner.execute("set local session_replication_role = replica")
        office.desk.owner.execute("update payouts.outbox set created_at = now() - interval '8 days'")
    assert office.run(code=5) == "nothing is to be told now"


@pytest.mark.parametrize("who", ["anna", "rita", "bill", "arne", "lena", "nobody"])
def test_who_may_not_notify(office: Office, who: str) -> None:
    schedule_fails(office.desk)
    assert "permission denied" in office.run(who, code=3)
    assert office.mail.mails == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"WEEKCLOSE_NOTIFY_SMTP": "http://canary"}, "WEEKCLOSE_NOTIFY_SMTP is no address"),
        ({"WEEKCLOSE_NOTIFY_TO": ""}, "WEEKCLOSE_NOTIFY_SMTP needs WEEKCLOSE_NOTIFY_FROM and"),
        ({"WEEKCLOSE_NOTIFY_FROM": ""}, "WEEKCLOSE_NOTIFY_SMTP needs WEEKCLOSE_NOTIFY_FROM and"),
        ({"WEEKCLOSE_NOTIFY_TO": "ada"}, "WEEKCLOSE_NOTIFY_TO has something that is no mail address"),
        ({"WEEKCLOSE_NOTIFY_FROM": "a@b\nBcc: c@d"}, "WEEKCLOSE_NOTIFY_FROM has something that is no"),
        ({"WEEKCLOSE_NOTIFY_SLACK": "http://example.com/canary"}, "WEEKCLOSE_NOTIFY_SLACK is not https"),
    ],
)
def test_settings_that_cannot_be_used(office: Office, given: dict[str, str], message: str) -> None:
    assert office.run("olga", 2, **given).startswith(message)


@pytest.mark.catalogue(3)
def test_two_who_tell_at_once_tell_once(office: Office) -> None:
    """Who comes second has nothing to do; nor is anything noted twice."""
    schedule_fails(office.desk)
    one(office.desk.owner, "select pg_advisory_lock(hashtext('weekclose notify run'))::text")
    assert office.run(code=5) == "another notify run is going on"
    office.desk.owner.execute("select pg_advisory_unlock_all()")
    assert office.run() == "2 delivered"
    for _ in range(2):
        office.desk.owner.execute("select payouts.gather_notifications('{smtp}', '{ada@example.com}')")
    assert len(office.listed()) == 2
