"""Who is asking: the identity that lets a retry find the generation an earlier attempt paid for.

An identity has no try number. It is the same for all automatic retries of a task instance, and
another one after a user's Clear, with another request, or through another connection.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.payment.memory import Memory, Remembered, had_pushed, was_stopped
from airflow_provider_gptimg.payment.submission import Submission
from airflow_provider_gptimg.result import Asked


@dataclass(frozen=True)
class Series:
    """A series of attempts that share what was paid for: a first one and its automatic retries.

    :param base: ``max_tries - retries``: Airflow sets ``max_tries`` to ``retries`` at first, and to
        ``try_number + retries`` at a Clear, so it is the number of attempts before the latest Clear.
    :param name: tells the series of a task instance apart.
    :param is_fresh: whether this surely is its first attempt, so that no look-up is needed.
    """

    base: int
    name: str
    is_fresh: bool

    @classmethod
    def of(
        cls,
        ti: Any,
        *,
        retries: int,
        clear_number: int,
        remembered: Remembered | None,
        can_remember: bool = False,
    ) -> Series:
        """Return the series that a task instance's attempt belongs to.

        A Clear of a *running* task leaves ``max_tries`` alone (Airflow marks it "restarting"). It
        shows in two other ways: the attempt before was stopped at work and the DAG run's ``clear_number``
        rose; or, where nothing can be remembered, there are more attempts than retries explain, in a
        run that has seen more Clears than ``base`` accounts for. In doubt it is a retry, which
        costs nothing.

        :param ti: the running task instance (``context["ti"]``).
        :param retries: the task's ``retries``.
        :param clear_number: how many Clears the DAG run has seen.
        :param remembered: what the attempt before stored.
        :param can_remember: whether it had a place to store it.
        """
        base = base_of(ti, retries)
        if is_first(ti, retries):
            before = remembered if remembered and remembered.base == base else None
            # Airflow may start a retry under the number of the attempt before: where a trigger dies while the
            # scheduler is busy, it fails the task, and what was queued to resume it runs as the retry.
            is_fresh = before is None and not (base == 0 and had_pushed(ti, "generation_id"))
            return cls(base, before.series if before else str(base), is_fresh=is_fresh)
        if remembered and remembered.base == base:
            if remembered.running and clear_number > remembered.clear_number:
                return cls(base, f"{base}+{clear_number}", is_fresh=True)
            return cls(base, remembered.series, is_fresh=remembered.begun_in == ti.try_number)
        if not can_remember and ti.try_number > ti.max_tries + 1 and clear_number > min(base, 1):
            return cls(base, f"{base}+{clear_number}", is_fresh=False)
        return cls(base, str(base), is_fresh=False)


@dataclass(frozen=True)
class Identity:
    """The identity of one request of one series of attempts.

    :param digest: hexadecimal, 160 bits.
    """

    digest: str

    @classmethod
    def of(cls, ti: Any, series: Series, fingerprint: str) -> Identity:
        """Return the identity for a task instance's request, of which the fingerprint is the hash."""
        parts = [
            ti.dag_id,
            ti.run_id,
            ti.task_id,
            str(ti.map_index),
            series.name,
            fingerprint,
        ]
        return cls._made_of(parts)

    @classmethod
    def of_attempt(cls, ti: Any, fingerprint: str) -> Identity:
        """Return an identity of one attempt alone, which is the same when that is resumed.

        Not every Airflow gives each attempt a task instance id of its own (3.3 does not), so the try
        number is in it too.
        """
        return cls._made_of([str(ti.id), str(ti.try_number), fingerprint])

    @classmethod
    def _made_of(cls, parts: list[str]) -> Identity:
        # Joined with NUL, which no id can contain, so that no two lists of parts look the same.
        return cls(hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40])

    def business_id(self, ordinal: int) -> str:
        """Return the ``client_business_id`` of this identity's n-th generation, counted from 1."""
        return f"af-{self.digest}-{ordinal}"


class Attempt:
    """One attempt of a task instance: which series it belongs to, who it is, what it remembers.

    :param context: the task's context.
    :param log: the task's logger.
    :param retries: the task's ``retries``.
    :param request: what is asked for.
    :param fingerprint: its hash, see :func:`fingerprint`.
    :param reattach: False gives every attempt an identity of its own.
    :param resumed: whether the attempt was deferred, so that it surely has submitted.
    :raises ApiError: REFERENCE if a file of the request cannot be read, and no earlier attempt is
        remembered that needed it.
    """

    def __init__(
        self,
        context: Mapping[str, Any],
        log: Any,
        *,
        retries: int,
        request: GenerationRequest,
        fingerprint: str,
        reattach: bool,
        resumed: bool = False,
    ) -> None:
        ti = context["ti"]
        self._clear_number = clear_number(context)
        self.memory = Memory(context, log)
        seems_first = is_first(ti, retries) and not resumed
        remembered = self.memory.recall(is_needed=not seems_first)
        if seems_first and remembered and not self.memory.is_of_this(remembered):
            remembered = None
        if remembered and not was_stopped(ti):
            remembered = replace(remembered, running=False)  # it crashed
        self.series = Series.of(
            ti,
            retries=retries,
            clear_number=self._clear_number,
            remembered=remembered,
            can_remember=self.memory.exists,
        )
        self.identity = (
            Identity.of(ti, self.series, fingerprint) if reattach else Identity.of_attempt(ti, fingerprint)
        )
        problem = next((file.problem for file in request.files if file.problem), None)
        if problem:
            # A file that is gone, or lies on another worker, has no hash; what was paid for needs none.
            is_paid = remembered and remembered.series == self.series.name and remembered.digest
            if not (reattach and remembered and is_paid):
                raise problem
            log.warning("%s Going on with what an earlier attempt submitted.", problem)
            self.identity = Identity(str(remembered.digest))
        if remembered and remembered.base == self.series.base and remembered.series != self.series.name:
            # Before anything is paid: what comes after this attempt must know that there was a Clear.
            self.memory.begin(base=self.series.base, series=self.series.name, clear_number=self._clear_number)
        self.is_fresh = (self.series.is_fresh or not reattach) and not resumed
        same = remembered is not None and remembered.digest == self.identity.digest
        self.known = remembered.known() if remembered and same else None
        self._asked_before = remembered.asked if remembered and same else None

    def remember(self, submission: Submission, asked: Asked) -> Asked:
        """Store what this attempt submitted or attached to, and return what was asked for it.

        :param asked: what this attempt asks for; an earlier one may have asked for something else, where
            the fingerprint leaves that open.
        """
        before = self._asked_before
        if before and self.known and submission.generation.id == self.known.generation_id:
            asked = Asked(**{**before, "submissions": submission.submissions})
        self.memory.remember(
            submission,
            base=self.series.base,
            series=self.series.name,
            clear_number=self._clear_number,
            digest=self.identity.digest,
            asked=asked,
        )
        return asked


def base_of(ti: Any, retries: int) -> int:
    """Return how many attempts were made before the latest Clear, see :class:`Series`."""
    base: int = ti.max_tries - retries
    return base


def is_first(ti: Any, retries: int) -> bool:
    """Return whether this is the first attempt after the latest Clear, or of all."""
    return bool(ti.try_number == base_of(ti, retries) + 1)


def clear_number(context: Mapping[str, Any]) -> int:
    """Return how many Clears the DAG run has seen (Airflow 3.0 and later)."""
    return getattr(context["dag_run"], "clear_number", None) or 0


def fingerprint(request: GenerationRequest, conn_id: str) -> str:
    """Return a hash of everything that is sent, and of the connection it is sent through."""
    sent: Mapping[str, Any] = {"conn_id": conn_id, **request.body()}
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()
