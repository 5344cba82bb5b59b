"""What a hostile service may answer, by name."""

from __future__ import annotations

import functools
import json
import zlib

from tests.support.raw_service import Behaviour, repeats, says

RUNNING = {"id": "task_1", "status": "in_progress"}
COMPLETED = {"id": "task_1", "status": "completed", "result": {"data": [{"url": "https://x.example/1.png"}]}}
INJECTION = "oops\r\n[2026-01-01] INFO - Paid.\x1b[2J\x1b]0;title\x07\x00\u2028\u202e\u0085\x9b31m\u200b"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BLOCK = b"x" * 65_536
HEADER = b"X-A: " + b"x" * 1_000 + b"\r\n"


def answer(body: object = b"", *headers: str, status: str = "200 OK", length: object = None) -> bytes:
    """Return the bytes of an answer; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    announced = f"Content-Length: {len(content) if length is None else length}"
    head = "\r\n".join([f"HTTP/1.1 {status}", announced, *headers, "", ""])
    return head.encode("latin-1") + content


def drips(start: bytes, part: bytes = b" ", pause: float = 0.05) -> Behaviour:
    """Return a behaviour that always says a little more, within the pause that a read allows."""
    return repeats(start, part, pause)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"1" + b"]" * depth


@functools.cache
def bomb(size: int = 200 * 2**20) -> bytes:
    """Return gzip that unfolds to so many zeros."""
    gzip = zlib.compressobj(wbits=31)
    return b"".join(gzip.compress(bytes(2**20)) for _ in range(size // 2**20)) + gzip.flush()


def explodes(*headers: str) -> Behaviour:
    return lambda connection: connection.sendall(answer(bomb(), *headers))


FLOODS: dict[str, Behaviour] = {
    "a gigabyte is announced and sent": repeats(answer(length=10**9), BLOCK),
    "chunks without end": repeats(CHUNKED, chunk(BLOCK)),
    "a body without end or length": repeats(OK + b"\r\n", BLOCK),
    "an error without end": repeats(
        answer(status="500 Oops", length=10**12), b'{"error":{"message":"' + BLOCK
    ),
    "headers without end": repeats(OK, HEADER),
    "one header without end": repeats(OK + b"X-A: ", BLOCK),
    "a status line without end": repeats(b"HTTP/1.1 200 ", BLOCK),
    "trailers without end": repeats(CHUNKED + b"0\r\n", HEADER),
    "a chunk's length without end": repeats(CHUNKED, b"f" * 65_536),
    "100 Continue without end": repeats(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
    "103 Early Hints without end": repeats(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 500),
    "a gzip bomb": explodes("Content-Encoding: gzip"),
    "a gzip bomb behind another encoding": explodes("Content-Encoding: identity", "Content-Encoding: gzip"),
    "a gzip bomb as transfer encoding": explodes("Transfer-Encoding: gzip"),
    "300,000 lists": says(answer(b'{"id": [' + b",".join([b"[]"] * 300_000) + b"]}")),
    "80,000 keys": says(answer(b"{" + b",".join(b'"%x":{}' % number for number in range(80_000)) + b"}")),
}
"""More than a machine can hold, or enough to keep it busy for ever."""

DRIPS: dict[str, Behaviour] = {
    "nothing at all": repeats(b"", b"", pause=0.05),
    "a status line, byte by byte": drips(b"HTTP/1.1 2", b"0"),
    "headers, one at a time": drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "a body, byte by byte": drips(answer(length=10**6)),
    "chunks, byte by byte": drips(CHUNKED, chunk(b" ")),
    "a chunk's length, digit by digit": drips(CHUNKED, b"0", pause=0.2),
    "100 Continue, now and then": drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "an error, byte by byte": drips(answer(b'{"error":', status="500 Oops", length=10**6)),
    "a complete body, and the rest of it": drips(answer(COMPLETED, length=10**6)),
}
"""Always a little more, within any pause that a read allows."""


ODDITIES: dict[str, Behaviour] = {
    "it hangs up": says(b""),
    "no HTTP": says(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "binary": says(bytes(range(256)) * 100),
    "HTTP/0.9": says(b"<html>hello</html>"),
    "HTTP/1.0 in pieces": says(b'HTTP/1.0 200 OK\r\n\r\n{"id": "task_1", '),
    "HTTP/2 unasked": says(b"HTTP/2 200\r\n\r\n{}"),
    "HTTP/9.9": says(b"HTTP/9.9 200 OK\r\n\r\n{}"),
    **{
        f"status {status}": says(answer({"error": {"message": "odd"}}, status=f"{status} Odd"))
        for status in (100, 101, 199, 204, 304, 305, 418, 499, 599, 600, 999)
    },
    **{
        f"status {status!r}": says(answer(status=status))
        for status in ("099 X", "1000 X", "-1 X", "2OO OK", "")
    },
    **{
        f"length {length}": says(answer(RUNNING, length=length))
        for length in (-1, "+40", "0x20", "40, 41", "4e1", 10**30, "")
    },
    "two lengths": says(answer(RUNNING, "Content-Length: 7")),
    "length and chunks": says(answer(RUNNING, "Transfer-Encoding: chunked")),
    "less than announced": says(answer(RUNNING, length=4_000)),
    "chunk of no length": says(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunk of negative length": says(CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n"),
    "chunk of endless length": says(CHUNKED + b"f" * 200_000),
    "chunk longer than it says": says(CHUNKED + b"1\r\n{}{}{}\r\n0\r\n\r\n"),
    "unknown transfer encoding": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: dance\r\n\r\n{}"),
    "ten thousand headers": says(answer(b"{", *("a:b" for _ in range(10_000)))),
    "ten thousand cookies": says(answer(b"{", *(f"Set-Cookie: c{i}=v" for i in range(4_000)))),
    "header without a name": says(answer(RUNNING, ": nameless")),
    "header with a NUL": says(answer(RUNNING, "X-A: a\x00b")),
    "folded header": says(answer(b"{", "X-A: a", " b")),
    "header in Latin-1": says(
        answer(b"{", "X-A: \xe9\xff", "Location: \xe9", "Date: \xe9", "Retry-After: \xe9")
    ),
    "unknown charset": says(answer(b"{", "Content-Type: application/json; charset=../../x")),
    "unknown content encoding": says(answer(b"{", "Content-Encoding: br, zstd, \x1b[2J")),
    "invalid UTF-8": says(answer(b'{"id": "\xff\xfe\xfa"}')),
    "UTF-16": says(answer('{"id": ["task_1"]}'.encode("utf-16"))),
    "UTF-16 without its end": says(answer(b"\xff\xfe\x00")),
    "half a surrogate pair": says(answer(b'{"id": "\\ud800"}')),
    "a number of 5,000 digits": says(answer(b'{"id": ' + b"9" * 5_000 + b"}")),
    "NaN and Infinity": says(answer(b'{"id": NaN, "status": Infinity, "created_at": -Infinity}')),
    "deep lists": says(answer(nested(500_000))),
    "an open end of depth": says(answer(b'{"a":' * 500_000)),
    **{f"depth {depth}": says(answer(b'{"id":' + nested(depth) + b"}")) for depth in range(850, 1_000, 30)},
    "an id of a megabyte": says(answer({"id": "x" * 2**20, "status": "queued"})),
    "an id with a line break": says(answer({"id": "task_1\r\nX-Injected: 1", "status": "queued"})),
    "an id with escapes": says(answer({"id": INJECTION, "status": "queued"})),
    "a redirect to itself": says(answer(b"", "Location: ?", status="302 Found")),
    "a redirect to nowhere": says(answer(b"", f"Location: //[::{'x' * 50_000}", status="307 Go")),
    "a redirect to a file": says(answer(b"", "Location: file:///etc/passwd", status="301 Go")),
    "an error with escapes": says(
        answer({"error": {"message": INJECTION * 1_000, "code": INJECTION}}, status="400 \x1b[2J")
    ),
    "an error as deep JSON": says(answer(b'{"error":' + nested(900) + b"}", status="500 Oops")),
}
"""Answers that no service of sound mind gives; each is an error."""

DATES = {
    f"date {date!r}": says(answer(RUNNING, f"Date: {date}"))
    for date in (
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 99999 23:59:59 GMT",
        "Mon, 99 Foo -001 99:99:99 +9999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "NaN",
        "1" * 5_000,
    )
}
TIMES = {
    f"created_at {time!r:.20}": says(
        answer({**RUNNING, "created_at": time, "completed_at": time, "expires_at": time})
    )
    for time in (-1, 1, 253_402_300_799, 10**12, 10**400, 1e308, -1e308, "soon", "1e9", "٣", [], {}, True)
} | {
    f"created_at {time}": says(answer(b'{"id": "task_1", "status": "in_progress", "created_at": %s}' % time))
    for time in (b"NaN", b"Infinity", b"1e999", b"-0.0")
}
TOLERABLE: dict[str, Behaviour] = {
    **DATES,
    **TIMES,
    "an unknown status with escapes": says(answer({**RUNNING, "status": INJECTION * 1_000})),
    "a model with escapes": says(answer({**RUNNING, "model": INJECTION, "client_business_id": INJECTION})),
    "HTTP/1.0": says(b'HTTP/1.0 200 OK\r\n\r\n{"id": "task_1", "status": "queued"}'),
    "twice the same length": says(answer(RUNNING, f"Content-Length: {len(json.dumps(RUNNING))}")),
}
"""Odd, but it says that the generation is running."""
