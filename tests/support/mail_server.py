"""A mail server on a socket, which keeps what it is sent."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from email.message import EmailMessage
from typing import Any, cast


class MailServer:
    """Context manager: speaks as much SMTP as it takes, on a free port of this machine."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> MailServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> Any:
        kept = self.messages

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 ready\r\n")
                while line := self.rfile.readline():
                    if line.upper().startswith(b"QUIT"):
                        self.wfile.write(b"221 bye\r\n")
                        return
                    if line.upper().startswith(b"DATA"):
                        self.wfile.write(b"354 go on\r\n")
                        lines = []
                        while (line := self.rfile.readline()) not in (b".\r\n", b""):
                            lines.append(line)
                        message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                        kept.append(cast("EmailMessage", message))
                    self.wfile.write(b"250 ok\r\n")

        return Handler


def text_of(message: EmailMessage) -> str:
    """Return the body of a message."""
    body = message.get_body(("html", "plain"))
    assert body is not None
    return str(body.get_content())
