"""The failed items of a batch: when they end it, and whether a retry could help."""

from __future__ import annotations

from airflow_provider_gptimg.api.errors import ApiError, Kind

REFUSES_ALL = frozenset({Kind.AUTHENTICATION, Kind.QUOTA, Kind.PERMISSION})
"""Refusals that every other item would get too, now and in a retry."""

HITS_ALL = frozenset({Kind.UNREACHABLE, Kind.UNAVAILABLE, Kind.RATE_LIMITED, Kind.AMBIGUOUS, Kind.STORAGE})
"""Failures, after some retries, that no item has caused. If the batch went on, the others would fail too, or
be paid for and not stored. A later retry may succeed."""

LASTING = frozenset({Kind.INVALID, Kind.BAD_REQUEST, Kind.POLICY, Kind.MODEL_UNAVAILABLE, Kind.UNDECIDED})
"""Failures of an item that a retry cannot fix, or must not. The item is not submitted again before a
Clear."""


_STOPS_ALL = REFUSES_ALL | {Kind.COST_LIMIT}
"""Failures that would also stop every other item and every retry."""


class Failures:
    """Counts the failed items of a batch.

    :param most: maximum number of failed items; beyond it no more are submitted. None for no maximum.
    """

    def __init__(self, most: int | None) -> None:
        self.count = 0
        self.stopped_by: ApiError | None = None
        self._most = most
        self._lasting = 0
        self._first_lasting: ApiError | None = None
        self.is_halted = False
        self._is_in_vain = False

    def add(self, error: ApiError) -> None:
        """Count the failure of an item."""
        self.count += 1
        if error.kind in LASTING:
            self._lasting += 1
            self._first_lasting = self._first_lasting or error
        if self.stopped_by is None and (error.kind in _STOPS_ALL | HITS_ALL or self._is_too_many(self.count)):
            self.stopped_by = error

    def stop(self, error: ApiError) -> None:
        """Submit no more, for a reason that no item has caused."""
        self.stopped_by = self.stopped_by or error

    def halt(self) -> None:
        """Leave the batch at once, for a reason that no item has caused."""
        self.is_halted = True

    def end(self, completed: int) -> None:
        """Note at the end how many items are completed. If there are none, the batch has failed."""
        self._is_in_vain = completed == 0

    @property
    def has_failed(self) -> bool:
        """Whether the batch as a whole has failed; call :meth:`end` first."""
        return self.is_stopped or self._is_in_vain

    @property
    def is_stopped(self) -> bool:
        """Whether no more items are to be submitted."""
        return self.is_halted or self.stopped_by is not None

    @property
    def final(self) -> ApiError | None:
        """The failure that would end a retry in the same way, None if a retry may help."""
        if self.stopped_by and self.stopped_by.kind in _STOPS_ALL:
            return self.stopped_by
        all_last = self._is_in_vain and self._lasting == self.count
        return self._first_lasting if all_last or self._is_too_many(self._lasting) else None

    def _is_too_many(self, count: int) -> bool:
        return self._most is not None and count > self._most
