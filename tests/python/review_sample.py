"""A page's data of any size, made up but consistent, to look at, to measure and to test."""

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import Any

from weekclose.review.page_data import LINKS

WINDOW = date(2026, 11, 1)
AS_OF = "2026-11-15T23:00:00+00:00"
DIGEST = "c04955378e73c5bb671ff772330968349517a4297609210a1574fde99f9d7170"
FIRST = ("Harbour", "Fern", "Quartz", "Ōsaka", "Café", "Golden", "Slate", "Juniper", "Copper", "Ångström")
SECOND = ("Coffee", "Audio", "Gardens", "Books", "Ceramics", "Outdoor", "Textiles", "Cycles", "Tools", "Toys")
THIRD = ("Market", "Studio", "Ltd", "& Co.", "GmbH", "Works", "Collective", "House", "Supply", "Atelier")
RAILS = {"EU": "ERC-20", "NA": "ERC-20", "APAC": "TRC-20", "LATAM": "SPL"}
AMOUNTS = ("gross", "fees", "refunds", "net", "disputes", "adjustments", "carry_in", "payable", "carry_out")
REASONS = {
    "manual_review": ("Manual review", "the seller's health asks for a person's review first"),
    "seller_inactive": ("Account not active", "the seller's account is not active"),
    "negative": ("Negative balance", "the seller owes: nothing is payable, the debt passes on"),
}
EMPTY: dict[str, Any] = {"columns": {}}
NO_ADJUSTMENTS: dict[str, Any] = {"entered": [], "entered_count": 0, "sums": [], "wishes": [], "open": None}

Columns = dict[str, list[Any]]


def sample(sellers: int = 60, *, lines: int = 120, state: str = "frozen", seed: int = 1) -> dict[str, Any]:
    """A window of so many sellers; one in seven settles in EUR. After Tuesday one in ten failed."""
    chance = random.Random(seed)
    columns = _sellers(chance, sellers, state)
    parts = _lines(chance, columns, lines)
    exceptions = _exceptions(columns)
    codes = sorted(set(columns["currency"]), reverse=True)
    return {
        "page": _page(),
        "verdict": {
            "tone": "good",
            "headline": "Nothing bars this window",
            "detail": "Approve it by Tuesday.",
            "command": None,
        },
        "batch": _batch(state),
        "sources": [
            {
                "name": "orders",
                "newest_at": "2026-11-15T19:05:00+00:00",
                "age_days": 0.2,
                "status": "pass",
                "message": "",
            }
        ],
        "currencies": [{"code": code, "digits": 2} for code in codes],
        "figures": {code: _figures(columns, code) for code in codes},
        "statement": {code: _statement(columns, code) for code in codes},
        "exceptions": exceptions,
        "adjustments": _adjustments(columns),
        "breaks": [],
        "checks": _checks(),
        "rails": _rails(columns),
        "trends": {code: _trends(chance, columns, code) for code in codes},
        "health": _health(columns),
        "movers": {code: _movers(columns, code) for code in codes},
        "reserve_calendar": [
            {
                "payout_window": "2026-11-08",
                "currency": code,
                "reserve_closes_on": "2026-11-22",
                "sellers": 42,
                "amount": 1_583_868,
            }
            for code in codes
        ],
        "bridge": {code: _bridge(columns, code) for code in codes},
        "sellers": {"count": sellers, "columns": columns},
        "carried": {"sellers": sellers, "of_sellers": sellers, "lines": lines},
        "lines": parts,
        **_after_tuesday(columns),
        "checklist": ["The headline is not red", "Funding is there", "Every blocked seller is understood"],
        "commands": {
            "approve": f"weekclose approve {WINDOW} --digest {DIGEST}",
            "dry_run": f"weekclose submit {WINDOW} --dry-run",
            "submit": f"weekclose submit {WINDOW}",
            "reconcile": f"weekclose reconcile {WINDOW}",
            "explain": f"weekclose explain {{seller}} {WINDOW}",
        },
    }


def empty() -> dict[str, Any]:
    """Nothing is due: a page that says what to do."""
    page = _page() | {"kind": "empty", "window": None, "weeks": []}
    verdict = {
        "tone": "idle",
        "headline": "No window is due",
        "detail": "The first one is due on 2026-11-15.",
        "command": "weekclose sunday",
    }
    lists = ("sources", "currencies", "breaks", "checks", "rails", "health", "reserve_calendar", "checklist")
    columns = ("exceptions", "sellers", "lines", "history", "payouts", "executions", "events", "ledger")
    objects = ("figures", "statement", "trends", "movers", "bridge", "commands", "carried")
    return (
        {"page": page, "verdict": verdict, "batch": None, "adjustments": NO_ADJUSTMENTS}
        | {name: [] for name in lists}
        | dict.fromkeys(columns, EMPTY)
        | {name: {} for name in objects}
    )


def total(data: dict[str, Any], name: str, currency: str) -> int:
    """What the data's own rows come to, in hundredths."""
    columns = data["sellers"]["columns"]
    return sum(
        value for value, code in zip(columns[name], columns["currency"], strict=True) if code == currency
    )


def _page() -> dict[str, Any]:
    return {
        "name": "index",
        "title": "Payout review",
        "kind": "review",
        "window": str(WINDOW),
        "window_last_day": "2026-11-07",
        "reserve_closes_on": "2026-11-15",
        "payout_on": "2026-11-17",
        "timezone": "UTC",
        "as_of": AS_OF,
        "generated_at": AS_OF,
        "is_latest": True,
        "is_frozen": True,
        "weeks": [
            {"window": str(day), "href": f"weeks/{day}.html", "state": "settled"}
            for day in (WINDOW, WINDOW - timedelta(7))
        ],
        "links": dict(LINKS),
        "run": {
            "run_id": "961ece8f-0933-4a3b-8d07-e4d9652f82b1",
            "outcome": "frozen",
            "message": "",
            "actor": "ana",
            "started_at": AS_OF,
            "finished_at": AS_OF,
            "seconds": 10.7,
            "counts": {},
        },
    }


def _batch(state: str) -> dict[str, Any]:
    is_out = state in ("submitted", "settled")
    return {
        "batch_id": f"W{WINDOW}-G1",
        "generation": 1,
        "state": state,
        "content_digest": DIGEST,
        "frozen_by": "ana",
        "frozen_at": AS_OF,
        "approved_by": "jonas" if is_out else None,
        "approved_at": "2026-11-16T10:00:00+00:00" if is_out else None,
        "rail": "batch",
        "rail_batch_id": "PB9" if is_out else None,
        "rejection": None,
        "attempts": [
            {
                "started_at": "2026-11-17T09:00:00+00:00",
                "ended_at": "2026-11-17T09:00:02+00:00",
                "outcome": "accepted",
                "detail": "PB9",
            }
        ]
        if is_out
        else [],
    }


def _sellers(chance: random.Random, many: int, state: str) -> Columns:
    columns: Columns = defaultdict(list)
    for number in range(many):
        row = _seller(chance, number, state)
        for name, value in row.items():
            columns[name].append(value)
    return dict(columns)


def _seller(chance: random.Random, number: int, state: str) -> dict[str, Any]:
    orders = 1 + int(chance.expovariate(0.4))
    gross = sum(int(chance.lognormvariate(8.6, 0.9)) for _ in range(orders))
    fees = gross * 9 // 100
    refunds = gross // 5 if chance.random() < 0.06 else 0
    disputes = gross // 3 if chance.random() < 0.02 else 0
    carry_in = chance.choice((10_000, -int(1.5 * gross))) if chance.random() < 0.04 else 0
    # Fees that were forgotten, and one payout that was too small.
    adjustments = {11: -1_250, 23: -99_00, 31: 1_000}.get(number % 40, 0)
    net = gross - fees - refunds
    balance = net - disputes + adjustments + carry_in
    payable = max(0, balance)
    reason = chance.choice(("manual_review", "seller_inactive")) if chance.random() < 0.01 else ""
    status = "carried_forward" if not payable else "blocked" if reason else _outcome(number, state)
    region = chance.choice(list(RAILS))
    has_payout = payable > 0
    return {
        "seller_id": f"sel_{number:06}",
        "name": f"{chance.choice(FIRST)} {chance.choice(SECOND)} {chance.choice(THIRD)}",
        "region": region,
        "currency": "EUR" if number % 7 == 3 else "USD",
        "rail": RAILS[region],
        "status": status,
        "gross": gross,
        "fees": fees,
        "refunds": refunds,
        "net": net,
        "disputes": disputes,
        "adjustments": adjustments,
        "carry_in": carry_in,
        "payable": payable,
        "carry_out": balance - payable,
        "orders": orders,
        "late": int(chance.random() < 0.01),
        "health": 1000 if chance.random() < 0.7 else chance.randrange(450, 1000),
        "reasons": reason,
        "payout_number": f"JPO{number:07}" if has_payout else None,
        "external_reference": None,
        "failure_reason": "the destination cannot receive it" if status == "failed" else None,
        "previous_net": int(net * chance.uniform(0.6, 1.3)) if chance.random() < 0.8 else None,
    }


def _outcome(number: int, state: str) -> str:
    if state in ("submitted", "settled"):
        return "failed" if number % 10 == 5 else "paid"
    return "ready"


def _lines(chance: random.Random, columns: Columns, many: int) -> dict[str, Any]:
    """The sales of the first sellers, each of which adds up to its gross and fees."""
    out: Columns = defaultdict(list)
    at = 0
    for row, orders in enumerate(columns["orders"]):
        if len(out["seller"]) + orders > many:
            break
        for part in range(orders):
            values = {name: columns[name][row] for name in ("gross", "fees")}
            shares = {name: value // orders for name, value in values.items()}
            if part == orders - 1:
                shares = {name: value - shares[name] * (orders - 1) for name, value in values.items()}
            time = 1_793_491_200 + chance.randrange(7 * 86_400)
            entry: dict[str, Any] = {
                "seller": row,
                "currency": columns["currency"][row],
                "line_id": None,
                "order_id": f"ord_{len(out['seller']):010}",
                "kind": "sale",
                "event_at": time - at,
                "refunds": columns["refunds"][row] if part == 0 else 0,
                "disputes": columns["disputes"][row] if part == 0 else 0,
                "adjustments": 0,
                "is_late": 0,
            }
            at = time
            for name, value in (entry | shares).items():
                out[name].append(value)
        if columns["adjustments"][row]:
            entry = {
                "seller": row,
                "currency": columns["currency"][row],
                "line_id": f"adjustment:{_number(row)}",
                "order_id": None,
                "kind": "adjustment",
                "event_at": 3_600,
                "adjustments": columns["adjustments"][row],
                **dict.fromkeys(("gross", "fees", "refunds", "disputes", "is_late"), 0),
            }
            at += 3_600
            for name in out:
                out[name].append(entry[name])
    return {"pool": columns["seller_id"], "columns": dict(out)}


def _number(row: int) -> str:
    return f"ADJ{row:07}"


def _adjustments(columns: Columns) -> dict[str, Any]:
    """What the sellers' rows say, one exception about the first of them, and what is open."""
    rows = [row for row, amount in enumerate(columns["adjustments"]) if amount]
    rows.sort(key=lambda row: -abs(columns["adjustments"][row]))
    entered = [
        {
            "adjustment_number": _number(row),
            "seller_id": columns["seller_id"][row],
            "currency": columns["currency"][row],
            "class": "credit" if columns["adjustments"][row] > 0 else "deduction",
            "amount": columns["adjustments"][row],
            "reason": "the fee of October was forgotten",
        }
        for row in rows
    ]
    codes = sorted({each["currency"] for each in entered})
    return {
        "entered": entered,
        "entered_count": len(entered),
        "sums": [{"currency": code, "amount": _sums(columns, code)["adjustments"]} for code in codes],
        "wishes": [
            {
                "exception": 3,
                "adjustment_number": "ADJ0009999",
                "seller_id": columns["seller_id"][0],
                "currency": columns["currency"][0],
                "class": "credit",
                "amount": 2_000,
                "wish": "amount 12.00",
                "reason": "it was too kind",
                "requested_by": "olga",
                "command": "weekclose exception approve 3 --reason ''",
            }
        ],
        "open": [
            {
                "currency": "USD",
                "class": "deduction",
                "stands": "in the balance",
                "adjustments": 7,
                "open": -41_000,
            },
            {
                "currency": "USD",
                "class": "credit",
                "stands": "exception open",
                "adjustments": 1,
                "open": 2_000,
            },
        ],
    }


def _exceptions(columns: Columns) -> dict[str, Any]:
    found = []
    for row, reason in enumerate(columns["reasons"]):
        key = reason or ("negative" if columns["carry_out"][row] < 0 else "")
        if key:
            amount = columns["payable"][row] or columns["carry_out"][row]
            found.append((abs(amount), row, key, amount))
    found.sort(reverse=True)
    rows = [row for _, row, _, _ in found]
    keys = [key for _, _, key, _ in found]
    return {
        "count": len(found),
        "more": 0,
        "reasons": [
            {"key": key, "label": label, "count": keys.count(key)}
            for key, (label, _) in REASONS.items()
            if key in keys
        ],
        "columns": {
            "row": rows,
            "reason": keys,
            "reasons": [[key] for key in keys],
            "text": [REASONS[key][1] for key in keys],
            "command": ["weekclose clear SELLER" if key == "manual_review" else "" for key in keys],
            "amount": [amount for _, _, _, amount in found],
        }
        | {
            name: [columns[name][row] for row in rows]
            for name in ("seller_id", "name", "currency", "status", "payout_number")
        },
    }


def _sums(columns: Columns, code: str) -> dict[str, int]:
    return {
        name: sum(
            value
            for value, currency in zip(columns[name], columns["currency"], strict=True)
            if currency == code
        )
        for name in AMOUNTS
    }


def _figures(columns: Columns, code: str) -> list[dict[str, Any]]:
    sums = _sums(columns, code)
    labels = {
        "payable": ("Payable on Tuesday", "up"),
        "gross": ("Gross sales", "up"),
        "fees": ("Fees", None),
        "refunds": ("Refunds", "down"),
        "disputes": ("Disputes", "down"),
    }
    made = [_figure(key, label, sums[key], good, "money") for key, (label, good) in labels.items()]
    made.append(_figure("reserve_held", "Held in reserve", sums["gross"], None, "money"))
    for key, status in (("ready", "ready"), ("blocked", "blocked"), ("carried", "carried_forward")):
        made.append(_figure(key, key.title(), columns["status"].count(status), None, "count"))
    return made


def _figure(key: str, label: str, value: int, good: str | None, unit: str) -> dict[str, Any]:
    series = [[str(WINDOW - timedelta(7 * week)), value * (20 - week % 4) // 22] for week in range(12, 0, -1)]
    return {
        "key": key,
        "label": label,
        "value": value,
        "previous": series[-1][1],
        "series": [*series, [str(WINDOW), value]],
        "unit": unit,
        "good": good,
    }


def _statement(columns: Columns, code: str) -> list[dict[str, Any]]:
    sums = _sums(columns, code)
    balance = sums["payable"] + sums["carry_out"]
    lines = (
        ("gross", "Gross sales", sums["gross"], "total"),
        ("fees", "Fees", -sums["fees"], "part"),
        ("refunds", "Refunds", -sums["refunds"], "part"),
        ("net", "Net", sums["net"], "total"),
        ("disputes", "Disputes held back", -sums["disputes"], "part"),
        ("adjustments", "Adjustments", sums["adjustments"], "part"),
        ("carry_in", "Carried in", sums["carry_in"], "part"),
        ("balance", "Balance", balance, "total"),
        ("carry_out", "Carried forward", -sums["carry_out"], "part"),
        ("payable", "Payable", sums["payable"], "total"),
    )
    return [
        {
            "key": key,
            "label": label,
            "value": value,
            "share": abs(value) / sums["gross"] if sums["gross"] else None,
            "previous": value * 9 // 10,
            "level": level,
        }
        for key, label, value, level in lines
    ]


def _checks() -> list[dict[str, Any]]:
    usual = {"failures": 0, "message": "", "columns": [], "rows": [], "more": 0}
    return [
        usual
        | {
            "name": "sellers USD",
            "kind": "distribution",
            "status": "warn",
            "message": "59 sellers had sales; from 22 to 50 is usual: look at it",
            "protects": "A feed that lost part of the sellers, or has them twice.",
        },
        *(
            usual
            | {
                "name": f"assert_rule_{number}_holds",
                "kind": "data test",
                "status": "pass",
                "protects": "Every window row accounts for its money.",
            }
            for number in range(6)
        ),
    ]


def _rails(columns: Columns) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row, status in enumerate(columns["status"]):
        if columns["payable"][row] and status != "carried_forward":
            groups[columns["currency"][row], columns["rail"][row], columns["region"][row]].append(row)
    return [
        {
            "currency": currency,
            "rail": rail,
            "region": region,
            "sellers": len(rows),
            "amount": sum(columns["payable"][row] for row in rows),
            "funding": sum(columns["payable"][row] for row in rows if columns["status"][row] != "blocked"),
            "by_hand": 0,
            "failed_last_week": len(rows) // 12,
            "paid_last_week": len(rows),
        }
        for (currency, rail, region), rows in groups.items()
    ]


def _trends(chance: random.Random, columns: Columns, code: str) -> dict[str, list[Any]]:
    sums = _sums(columns, code)
    windows = [WINDOW - timedelta(7 * week) for week in range(25, -1, -1)]
    swing = [chance.uniform(0.75, 1.05) for _ in windows[:-1]] + [1.0]
    return {
        "windows": [str(window) for window in windows],
        "gross": [int(sums["gross"] * share) for share in swing],
        "net": [int(sums["net"] * share) for share in swing],
        "disputes": [int(sums["disputes"] * share) for share in reversed(swing)],
        "refund_rate": [0.03 * share for share in swing],
        "failure_rate": [0.01 * share for share in reversed(swing)],
    }


def _health(columns: Columns) -> list[dict[str, int]]:
    counts = [0] * 20
    for score in columns["health"]:
        counts[min(19, score // 50)] += 1
    return [{"from": 5 * place, "to": 5 * place + 5, "sellers": many} for place, many in enumerate(counts)]


def _movers(columns: Columns, code: str) -> list[dict[str, Any]]:
    rows = [
        row
        for row, currency in enumerate(columns["currency"])
        if currency == code and columns["previous_net"][row] is not None
    ]
    rows.sort(key=lambda row: -abs(columns["net"][row] - columns["previous_net"][row]))
    return [
        {
            "seller_id": columns["seller_id"][row],
            "name": columns["name"][row],
            "net": columns["net"][row],
            "previous": columns["previous_net"][row],
        }
        for row in rows[:10]
    ]


def _bridge(columns: Columns, code: str) -> dict[str, Any]:
    current = sum(
        _sums(columns, code)[name] * sign for name, sign in (("net", 1), ("disputes", -1), ("adjustments", 1))
    )
    return {
        "previous": current - 11_700,
        "current": current,
        "previous_as_of": "2026-11-08T23:00:00+00:00",
        "parts": [{"key": "late", "label": "Lines that arrived late", "amount": 11_700, "lines": 1}],
        "lines": [
            {
                "line_id": "sale:ord_late",
                "seller_id": "sel_000001",
                "order_id": "ord_late",
                "kind": "sale",
                "event_at": AS_OF,
                "part": "late",
                "before": 0,
                "after": 11_700,
            }
        ],
    }


def _after_tuesday(columns: Columns) -> dict[str, Any]:
    """Earlier windows, payouts, events and ledger of a few sellers."""
    few = [row for row, number in enumerate(columns["payout_number"]) if number][:50]
    ids, codes, numbers, amounts, states = (
        [columns[name][row] for row in few]
        for name in ("seller_id", "currency", "payout_number", "payable", "status")
    )
    pay = {"payout_number": numbers, "seller_id": ids, "currency": codes, "amount": amounts, "status": states}
    many = len(few)
    return {
        "history": {
            "pool": ids,
            "columns": {
                "seller": list(range(many)),
                "currency": codes,
                "payout_window": [str(WINDOW - timedelta(7))] * many,
                "net": amounts,
                "payable": amounts,
                "status": ["paid"] * many,
                "payout_number": [None] * many,
            },
        },
        "payouts": {
            "columns": pay
            | {
                "payout_window": [str(WINDOW)] * many,
                "rail": ["ERC-20"] * many,
                "status_changed_at": [AS_OF] * many,
                "external_reference": [None] * many,
                "failure_code": [None] * many,
                "failure_reason": [None] * many,
            }
        },
        "executions": {
            "columns": {
                "payout_number": numbers,
                "external_reference": [f"TX-{number}" for number in numbers],
                "amount": amounts,
                "executed_at": [AS_OF] * many,
                "source": ["rail"] * many,
                "noted_by": ["olga"] * many,
                "sha256": [None] * many,
            }
        },
        "events": {
            "columns": {
                "payout_number": numbers,
                "event_type": ["payout.completed"] * many,
                "status": ["completed"] * many,
                "received_at": [AS_OF] * many,
                "verdict": ["booked"] * many,
                "external_reference": [None] * many,
                "failure_reason": [None] * many,
            }
        },
        "ledger": {
            "columns": {
                "seller_id": ids,
                "currency": codes,
                "payout_number": numbers,
                "account": ["seller_payable"] * many,
                "kind": ["freeze"] * many,
                "amount": amounts,
                "booked_at": [AS_OF] * many,
            }
        },
    }
