"""Who is told: a receiver of webhooks and a mail server, on loopback, that misbehave when they are to."""

import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from weekclose.rails.signatures import verify_standard

SECRET = "whsec_d2Vla2Nsb3NlLXRlc3Qtb3V0Ym94"


@dataclass(frozen=True)
class Delivery:
    """One POST as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        """The signed id. Raises SignatureInvalid."""
        message_id, _ = verify_standard([SECRET], self.headers, self.body, datetime.now(UTC))
        return message_id


# What a receiver answers to a delivery: a status, or None for nothing at all.
Answer = Callable[[Delivery], int | None]


@dataclass
class Receiver:
    """Takes every POST, and answers as it is told to."""

    url: str = ""
    answer: Answer = field(default=lambda delivery: 204)
    deliveries: list[Delivery] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    it = Receiver()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            delivery = Delivery({name.lower(): value for name, value in self.headers.items()}, body)
            it.deliveries.append(delivery)
            status = it.answer(delivery)
            if status is None:
                ended.wait(60)
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    it.url = f"http://127.0.0.1:{server.server_address[1]}/hook/canary"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield it
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


@dataclass
class MailServer:
    """Takes mail; refuses recipients of `refused` and logins other than `login`."""

    port: int = 0
    login: str | None = None
    refused: set[str] = field(default_factory=set)
    mails: list[tuple[str, EmailMessage]] = field(default_factory=list)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    it = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 here")
            recipient = ""
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                word, _, rest = line.partition(" ")
                match word.upper():
                    case "EHLO":
                        self.say("250-here")
                        self.say("250 AUTH PLAIN")
                    case "AUTH":
                        self.say("235 welcome" if rest == f"PLAIN {it.login}" else f"535 not {rest}")
                    case "RCPT":
                        recipient = rest.partition("<")[2].partition(">")[0]
                        self.say("550 nobody" if recipient in it.refused else "250 fine")
                    case "DATA":
                        self.say("354 go on")
                        text = b""
                        while (part := self.rfile.readline()) != b".\r\n":
                            text += part
                        mail = message_from_bytes(text, policy=policy.default)
                        assert isinstance(mail, EmailMessage)
                        it.mails.append((recipient, mail))
                        self.say("250 taken")
                    case "QUIT":
                        self.say("221 bye")
                        return
                    case _:
                        self.say("250 fine")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        it.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield it
        finally:
            server.shutdown()
