"""The feeds: which columns the file of a raw table has, and what its rows must look like.

A row is judged by itself. Every kind of value says so twice: `read` is the exact judgement of one value,
and `clean` is a regular expression that recognises most good values, and good ones only. A line that is
clean in all its columns needs no further look, which is what makes a load of millions of rows quick.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import cached_property

Value = str | Decimal | datetime | None

LONGEST_WORD = 200
LONGEST_TEXT = 1_000
# A clean line is no longer than the shortest limit of a column, so that none can be too long in it.
LONGEST_CLEAN_LINE = LONGEST_WORD
LARGEST_AMOUNT = Decimal("999999999999.99")
OUT_OF_RANGE = "is outside the years 1970 to 9999"


class Fault(Exception):
    """Why a value, a row or a header is refused."""


@dataclass(frozen=True)
class Kind:
    """A kind of value: its type in the database, what is surely good (RE2 over bytes), what is good."""

    sql_type: str
    clean: str
    read: Callable[[str], Value]


@dataclass(frozen=True)
class Column:
    """A column of a feed: an empty field means its default, or null; without either it is a fault.

    A column that is absent from a file leaves known rows as they are.
    """

    name: str
    kind: Kind
    nullable: bool = False
    default: str | None = None
    may_be_absent: bool = False

    @property
    def may_be_empty(self) -> bool:
        return self.nullable or self.default is not None

    @property
    def clean(self) -> str:
        return f"(?:{self.kind.clean}){'?' if self.may_be_empty else ''}"

    def read(self, field: str) -> Value:
        """The field's value, None for an empty one. Raises Fault."""
        if field:
            return self.kind.read(field)
        if self.may_be_empty:
            return None
        raise Fault("is empty")


@dataclass(frozen=True)
class Feed:
    """What the files of one raw table hold: its key is the first column, `faults` looks across columns."""

    table: str
    columns: tuple[Column, ...]
    faults: Callable[[Mapping[str, Value]], list[str]] | None = None

    @property
    def key(self) -> Column:
        return self.columns[0]

    def layout(self, header: Sequence[str]) -> "Layout":
        """The columns in a file's own order. Raises Fault when one is missing, unknown or there twice."""
        known = {column.name: column for column in self.columns}
        if "loaded_at" in header:
            raise Fault("has a column loaded_at, which says when a row got here and is not for a file to say")
        unknown = [name for name in header if name not in known]
        if unknown:
            names = ", ".join(map(shown, unknown[:5]))
            raise Fault(f"has a column that {self.table} does not: {names}; known are {', '.join(known)}")
        missing = [name for name, column in known.items() if name not in header and not column.may_be_absent]
        if missing:
            raise Fault(f"lacks the column {', '.join(missing)}")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise Fault(f"has the column {', '.join(twice)} twice")
        return Layout(self, tuple(known[name] for name in header))


@dataclass(frozen=True)
class Layout:
    """A feed's columns in the order of one file."""

    feed: Feed
    columns: tuple[Column, ...]

    @cached_property
    def clean_line(self) -> str | None:
        """Matches a line of which every value is surely good; None when only the exact judgement can tell."""
        if self.feed.faults:
            return None
        fields = ",".join(f'(?:{column.clean}|"{column.clean}")' for column in self.columns)
        return rf"\A{fields}\r?\n\z"

    def judge(self, fields: Sequence[str]) -> list[Value]:
        """The row's values. Raises Fault with everything that is wrong with it."""
        if len(fields) != len(self.columns):
            raise Fault(f"has {len(fields)} fields where the header has {len(self.columns)}")
        values: dict[str, Value] = {}
        faults = []
        for column, field in zip(self.columns, fields, strict=True):
            try:
                values[column.name] = column.read(field)
            except Fault as fault:
                faults.append(f"{column.name} {shown(field)} {fault}" if field else f"{column.name} {fault}")
        if not faults and self.feed.faults:
            faults = self.feed.faults(values)
        if faults:
            raise Fault("; ".join(faults))
        return list(values.values())


def shown(text: str, longest: int = 40) -> str:
    """A file's own words, quoted for a message: short, on one line, nothing that a terminal would obey."""
    return f'"{printable(text, longest)}"'


def printable(text: str, longest: int) -> str:
    """Text as it can be stored and printed anywhere, on one line; what was not UTF-8 reads \\xff."""
    decoded = text[:longest].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    safe = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in decoded
    )
    return f"{safe}..." if len(text) > longest else safe


# -- kinds ------------------------------------------------------------------------------------------


def _checked(text: str, longest: int) -> str:
    if len(text) > longest:
        raise Fault(f"is longer than {longest} characters")
    if "\0" in text:
        raise Fault("contains a NUL character")
    if re.search("[\ud800-\udfff]", text):
        raise Fault("is not valid UTF-8")
    return text


def _text(text: str) -> str:
    return _checked(text, LONGEST_TEXT)


def _word(text: str) -> str:
    _checked(text, LONGEST_WORD)
    if text != text.strip():
        raise Fault("begins or ends with a space")
    if re.search("[\x00-\x1f\x7f-\x9f]", text):
        raise Fault("contains a control character")
    return text


def _currency(text: str) -> str:
    if not re.fullmatch("[A-Z][A-Z0-9]{2,9}", text):
        raise Fault("is not an upper-case currency code")
    return text


def _money(text: str) -> Decimal:
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        raise Fault("is not a plain decimal number like 1234.50")
    if text.startswith("-"):
        raise Fault("is negative")
    whole, _, decimals = text.partition(".")
    if len(decimals) > 2:
        raise Fault("has more than two decimals")
    if len(whole.lstrip("0")) > 12:
        raise Fault(f"is above {LARGEST_AMOUNT}")
    return Decimal(text)


_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})"
    r"(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


def _instant(text: str) -> datetime:
    match = _INSTANT.fullmatch(text)
    if not match:
        raise Fault("is not an ISO 8601 instant like 2026-11-01T09:30:00Z")
    *clock, fraction, offset = match.groups(default="")
    if not offset:
        raise Fault("has no offset from UTC: end it with Z or +01:00")
    micros = fraction.rstrip("0").ljust(6, "0")
    if len(micros) > 6:
        raise Fault("is finer than a microsecond")
    year, month, day, hour, minute, second = (int(part or 0) for part in clock)
    try:
        local = datetime(year, month, day, hour, minute, second, int(micros), _zone(offset))
    except ValueError:
        raise Fault("is a date, time or offset that does not exist") from None
    try:
        instant = local.astimezone(UTC)
    except OverflowError:
        raise Fault(OUT_OF_RANGE) from None
    if instant.year < 1970:
        raise Fault(OUT_OF_RANGE)
    return instant


def _zone(offset: str) -> timezone:
    if offset == "Z":
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    if hours > 14 or minutes > 59:
        raise ValueError(offset)
    return timezone((-1 if offset[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))


def _one_of(*codes: str) -> Kind:
    def read(text: str) -> str:
        if text not in codes:
            raise Fault(f"is none of {', '.join(codes)}")
        return text

    return Kind("text", "|".join(codes), read)


# In a clean word every character is ASCII and none means something to CSV or COPY; in a clean text
# anything beyond ASCII may stand too (who uses it makes sure that it is UTF-8).
_INNER = r"[ !#-+\--\[\]-~]"
_OUTER = r"[!#-+\--\[\]-~]"
_DATE = (
    "(?:19[89]|2[0-9][0-9])[0-9]-"
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6}0*)?)?"
_OFFSET = "(?:Z|[+-](?:0[0-9]|1[0-3])(?::?[0-5][0-9])?)"

WORD = Kind("text", f"{_OUTER}(?:{_INNER}*{_OUTER})?", _word)
TEXT = Kind("text", r"[ !#-+\--\[\]-~\x80-\xff]+", _text)
CURRENCY = Kind("text", "[A-Z][A-Z0-9]{2,9}", _currency)
MONEY = Kind("numeric", r"[0-9]{1,12}(?:\.[0-9]{1,2})?", _money)
INSTANT = Kind("timestamptz", f"{_DATE}[T ]{_TIME}{_OFFSET}", _instant)


# -- feeds ------------------------------------------------------------------------------------------


def _dispute_faults(row: Mapping[str, Value]) -> list[str]:
    status, opened_at, closed_at = row["status"], row["opened_at"], row["closed_at"]
    if status == "open" and closed_at is not None:
        return ["closed_at is set though the dispute is open"]
    if status in ("won", "withdrawn") and closed_at is None:
        return [f"closed_at is empty though the dispute is {status}"]
    if isinstance(closed_at, datetime) and isinstance(opened_at, datetime) and closed_at < opened_at:
        return ["closed_at is before opened_at"]
    return []


FEEDS = {
    feed.table: feed
    for feed in (
        Feed(
            "sellers",
            (
                Column("seller_id", WORD),
                Column("display_name", TEXT, default="", may_be_absent=True),
                Column("seller_type", WORD, default="merchant", may_be_absent=True),
                Column("region", WORD),
                Column("preferred_rail", WORD, nullable=True, may_be_absent=True),
                Column("wallet_address", WORD, nullable=True, may_be_absent=True),
                Column("wallet_changed_at", INSTANT, nullable=True, may_be_absent=True),
                Column("settlement_currency", CURRENCY),
                Column("status", _one_of("active", "suspended", "closed")),
                Column("created_at", INSTANT),
                Column("product", WORD, default="standard", may_be_absent=True),
            ),
        ),
        Feed(
            "orders",
            (
                Column("order_id", WORD),
                Column("seller_id", WORD, nullable=True),
                Column("currency", CURRENCY),
                Column("gross_amount", MONEY),
                Column("fee_amount", MONEY),
                Column("status", _one_of("pending", "confirmed", "fulfilled", "cancelled")),
                Column("captured_at", INSTANT, nullable=True),
                Column("guarantee_ends_at", INSTANT, nullable=True, may_be_absent=True),
            ),
        ),
        Feed(
            "refunds",
            (
                Column("refund_id", WORD),
                Column("order_id", WORD),
                Column("amount", MONEY),
                Column("fee_refund_amount", MONEY, default="0", may_be_absent=True),
                Column("refunded_at", INSTANT),
            ),
        ),
        Feed(
            "disputes",
            (
                Column("dispute_id", WORD),
                Column("order_id", WORD),
                Column("amount", MONEY),
                Column("reason", TEXT),
                Column("status", _one_of("open", "won", "lost", "withdrawn")),
                Column("opened_at", INSTANT),
                Column("closed_at", INSTANT, nullable=True),
            ),
            _dispute_faults,
        ),
        Feed(
            "control_totals",
            (
                Column("order_id", WORD),
                Column("amount", MONEY),
                Column("source", WORD, default="payments", may_be_absent=True),
            ),
        ),
    )
}
