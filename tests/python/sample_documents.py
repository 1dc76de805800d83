"""Small files that any viewer opens, one for each text: to prove payments with, in tests."""

import struct
import zlib


def pdf(text: str) -> bytes:
    """A page that shows the text (Latin-1)."""
    shown = b"BT /F 12 Tf 20 100 Td <%s> Tj ET" % text.encode("latin-1").hex().encode()
    bodies = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] /Contents 4 0 R"
        b" /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >> stream\n%s\nendstream" % (len(shown), shown),
    )
    written, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, start=1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(bodies) + 1
    return b"%sxref\n0 %d\n0000000000 65535 f \n%s" % (
        written,
        count,
        table,
    ) + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(written))


def png(text: str) -> bytes:
    """A grey pixel with the text (Latin-1) as its comment."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    comment = b"Comment\0" + text.encode("latin-1")
    pixel = zlib.compress(b"\0\x80")
    chunks = ((b"IHDR", header), (b"tEXt", comment), (b"IDAT", pixel), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def jpeg(text: str) -> bytes:
    """A grey pixel with the text as its comment."""
    one_code = bytes([1] + [0] * 15) + b"\0"
    segments = (
        (0xFE, text.encode()),
        (0xDB, b"\0" + b"\1" * 64),
        (0xC0, b"\x08\0\1\0\1\1\1\x11\0"),
        (0xC4, b"\0" + one_code),
        (0xC4, b"\x10" + one_code),
        (0xDA, b"\1\1\0\0\x3f\0"),
    )
    written = b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in segments)
    return b"\xff\xd8" + written + b"\x3f\xff\xd9"


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
