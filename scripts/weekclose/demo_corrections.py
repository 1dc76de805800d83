"""What the demo's people put right: a deduction, a hold, wrong payments, and one that they make by hand."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from psycopg import Connection

from weekclose import adjustments, executions, holds
from weekclose.adjustments import Deviation, Proposal
from weekclose.demo_twists import (
    APPROVES,
    BY_HAND,
    DECIDES,
    EXCEPTION,
    HELD_BACK,
    PAID_TOO_LITTLE,
    PAID_TOO_MUCH,
    RECONCILES,
    WRONG_BENEFICIARY,
    Leaving,
    Twist,
    picked,
)
from weekclose.documents import Document

DEDUCTION, REDUCED = Decimal("40.00"), Decimal("15.00")
HELD = Decimal("50.00")


def ask_for_less(conn: Connection[Any], window: date, twists: Mapping[str, Twist]) -> None:
    """Propose a deduction for the seller's next payout, ask to take less of it, and have that approved.

    The seller's payout of this window is blocked meanwhile: all of it is one transaction of the caller's.
    """
    for _, payout in picked(conn, window, twists, EXCEPTION):
        proposal = Proposal(
            payout.seller_id,
            payout.currency,
            "carry_forward_deduction",
            DEDUCTION,
            "parcels packed again",
            "eight parcels came back open",
        )
        number = adjustments.propose(conn, proposal, None, DECIDES)
        less = Deviation("amount", amount=REDUCED)
        wish = adjustments.deviate(conn, number, less, "the carrier pays for five of them", DECIDES)
        adjustments.decide(conn, [wish], "approved", "the carrier has confirmed it", APPROVES)


def hold_back(conn: Connection[Any], window: date, twists: Mapping[str, Twist]) -> None:
    """Hold a part of what a seller is paid next, and a week later release it before its time.

    Once a window: it is part of one transaction of the caller's.
    """
    for hold in holds.listed(conn, HELD_BACK.seller_id, "active", None, None, 1):
        holds.end(conn, [hold.hold_number], "released", "the register has confirmed the owner", DECIDES)
    for _, payout in picked(conn, window, twists, HELD_BACK):
        # Later than the demo's nights, and than the clock of whoever plays them.
        frozen_at = datetime.combine(window + timedelta(days=14), time(), UTC)
        wanted = holds.Wanted(
            payout.seller_id,
            payout.currency,
            HELD,
            "verification",
            "the register is asked who owns the shop",
            payout_number=payout.payout_number,
            release_at=max(frozen_at, datetime.now(UTC)) + timedelta(days=90),
        )
        holds.create(conn, wanted, DECIDES)


def correct(conn: Connection[Any], window: date, twists: Mapping[str, Twist]) -> list[str]:
    """Do what waits for a person once a batch is with the rail. What was done, a part of a line each.

    Each step is taken when its payout is still where it begins, so that nothing is done twice.
    """
    done = []
    for _, payout in picked(conn, window, twists, PAID_TOO_MUCH, PAID_TOO_LITTLE):
        if payout.status == "awaiting_reconciliation":
            note = "our bank shows the same amount"
            executions.resolve(conn, payout.payout_number, "accept", note, None, RECONCILES)
            done.append(f"{payout.payout_number} accepted as it left")
    for _, payout in picked(conn, window, twists, WRONG_BENEFICIARY):
        if payout.status == "paid":
            _reverse(conn, payout)
            done.append(f"{payout.payout_number} reversed")
    for _, payout in picked(conn, window, twists, BY_HAND):
        if payout.status == "submitted":
            _pay(conn, payout)
            done.append(f"{payout.payout_number} paid by hand")
        if len(executions.proofs(conn, payout.payout_number)) == 1:
            _replace_proof(conn, payout)
    return done


def _reverse(conn: Connection[Any], payout: Leaving) -> None:
    evidence = page(f"{payout.destination} is not an account of {payout.seller_id}.", "Signed: its owner")
    note = "the seller has had nothing, and names another account"
    executions.reverse(conn, payout.payout_number, "wrong_beneficiary", note, evidence, RECONCILES)


def _pay(conn: Connection[Any], payout: Leaving) -> None:
    proof = page("Order taken", _transfer(payout))
    executions.execute(conn, payout.payout_number, _reference(payout), payout.amount, proof, DECIDES)


def _replace_proof(conn: Connection[Any], payout: Leaving) -> None:
    proof = page("Executed", _transfer(payout))
    executions.replace_proof(conn, payout.payout_number, proof, "the order alone proves nothing", RECONCILES)


def _reference(payout: Leaving) -> str:
    return f"BANK-{payout.payout_number}"


def _transfer(payout: Leaving) -> str:
    return f"{_reference(payout)}: {payout.amount} {payout.currency} to {payout.destination}"


def page(*lines: str) -> Document:
    """A PDF of one page with these lines, in Latin-1: the same lines, the same bytes."""
    shown = b" ".join(b"<%s> Tj T*" % line.encode("latin-1").hex().encode() for line in lines)
    content = b"BT /F 11 Tf 18 TL 40 180 Td %s ET" % shown
    parts = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 560 240] /Contents 4 0 R"
        b" /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >> stream\n%s\nendstream" % (len(content), content),
    )
    written, places = b"%PDF-1.4\n", b""
    for number, part in enumerate(parts, start=1):
        places += b"%010d 00000 n \n" % len(written)
        written += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    size = len(parts) + 1
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, places)
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(written))
    pdf = written + table + end
    return Document(sha256(pdf).hexdigest(), "application/pdf", pdf)
