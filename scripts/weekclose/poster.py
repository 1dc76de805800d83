"""One HTTP POST to an address of the settings: what became of it, and nothing that could be a secret."""

import ipaddress
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from weekclose.errors import UsageError

CONNECT_SECONDS = 5.0
# What the webhook standard gives a receiver.
ANSWER_SECONDS = 15.0
CONNECTIONS = 8


def parsed_address(url: str, setting: str, schemes: tuple[str, ...]) -> SplitResult:
    """An address in its parts. Raises UsageError, which names the setting and not the address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UsageError(f"{setting} cannot be read: write {schemes[0]}://host") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise UsageError(f"{setting} is no address: write {schemes[0]}://host")
    return parts


def is_this_machine(host: str) -> bool:
    """Whether a host is named as this machine; a name that only resolves to it does not count."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Poster:
    """Posts to one address: TLS, no redirects, bounded waits. From several threads at once, if need be."""

    def __init__(
        self, url: str, setting: str, *, loopback: bool, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        """Raises UsageError for an address that is none or not safe, without the address."""
        parts = parsed_address(url, setting, ("https", "http"))
        if parts.username is not None:
            raise UsageError(f"{setting} has a name or a password in it: a web address has none")
        if parts.scheme == "http" and not (loopback and is_this_machine(parts.hostname or "")):
            raise UsageError(f"{setting} is not https; WEEKCLOSE_LOOPBACK_RAIL=1 allows http on this machine")
        self._url, self._answer_seconds = url, answer_seconds
        self._pool = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            block=True,
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, answer_seconds), read=answer_seconds),
        )

    def post(self, body: bytes, headers: Mapping[str, str]) -> str | None:
        """One try; what was in the way, or None for an answer of 2xx."""
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={"Content-Type": "application/json", "User-Agent": "weekclose", **headers},
                retries=False,
                redirect=False,
                preload_content=False,
            )
            self._drain(response)
        except (HTTPError, OSError) as error:
            # Their texts may quote the address: only their kind goes on.
            return f"the receiver did not answer: {type(error).__name__}"
        return None if 200 <= response.status < 300 else f"the receiver answered {response.status}"

    def _drain(self, response: urllib3.BaseHTTPResponse) -> None:
        """The connection is kept if the rest of the answer comes in time; nobody reads it."""
        give_up_at = time.monotonic() + self._answer_seconds
        while response.read1(65536):
            if time.monotonic() > give_up_at:
                response.close()
                return
        response.release_conn()
