"""Addresses that payouts go to: whether one is well-formed, and valid ones to try things with."""

import re
from collections.abc import Callable
from hashlib import sha256

import base58
from eth_hash.backends.pycryptodome import keccak256

RAILS = ("TRC-20", "ERC-20", "SPL", "PAYPAL", "MANUAL")

# The decoder ignores trailing white space and takes quadratic time: form and length are judged before it.
_BASE58 = "[1-9A-HJ-NP-Za-km-z]"
_TRON_FORM = re.compile(f"T{_BASE58}{{33}}", re.ASCII)
_ETHEREUM_FORM = re.compile("0x[0-9a-fA-F]{40}", re.ASCII)
_SOLANA_FORM = re.compile(f"{_BASE58}{{32,44}}", re.ASCII)

# Rough on purpose: whether a mailbox exists, only PayPal knows. Its own ids have 13 characters.
_PAYPAL_FORM = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+|[2-9A-HJ-NP-Z]{13}")

# The longest that a feed brings in.
_LONGEST_MANUAL = 200

_TRON_PREFIX = b"\x41"


def check_destination(rail: str, address: str) -> str | None:
    """None if money can be sent to `address` on `rail`, else the reason in words.

    The checksum counts where the address carries one: always on TRC-20, on ERC-20 when the letters are of
    mixed case (EIP-55), never on SPL, whose addresses have none. On MANUAL a person reads it: any line of
    text will do, an IBAN or the name of an account.
    """
    checks = {
        "TRC-20": _check_tron,
        "ERC-20": _check_ethereum,
        "SPL": _check_solana,
        "PAYPAL": _check_paypal,
        "MANUAL": _check_manual,
    }
    check = checks.get(rail)
    return check(address) if check else f"the rail {rail!r} is not known"


def sample_destination(rail: str, seed: bytes) -> str:
    """A valid address of `rail`, the same for the same seed. Nobody holds its key: send no money there.

    Raises KeyError for an unknown rail.
    """
    makers: dict[str, Callable[[bytes], str]] = {
        "TRC-20": lambda digest: base58.b58encode_check(_TRON_PREFIX + digest[:20]).decode(),
        "ERC-20": lambda digest: "0x" + _mixed_case(digest[:20].hex()),
        "SPL": lambda digest: base58.b58encode(digest).decode(),
        "PAYPAL": lambda digest: f"{digest[:8].hex()}@example.com",
        "MANUAL": lambda digest: _iban_of_no_bank(int.from_bytes(digest[:4], "big")),
    }
    return makers[rail](sha256(seed).digest())


def _check_tron(address: str) -> str | None:
    if not _TRON_FORM.fullmatch(address):
        return "not a TRC-20 address: those are T and 33 more base58 characters"
    try:
        payload = base58.b58decode_check(address)
    except ValueError:
        return "the TRC-20 checksum does not match: a character is wrong"
    if len(payload) != 21 or not payload.startswith(_TRON_PREFIX):
        return "not a TRC-20 address: it is of another network"
    return None


def _check_ethereum(address: str) -> str | None:
    if not _ETHEREUM_FORM.fullmatch(address):
        return "not an ERC-20 address: those are 0x and 40 hex digits"
    digits = address[2:]
    if digits not in (digits.lower(), digits.upper(), _mixed_case(digits)):
        return "the ERC-20 checksum (EIP-55) does not match: a character is wrong"
    return None


def _check_solana(address: str) -> str | None:
    if not _SOLANA_FORM.fullmatch(address):
        return "not an SPL address: those are 32 to 44 base58 characters"
    length = len(base58.b58decode(address))
    return None if length == 32 else f"not an SPL address: it holds {length} bytes instead of 32"


def _check_paypal(address: str) -> str | None:
    if len(address) > 127 or not _PAYPAL_FORM.fullmatch(address):
        return "not a PayPal account: those are an e-mail address or a PayPal id"
    return None


def _check_manual(address: str) -> str | None:
    if not 0 < len(address) <= _LONGEST_MANUAL or not address.isprintable() or address != address.strip():
        return f"nothing to send money by: that is 1 to {_LONGEST_MANUAL} printable characters, like an IBAN"
    return None


def _iban_of_no_bank(account: int) -> str:
    """A German IBAN with right check digits, of the bank code 00000000, which no bank has."""
    number = f"{account:018}"
    check = 98 - int(f"{number}131400") % 97
    return f"DE{check:02}{number}"


def _mixed_case(digits: str) -> str:
    """EIP-55: a letter is a capital where the hash of the lower-case address has a digit of 8 or more."""
    lower = digits.lower()
    marks = keccak256(lower.encode()).hex()
    return "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(lower, marks, strict=False)
    )
