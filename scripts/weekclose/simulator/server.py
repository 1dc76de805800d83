"""The simulated rail's HTTP: a thread for each connection, which it can hold, break off and reset."""

import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from weekclose.simulator.faults import Fault
from weekclose.simulator.protocols import Reply, Request
from weekclose.simulator.rail import PATIENCE_SECONDS, Plan, SimulatedRail

MAX_BODY_BYTES = 64 * 1024 * 1024


class Simulator:
    """A rail on loopback: `with Simulator(record_file, Plan()) as simulator: ... simulator.url`."""

    def __init__(self, record: Path, plan: Plan = Plan(), port: int = 0) -> None:  # noqa: B008, it is frozen
        self.rail = SimulatedRail(record, plan)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.rail = self.rail
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, `http://127.0.0.1:PORT`; halfin's address ends in /api."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def rail_url(self, protocol: str) -> str:
        """What WEEKCLOSE_RAIL_URL is for a protocol."""
        return self.url + ("/api" if protocol == "halfin" else "")

    def start(self) -> Self:
        self.rail.start()
        self._thread.start()
        return self

    def stop(self) -> None:
        self.rail.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.rail.stop()

    __enter__ = start

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # an idle connection keeps nobody from stopping
    request_queue_size = 128
    rail: SimulatedRail

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken connections are this server's trade; a bug of its own is not to be hidden."""
        if not (self.rail.stopping.is_set() or isinstance(sys.exc_info()[1], OSError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = PATIENCE_SECONDS
    # Headers and body in one packet: no waiting for the client's delayed acknowledgement.
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the record tells what happened."""

    def do_GET(self) -> None:
        self._handle(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._send(Reply(411, {"error": {"code": "length", "message": "no length, or too much"}}))
            return
        body = self.rfile.read(int(length))
        if len(body) == int(length):
            self._handle(body)

    def _handle(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request.of(self.command, self.path, headers, body)
        if request.path.startswith("/control/"):
            self._control(request)
            return
        rail = self.server.rail
        where = rail.find(request)
        fault = rail.fault_for(where, request) if where else None
        with rail.inside():
            if fault and self._sinned_before(fault):
                return
            reply = rail.answer(request, fault)
        self._reply(reply, fault)

    def _sinned_before(self, fault: Fault) -> bool:
        """Whether the request ends here, with nothing done."""
        match fault.fault:
            case "reset_before":
                self._reset()
            case "error_before":
                self._send(_failure(fault.status or 500))
            case "busy":
                pause = {"Retry-After": str(int(fault.seconds))}
                self._send(_failure(fault.status or 429, pause))
            case "redirect":
                self._send(_failure(307, {"Location": "http://127.0.0.1:9/elsewhere"}))
            case "late":
                self._wait_until_gone(PATIENCE_SECONDS)
                while fault.wait_for_go and not self.server.rail.stopping.is_set():
                    if self.server.rail.go.wait(0.05):
                        break
                return self.server.rail.stopping.is_set()
            case _:
                return False
        return True

    def _reply(self, reply: Reply, fault: Fault | None) -> None:
        match fault.fault if fault else None:
            case "timeout":
                self._wait_until_gone(fault.seconds if fault else 0)
                self._reset()
            case "reset_after" | "late":
                self._reset()
            case "error_after":
                self._send(_failure((fault.status if fault else None) or 500))
            case "half_answer":
                self._send(reply, half=True)
            case "garbage":
                self._send(Reply(reply.status, "<html>Welcome to the gateway</html>"))
            case _:
                self._send(reply)

    def _send(self, reply: Reply, half: bool = False) -> None:
        text = reply.content if isinstance(reply.content, str) else json.dumps(reply.content)
        content = text.encode()
        self.send_response(reply.status)
        headers: Mapping[str, str] = {"Content-Type": "application/json", **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if half else content)
        self.wfile.flush()
        self.close_connection = self.close_connection or half

    def _reset(self) -> None:
        """Close so that the other side sees a reset and not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def _wait_until_gone(self, seconds: float) -> None:
        """Until the client has closed the connection, or `seconds` are over, or the server stops."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.server.rail.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            try:
                if readable and not self.connection.recv(1, socket.MSG_PEEK):
                    return
            except OSError:
                return

    def _control(self, request: Request) -> None:
        """`GET /control/payments`, or one of the actions."""
        action = request.path.removeprefix("/control/")
        try:
            if request.method == "GET" and action == "payments":
                done: object = [asdict(payment) for payment in self.server.rail.payments()]
            elif request.method == "POST":
                done = self.server.rail.control(action, request.json())
            else:
                raise LookupError(action)
        except (LookupError, ValueError, TypeError) as error:
            self._send(Reply(400, {"error": {"code": "control", "message": str(error)}}))
        else:
            self._send(Reply(200, {"done": done}))


def _failure(status: int, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, {"error": {"code": "simulated", "message": "something went wrong"}}, headers or {})
