"""The identity that lets an attempt find the generation which an earlier attempt paid for."""

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

    :param digest: hexadecimal, 160 bits.
    """

    digest: str

    @classmethod
    def of(cls, place: Sequence[str], series: str, fingerprint: str) -> Identity:
        """Return the identity of a request.

        :param place: what tells the task instance from all others: ids of DAG, run and task, map index, and
            the iteration if it is in a loop. There is no try number in it.
        :param series: the name of the series of attempts, see ``payment/decision.py``.
        :param fingerprint: the hash of the request, see :func:`fingerprint`.
        """
        # Joined with NUL, which no id can contain, so that no two lists of parts look the same.
        text = "\0".join([*place, series, fingerprint])
        return cls(hashlib.sha256(text.encode()).hexdigest()[:40])

    def business_id(self, ordinal: int) -> str:
        """Return the ``client_business_id`` of this identity's n-th generation, counted from 1."""
        return f"af-{self.digest}-{ordinal}"


def fingerprint(request: GenerationRequest, conn_id: str) -> str:
    """Return a hash of everything that is sent, and of the connection it is sent through."""
    return hash_of({"conn_id": conn_id, **request.body()})


def hash_of(fields: Mapping[str, Any]) -> str:
    """Return a hash of fields, in whatever order they are given."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=str).encode()).hexdigest()
