"""Who is asking: the identity that lets a retry find the generation an earlier attempt paid for.

An identity has no try number. It is the same for all automatic retries of a task instance, and
another one after a user's Clear, with another request, or through another connection.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_gptimg.api.request import GenerationRequest


@dataclass(frozen=True)
class Identity:
    """The identity of one request of one task instance.

    :param digest: hexadecimal, 160 bits.
    :param is_fresh: whether it surely never submitted before, so that no look-up is needed.
    """

    digest: str
    is_fresh: bool

    @classmethod
    def of(
        cls, ti: Any, *, retries: int, request: GenerationRequest, conn_id: str, reattach: bool
    ) -> Identity:
        """Return the identity for a task instance's request.

        :param ti: the running task instance (``context["ti"]``).
        :param retries: the task's ``retries``.
        :param reattach: False gives every attempt an identity of its own.
        """
        series = ti.max_tries - retries
        parts = [
            ti.dag_id,
            ti.run_id,
            ti.task_id,
            str(ti.map_index),
            str(series),
            fingerprint(request, conn_id),
        ]
        if not reattach:
            parts.append(uuid.uuid4().hex)
        # Joined with NUL, which no id can contain, so that no two lists of parts look the same.
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
        # Airflow sets max_tries to retries at first, and to try_number + retries at a Clear, so the
        # first attempt of a series is the one after `series` attempts (field-tested on 3.0 to 3.3).
        return cls(digest, is_fresh=not reattach or ti.try_number == series + 1)

    def business_id(self, ordinal: int) -> str:
        """Return the ``client_business_id`` of this identity's n-th generation, counted from 1."""
        return f"af-{self.digest}-{ordinal}"


def fingerprint(request: GenerationRequest, conn_id: str) -> str:
    """Return a hash of everything that is sent, and of the connection it is sent through."""
    sent: Mapping[str, Any] = {"conn_id": conn_id, **request.body()}
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()
