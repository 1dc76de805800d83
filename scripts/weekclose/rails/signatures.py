"""Webhooks: how each rail signs them, and whether one is really its own."""

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zlib import crc32

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

from weekclose.errors import UsageError
from weekclose.rails.protocol import SignatureInvalid

TOLERANCE = timedelta(seconds=300)
# PayPal repeats a delivery for three days, with the time of the first one.
PAYPAL_TOLERANCE = timedelta(days=3)

_MESSAGE_ID = re.compile(r"[!-\-/-~]{1,255}", re.ASCII)  # the full stop separates what is signed
_TRANSMISSION_ID = re.compile(r"[!-{}~]{1,255}", re.ASCII)  # here it is the bar
_SECONDS = re.compile(r"[0-9]{1,11}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PAYPAL_CERTIFICATE = re.compile(
    r"https://[^\s?#]+/v1/notifications/certs/(CERT-[0-9A-Za-z-]{1,80})", re.ASCII
)


def webhook_key(secret: str) -> bytes:
    """The key in a `whsec_...` secret. Raises UsageError, without the secret, when it cannot be read."""
    try:
        key = b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or len(key) < 16:
        raise UsageError("WEEKCLOSE_WEBHOOK_SECRETS: a secret is not whsec_ and 16 or more bytes in base64")
    return key


def sign_standard(secret: str, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks 1.0."""
    seconds = str(int(at.timestamp()))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": seconds,
        "webhook-signature": "v1," + _standard(webhook_key(secret), message_id, seconds, body),
    }


def verify_standard(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime
) -> tuple[str, datetime]:
    """The message's id and time. Raises SignatureInvalid."""
    found = _lower(headers)
    message_id, seconds = found.get("webhook-id", ""), found.get("webhook-timestamp", "")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise SignatureInvalid("webhook-id is missing or no id")
    at = _from_seconds(seconds)
    given = [part[3:] for part in found.get("webhook-signature", "").split(" ") if part.startswith("v1,")]
    _check(given, [_standard(webhook_key(secret), message_id, seconds, body) for secret in secrets])
    _check_time(at, now, TOLERANCE)
    return message_id, at


def sign_halfin(secret: str, at: datetime, body: bytes) -> dict[str, str]:
    seconds = str(int(at.timestamp()))
    return {"X-Halfin-Signature": f"t={seconds},v1={_halfin(secret, seconds, body)}"}


def verify_halfin(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: datetime) -> datetime:
    """When the message was signed. Raises SignatureInvalid."""
    pairs = [part.partition("=") for part in _lower(headers).get("x-halfin-signature", "").split(",")]
    times = [value for name, _, value in pairs if name.strip() == "t"]
    if len(times) != 1:
        raise SignatureInvalid("X-Halfin-Signature is missing or has not one time")
    at = _from_seconds(times[0])
    given = [value for name, _, value in pairs if name.strip() == "v1" and _HEX.fullmatch(value)]
    _check(given, [_halfin(secret, times[0], body) for secret in secrets])
    _check_time(at, now, TOLERANCE)
    return at


def sign_paypal(
    private_key: str, webhook_id: str, transmission_id: str, at: datetime, body: bytes, certificate_url: str
) -> dict[str, str]:
    """PayPal's headers, signed with a PEM private key: what the simulator does in PayPal's place."""
    time = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    signed = pkcs1_15.new(_private_key(private_key)).sign(_paypal(transmission_id, time, webhook_id, body))
    return {
        "PAYPAL-TRANSMISSION-ID": transmission_id,
        "PAYPAL-TRANSMISSION-TIME": time,
        "PAYPAL-TRANSMISSION-SIG": b64encode(signed).decode(),
        "PAYPAL-CERT-URL": certificate_url,
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
    }


def verify_paypal(
    webhook_ids: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    certificate: Callable[[str], str],
) -> None:
    """Raises SignatureInvalid. `certificate` gives the PEM text for a certificate's name.

    What PayPal signs is a CRC-32 of the body: who has seen one delivery can make other bodies that fit.
    """
    found = _lower(headers)
    if found.get("paypal-auth-algo") != "SHA256withRSA":
        raise SignatureInvalid("PAYPAL-AUTH-ALGO is missing or not SHA256withRSA")
    place = _PAYPAL_CERTIFICATE.fullmatch(found.get("paypal-cert-url", ""))
    if place is None:
        raise SignatureInvalid("PAYPAL-CERT-URL is missing or no certificate of PayPal's")
    transmission_id, time = found.get("paypal-transmission-id", ""), found.get("paypal-transmission-time", "")
    if not _TRANSMISSION_ID.fullmatch(transmission_id):
        raise SignatureInvalid("PAYPAL-TRANSMISSION-ID is missing or no id")
    _check_time(_from_iso(time), now, PAYPAL_TOLERANCE)
    try:
        signature = b64decode(found.get("paypal-transmission-sig", ""), validate=True)
    except ValueError:
        raise SignatureInvalid("PAYPAL-TRANSMISSION-SIG is not base64") from None
    pem = certificate(place[1])
    try:
        verifier = pkcs1_15.new(RSA.import_key(pem))
    except (ValueError, IndexError, TypeError):
        raise SignatureInvalid("PAYPAL-CERT-URL names something that is no certificate") from None
    for webhook_id in webhook_ids:
        try:
            return verifier.verify(_paypal(transmission_id, time, webhook_id, body), signature)
        except ValueError:
            continue
    raise SignatureInvalid("the signature does not fit")


@cache
def _private_key(pem: str) -> RSA.RsaKey:
    """Reading one takes longer than signing with it."""
    return RSA.import_key(pem)


def _standard(key: bytes, message_id: str, seconds: str, body: bytes) -> str:
    signed = f"{message_id}.{seconds}.".encode() + body
    return b64encode(hmac.digest(key, signed, "sha256")).decode()


def _halfin(secret: str, seconds: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), f"{seconds}.".encode() + body, "sha256").hex()


def _paypal(transmission_id: str, time: str, webhook_id: str, body: bytes) -> SHA256.SHA256Hash:
    return SHA256.new(f"{transmission_id}|{time}|{webhook_id}|{crc32(body)}".encode())


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _check(given: Iterable[str], right: Sequence[str]) -> None:
    """Every pair is compared, each in constant time: how long it takes says nothing about the secrets."""
    texts = [text.encode("utf-8", "surrogatepass") for text in given]
    fits = [hmac.compare_digest(text, each.encode()) for text in texts for each in right]
    if not any(fits):
        raise SignatureInvalid("the signature does not fit")


def _check_time(at: datetime, now: datetime, tolerance: timedelta) -> None:
    if at < now - tolerance:
        raise SignatureInvalid("it was signed too long ago")
    if at > now + TOLERANCE:
        raise SignatureInvalid("it was signed in the future")


def _from_seconds(seconds: str) -> datetime:
    if not _SECONDS.fullmatch(seconds):
        raise SignatureInvalid("the time of the signature is missing or no time")
    return datetime.fromtimestamp(int(seconds), UTC)


def _from_iso(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise SignatureInvalid("the time of the signature is missing or no time")
