"""Bytes to the rail and back: one host, TLS, no redirects, bounded waits; what is unclear stays unclear."""

import ipaddress
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from weekclose.errors import Refused
from weekclose.rails.protocol import Unclear
from weekclose.rails.wire import Malformed, read_object

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
# The states of 100,000 items are about 30 MB.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
# How long one call waits because the rail asked for it, before it leaves the rest to the next run.
MAX_WAIT_SECONDS = 120
CONNECTIONS = 8

UNREADABLE = "WEEKCLOSE_RAIL_URL cannot be read: write https://host/path"

Sleep = Callable[[float], None]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Answer:
    """A complete answer of the rail; its body is not yet believed to be anything."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def read(self) -> dict[str, Any]:
        """The JSON object in it. Raises Malformed."""
        return read_object(self.body)

    @property
    def replayed(self) -> bool:
        return self.headers.get("idempotent-replayed", "").lower() == "true"


class RollingLimit:
    """At most `per_minute` calls in any 60 seconds, from however many threads."""

    def __init__(self, per_minute: int, clock: Clock = time.monotonic, sleep: Sleep = time.sleep) -> None:
        self._calls: deque[float] = deque(maxlen=per_minute)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next call may go. Whoever waits holds the lock, so the others wait behind him."""
        with self._lock:
            if len(self._calls) == self._calls.maxlen:
                early = self._calls[0] + 60 - self._clock()
                if early > 0:
                    self._sleep(early)
            self._calls.append(self._clock())


class Transport:
    """Calls to the one host of `base_url`. Raises Refused for an address that money must not be sent to."""

    def __init__(
        self,
        base_url: str,
        *,
        loopback: bool = False,
        limit: RollingLimit | None = None,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        sleep: Sleep = time.sleep,
    ) -> None:
        scheme, host, port, self._prefix = _checked(base_url, loopback)
        self._limit, self._sleep, self._read_timeout = limit, sleep, read_timeout
        kind = urllib3.HTTPSConnectionPool if scheme == "https" else urllib3.HTTPConnectionPool
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_SECONDS, read_timeout), read=read_timeout)
        try:
            self._pool = kind(host, port, timeout=timeout, maxsize=CONNECTIONS, block=True)
        except HTTPError:  # a name that nobody can have
            raise Refused(UNREADABLE) from None

    def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Ask. A question may be repeated, so 429 and 503 are waited out if the rail's wish is short."""
        return self._call("GET", path, headers, None, repeat_on=(429, 503))

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send. Only 429 says that nothing was done: after any other answer or silence the caller decides."""
        return self._call("POST", path, headers, body, repeat_on=(429,))

    def _call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        repeat_on: tuple[int, ...],
    ) -> Answer:
        waited = 0
        while True:
            answer = self._once(method, path, headers, body)
            wish = _retry_after(answer)
            if answer.status not in repeat_on or wish is None:
                return answer
            pause = max(1, wish)
            if waited + pause > MAX_WAIT_SECONDS:
                return answer
            self._sleep(pause)
            waited += pause

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        if self._limit:
            self._limit.wait()
        try:
            response = self._pool.urlopen(
                method,
                self._prefix + path,
                body=body,
                headers={"Accept": "application/json", "User-Agent": "weekclose", **headers},
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
            try:
                content = self._read(response, f"{method} {path}")
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except (HTTPError, OSError) as error:
            # Their texts may quote what we sent: only their kind goes on.
            raise Unclear(f"the rail did not answer {method} {path}: {type(error).__name__}") from None
        answer = Answer(
            response.status, {name.lower(): value for name, value in response.headers.items()}, content
        )
        if 300 <= answer.status < 400:
            raise Unclear(f"the rail redirects {method} {path} ({answer.status}): not followed")
        return answer

    def _read(self, response: urllib3.BaseHTTPResponse, what: str) -> bytes:
        """All of the body or an exception; a rail that drips is not waited for longer than a silent one."""
        give_up_at = time.monotonic() + self._read_timeout
        content = bytearray()
        while chunk := response.read1(65536):
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise Unclear(f"the rail's answer to {what} is larger than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > give_up_at:
                raise Unclear(f"the rail's answer to {what} takes too long")
        return bytes(content)


def unclear(what: str, answer: Answer) -> Unclear:
    """What to raise for an answer that decides nothing."""
    wish = _retry_after(answer)
    pause = f", it asks to wait {wish} s" if wish is not None else ""
    return Unclear(f"{what}: the rail answered {answer.status}{pause}", wish)


def unreadable(what: str, answer: Answer, error: Malformed) -> Unclear:
    """What to raise for an answer with the right status and the wrong content."""
    return Unclear(f"{what}: the rail answered {answer.status}, but {error}")


def _retry_after(answer: Answer) -> int | None:
    """Seconds. The other form, a date, needs both clocks to agree: it counts as not said."""
    value = answer.headers.get("retry-after", "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 7 else None


def _checked(base_url: str, loopback: bool) -> tuple[str, str, int | None, str]:
    """Scheme, host, port and path prefix of a rail's address."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused(UNREADABLE) from None
    # A % is an escape or the zone of a link-local address: the socket would read it otherwise than we do.
    if parts.scheme not in ("http", "https") or not host or "%" in host:
        raise Refused("WEEKCLOSE_RAIL_URL is no web address: write https://host/path")
    if parts.username is not None or parts.query or parts.fragment:
        raise Refused("WEEKCLOSE_RAIL_URL is https://host/path alone: a key goes into WEEKCLOSE_RAIL_KEY")
    addresses = _addresses(host, port)
    if any(_never_a_rail(address) for address in addresses):
        raise Refused(f"WEEKCLOSE_RAIL_URL: {host} is an address that no rail has")
    local = [address.is_loopback for address in addresses] or [host == "localhost"]
    if any(local) and not loopback:
        raise Refused(f"WEEKCLOSE_RAIL_URL: {host} is this machine; WEEKCLOSE_LOOPBACK_RAIL=1 allows it")
    if parts.scheme == "http" and not all(local):
        raise Refused(f"WEEKCLOSE_RAIL_URL: money goes to {host} over https only")
    return parts.scheme, host, port, parts.path.rstrip("/")


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _addresses(host: str, port: int | None) -> list[_Address]:
    """What the host's name stands for now; none for a name that cannot be resolved."""
    try:
        found = socket.getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    addresses: list[_Address] = []
    for *_, place in found:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        addresses.append(getattr(address, "ipv4_mapped", None) or address)
    return addresses


def _never_a_rail(address: _Address) -> bool:
    return address.is_link_local or address.is_unspecified or address.is_multicast
