"""What a task instance remembers of its earlier attempts, where Airflow offers a place for it.

That is the task state store of Airflow 3.3, which survives retries. It saves a look-up, it tells a
Clear of a running task from a retry, and it is never the only truth: without it, or when it cannot
be read, the service is asked by ``client_business_id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_gptimg.payment.submission import Known, Submission
from airflow_provider_gptimg.result import Asked

KEY = "gptimg"
"""The store's key; its value is a :class:`Remembered` as a JSON object."""

STOPPED = "gptimg_stopped"
"""Key of the XCom that an attempt leaves when it is cleared while it runs."""


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What is stored after a submission; after a Clear of a running task also before it, without one.

    :param base: ``max_tries - retries`` then, which Airflow changes at a Clear.
    :param series: the series of attempts it belongs to.
    :param clear_number: how many Clears the DAG run had seen.
    :param running: whether the attempt was still at work, as far as it could say.
    :param digest: the identity that submitted; None before a submission.
    :param asked: what its result repeats of the request; None in what earlier versions stored.
    :param begun_in: the try number of the attempt that stored it before its submission.
    :param ti_id: the task instance's own id; another one where its DAG run was deleted and made anew.
    """

    base: int
    series: str
    clear_number: int
    running: bool
    digest: str | None = None
    generation_id: str | None = None
    ordinal: int = 1
    submissions: int = 0
    submitted_at: float = 0.0
    asked: Asked | None = None
    begun_in: int | None = None
    ti_id: str | None = None

    def known(self) -> Known | None:
        """Return the submission's part of it."""
        if self.generation_id is None:
            return None
        return Known(
            generation_id=self.generation_id,
            ordinal=self.ordinal,
            submissions=self.submissions,
            submitted_at=self.submitted_at,
        )


def was_stopped(ti: Any) -> bool:
    """Return whether the attempt before left :data:`STOPPED`; also where that cannot be known."""
    keys = _keys_of_before(ti)
    return keys is None or STOPPED in keys


def had_pushed(ti: Any, key: str) -> bool:
    """Return whether an attempt before surely had pushed an XCom."""
    return key in (_keys_of_before(ti) or ())


def _keys_of_before(ti: Any) -> list[str] | None:
    """Return the keys of the XComs that Airflow deleted at the start, None where it does not tell them."""
    return getattr(getattr(ti, "_ti_context_from_server", None), "xcom_keys_to_clear", None)


class Memory:
    """A task instance's place in the task state store; every failure is logged, none is raised.

    :param context: the task's context.
    :param log: the task's logger.
    """

    def __init__(self, context: Mapping[str, Any], log: Any) -> None:
        self._store = context.get("task_state_store")
        self._ti: Any = context.get("ti")
        self._log = log
        self._last: Remembered | None = None

    @property
    def exists(self) -> bool:
        """Whether this Airflow has a task state store."""
        return self._store is not None

    @property
    def last(self) -> Remembered | None:
        """What is stored, as far as this process wrote or read it."""
        return self._last

    def recall(self, *, is_needed: bool = True) -> Remembered | None:
        """Return what an earlier attempt stored, None where there is nothing or it cannot be read.

        :param is_needed: whether to say so in the log where there is no store.
        """
        if self._store is None:
            if not is_needed:
                return None
            self._log.info(
                "This Airflow has no task state store (3.3 has): earlier attempts are found by "
                "client_business_id only, and a Clear of a running task may continue with its generation."
            )
            return None
        try:
            stored = self._store.get(KEY)
            return Remembered(**stored) if stored else None
        except Exception as error:  # noqa: BLE001 - whatever a store of someone's own raises
            self._log.warning(
                "The task state store cannot be read (%s: %s): looking up by client_business_id instead.",
                type(error).__name__,
                error,
            )
            return None

    def remember(
        self,
        submission: Submission,
        *,
        base: int,
        series: str,
        clear_number: int,
        digest: str,
        asked: Asked,
    ) -> None:
        """Store a submission."""
        self._write(
            Remembered(
                base=base,
                series=series,
                clear_number=clear_number,
                running=True,
                digest=digest,
                asked=asked,
                generation_id=submission.generation.id,
                ordinal=submission.ordinal,
                submissions=submission.submissions,
                submitted_at=submission.submitted_at,
                ti_id=self._ti_id,
            )
        )

    @property
    def _ti_id(self) -> str | None:
        ti_id = getattr(self._ti, "id", None)
        return None if ti_id is None else str(ti_id)

    def is_of_this(self, remembered: Remembered) -> bool:
        """Return whether this very task instance stored it, and none of the same name before it."""
        return remembered.ti_id is not None and remembered.ti_id == self._ti_id

    def begin(self, *, base: int, series: str, clear_number: int) -> None:
        """Store that a series of attempts has begun, which so far has submitted nothing."""
        self._write(
            Remembered(
                base=base,
                series=series,
                clear_number=clear_number,
                running=True,
                begun_in=self._ti.try_number,
                ti_id=self._ti_id,
            )
        )

    def amend(self, **changes: Any) -> None:
        """Change fields of what was stored, if anything was.

        ``running=False``: the attempt failed by itself, so what follows is a retry and no Clear.
        ``clear_number=n``: the attempt is still at work after other tasks were cleared.
        """
        if self._store is None:
            return
        self._last = self._last or self.recall()
        if last := self._last:
            self._write(replace(last, **changes))

    def stop(self) -> None:
        """Note that Airflow ends the attempt, which is still at work.

        If that is for a Clear, the store is closed to it already, and only an XCom can still be left.
        """
        if self._store is None or self._last is None:
            return
        try:
            self._store.set(KEY, asdict(replace(self._last, running=False)))
        except Exception:  # noqa: BLE001 - see above
            try:
                self._ti.xcom_push(key=STOPPED, value=True)
            except Exception as error:  # noqa: BLE001 - likewise
                self._log.warning(
                    "That the attempt is stopped could not be left in XCom (%s): after a Clear, the next one "
                    "may continue with its generation.",
                    type(error).__name__,
                )

    def _write(self, remembered: Remembered) -> None:
        if self._store is None:
            return
        self._last = remembered
        try:
            self._store.set(KEY, asdict(remembered))
        except Exception as error:  # noqa: BLE001 - likewise
            self._log.warning(
                "The task state store cannot be written (%s: %s): a retry looks up by client_business_id.",
                type(error).__name__,
                error,
            )
