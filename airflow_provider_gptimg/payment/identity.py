"""The identity by which an attempt finds the generation that an earlier attempt paid for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_gptimg.api.request import GenerationRequest


@dataclass(frozen=True)
class Identity:
    """The identity of one request in one series of attempts.

    :param digest: 160 bits in hexadecimal.
    """

    digest: str

    @classmethod
    def of(cls, place: Sequence[str], series: str, fingerprint: str) -> Identity:
        """Return the identity of a request.

        :param place: identifies the task instance: the ids of DAG, run and task, the map index, and the
            iteration if it is in a loop. The try number is not part of it.
        :param series: the name of the series of attempts, see ``payment/decision.py``.
        :param fingerprint: the hash of the request, see :func:`fingerprint`.
        """
        # Joined with NUL, which no id can contain, so that different lists never give the same text.
        text = "\0".join([*place, series, fingerprint])
        return cls(hashlib.sha256(text.encode()).hexdigest()[:40])

    def business_id(self, ordinal: int) -> str:
        """Return the ``client_business_id`` of this identity's n-th generation, counted from 1."""
        return f"af-{self.digest}-{ordinal}"


def fingerprint(request: GenerationRequest, conn_id: str) -> str:
    """Return a hash of everything that is sent, and of the connection's id."""
    return hash_of({"conn_id": conn_id, **request.body()})


def hash_of(fields: Mapping[str, Any]) -> str:
    """Return a hash of fields that does not depend on their order."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()
