"""`weekclose webhooks serve`: what a rail tells us is verified, stored, answered and then applied.

An answer of 2xx says that the event is stored, nothing more. Whatever it says is only a hint.
"""

import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import h11
import psycopg
import uvicorn
from anyio import CapacityLimiter, move_on_after, to_thread
from psycopg import Connection
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from weekclose import events
from weekclose.database import open_connection, server
from weekclose.decisions import acts_as
from weekclose.errors import OutcomeUnknown, UsageError, WeekcloseError
from weekclose.migrations import require_migrated
from weekclose.output import say
from weekclose.postgres import EmbeddedPostgres, Server
from weekclose.rails.configured import load_rail_settings, open_rail
from weekclose.rails.protocol import EventMalformed, Rail, SignatureInvalid
from weekclose.settings import Settings

ADDRESS = "127.0.0.1"
PATH = "/webhooks/rail"
# Who books what a webhook said, in the audit log, unless the database knows its login as somebody.
ACTOR = "webhook"

MAX_BODY_BYTES = 64 * 1024
MAX_HEADER_BYTES = 16 * 1024
# Rails wait 10 to 15 seconds for an answer: who takes longer to ask will not hear it.
RECEIVE_SECONDS = 10.0
# How long we listen to who was refused before he had said everything: closed at once, he might not read why.
LINGER_SECONDS = 1.0
STOP_SECONDS = 30
MAX_CONNECTIONS = 500
WORKERS = 8

# What is noted about a request, in its scope.
_NOTE, _REFUSED = "weekclose.note", "weekclose.refused"

Tell = Callable[[str], None]


class Database:
    """Connections for threads. A database that is away is looked for again each time somebody needs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._where: Server | None = None
        self._idle: deque[Connection[Any]] = deque()

    @contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """A connection that answers, closed after an error. Raises psycopg.Error or WeekcloseError."""
        conn = self._take() or self._open()
        try:
            yield conn
        except BaseException:
            conn.close()
            raise
        self._idle.append(conn)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Connection[Any] | None:
        while self._idle:
            try:
                conn = self._idle.pop()
            except IndexError:  # another thread was faster
                return None
            try:
                conn.execute("select")
            except psycopg.Error:
                conn.close()
            else:
                return conn
        return None

    def _open(self) -> Connection[Any]:
        where = self._where or self._find()
        try:
            conn = open_connection(where)
        except psycopg.Error:
            self._where = None
            raise
        try:
            require_migrated(conn)
        except BaseException:
            conn.close()
            raise
        self._where = where
        return conn

    def _find(self) -> Server:
        """An embedded server that somebody has stopped stays stopped."""
        if self._settings.names_a_server:
            return server(self._settings)
        return server(Settings(DATABASE_URL=EmbeddedPostgres(self._settings.home).url))


class Applier:
    """A thread that applies what was stored. What fails waits in the inbox for the next event."""

    def __init__(self, database: Database, tell: Tell) -> None:
        self._database, self._tell = database, tell
        self._news, self._stopping = threading.Event(), False
        self._news.set()  # an earlier server may have had no time to apply what it stored
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def wake(self) -> None:
        self._news.set()

    def stop(self) -> None:
        """Return when what was stored is applied."""
        self._stopping = True
        self.wake()
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            self._news.wait()
            self._news.clear()
            last = self._stopping
            try:
                with self._database.connection() as conn:
                    events.apply(conn, None, acts_as(conn) or ACTOR)
            except Exception as error:
                self._tell(f"events wait in the inbox: {_why(error)}")


class Webhooks:
    """The two routes. Verifying may ask the rail for its certificate: that, too, is done in a thread."""

    def __init__(self, rail: Rail, database: Database, applier: Applier) -> None:
        self._rail, self._database, self._applier = rail, database, applier
        self._workers, self._health_workers = CapacityLimiter(WORKERS), CapacityLimiter(1)

    def routes(self) -> Router:
        routes = [
            Route(PATH, self._rail_event, methods=["POST"]),
            Route("/healthz", self._health, methods=["GET"]),
        ]
        return Router(routes, redirect_slashes=False)

    async def _rail_event(self, request: Request) -> Response:
        length = request.headers.get("content-length")
        if length is None or "transfer-encoding" in request.headers:
            return _answer(request, 411, "no Content-Length")
        if int(length) > MAX_BODY_BYTES:
            return _answer(request, 413, f"more than {MAX_BODY_BYTES} bytes")
        body = await request.body()
        take = partial(self._take, dict(request.headers), body)
        status, note = await to_thread.run_sync(take, limiter=self._workers)
        return _answer(request, status, note)

    def _take(self, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        """The status to answer with, and what to note."""
        try:
            event = self._rail.verify(headers, body)
            with self._database.connection() as conn:
                event_id = events.receive(conn, self._rail, event, body)
        except SignatureInvalid as error:
            return 401, str(error)
        except EventMalformed as error:
            return 422, str(error)
        except OutcomeUnknown as error:
            return 503, str(error)
        except (psycopg.Error, WeekcloseError) as error:
            return 503, _why(error)
        self._applier.wake()
        return 200, f"event {event_id}" if event_id is not None else "known"

    async def _health(self, request: Request) -> Response:
        try:
            waiting = await to_thread.run_sync(self._waiting_count, limiter=self._health_workers)
        except (psycopg.Error, WeekcloseError) as error:
            return _answer(request, 503, _why(error))
        return JSONResponse({"status": "ok", "waiting": waiting})

    def _waiting_count(self) -> int:
        with self._database.connection() as conn:
            return events.waiting_count(conn)


class Door:
    """Around the routes: one request for each connection, one line for each request, no traceback."""

    def __init__(self, inside: ASGIApp, tell: Tell) -> None:
        self._inside, self.tell = inside, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _Visit(receive, send)
        try:
            await self._inside(scope, visit.receive, visit.send)
        except ClientDisconnect:
            scope.setdefault(_NOTE, "the sender went away")
        except Exception as error:
            scope[_NOTE] = _why(error)
            if visit.status is None:
                await JSONResponse({"status": "Failed"}, 500)(scope, visit.receive, visit.send)
        path = scope["raw_path"].decode("ascii", "replace")[:80]
        status = visit.status or scope.get(_REFUSED, "-")
        note = f" ({scope[_NOTE]})" if _NOTE in scope else ""
        self.tell(f"{scope['method'][:10]} {path} {status}{note}")


class _Visit:
    """A request on its way through the door. The end of its answer waits until the sender has said what he
    has to say, or for LINGER_SECONDS."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._said_all = False
        self.status: int | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        self._said_all = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        elif not message.get("more_body", False) and not self._said_all:
            await self._send({**message, "more_body": True})
            with move_on_after(LINGER_SECONDS):
                while not self._said_all:
                    await self.receive()
            message = {"type": "http.response.body"}
        await self._send(message)


class Doorkeeper(H11Protocol):
    """A connection brings its one request within RECEIVE_SECONDS, or it ends."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(RECEIVE_SECONDS, self._refuse, 408, "too slow")
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, "too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Who has said everything still listens; who has not hears that it was too little."""
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self.transport.close()  # he only looked in
        else:
            self._refuse(400, "incomplete")
        return True

    def send_400_response(self, msg: str) -> None:
        self._end(400, "no HTTP")

    def _refuse(self, status: int, note: str) -> None:
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._end(status, note)

    def _end(self, status: int, note: str) -> None:
        """Answer past the routes, unless they have begun to, and close."""
        if self.transport.is_closing():
            return
        if self.cycle is None:
            cast(Door, self.config.app).tell(f"- - {status} ({note})")
        else:
            # The line of a request that is under way is the door's to write.
            cast("dict[str, Any]", self.scope).update({_REFUSED: status, _NOTE: note})
        if self.cycle is None or not self.cycle.response_started:
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
            self.transport.write(f"{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        self.transport.close()


def serve(settings: Settings, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight and apply what was stored.

    Raises UsageError without a rail or a webhook secret, WeekcloseError when the database is there and not
    migrated. A database that is away is waited for: until then every answer is 503.
    """
    rail_settings = load_rail_settings()
    if not rail_settings.secrets:
        raise UsageError("set WEEKCLOSE_WEBHOOK_SECRETS: without a secret no webhook can be verified")
    with _opened(open_rail(rail_settings), settings, port, say) as (running, listener):

        def stop(*_: object) -> None:
            running.should_exit = True

        # Uvicorn raises the signal once more when it is done: to stop was not to fail.
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, stop)
        say(f"webhooks are taken at {PATH}; Ctrl-C stops it")
        print(_url(listener), flush=True)
        running.run(sockets=[listener])


@contextmanager
def listening(rail: Rail, settings: Settings, tell: Tell = say) -> Iterator[str]:
    """As `serve`, in a thread: gives the address of the webhooks; at the end all of them are applied."""
    with _opened(rail, settings, 0, tell) as (running, listener):
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield _url(listener) + PATH
        finally:
            running.should_exit = True
            thread.join()


@contextmanager
def _opened(
    rail: Rail, settings: Settings, port: int, tell: Tell
) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    if not settings.names_a_server:
        server(settings)
    database = Database(settings)
    try:
        with database.connection():
            pass
    except psycopg.Error as error:
        tell(f"{_why(error)}: until it is there, every answer is 503")
    with socket.create_server((ADDRESS, port)) as listener:
        applier = Applier(database, tell)
        try:
            door = Door(Webhooks(rail, database, applier).routes(), tell)
            yield uvicorn.Server(_configuration(door)), listener
        finally:
            applier.stop()
            database.close()


def _configuration(door: Door) -> uvicorn.Config:
    return uvicorn.Config(
        door,
        http=Doorkeeper,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


def _answer(request: Request, status: int, note: str) -> Response:
    request.scope[_NOTE] = note
    return JSONResponse({"status": HTTPStatus(status).phrase}, status)


def _why(error: Exception) -> str:
    """In one line and without what others sent: a database's own words may quote it."""
    if isinstance(error, psycopg.OperationalError):
        return f"the database does not answer ({error.sqlstate or 'no connection'})"
    if isinstance(error, psycopg.Error):
        return f"the database refuses ({error.sqlstate or type(error).__name__})"
    return str(error) if isinstance(error, WeekcloseError) else type(error).__name__
