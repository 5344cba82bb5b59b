"""A service of jobs that only take time, at the addresses that each trigger expects.

All triggers ask for the same jobs, which finish by the clock. The service counts the status queries, and can
limit them as the contract says. It remembers when each job finished, and when it first told that.
Run as ``python -m benchmarks.job_service QUERIES_PER_SECOND`` (0: no limit); prints its URL.

``POST /_jobs {"count", "seed"}`` starts jobs and resets the counts, ``GET /_ledger`` returns the counts.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any

MEDIAN, SIGMA = 20.0, 0.5
"""A job's duration: the median in seconds, and the spread of the logarithm."""

BURST_SECONDS = 10
"""Contract: Rate limits."""


def durations(count: int, seed: int) -> list[float]:
    """Return the duration of each job in seconds."""
    draw = random.Random(seed)
    return [MEDIAN * math.exp(SIGMA * draw.gauss(0.0, 1.0)) for _ in range(count)]


@dataclass
class Job:
    """One job; times in Unix seconds."""

    created_at: float
    finishes_at: float
    told_at: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether its time is over."""
        return time.time() >= self.finishes_at


@dataclass
class Jobs:
    """All jobs, the limit, and the counts since the last start of jobs."""

    rate: float
    jobs: list[Job] = field(default_factory=list)
    first: int = 0
    polls: int = 0
    limited: int = 0

    def __post_init__(self) -> None:
        self._tokens, self._filled_at = self.rate * BURST_SECONDS, time.monotonic()

    def start(self, count: int, seed: int) -> list[int]:
        """Start jobs, reset the counts, and return the jobs' numbers."""
        now = time.time()
        self.first, self.polls, self.limited = len(self.jobs), 0, 0
        self.jobs += [Job(now, now + seconds) for seconds in durations(count, seed)]
        return list(range(self.first, len(self.jobs)))

    def ledger(self) -> dict[str, Any]:
        """Return the counts, and the times of each job of the last start."""
        jobs = self.jobs[self.first :]
        return {
            "polls": self.polls,
            "limited": self.limited,
            "finished": [job.finishes_at for job in jobs],
            "told": [job.told_at for job in jobs],
        }

    def query(self, number: int) -> Job | None:
        """Return a job for one status query, None if there were too many queries."""
        now = time.monotonic()
        self._tokens = min(self.rate * BURST_SECONDS, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        self.polls += 1
        if self.rate and self._tokens < 1:
            self.limited += 1
            return None
        self._tokens -= 1
        job = self.jobs[number]
        if job.is_finished and job.told_at is None:
            job.told_at = time.time()
        return job


def _gptimg(number: int, job: Job) -> dict[str, Any]:
    known = {"id": f"job-{number}", "object": "generation.task", "created_at": int(job.created_at)}
    if not job.is_finished:
        return {**known, "status": "in_progress", "progress": 50}
    times = {"completed_at": int(job.finishes_at), "expires_at": int(job.finishes_at) + 86_400}
    image = {"url": f"https://images.example/{number}.png"}
    return {**known, **times, "status": "completed", "result": {"type": "image", "data": [image]}}


def _openai(number: int, job: Job) -> dict[str, Any]:
    return {
        "id": f"job-{number}",
        "object": "batch",
        "completion_window": "24h",
        "created_at": int(job.created_at),
        "endpoint": "/v1/responses",
        "input_file_id": "file",
        "status": "completed" if job.is_finished else "in_progress",
    }


def _anthropic(number: int, job: Job) -> dict[str, Any]:
    created = datetime.fromtimestamp(job.created_at, timezone.utc).isoformat()
    counts = dict.fromkeys(("canceled", "errored", "expired", "processing", "succeeded"), 0)
    return {
        "id": f"job-{number}",
        "type": "message_batch",
        "created_at": created,
        "expires_at": created,
        "processing_status": "ended" if job.is_finished else "in_progress",
        "request_counts": {**counts, "succeeded" if job.is_finished else "processing": 1},
    }


def _databricks(number: int, job: Job) -> dict[str, Any]:
    ended = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
    running = {"life_cycle_state": "RUNNING", "result_state": ""}
    return {"run_id": number, "state": {**(ended if job.is_finished else running), "state_message": ""}}


ROUTES: list[tuple[re.Pattern[str], Callable[[int, Job], dict[str, Any]]]] = [
    (re.compile(r"/v1/images/generations/job-(\d+)"), _gptimg),
    (re.compile(r"/v1/batches/job-(\d+)"), _openai),
    (re.compile(r"/v1/messages/batches/job-(\d+)(?:\?.*)?"), _anthropic),
    (re.compile(r"/api/2.2/jobs/runs/get"), _databricks),
]


def answer(jobs: Jobs, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and JSON of an answer."""
    asked = json.loads(body) if body else {}
    if path == "/_jobs":
        return 200, {"numbers": jobs.start(**asked)}
    if path == "/_ledger":
        return 200, jobs.ledger()
    for pattern, show in ROUTES:
        found = pattern.fullmatch(path)
        if found:
            number = int(found[1]) if found.groups() else int(asked["run_id"])
            job = jobs.query(number)
            if job is None:
                return 429, {"error": {"code": "rate_limit_exceeded", "message": "Slow down.", "type": "x"}}
            return 200, show(number, job)
    return 404, {"error": {"code": "not_found", "message": path, "type": "x"}}


class Connection(asyncio.Protocol):
    """Just enough HTTP for clients that behave; a framework would take CPU time from the triggers."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the connection for the answers."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

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
            status, content = answer(self._jobs, head.split(b" ", 2)[1].decode(), rest[:size])
            encoded = json.dumps(content).encode()
            lines = [
                f"HTTP/1.1 {status} X",
                f"Date: {formatdate(usegmt=True)}",
                "Content-Type: application/json",
                f"Content-Length: {len(encoded)}",
                *(["Retry-After: 1"] if status == 429 else []),
            ]
            self._transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + encoded)


async def serve(rate: float) -> None:
    """Serve until killed."""
    jobs = Jobs(rate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(jobs), "127.0.0.1", 0, backlog=8192)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
