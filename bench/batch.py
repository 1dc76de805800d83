"""A batch's body: built, digested and sent, beside the fastest JSON library on the same payouts."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.connection import Connection
from time import process_time

import orjson

from bench.measure import Figure, Machine, in_turn
from weekclose.addresses import sample_destination
from weekclose.rails import wire
from weekclose.rails.batch import BatchRail
from weekclose.rails.protocol import Batch, Item
from weekclose.rails.transport import Transport


def figures(m: Machine, *, payouts: int, runs: int = 5) -> list[Figure]:
    """Ours is encode, digest and one call to a sink; the peer's time is that of serialising alone."""
    batch = _batch(payouts)
    if _scripted(batch) != BatchRail(Transport("https://rail.invalid"), "", []).encode(batch):
        raise AssertionError("the peer serialises something else")
    plain = [_plain(item) for item in batch.items]
    with _sink(batch) as url:
        rail = BatchRail(Transport(url, loopback=True), "key", [])

        def ours() -> float:
            begun = process_time()
            body = rail.encode(batch)
            sha256(body).hexdigest()
            receipt = rail.submit(replace(batch, body=body))
            spent = process_time() - begun
            assert getattr(receipt, "item_count", 0) == payouts
            return spent

        def serialised() -> float:
            begun = process_time()
            orjson.dumps(plain, default=str)
            return process_time() - begun

        def scripted() -> float:
            begun = process_time()
            _scripted(batch)
            return process_time() - begun

        what = f"batch of {payouts:,} payouts built, digested, sent"
        return [
            Figure(
                "P11",
                f"{what} / orjson of ready dictionaries",
                "s",
                **in_turn(ours, serialised, runs),
                limit=3,
            ),
            Figure(
                "P11", f"{what} / the same bytes with orjson", "s", **in_turn(ours, scripted, runs), limit=3
            ),
        ]


def _batch(payouts: int) -> Batch:
    wallets = [sample_destination("TRC-20", str(number).encode()) for number in range(100)]
    items = tuple(
        Item(
            f"JPO{number:07d}",
            f"sel_{number * 7919 % payouts:06d}",
            Decimal(number * 37 % 500_000 + 100).scaleb(-2),
            "USD" if number % 4 else "EUR",
            "TRC-20",
            wallets[number % 100],
        )
        for number in range(payouts)
    )
    return Batch("W2026-11-01-G1", date(2026, 11, 1), "0" * 64, items)


def _plain(item: Item) -> dict[str, object]:
    return {
        "reference": item.reference,
        "seller_id": item.seller_id,
        "amount": item.amount,
        "currency": item.currency,
        "rail": item.rail,
        "destination": item.destination,
    }


def _scripted(batch: Batch) -> bytes:
    """The body that the rail's protocol asks for, as a script with orjson would make it."""
    body = {
        "reference": batch.reference,
        "idempotency_key": batch.idempotency_key,
        "payout_window": batch.payout_window.isoformat(),
        "item_count": batch.item_count,
        "totals": _totals(batch),
        "items": [_plain(item) | {"amount": str(item.amount)} for item in batch.items],
    }
    return bytes(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))


def _totals(batch: Batch) -> list[dict[str, str]]:
    return [{"currency": currency, "amount": str(total)} for currency, total in sorted(batch.totals.items())]


@contextmanager
def _sink(batch: Batch) -> Iterator[str]:
    """A rail in a process of its own that reads what it is sent and takes it on."""
    answer: dict[str, object] = {"id": "PB1", "reference": batch.reference, "status": "accepted"}
    answer |= {"item_count": batch.item_count, "totals": _totals(batch)}
    hears, tells = multiprocessing.Pipe(duplex=False)
    spawned = multiprocessing.get_context("spawn")
    process = spawned.Process(target=_serve, args=(wire.write(answer), tells), daemon=True)
    process.start()
    tells.close()
    try:
        yield f"http://127.0.0.1:{hears.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(answer: bytes, tells: Connection) -> None:
    class Sink(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            left = int(self.headers["Content-Length"])
            while left:
                left -= len(self.rfile.read1(min(left, 1 << 20)))
            self.send_response(201)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Sink) as server:
        tells.send(server.server_port)
        server.serve_forever()
