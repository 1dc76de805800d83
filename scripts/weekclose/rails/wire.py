"""JSON as money needs it: amounts are decimal texts, nothing is said twice, nothing is guessed."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

_AMOUNT = re.compile(r"[0-9]{1,16}(\.[0-9]{1,18})?", re.ASCII)


# A text as `write` has it, quotes and escapes included.
quoted = json.encoder.encode_basestring


class Malformed(ValueError):
    """What arrived is not what was agreed; the message names the place, never the content."""


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises Malformed for anything else, and for text no database can keep."""
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_refuse,
            # A float is never money here, and nothing may take it for some.
            parse_float=lambda text: None,
        )
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("it is not JSON") from None
    if not isinstance(value, dict):
        raise Malformed("it is not a JSON object")
    if b"\\u" in raw:  # nothing else than an escape makes a NUL or half a character
        _check_texts(value)
    return value


def write(value: object) -> bytes:
    """The one way to write `value`: sorted names, no white space, a single line."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decimal_text(amount: Decimal) -> str:
    """`amount` with exactly two decimals. Raises ValueError when that would change it."""
    as_it_is = str(amount)
    if as_it_is[-3:-2] == ".":  # as every amount is that the database keeps
        return as_it_is
    text = amount.quantize(Decimal("0.01"))
    if text != amount:
        raise ValueError(f"{amount} has more than two decimals")
    return f"{text:f}"


def text(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name} is not a text")
    return value


def optional_text(holder: dict[str, Any], name: str) -> str | None:
    return None if holder.get(name) is None else text(holder, name)


def amount(holder: dict[str, Any], name: str) -> Decimal:
    """An amount that is written as a decimal text; a JSON number is none."""
    value = holder.get(name)
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise Malformed(f"{name} is not a decimal text")
    return Decimal(value)


def count(holder: dict[str, Any], name: str) -> int:
    value = holder.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Malformed(f"{name} is not a count")
    return value


def flag(holder: dict[str, Any], name: str) -> bool:
    value = holder.get(name)
    if not isinstance(value, bool):
        raise Malformed(f"{name} is neither true nor false")
    return value


def one_object(holder: dict[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"{name} is not an object")
    return value


def objects(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = holder.get(name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Malformed(f"{name} is not a list of objects")
    return value


def instant(holder: dict[str, Any], name: str) -> datetime:
    """An instant in UTC, written in ISO 8601 with an offset."""
    try:
        found = datetime.fromisoformat(text(holder, name))
        if found.tzinfo is None:
            raise Malformed(f"{name} has no offset")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed(f"{name} is not an instant with an offset") from None


def optional_instant(holder: dict[str, Any], name: str) -> datetime | None:
    return None if holder.get(name) is None else instant(holder, name)


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name is there twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise Malformed(f"{constant} is no number")


def _check_texts(value: object) -> None:
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            stack += each.keys()
            stack += each.values()
        elif isinstance(each, list):
            stack += each
        elif isinstance(each, str) and ("\0" in each or any("\ud800" <= char <= "\udfff" for char in each)):
            raise Malformed("a text has a character that cannot be stored")
