"""A service that answers by a script, over a real socket: for replies the emulator never gives."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GENERATION_ID = "task_img_story"
CREATED = {"id": GENERATION_ID, "object": "generation.task", "model": "gpt-image-2", "created_at": 1790000000}


@dataclass
class Answer:
    """One scripted answer: a JSON object, or text as it is."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Script:
    """Answers to submissions and to status queries; the last of each repeats."""

    submit: list[Answer] = field(default_factory=lambda: [Answer({**CREATED, "status": "queued"})])
    status: list[Answer] = field(default_factory=list)
    received: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def next(self, method: str) -> Answer:
        answers = self.submit if method == "POST" else self.status
        return answers.pop(0) if len(answers) > 1 else answers[0]


@contextmanager
def scripted(script: Script) -> Iterator[str]:
    """Serve a script and give its base URL."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                script.received.append((self.command, self.path, dict(self.headers), body))
                answer = script.next(self.command)
            content = (answer.body if isinstance(answer.body, str) else json.dumps(answer.body)).encode()
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
