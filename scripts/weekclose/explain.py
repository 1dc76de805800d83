"""Why a seller's window comes to what it comes to, down to each line and event."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg import Connection

from weekclose.errors import WeekcloseError
from weekclose.rails.protocol import BY_HAND
from weekclose.reading import (
    CLASSES,
    ZERO,
    Calendar,
    Row,
    Seller,
    adjustment_step,
    calendar,
    cash,
    column_of_sums,
    parse_window,
    read,
    reasons_in_words,
    seller_rows,
    shown,
    state_in_words,
)

PAYOUTS_SHOWN = 12
# A document's name is its whole sha256: with that it is asked for.
LONGEST_PROOF = 80

AMOUNTS = ("gross", "fees", "refunds", "net", "disputes", "adjustments")


@dataclass(frozen=True)
class Line:
    """A settlement line, what it moves, why it is in this window, and the sums up to it."""

    line_id: str
    order_id: str | None
    kind: str
    event_at: datetime
    event_at_local: str
    gross: Decimal
    fees: Decimal
    refunds: Decimal
    disputes: Decimal
    adjustments: Decimal
    cash: Decimal
    is_late: bool
    home_window: date
    loaded_at: datetime | None
    why: str
    running: dict[str, Decimal]


@dataclass(frozen=True)
class CarryIn:
    """What came into a window: the cash of the windows before, less the payouts that had taken theirs, and
    with the money that had been sent back for it (`recovered`), which is no line of any window.

    `changed_since` is what of the row's carry_in they do not explain: a payout that changed while the
    row was made. It is zero otherwise.
    """

    cash_before: list[Row]
    payouts: list[Row]
    recovered: list[Row]
    carry_in: Decimal
    changed_since: Decimal


@dataclass(frozen=True)
class Explanation:
    """Why a seller's row of one currency comes to what it comes to.

    `debts` are those of adjustments that the balance had not settled before this window, with what it settles
    of each; `waiting` are obligations that are in no window by now.
    """

    row: Row
    lines: list[Line]
    totals: dict[str, Decimal]
    carry_in: CarryIn
    balance: Decimal
    payable: str
    payout: Row | None
    executions: list[Row]
    decisions: list[Row]
    debts: list[Row]
    waiting: list[Row]
    breaks: list[Row]
    unsettled: list[Row]

    @property
    def uncovered(self) -> Decimal | None:
        """What the debts leave open beside the debt that the frozen balance has room for: zero.

        The balance settles what it can, oldest first; None before that happens.
        """
        if not self.row["frozen_at"]:
            return None
        still_open = sum((debt["open"] for debt in self.debts), ZERO)
        owed = sum((debt["amount"] - debt["settled_before"] for debt in self.debts), ZERO)
        below_zero: Decimal = max(ZERO, -self.row["payable"] - self.row["carry_out"])
        return still_open - min(owed, below_zero)


@dataclass(frozen=True)
class Explained:
    """A seller's window, currency by currency."""

    seller: Seller
    payout_window: date
    calendar: Calendar
    frozen_at: datetime | None
    frozen_as_of: datetime | None
    currencies: list[Explanation]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {name: value for name, value in asdict(self).items() if name != "calendar"} | {
            "as_of": self.calendar.as_of,
            "settlement_timezone": self.calendar.zone.key,
        }

    def check(self) -> None:
        """Raise WeekcloseError when a row is not what its lines add up to, or leaves other debts open."""
        for explained in self.currencies:
            if explained.uncovered:
                raise WeekcloseError(
                    f"seller {shown(self.seller.seller_id)}, window {self.payout_window}, "
                    f"{explained.row['currency']}: the debts of its adjustments are off by "
                    f"{explained.uncovered:,} from what its balance leaves open"
                )
            for name, total in explained.totals.items():
                if total != explained.row[name]:
                    raise WeekcloseError(
                        f"seller {shown(self.seller.seller_id)}, window {self.payout_window}, "
                        f"{explained.row['currency']}: the row says {name} {explained.row[name]:,}, its "
                        f"lines add up to {total:,}: a build goes on or was interrupted, run weekclose sunday"
                    )


def explain(conn: Connection[Any], seller_id: str, text: str) -> Explained:
    """Why the window in `text` comes to what it comes to for a seller, down to each line.

    Runs in the caller's snapshot. Raises UsageError when `text` is no window or the seller is not known,
    NothingToDo when there is no row: both name what there is.
    """
    dates = calendar(conn)
    window = parse_window(text, dates)
    seller, rows = seller_rows(conn, seller_id, window)
    facts = read(conn, "explain_window", window=window)[0]
    found = {
        name: read(conn, f"explain_{name}", seller=seller.seller_id, window=window)
        for name in (*("lines", "payouts", "executions", "decisions", "obligations", "breaks", "unsettled"),)
    }
    terms = read(conn, "explain_terms", seller=seller.seller_id)
    return Explained(
        seller=seller,
        payout_window=window,
        calendar=dates,
        frozen_at=facts["frozen_at"],
        frozen_as_of=facts["frozen_as_of"],
        currencies=[
            _explanation(conn, row, seller, dates, facts, terms[0] if terms else None, found) for row in rows
        ],
    )


def _explanation(
    conn: Connection[Any],
    row: Row,
    seller: Seller,
    dates: Calendar,
    facts: Row,
    terms: Row | None,
    found: Mapping[str, Sequence[Row]],
) -> Explanation:
    same = {
        name: [entry for entry in entries if entry.get("currency", row["currency"]) == row["currency"]]
        for name, entries in found.items()
    }
    reserve_days = dates.reserve_days if facts["reserve_days"] is None else facts["reserve_days"]
    lines = list(_lines(same["lines"], row, dates, reserve_days))
    balance = cash(row) + row["carry_in"]
    payout = same["payouts"][0] if same["payouts"] else None
    number = payout["payout_number"] if payout else None
    return Explanation(
        row=row,
        lines=lines,
        totals=lines[-1].running if lines else dict.fromkeys(AMOUNTS, ZERO),
        carry_in=_carry_in(conn, row, facts["frozen_at"] or dates.built_at),
        balance=balance,
        payable=_payable_in_words(row, balance, seller, terms, facts, dates),
        payout=payout,
        executions=[done for done in same["executions"] if done["payout_number"] == number],
        decisions=[taken for taken in same["decisions"] if taken["payout_number"] == number],
        debts=[
            owed | {"open": owed["amount"] - owed["settled_before"] - owed["settled_here"]}
            for owed in same["obligations"]
            if owed["payout_window"]
        ],
        waiting=[owed for owed in same["obligations"] if not owed["payout_window"]],
        breaks=same["breaks"],
        unsettled=same["unsettled"],
    )


def _lines(entries: Iterable[Row], row: Row, dates: Calendar, reserve_days: int) -> Iterator[Line]:
    running = dict.fromkeys(AMOUNTS, ZERO)
    for entry in entries:
        net = entry["gross"] - entry["fees"] - entry["refunds"]
        running = {name: running[name] + entry.get(name, net) for name in AMOUNTS}
        yield Line(
            cash=cash(entry),
            event_at_local=dates.local(entry["event_at"], exactly=True),
            why=_why(entry, row, dates, reserve_days),
            running=running,
            **{name: entry[name] for name in Line.__dataclass_fields__ if name in entry},
        )


def _why(entry: Row, row: Row, dates: Calendar, reserve_days: int) -> str:
    """Why a line is in its row's window, as sentences."""
    if entry["kind"] == "adjustment":
        return _why_adjusted(entry, row)
    told = _home(entry, row, dates, reserve_days)
    if entry["is_late"]:
        told += f" {_lateness(entry, dates)} So it is in the first window that was open then."
    if entry["kind"] == "dispute_opened" and entry["disputes"] != entry["claim"]:
        told += (
            f" Of the claim of {entry['claim']:,} it takes {entry['disputes']:,}: never more than what the "
            "seller still has of the order."
        )
    if entry["kind"] == "refund" and entry["disputes"]:
        told += f" What the dispute took shrinks by {-entry['disputes']:,}: nothing is taken twice."
    return told


def _why_adjusted(entry: Row, row: Row) -> str:
    note = f" ({shown(entry['note'])})" if entry["note"] else ""
    cause = ""
    if entry["source_id"]:
        source = "" if entry["source"] == "manual" else f" (a {entry['source']})"
        cause = f" It is because of {shown(entry['source_id'])}{source}."
    approved = (
        f"approved by {shown(entry['approved_by'])}" if entry["approved_by"] else "approved by the policy"
    )
    told = (
        f"A {CLASSES[entry['class']]}: {shown(entry['reason'])}{note}.{cause} "
        f"Proposed by {shown(entry['proposed_by'])}, {approved}."
    )
    for deviation in entry["deviations"]:
        told += f" Exception: {shown(deviation)}."
    if entry["proposed_for"] != row["seller_id"]:
        told += f" It was proposed for seller {shown(entry['proposed_for'])}."
    if entry["proposed_amount"] != abs(entry["adjustments"]):
        told += f" Proposed were {entry['proposed_amount']:,}."
    return told


def _home(entry: Row, row: Row, dates: Calendar, reserve_days: int) -> str:
    home, order_window, day = entry["home_window"], entry["order_window"], dates.day(entry["event_at"])
    this = "this window" if home == row["payout_window"] else f"window {home}"
    if entry["kind"] == "sale":
        return f"Captured in {this}."
    if home == order_window:
        return f"Happened to an order of {this} while its reserve was open."
    told = f"Happened on {day} to an order of window {order_window}, whose reserve was over"
    counted = day - timedelta(days=reserve_days)
    if dates.window_of(counted) != home:  # the reserve was another one when the event was placed
        return f"{told}: it went to {this}."
    return f"{told}: {reserve_days} days before, {counted}, lies in {this}."


def _lateness(entry: Row, dates: Calendar) -> str:
    frozen_at, loaded_at = entry["home_frozen_at"], entry["loaded_at"]
    told = f"Arrived late: window {entry['home_window']} was frozen"
    if frozen_at is None:
        return f"{told} already."
    told += f" on {dates.local(frozen_at)} (as of {dates.local(entry['home_frozen_as_of'])})"
    if loaded_at is None:
        return f"{told}."
    if loaded_at < frozen_at:
        return f"{told}. It was loaded on {dates.local(loaded_at)}, but what it needs to settle came later."
    return f"{told}, and this was loaded on {dates.local(loaded_at)}."


def _carry_in(conn: Connection[Any], row: Row, made_at: datetime) -> CarryIn:
    if row["status"] == "before_start":
        return CarryIn([], [], [], ZERO, ZERO)
    who = {"seller": row["seller_id"], "currency": row["currency"], "window": row["payout_window"]}
    cash_before = read(conn, "explain_cash_before", **who)
    payouts = read(conn, "explain_payouts_before", at=made_at, **who)
    recovered = read(conn, "explain_recovered", seller=row["seller_id"], currency=row["currency"], at=made_at)
    explained = sum((part["cash"] for part in cash_before), ZERO)
    explained += sum((part["amount"] for part in recovered), ZERO)
    explained -= sum((payout["amount"] for payout in payouts if payout["had_left"]), ZERO)
    return CarryIn(cash_before, payouts, recovered, row["carry_in"], row["carry_in"] - explained)


def _payable_in_words(
    row: Row, balance: Decimal, seller: Seller, terms: Row | None, facts: Row, dates: Calendar
) -> str:
    if row["status"] in ("before_start", "pending"):
        closes = f" It closes {dates.local(row['reserve_closes_at'])}." if row["status"] == "pending" else ""
        return f"{state_in_words(row)}{closes}"
    floor, least = (terms["minimum_balance"], terms["minimum_payout"]) if terms else (ZERO, ZERO)
    stays = f"that stay in the balance of a {shown(seller.seller_type) or 'seller'}"
    if row["payable"] > 0:
        kept = balance - row["payable"]
        if kept == 0:
            return f"The whole balance of {balance:,} is payable. {state_in_words(row)}"
        if row["held"]:
            held = f"{row['held']:,} on hold (weekclose holds list --seller {shown(seller.seller_id)})"
            more = f" and the {floor:,} {stays}" if kept == row["held"] + floor and floor else ""
            return f"Payable is the balance of {balance:,} less {held}{more}. {state_in_words(row)}"
        whose = stays if kept == floor else "that stayed in the balance when it was frozen"
        return f"Payable is the balance of {balance:,} less the {kept:,} {whose}. {state_in_words(row)}"
    if balance < 0:
        return f"The seller owes {-balance:,}: nothing is payable, the debt passes on."
    if balance == 0:
        return "There is nothing to pay."
    if facts["is_paid_with_a_later"]:
        return "A later window was due at the same time: it pays the whole balance."
    if row["held"] and balance <= floor + row["held"]:
        return f"Nothing is payable: {row['held']:,} of the balance of {balance:,} are on hold."
    if balance <= floor:
        return f"Nothing is payable: the balance of {balance:,} is not above the {floor:,} {stays}."
    above = balance - floor - row["held"]
    if above < least:
        return f"Nothing is payable: {above:,} is under the minimum payout of {least:,}."
    return "Nothing was payable by the minimums that held when the window was frozen."


def show_explanation(explained: Explained) -> None:
    """Print an explanation for people."""
    dates = explained.calendar
    for number, currency in enumerate(explained.currencies):
        row = currency.row
        if number:
            print()
        print(
            f"Seller {explained.seller.shown}, window {explained.payout_window}, {row['currency']}: "
            f"{row['status'].replace('_', ' ')}"
        )
        print(
            f"  from {explained.payout_window} to {dates.local(row['window_ends_at'])} in {dates.zone.key}; "
            f"reserve closes {dates.local(row['reserve_closes_at'])}"
        )
        if explained.frozen_at and explained.frozen_as_of:
            frozen, as_of = dates.local(explained.frozen_at), dates.local(explained.frozen_as_of)
            print(f"  frozen on {frozen} as of {as_of}")
        else:
            print(f"  not frozen: these numbers are as of {dates.local(dates.as_of)}")
        print(
            *_lines_told(currency.lines), *_sums_told(currency), *_carry_in_told(currency.carry_in), sep="\n"
        )
        print("", currency.payable, *_payout_stands(currency, dates), sep="\n")
        for told in _others_told(currency):
            print(told)


def _lines_told(lines: Sequence[Line]) -> Iterator[str]:
    yield ""
    if not lines:
        yield "No line: the row is there for the balance that it carries."
        return
    yield f"Lines ({len(lines):,}), with the net and the cash up to each"
    amounts = [(line.cash, line.running["net"], cash(line.running)) for line in lines]
    wide = [max(len(f"{amount:,}") for amount in column) for column in zip(*amounts, strict=True)]
    for line, row in zip(lines, amounts, strict=True):
        step, net, so_far = (f"{amount:>{width},}" for amount, width in zip(row, wide, strict=True))
        order = f" of order {shown(line.order_id)}" if line.order_id and line.kind != "sale" else ""
        yield f"  {line.event_at_local}  {step}  net {net}  cash {so_far}  {shown(line.line_id)}{order}"
        parts = [
            f"{name} {value:,}"
            for name in ("gross", "fees", "refunds", "disputes", "adjustments")
            if (value := getattr(line, name))
        ]
        yield f"      {', '.join(parts) or 'moves nothing'}. {line.why}"


def _sums_told(currency: Explanation) -> Iterator[str]:
    row = currency.row
    yield ""
    yield "The row"
    entries = [
        ("gross", row["gross"]),
        ("- fees", row["fees"]),
        ("- refunds", row["refunds"]),
        ("= net", row["net"]),
        ("- disputes", row["disputes"]),
        ("+ adjustments", row["adjustments"]),
    ]
    if row["status"] != "before_start":
        entries += [
            ("+ carried in", row["carry_in"]),
            ("= balance", currency.balance),
            ("- payable", row["payable"]),
            ("= carried out", row["carry_out"]),
        ]
    yield from column_of_sums(entries)


def _carry_in_told(carried: CarryIn) -> Iterator[str]:
    if not (carried.cash_before or carried.payouts or carried.recovered or carried.changed_since):
        return
    entries = [
        (
            f"cash of {part['windows']:,} {'frozen' if part['is_frozen'] else 'open'} "
            f"{'window' if part['windows'] == 1 else 'windows'}, {_span(part)}",
            part["cash"],
        )
        for part in carried.cash_before
    ]
    left = [payout for payout in carried.payouts if payout["had_left"]]
    entries += [(f"- {_payout_told(payout)}", payout["amount"]) for payout in left[:PAYOUTS_SHOWN]]
    if older := left[PAYOUTS_SHOWN:]:
        entries.append((f"- {len(older):,} payouts before", sum((row["amount"] for row in older), ZERO)))
    entries += [
        (
            f"+ money that came for {part['adjustment_number']}, {shown(part['money_reference'])}",
            part["amount"],
        )
        for part in carried.recovered
    ]
    if carried.changed_since:
        entries.append(("+ payouts that changed while this was computed", carried.changed_since))
    entries.append(("= carried in", carried.carry_in))
    yield ""
    yield "Carried in"
    yield from column_of_sums(entries)
    for payout in [payout for payout in carried.payouts if not payout["had_left"]][:PAYOUTS_SHOWN]:
        why = reasons_in_words(payout["block_reasons"]) or shown(payout["failure_reason"] or "")
        reason = f" ({why})" if why else ""
        yield f"  not taken out: {_payout_told(payout)}, {payout['amount']:,}{reason}"


def _span(part: Row) -> str:
    first, last = part["first_window"], part["last_window"]
    return str(first) if first == last else f"{first} to {last}"


def _payout_told(payout: Row) -> str:
    number = f"payout {payout['payout_number']}" if payout["payout_number"] else "what is due"
    # What had left when the row was made may have come back after it.
    since = " since" if payout["had_left"] and payout["status"] in ("blocked", "failed", "returned") else ""
    of = payout["request_number"] or f"window {payout['payout_window']}"
    return f"{number} of {of}, {payout['status'].replace('_', ' ')}{since}"


def _payout_stands(currency: Explanation, dates: Calendar) -> Iterator[str]:
    """The payout's way through batch and rail or a person's hand, as far as it has come."""
    payout = currency.payout
    if payout is None:
        return
    yield ""
    since = dates.local(payout["status_changed_at"])
    yield f"Payout {payout['payout_number']}: {payout['status'].replace('_', ' ')} since {since}"
    if payout["destination"]:
        yield f"  to {shown(payout['destination'])} by {payout['rail']}"
    if payout["batch_id"]:
        receipt = f", receipt {shown(payout['rail_batch_id'])}" if payout["rail_batch_id"] else ""
        through = f"{payout['batch_state']} through rail {payout['batch_rail']}"
        yield f"  with batch {payout['batch_id']}, {through}{receipt}"
    if payout["rail"] == BY_HAND:
        if payout["status"] == "submitted":
            command = f"weekclose execute {payout['payout_number']} --reference R --amount A --proof FILE"
            yield f"  a person pays it: {command}"
    elif payout["rail_status"]:
        word = f"{payout['rail_status']}{', finally' if payout['rail_is_final'] else ''}"
        amount = "" if payout["rail_amount"] == payout["amount"] else f", of {payout['rail_amount']:,}"
        yield f"  the rail's last word, asked {dates.local(payout['asked_at'])}: {word}{amount}"
    elif payout["batch_id"]:
        yield "  the rail has not been asked about it yet"
    if payout["external_reference"] and not currency.executions:
        yield f"  the rail's reference {shown(payout['external_reference'])}"
    if why := payout["failure_reason"] or payout["failure_code"]:
        yield f"  the reason: {shown(why)}"
    if payout["waiting_events"]:
        verdicts = ", ".join(verdict.replace("_", " ") for verdict in payout["waiting_events"])
        yield f"  events that wait for weekclose reconcile: {verdicts}"
    yield from _executions_told(currency, dates)
    if payout["status"] == "awaiting_reconciliation":
        yield f"  a person decides: weekclose resolve {payout['payout_number']} accept or retry, with --note"


def _executions_told(currency: Explanation, dates: Calendar) -> Iterator[str]:
    for done in currency.executions:
        by = "by the rail" if done["source"] == "rail" else f"by hand, by {shown(done['noted_by'])}"
        note = f" ({shown(done['note'])})" if done["note"] else ""
        yield (
            f"  {done['amount']:,} left on {dates.local(done['executed_at'])} {by}, reference "
            f"{shown(done['external_reference'])}{note}; proved by {shown(done['proof'], LONGEST_PROOF)}"
        )
    for taken in currency.decisions:
        decision = {"accept": "accepted as it left", "retry": "to be paid again"}.get(
            taken["decision"], taken["decision"]
        )
        follows = f"; {taken['adjustment_number']} follows" if taken["adjustment_number"] else ""
        yield (
            f"  {decision} by {shown(taken['decided_by'])} on {dates.local(taken['decided_at'])}: "
            f"{shown(taken['note'])}{follows}"
        )


BREAKS_IN_WORDS = {
    "restatement": "was settled with {actual}; its raw row now says {expected}, the line stays",
    "control_total": "was settled with a gross of {actual}; a second source says {expected}",
    "refund_above_order": "brings the refunds of its order to {actual}; it was sold for {expected}",
    "not_as_frozen": "pays {actual}; frozen as payable is {expected}",
    "not_as_booked": "is of {actual}; of that the ledger has {expected} where it should be",
    "paid_twice": "is of {actual}; with more than one batch the rail has paid {expected}",
    "other_amount": "is of {actual}; what left is {expected}",
    "late_completion": "had been taken back; the rail has paid {expected} after all",
    "undecided": "is of {actual}; the rail shows no payment, a person has to decide",
    "paid_by_rail_alone": "is not paid in the books; the rail has paid {expected}",
    "paid_in_books_alone": "is paid in the books with {actual}; the rail shows no payment",
    "unknown_to_rail": "is of {actual}; the rail does not show it in its batch",
    "unanswered": "is of {actual}; the rail has given no answer for three days",
    "unexecuted": "is of {actual}; nobody has paid it by hand for three days",
    "event_other_amount": "is about {expected}; the payout is of {actual}",
    "event_not_submitted": "says that {expected} was paid; the payout has not gone out",
    "event_waiting": "waits for weekclose reconcile",
}


def _others_told(currency: Explanation) -> Iterator[str]:
    if currency.debts:
        yield ""
        yield "Debts of adjustments, and what of each is settled"
    for debt in currency.debts:
        before = f"{debt['settled_before']:,} settled before, " if debt["settled_before"] else ""
        here = "" if not currency.row["frozen_at"] else f"{debt['settled_here']:,} by this window, "
        yield (
            f"  {debt['adjustment_number']} of window {debt['payout_window']}, {debt['amount']:,} "
            f"({shown(debt['reason'])}): {before}{here}{debt['open']:,} open"
        )
    if currency.waiting:
        yield ""
        yield "Obligations that are in no window yet"
    for owed in currency.waiting:
        what = f"{CLASSES[owed['class']]} of {owed['amount']:,} ({shown(owed['reason'])})"
        yield f"  {owed['adjustment_number']}, {what}: {adjustment_step(owed)}"
    if currency.breaks:
        yield ""
        yield "Breaks: what another record says"
    for found in currency.breaks:
        meaning = BREAKS_IN_WORDS.get(
            found["break_type"], "{actual} is settled, another record says {expected}"
        )
        told = meaning.format(actual=f"{found['actual']:,}", expected=f"{found['expected']:,}")
        yield f"  {shown(found['entity'])} {told} (difference {found['difference']:,}, for {found['owner']})"
    if currency.unsettled:
        yield ""
        yield "Settles nothing"
    for event in currency.unsettled:
        kind = {"sale": "order", "dispute_opened": "dispute"}.get(event["kind"], event["kind"])
        yield f"  {kind} {shown(event['source_id'])}: {event['reason'].replace('_', ' ')}"
