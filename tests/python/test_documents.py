"""Proof files: three formats by their bytes, whole and within 10 MB; anything else ends in one line."""

import os
import socket
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg import Connection

from sample_documents import jpeg, pdf, png
from weekclose.documents import FORMATS, LARGEST, read_document, store_document
from weekclose.errors import UsageError

MAKERS = {"application/pdf": pdf, "image/png": png, "image/jpeg": jpeg}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """The one line that refuses a file."""
    with pytest.raises(UsageError) as caught:
        read_document(path)
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize(("media_type", "make"), MAKERS.items())
def test_a_proof_is_what_its_bytes_say(tmp_path: Path, media_type: str, make: Callable[[str], bytes]) -> None:
    content = make("a transfer")
    for name in ("proof", "proof.exe", "proof.pdf", "..png", "=cmd|' calc'!A0"):
        document = read_document(write(tmp_path / name, content))
        assert (document.media_type, document.content) == (media_type, content)
        assert document.sha256 == sha256(content).hexdigest()
    assert make("another") != content


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        (b"PK\x03\x04" + pdf("inside"), "is a ZIP archive"),
        (b"MZ\x90\0" + b"\0" * 2000, "is a program"),
        (b"\x7fELF\x02\x01\x01" + pdf("inside"), "is a program"),
        (b"#!/bin/sh\nexit 0\n", "is a program"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "is SVG, HTML"),
        (b'\xef\xbb\xbf\r\n <?xml version="1.0"?><svg/>', "is SVG, HTML"),
        (b"<!DOCTYPE html><title>Paid</title>", "is SVG, HTML"),
        (b"GIF89a" + b"\0" * 100, "is no PDF, PNG or JPEG"),
        (b"paid, I promise", "is no PDF, PNG or JPEG"),
        (b" " + pdf("not at the start"), "is no PDF, PNG or JPEG"),
        (png("no header chunk").replace(b"IHDR", b"JHDR"), "is no PDF, PNG or JPEG"),
        (pdf("cut off")[:-7], "begins like a PDF but does not end like one"),
        (pdf("followed by too much") + b"\n" * 1024, "begins like a PDF but does not end like one"),
        (png("cut off")[:-1], "begins like a PNG but does not end like one"),
        (png("followed by a program") + b"MZ\x90\0", "begins like a PNG but does not end like one"),
        (jpeg("cut off")[:-1], "begins like a JPEG but does not end like one"),
        # The end mark must not be part of the beginning.
        (b"\xff\xd8\xff\xd9", "begins like a JPEG but does not end like one"),
    ],
)
def test_what_is_no_whole_proof_is_refused_by_name_and_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = write(tmp_path / "proof.pdf", content)
    message = refusal(path)
    assert message.startswith(f"{path} {reason}")


@pytest.mark.parametrize("make", MAKERS.values())
def test_no_part_of_a_proof_is_a_proof(tmp_path: Path, make: Callable[[str], bytes]) -> None:
    content, path = make("a transfer"), tmp_path / "proof"
    for length in range(len(content)):
        write(path, content[:length])
        # A PDF's last line may lack its end, and nothing else.
        if content[:length] + b"\n" == content:
            assert read_document(path).content == content[:length]
        else:
            refusal(path)


@example(b"")
@given(st.one_of(st.binary(), *(st.binary().map(known.begins.__add__) for known in FORMATS)))
def test_any_bytes_are_a_proof_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = write(Path(directory) / "proof", content)
        try:
            document = read_document(path)
        except UsageError as error:
            assert str(error).isprintable()
        else:
            assert document.content == content
            [known] = [each for each in FORMATS if each.media_type == document.media_type]
            assert content.startswith(known.begins)
            assert known.ends in content[-known.within :]


def test_10_mb_are_read_and_not_a_byte_more(tmp_path: Path) -> None:
    path, start, end = tmp_path / "proof.pdf", pdf("large"), b"\n%%EOF\n"
    write(path, start + b"\0" * (LARGEST - len(start) - len(end)) + end)
    document = read_document(path)
    assert len(document.content) == LARGEST == 10 * 1024 * 1024
    assert document.sha256 == sha256(path.read_bytes()).hexdigest()

    for size in (LARGEST + 1, 11 * 1024 * 1024, 1 << 40):
        # A file of holes: its size is real, and reading a terabyte would take hours.
        write(path, start)
        os.truncate(path, size)
        assert refusal(path) == f"{path} is larger than 10 MB: give a smaller copy of the proof"


def test_only_regular_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe or a device" in refusal(tmp_path / "pipe")
    assert "is a pipe or a device" in refusal(Path("/dev/zero"))
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/socket")
        assert "cannot be read" in refusal(Path(directory) / "socket")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "missing.pdf")
    assert "cannot be read: Not a directory" in refusal(write(tmp_path / "file", b"") / "inside.pdf")
    assert "cannot be read: File name too long" in refusal(tmp_path / ("x" * 300))
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read: Too many levels" in refusal(tmp_path / "loop")
    # A file that opens and then fails.
    assert "cannot be read" in refusal(Path("/proc/self/mem"))


@pytest.mark.parametrize(
    "name",
    ["two\nlines.pdf", "\x1b[31mred.pdf", "\u202efdp.exe", os.fsdecode(b"not utf-8 \xff.pdf"), "x" * 200],
)
def test_a_name_is_printed_harmlessly_and_means_nothing(tmp_path: Path, name: str) -> None:
    refusal(write(tmp_path / name, b""))
    assert read_document(write(tmp_path / name, pdf("named oddly"))).media_type == "application/pdf"


def test_the_same_bytes_are_stored_once(conn: Connection[Any], tmp_path: Path) -> None:
    contents = [make(text) for make in MAKERS.values() for text in ("first", "second")]
    for number, content in enumerate([*contents, *contents]):
        store_document(conn, read_document(write(tmp_path / f"{number}", content)), "tester")
    # What the database names them by is computed there.
    stored = conn.execute("select sha256, media_type, content, stored_by from payouts.documents").fetchall()
    assert sorted(stored) == sorted(
        (sha256(content).hexdigest(), media_type, content, "tester")
        for media_type, make in MAKERS.items()
        for content in (make("first"), make("second"))
    )
