"""Where no money goes: addresses that are no rail's, however they are written, and where a rail points."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from catalogue import Reached
from weekclose.errors import Refused
from weekclose.rails.protocol import Unclear
from weekclose.rails.transport import Transport

pytestmark = pytest.mark.catalogue(18)

# This machine, as people and attackers write it: allowed by the switch alone.
HERE = (
    "https://127.0.0.1",
    "https://127.0.0.1:8443/v1",
    "https://127.255.255.254",
    "https://127.1",
    "https://2130706433",
    "https://0x7f000001",
    "https://0x7f.0.0.1",
    "https://0177.0.0.1",
    "https://127.0.0.1\t",
    "https://localhost",
    "https://LOCALHOST:8443",
    "https://[::1]:8443",
    "https://[0:0:0:0:0:0:0:1]",
    "https://[::ffff:127.0.0.1]",
    "https://[::ffff:7f00:1]",
    "http://127.0.0.1:8080",
    "http://[::1]",
)
# Nobody's rail, switch or not.
NOWHERE = (
    "https://169.254.169.254/latest/meta-data",
    "https://2852039166",
    "https://0xa9fea9fe",
    "https://0251.0376.0251.0376",
    "https://[fe80::1]",
    "https://[fe80::1%25lo]",
    "https://[fe80::1%lo]",
    "https://127%2e0%2e0%2e1",
    "https://rail.example.com%00.127.0.0.1",
    "https://[::ffff:169.254.169.254]",
    "https://0.0.0.0",
    "https://0",
    "https://[::]",
    "https://224.0.0.1",
    "https://[ff02::1]",
    "http://rail.example.com",
    "http://10.0.0.7",
    "http://[64:ff9b::7f00:1]",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "ftp://127.0.0.1",
    "gopher://127.0.0.1:25",
    "unix:///var/run/docker.sock",
    "data:,canary",
    "javascript:canary",
    "//rail.example.com",
    "rail.example.com",
    "127.0.0.1:80",
    "https://",
    "https:///v1",
    "https://[",
    "https://[::1",
    "https://127\u30020\u30020\u30021",
    "https://\u2460.example.com:443",
    "https://rail.example.com:99999",
    "https://rail.example.com:canary",
    "https://user:canary@127.0.0.1",
    "https://rail.example.com@127.0.0.1",
    "https://rail.example.com\\\\@127.0.0.1",
    "https://127.0.0.1/?key=canary",
    "https://127.0.0.1/#canary",
    "",
    " ",
)
# What a name may stand for, whether the switch is on, and which schemes are taken.
NAMES = (
    (("127.0.0.1",), False, ()),
    (("127.0.0.1",), True, ("http", "https")),
    (("::1", "127.0.0.1"), True, ("http", "https")),
    (("203.0.113.7", "127.0.0.1"), False, ()),
    # In clear only to this machine: the next look-up may name the other one first.
    (("203.0.113.7", "127.0.0.1"), True, ("https",)),
    (("169.254.169.254",), True, ()),
    (("203.0.113.7", "169.254.169.254"), True, ()),
    (("fe80::1%eth0",), True, ()),
    (("::ffff:127.0.0.1",), False, ()),
    (("0.0.0.0",), True, ()),
    # A gateway of one's own house is one.
    (("10.0.0.7",), False, ("https",)),
    (("fd00::7",), False, ("https",)),
    (("203.0.113.7",), False, ("https",)),
    ((), False, ("https",)),
)


def is_taken(url: str, *, loopback: bool) -> bool:
    try:
        Transport(url, loopback=loopback)
    except Refused as refused:
        assert "canary" not in str(refused)
        assert str(refused).startswith("WEEKCLOSE_RAIL_URL")
        return False
    return True


def test_an_address_that_is_no_rail_is_refused(reached: Reached) -> None:
    assert [url for url in (*HERE, *NOWHERE) if is_taken(url, loopback=False)] == []
    assert [url for url in NOWHERE if is_taken(url, loopback=True)] == []
    assert [url for url in HERE if not is_taken(url, loopback=True)] == []
    reached(18, "addresses refused", len(HERE) + len(NOWHERE))


@pytest.mark.parametrize(("addresses", "loopback", "schemes"), NAMES)
def test_a_name_is_what_it_stands_for(
    monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...], loopback: bool, schemes: tuple[str, ...]
) -> None:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    taken = [each for each in ("http", "https") if is_taken(f"{each}://rail.example.com", loopback=loopback)]
    assert taken == list(schemes)


class Redirecting(BaseHTTPRequestHandler):
    """Answers a request for /307 with that status and another place; notes what it was asked."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(int(self.path.removeprefix("/v1/")))
        self.send_header("Location", "/v1/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def redirecting() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    asked: list[tuple[str, str]] = []
    handler = type("Noting", (Redirecting,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
        server.shutdown()
        thread.join()


def test_no_redirect_is_followed(redirecting: tuple[str, list[tuple[str, str]]], reached: Reached) -> None:
    """Not even to the same host: whoever can answer for the rail could ask for a payout anywhere."""
    url, asked = redirecting
    rail = Transport(url, loopback=True)
    statuses = (300, 301, 302, 303, 304, 305, 307, 308, 399)
    for status in statuses:
        with pytest.raises(Unclear, match=r"redirects GET .* not followed"):
            rail.get(f"/{status}", {})
        with pytest.raises(Unclear, match=r"redirects POST .* not followed"):
            rail.post(f"/{status}", {}, b"{}")
    assert asked == [(method, f"/v1/{status}") for status in statuses for method in ("GET", "POST")]
    reached(18, "redirects not followed", len(asked))
