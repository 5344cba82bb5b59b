"""A service with one picture, which it makes in two seconds, as often and as fast as requested.

For batches of ten thousand: the emulator paints each picture, which takes longer than everything else.
Run as ``python -m benchmarks.picture_service``; prints its URL.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import re
import time
from email.utils import formatdate

from PIL import Image

LATENCY = 2
"""Seconds from a submission to its picture."""


class Pictures:
    """All generations, with the time of each submission."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._created: dict[str, float] = {}
        picture = io.BytesIO()
        Image.new("RGB", (1024, 1024), "teal").save(picture, "PNG")
        self._picture = picture.getvalue()

    def answer(self, method: str, path: str, url: str) -> tuple[str, bytes]:
        """Return the content type and content of an answer."""
        if path.startswith("/files/"):
            return "image/png", self._picture
        name = path.rpartition("/")[2]
        if method == "POST":
            name = f"task_{next(self._numbers)}"
            self._created[name] = time.time()
        created, now = self._created[name], time.time()
        known = {"id": name, "object": "generation.task", "created_at": int(created), "status": "in_progress"}
        if now >= created + LATENCY:
            times = {"completed_at": int(created) + LATENCY, "expires_at": int(created) + 86_400}
            image = {"url": f"{url}/files/{name}.png"}
            known |= {**times, "status": "completed", "result": {"type": "image", "data": [image]}}
        return "application/json", json.dumps(known).encode()


class Connection(asyncio.Protocol):
    """Just enough HTTP for clients that behave."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection for the answers."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        host, port = transport.get_extra_info("sockname")
        self._url = f"http://{host}:{port}"

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            self._received = rest[size:]
            method, path, _ = head.split(b" ", 2)
            kind, content = self._pictures.answer(method.decode(), path.decode(), self._url)
            lines = [
                "HTTP/1.1 200 OK",
                f"Date: {formatdate(usegmt=True)}",
                f"Content-Type: {kind}",
                f"Content-Length: {len(content)}",
            ]
            self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)


async def serve() -> None:
    """Serve until killed."""
    pictures = Pictures()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(pictures), "127.0.0.1", 0, backlog=8192)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
