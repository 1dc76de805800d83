"""Proof files: a PDF, PNG or JPEG by its own bytes, or one line that says what it is instead.

A file's name means nothing here: it is printed in that line, and never kept.
"""

import os
import stat
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from psycopg import Connection

from weekclose.errors import UsageError
from weekclose.feeds import Fault, printable
from weekclose.refusals import refusals

LARGEST = 10 * 1024 * 1024
CHUNK = 1 << 20
LONGEST_NAME = 1_000
WANTED = "give the proof as a PDF, PNG or JPEG file"


@dataclass(frozen=True)
class Document:
    """A proof: `sha256`, in lower-case hex, names its content; `media_type` is what its bytes say it is."""

    sha256: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class _Format:
    """How a whole file begins, and what stands `within` that many bytes of its end."""

    name: str
    media_type: str
    begins: bytes
    ends: bytes
    within: int

    def is_whole(self, content: bytes) -> bool:
        return self.ends in content[max(len(self.begins), len(content) - self.within) :]


FORMATS = (
    # Readers look for a PDF's end mark in its last 1024 bytes, because mail programs add some.
    _Format("PDF", "application/pdf", b"%PDF-", b"%%EOF", 1024),
    _Format("PNG", "image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0\0\0IEND\xaeB`\x82", 12),
    _Format("JPEG", "image/jpeg", b"\xff\xd8\xff", b"\xff\xd9", 2),
)

# What people take for a proof, and others hope that we do.
OTHERS = (
    (b"PK", "is a ZIP archive or an Office file"),
    (b"MZ", "is a program"),
    (b"\x7fELF", "is a program"),
    (b"#!", "is a program"),
    (b"<", "is SVG, HTML or other markup"),
)


def read_document(path: Path) -> Document:
    """The proof in a file of at most 10 MB (10 * 1024 * 1024 bytes). Never waits for a pipe or a device.

    Raises UsageError for what cannot be read, is no regular file, is none of the three formats or is cut off.
    """
    try:
        content, digest = _read(path)
        return Document(digest, _format_of(content).media_type, content)
    except Fault as fault:
        raise UsageError(f"{printable(str(path), LONGEST_NAME)} {fault}") from None
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise UsageError(f"{printable(str(path), LONGEST_NAME)} {reason}; {WANTED}") from error


def store_document(conn: Connection[Any], document: Document, actor: str) -> None:
    """Keep a proof in the database, once however often it comes. Raises Refused as the database does."""
    with conn.transaction(), refusals():
        conn.execute(
            "select payouts.store_document(%b, %s, %s)", (document.content, document.media_type, actor)
        )


def _read(path: Path) -> tuple[bytes, str]:
    """A file's bytes and their sha256, read no further than one byte past the limit."""
    # Without O_NONBLOCK a pipe would be waited for until somebody writes to it.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            what = "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
            raise Fault(f"is {what}: {WANTED}")
        content, digest = bytearray(), sha256()
        while chunk := os.read(file, min(CHUNK, LARGEST + 1 - len(content))):
            content += chunk
            digest.update(chunk)
    finally:
        os.close(file)
    if len(content) > LARGEST:
        raise Fault(f"is larger than {LARGEST >> 20} MB: give a smaller copy of the proof")
    return bytes(content), digest.hexdigest()


def _format_of(content: bytes) -> _Format:
    """Which of the formats it is, whole. Raises Fault."""
    if not content:
        raise Fault(f"is empty (0 bytes): {WANTED}")
    for known in FORMATS:
        if content.startswith(known.begins):
            if known.is_whole(content):
                return known
            raise Fault(f"begins like a {known.name} but does not end like one: get or save it again, whole")
    begins = content[:CHUNK].removeprefix(b"\xef\xbb\xbf").lstrip()
    what = next((what for mark, what in OTHERS if begins.startswith(mark)), "is no PDF, PNG or JPEG")
    raise Fault(f"{what}, whatever its name says: {WANTED}")
