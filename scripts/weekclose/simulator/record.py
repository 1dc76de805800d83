"""What the simulated rail really did: one row per payment, each change of state, safe from kill -9."""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_TABLES = """
create table if not exists payments (
    payment_id integer primary key,
    protocol text not null,
    batch_id text not null,
    batch_reference text not null,
    reference text not null,
    idempotency_key text not null,
    amount text not null,
    currency text not null,
    destination text not null,
    status text not null,
    final integer not null default 0,
    external_reference text,
    failure_code text,
    failure_reason text,
    created_at text not null,
    updated_at text not null,
    other_amount text
);
create table if not exists movements (
    movement_id integer primary key, payment_id integer not null, status text not null, moved_at text not null
);
create table if not exists answers (
    protocol text not null, key text not null, body_hash text not null, batch_id text not null,
    status integer not null, answer text not null, primary key (protocol, key)
);
create table if not exists notes (name text primary key, value text not null);
"""


@dataclass(frozen=True)
class Payment:
    """One instruction that the rail took on. `status` is ours (`processing`, `completed`, `failed`,
    `returned`), and `pending_approval` or `cancelled` for a halfin payout that nobody has released.

    `amount` is what was asked for; `other_amount` is what left where that is not the same."""

    payment_id: int
    protocol: str
    batch_id: str
    batch_reference: str
    reference: str
    idempotency_key: str
    amount: str
    currency: str
    destination: str
    status: str
    final: bool
    external_reference: str | None
    failure_code: str | None
    failure_reason: str | None
    created_at: str
    updated_at: str
    other_amount: str | None

    @property
    def told_amount(self) -> str:
        """What the rail pays or has paid, as it says itself."""
        return self.other_amount or self.amount

    @property
    def rail_id(self) -> str:
        return f"po_{self.payment_id}"

    @property
    def executed(self) -> bool:
        """Whether money has left for it or is about to, unless it failed or came back."""
        return self.status in ("processing", "completed")


@dataclass(frozen=True)
class Order:
    """What a caller asks to have paid."""

    reference: str
    amount: str
    currency: str
    destination: str
    idempotency_key: str = ""


@dataclass(frozen=True)
class Kept:
    """What was answered to an idempotency key."""

    body_hash: str
    batch_id: str
    status: int
    answer: dict[str, Any]


class Record:
    """An SQLite file. Every method is one transaction, which survives this process when it returns.

    It need not survive a power cut: a flush to the disk for each request would only make tests slow.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_TABLES)
        names = {row["name"] for row in self._db.execute("pragma table_info(payments)")}
        if "other_amount" not in names:  # a record of an earlier version
            self._db.execute("alter table payments add column other_amount text")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; the outermost one counts."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def take_on(
        self, protocol: str, batch_id: str, batch_reference: str, orders: Sequence[Order], status: str
    ) -> list[Payment]:
        with self.transaction():
            return [self._take_on(protocol, batch_id, batch_reference, order, status) for order in orders]

    def _take_on(
        self, protocol: str, batch_id: str, batch_reference: str, order: Order, status: str
    ) -> Payment:
        now = timestamp()
        made = self._db.execute(
            "insert into payments (protocol, batch_id, batch_reference, reference, idempotency_key, amount,"
            " currency, destination, status, created_at, updated_at)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                protocol,
                batch_id,
                batch_reference,
                order.reference,
                order.idempotency_key,
                order.amount,
                order.currency,
                order.destination,
                status,
                now,
                now,
            ),
        ).lastrowid
        self._moved(made or 0, status, now)
        return self.payments(payment_id=made)[0]

    def move(
        self,
        payment: Payment,
        status: str,
        *,
        final: bool = True,
        code: str | None = None,
        reason: str | None = None,
        amount: str | None = None,
    ) -> Payment:
        """Any state can follow any other: rails are like that. `amount` leaves instead of what was asked."""
        external = f"0x{payment.payment_id:08x}" if status in ("completed", "returned") else None
        now = timestamp()
        with self.transaction():
            self._db.execute(
                "update payments set status = ?, final = ?, failure_code = ?, failure_reason = ?,"
                " external_reference = coalesce(?, external_reference),"
                " other_amount = coalesce(?, other_amount), updated_at = ? where payment_id = ?",
                (status, final, code, reason, external, amount, now, payment.payment_id),
            )
            self._moved(payment.payment_id, status, now)
            return self.payments(payment_id=payment.payment_id)[0]

    def _moved(self, payment_id: int, status: str, now: str) -> None:
        self._db.execute(
            "insert into movements (payment_id, status, moved_at) values (?, ?, ?)", (payment_id, status, now)
        )

    def payments(self, **wanted: object) -> list[Payment]:
        """The payments whose columns have these values, oldest first."""
        condition = " and ".join(f"{name} = ?" for name in wanted) or "true"
        with self._lock:
            rows = self._db.execute(
                f"select * from payments where {condition} order by payment_id",  # noqa: S608, names are ours
                tuple(wanted.values()),
            ).fetchall()
        return [Payment(**{**dict(row), "final": bool(row["final"])}) for row in rows]

    def movements(self) -> list[tuple[int, str]]:
        """(payment id, status) in the order in which they happened."""
        with self._lock:
            rows = self._db.execute("select payment_id, status from movements order by movement_id")
            return [(payment_id, status) for payment_id, status in rows]

    def next_batch_id(self) -> str:
        with self.transaction():
            number = int(self.note("batches") or 0) + 1
            self.set_note("batches", str(number))
        return f"PB{number}"

    def kept(self, protocol: str, key: str) -> Kept | None:
        with self._lock:
            row = self._db.execute(
                "select body_hash, batch_id, status, answer from answers where protocol = ? and key = ?",
                (protocol, key),
            ).fetchone()
        return Kept(row[0], row[1], row[2], json.loads(row[3])) if row else None

    def keep(self, protocol: str, key: str, kept: Kept) -> None:
        with self.transaction():
            self._db.execute(
                "insert or replace into answers values (?, ?, ?, ?, ?, ?)",
                (protocol, key, kept.body_hash, kept.batch_id, kept.status, json.dumps(kept.answer)),
            )

    def forget_keys(self) -> None:
        with self.transaction():
            self._db.execute("delete from answers")

    def note(self, name: str) -> str | None:
        with self._lock:
            row = self._db.execute("select value from notes where name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_note(self, name: str, value: str) -> None:
        with self.transaction():
            self._db.execute("insert or replace into notes values (?, ?)", (name, value))


def timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
