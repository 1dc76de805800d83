"""What no rail sends, at the webhooks of each rail: refused, not stored, and one harmless line in the log."""

import json
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from Crypto.PublicKey import RSA

from catalogue import SOAK, Reached
from conftest import NewDatabase
from frozen_window import one
from rail_batches import ADAPTERS
from webhook_server import SECRET, Running, Signed, serving
from weekclose.database import open_connection
from weekclose.postgres import Server
from weekclose.rails.signatures import sign_halfin, sign_paypal, sign_standard
from weekclose.simulator.protocols import CERTIFICATE
from weekclose.simulator.rail import Plan
from weekclose.simulator.server import Simulator
from weekclose.simulator.webhooks import SAMPLE_WEBHOOK_ID
from weekclose.webhooks import PATH

# For the three rails together.
BODIES = 10_000 if SOAK else 2_000
FOREIGN_SECRET = "whsec_Zm9yZWlnbi1zZWNyZXQtaW4tdGVzdHM="
# How old a signature may be: PayPal repeats a delivery for three days.
TOO_LATE = {"paypal": timedelta(days=3, minutes=1)}

# Each rail's news of a payment; CANARY must not be in the log.
NEWS: dict[str, dict[str, Any]] = {
    "batch": {
        "type": "payout.completed",
        "timestamp": "2026-11-17T10:00:00Z",
        "data": {
            "payout": "JPO-CANARY",
            "amount": "10.00",
            "currency": "USD",
            "external_reference": "TX-CANARY",
            "failure_code": None,
            "failure_reason": None,
        },
    },
    "halfin": {
        "event": "payout.completed",
        "created_at": "2026-11-17T10:00:00Z",
        "data": {
            "id": "po_CANARY",
            "idempotency_key": f"JPO-CANARY.{'0' * 64}",
            "amount": "10.00",
            "tx_hash": "0xCANARY",
        },
    },
    "paypal": {
        "id": "WH-CANARY",
        "event_type": "PAYMENT.PAYOUTS-ITEM.SUCCEEDED",
        "create_time": "2026-11-17T10:00:00Z",
        "resource": {
            "transaction_id": "TX-CANARY",
            "errors": {"name": "CANARY", "message": "CANARY"},
            "payout_item": {
                "sender_item_id": "JPO-CANARY",
                "amount": {"currency": "USD", "value": "10.00"},
            },
        },
    },
}
# What the news cannot do without: objects, texts, the amount and the instant.
OBJECTS = {
    "batch": ("data",),
    "halfin": ("data",),
    "paypal": ("resource", "resource.payout_item", "resource.payout_item.amount"),
}
TEXTS = {
    "batch": ("type", "data.payout", "data.currency"),
    "halfin": ("event", "data.id"),
    "paypal": (
        "id",
        "event_type",
        "resource.payout_item.sender_item_id",
        "resource.payout_item.amount.currency",
    ),
}
AMOUNT = {"batch": "data.amount", "halfin": "data.amount", "paypal": "resource.payout_item.amount.value"}
INSTANT = {"batch": "timestamp", "halfin": "created_at", "paypal": "create_time"}
# What may be null or missing, but not anything.
OPTIONAL = {
    "batch": ("data.external_reference", "data.failure_code", "data.failure_reason"),
    "halfin": ("data.tx_hash", "data.idempotency_key"),
    "paypal": ("resource.transaction_id", "resource.errors.name", "resource.errors.message"),
}


@dataclass(frozen=True)
class Inbox:
    """The webhooks of one rail, who signs for it, and what came of it."""

    rail: str
    running: Running
    database: Server
    private_key: str

    def signed(
        self, number: int, body: bytes, *, foreign: bool = False, late: timedelta = timedelta()
    ) -> Signed:
        """As the rail signs its message of that number."""
        at, name = datetime.now(UTC) - late, f"evt_{number}"
        if self.rail == "paypal":
            secret = "ANOTHER-WEBHOOK-ID" if foreign else SAMPLE_WEBHOOK_ID
            place = f"https://api.paypal.com/v1/notifications/certs/{CERTIFICATE}"
            return sign_paypal(self.private_key, secret, name, at, body, place), body
        secret = FOREIGN_SECRET if foreign else SECRET
        if self.rail == "halfin":
            return sign_halfin(secret, at, body), body
        return sign_standard(secret, name, at, body), body

    def send(self, headers: Sequence[tuple[str, str]], body: bytes) -> int:
        """The status of an answer; headers as they are, twice if they are there twice."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
        return self.running.raw(head.encode("latin-1") + body, finished=False)

    def stored(self) -> int:
        with open_connection(self.database) as conn:
            return int(one(conn, "select count(*) from payouts.rail_events"))


@pytest.fixture(scope="module", params=ADAPTERS)
def inbox(
    request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Inbox]:
    rail, directory = request.param, tmp_path_factory.mktemp("inbox")
    # Short, because PayPal's side signs a thousand times: no test of ours depends on its strength.
    private_key = RSA.generate(1024).export_key().decode()
    with new_database() as database, Simulator(directory / "rail.sqlite", Plan()) as simulator:
        simulator.rail.record.set_note("private_key", private_key)
        environment = {
            "WEEKCLOSE_RAIL": rail,
            "WEEKCLOSE_RAIL_URL": simulator.rail_url(rail),
            "WEEKCLOSE_WEBHOOK_SECRETS": SAMPLE_WEBHOOK_ID if rail == "paypal" else SECRET,
        }
        with serving(directory, database, **environment) as running:
            yield Inbox(rail, running, database, private_key)


def shares(rail: str) -> range:
    """The numbers of the bodies that a rail's test sends."""
    return range(ADAPTERS.index(rail), BODIES, len(ADAPTERS))


def check_log(inbox: Inbox, told_before: int, status: int, count: int) -> None:
    """One line for each request, without what was sent and without a secret."""
    lines = inbox.running.lines(told_before + count)[told_before:]
    assert len(lines) == count
    for line in lines:
        assert re.fullmatch(rf"POST {PATH} {status} \([\w .:,-]+\)", line, re.ASCII), line
        assert not re.search("CANARY|whsec_|JPO|evt_", line), line


# -- not signed -----------------------------------------------------------------------------------------


def changed_body(chance: Random, body: bytes) -> bytes:
    """Other bytes than were signed, some of them with the same meaning."""
    place = chance.randrange(len(body))
    other = bytes([chance.choice([byte for byte in range(256) if byte != body[place]])])
    return chance.choice(
        (
            body[:place] + other + body[place + 1 :],
            body[:place] + b" " + body[place:],
            body[:place],
            body + chance.randbytes(chance.randint(1, 500)),
            body.replace(b"10.00", b"99.00"),
            body.replace(b"10.00", b"10.000"),
            body.replace(b"CANARY", b"OTHER"),
            json.dumps(json.loads(body), indent=1).encode(),
            b"\xef\xbb\xbf" + body,
            b"",
        )
    )


def garbage(chance: Random) -> str:
    """What stands in no header of a rail, though a client can send it."""
    alphabet = chance.choice(("abcXYZ019+/=,.:-", "\x80\xb2\xe9\xff", "0123456789", " ;%'\"{}<>"))
    text = "".join(chance.choices(alphabet, k=chance.choice((0, 1, 20, 88, 400, 4000))))
    return text.strip()


def other_text(chance: Random, text: str) -> str:
    """A character is another, one more or missing; not at the end, where base64 has bits that say nothing."""
    place = chance.randrange(1, max(2, len(text) - 8))
    other = chance.choice([each for each in "0aA9zZ" if each != text[place : place + 1]])
    return chance.choice(
        (text[:place] + other + text[place + 1 :], text[:place] + other + text[place:], text[:place])
    )


def unsigned(chance: Random, inbox: Inbox, number: int) -> tuple[list[tuple[str, str]], bytes]:
    """A message that the rail has not signed: as it would have, but for one thing."""
    body = json.dumps(NEWS[inbox.rail]).encode()
    fault = chance.choice(
        ("body", "missing", "garbage", "other", "doubled", "foreign", "late", "early", "id")
    )
    if fault == "foreign":
        return list(inbox.signed(number, body, foreign=True)[0].items()), body
    if fault == "late":
        late = TOO_LATE.get(inbox.rail, timedelta(minutes=6)) * chance.choice((1, 2, 1000))
        return list(inbox.signed(number, body, late=late)[0].items()), body
    if fault == "early":
        early = -timedelta(minutes=6) * chance.choice((1, 2, 1000))
        return list(inbox.signed(number, body, late=early)[0].items()), body
    headers = inbox.signed(number, body)[0]
    # Of where PayPal's certificate is said to be, only its name counts.
    name = chance.choice([each for each in headers if each != "PAYPAL-CERT-URL"])
    if fault == "body":
        return list(headers.items()), changed_body(chance, body)
    if fault == "id" and inbox.rail != "halfin":
        name = next(each for each in headers if each.lower().endswith("-id"))
        return list((headers | {name: f"{headers[name]}{number}"}).items()), body
    if fault == "missing":
        del headers[name]
    elif fault == "garbage":
        headers[name] = garbage(chance)
    elif fault == "doubled":
        # The first of two counts.
        return [(name, other_text(chance, headers[name])), *headers.items()], body
    else:
        headers[name] = other_text(chance, headers[name])
    return list(headers.items()), body


@pytest.mark.catalogue(7)
def test_what_the_rail_did_not_sign_is_refused(inbox: Inbox, reached: Reached) -> None:
    chance, sent = Random(f"7 {inbox.rail}"), 0
    told_before, stored_before = len(inbox.running.lines()), inbox.stored()
    for number in shares(inbox.rail):
        headers, body = unsigned(chance, inbox, number)
        assert inbox.send(headers, body) == 401, (number, headers, body)
        sent += 1
    assert inbox.stored() == stored_before
    check_log(inbox, told_before, 401, sent)
    reached(7, "bodies that no rail signed, 0 accepted, 0 stored", sent)


# -- signed rubbish -------------------------------------------------------------------------------------

NOTHING_OF_THE_SORT: tuple[Any, ...] = (5, -1, True, [], [[]], "", ["CANARY"], [{}] * 50)
NO_TEXT: tuple[Any, ...] = ({}, {"CANARY": 1}, "a\0CANARY", "\ud800CANARY", "CANARY\udfff")
TOO_LONG = "CANARY" * 50
# No index keeps this: not even a tenth of it.
INCOMPRESSIBLE = "".join(map(str, Random(1).sample(range(99999), 5000)))
NO_AMOUNT: tuple[Any, ...] = (
    None,
    10.00,
    1000,
    "-10.00",
    "-0.00",
    "+10.00",
    " 10.00",
    "10.00 ",
    "10.00\n",
    "10,00",
    "1e2",
    "1E400",
    "NaN",
    "Infinity",
    "0x10",
    "10.",
    ".50",
    "\u0661\u0660.00",
    "\uff11\uff10.00",
    "9" * 17,
    "9" * 20_000,
    f"0.{'0' * 19}",
    "'; drop table payouts.rail_events; --",
)
NO_INSTANT: tuple[Any, ...] = (
    None,
    1794909600,
    "now",
    "2026-11-17",
    "2026-11-17T10:00:00",
    "2026-02-29T10:00:00Z",
    "0000-11-17T10:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "17.11.2026 10:00",
    "'; select pg_sleep(60); --",
)
# What json.dumps does not write: it stands where PLACE stood.
PLACE = "the place"
NO_JSON_VALUE = (
    b"1e400",
    b"-1e400",
    b"NaN",
    b"-Infinity",
    b"9" * 20_000,
    b"[" * 30_000 + b"]" * 30_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'"\\ud800"',
    b'"\\u0000"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\n"',
    b"'CANARY'",
    b"None",
    b"0010",
    b"",
)


def written(said: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy that says something else in one place."""
    said = deepcopy(said)
    *above, last = path.split(".")
    holder = said
    for name in above:
        holder = holder[name]
    holder[last] = value
    return said


def without(said: dict[str, Any], path: str) -> dict[str, Any]:
    said = deepcopy(said)
    *above, last = path.split(".")
    holder = said
    for name in above:
        holder = holder[name]
    del holder[last]
    return said


def misshapen(rail: str) -> Iterator[bytes]:
    """The rail's news with one thing wrong, everything that can be."""
    news, amount, instant = NEWS[rail], AMOUNT[rail], INSTANT[rail]
    needed = (*OBJECTS[rail], *TEXTS[rail], amount, instant)
    for path in needed:
        yield json.dumps(without(news, path)).encode()
        yield json.dumps(written(news, path, None)).encode()
        for value in NOTHING_OF_THE_SORT:
            yield json.dumps(written(news, path, value)).encode()
    for path in (*TEXTS[rail], *OPTIONAL[rail]):
        for value in NO_TEXT:
            yield json.dumps(written(news, path, value)).encode()
    for path in (*TEXTS[rail], *OPTIONAL[rail][:1]):
        yield json.dumps(written(news, path, TOO_LONG)).encode()
        yield json.dumps(written(news, path, INCOMPRESSIBLE)).encode()
    for path in OPTIONAL[rail]:
        for value in NOTHING_OF_THE_SORT:
            yield json.dumps(written(news, path, value)).encode()
    for value in NO_AMOUNT:
        yield json.dumps(written(news, amount, value)).encode()
    for value in NO_INSTANT:
        yield json.dumps(written(news, instant, value)).encode()
    for path in needed:
        for raw in NO_JSON_VALUE:
            yield json.dumps(written(news, path, PLACE)).encode().replace(f'"{PLACE}"'.encode(), raw)
    body = json.dumps(news).encode()
    for name in sorted(set(re.findall(rb'"\w+":', body))):
        yield body.replace(name, name + b' "CANARY", ' + name, 1)
        yield body.replace(name, b'"CANARY\\ud800": 1, ' + name, 1)


def no_json(rail: str) -> Iterator[bytes]:
    """Whole bodies that are nothing like the rail's news."""
    text = json.dumps(NEWS[rail], ensure_ascii=False)
    body = text.encode()
    yield from (
        b"",
        b" ",
        b"null",
        b"true",
        b"5",
        b"1e400",
        b'"CANARY"',
        b"[]",
        b"{}",
        b"{",
        b"\0",
        b"[" * 60_000,
    )
    yield from (
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 10_000,
        b"[" + body + b"]",
        body + body,
        body + b"CANARY",
    )
    yield from (b"'; drop table payouts.rail_events; --", b"CANARY=1&amount=10.00", b"<xml>CANARY</xml>")
    yield from (body.replace(b'"', b"'"), body[:-1] + b",}", b"/* CANARY */" + body, b"\xef\xbb\xbf" + body)
    yield from (text.replace("TX", "\xe9").encode("latin-1") if "TX" in text else b"\xe9",)
    yield from (text.encode(charset) for charset in ("utf-16", "utf-16-le", "utf-32", "cp500"))
    yield from (body[:length] for length in range(1, len(body)))


def rubbish(rail: str) -> Iterator[bytes]:
    """Everything above, then random bytes and mixtures, without end."""
    known = [*misshapen(rail), *no_json(rail)]
    chance = Random(f"8 {rail}")
    chance.shuffle(known)
    yield from known
    while True:
        body = chance.choice(known)
        place = chance.randrange(len(body) + 1)
        # A byte that is no UTF-8, or that JSON has no use for between two others of its own.
        yield body[:place] + chance.choice((b"\xff", b"\x80", b"\0", b"\x1f")) + body[place:]
        yield b"{" + chance.randbytes(chance.randrange(300))


@pytest.mark.catalogue(8)
def test_rightly_signed_rubbish_is_refused(inbox: Inbox, reached: Reached) -> None:
    told_before, stored_before, sent = len(inbox.running.lines()), inbox.stored(), 0
    for number, body in zip(shares(inbox.rail), rubbish(inbox.rail), strict=False):
        assert inbox.send(list(inbox.signed(number, body)[0].items()), body) == 422, body[:1000]
        sent += 1
    assert inbox.stored() == stored_before
    check_log(inbox, told_before, 422, sent)
    reached(8, "rightly signed bodies of rubbish, 0 accepted, 0 stored", sent)


@pytest.mark.catalogue(7, 8)
def test_the_same_news_is_taken_when_nothing_is_wrong_with_it(inbox: Inbox) -> None:
    stored_before, body = inbox.stored(), json.dumps(NEWS[inbox.rail]).encode()
    assert inbox.send(list(inbox.signed(0, body)[0].items()), body) == 200
    assert inbox.stored() == stored_before + 1
