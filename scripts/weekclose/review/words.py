"""Numbers in sentences."""

from collections.abc import Iterable


def counted(count: int, what: str) -> str:
    """`1 seller`, `2 sellers`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def money(amounts: Iterable[tuple[int, str]]) -> str:
    """Amounts in hundredths, currency by currency; those of zero are left out."""
    return ", ".join(f"{amount / 100:,.2f} {currency}".strip() for amount, currency in amounts if amount)


def sentences(*parts: str) -> str:
    """One after the other, without the empty ones."""
    return " ".join(part for part in parts if part)
