"""All errors between a request and its images: one class, and its kinds."""

from __future__ import annotations

from enum import Enum


class Kind(str, Enum):
    """What went wrong. The value is the reason code in trigger events.

    Status codes are from the contract's table "Errors".
    """

    INVALID = "invalid"  # refused here, before anything was sent
    BAD_REQUEST = "bad_request"  # 400, 413 and other 4xx
    AUTHENTICATION = "authentication"  # 401
    QUOTA = "quota"  # 402
    PERMISSION = "permission"  # 403
    POLICY = "content_policy"  # 422
    MODEL_UNAVAILABLE = "model_unavailable"  # 503 model_not_found / no channel
    NOT_FOUND = "not_found"  # 404
    RATE_LIMITED = "rate_limited"  # 429
    UNAVAILABLE = "unavailable"  # 5xx
    UNREACHABLE = "unreachable"  # no connection, or it broke
    MALFORMED = "malformed"  # an answer that cannot be read
    AMBIGUOUS = "ambiguous"  # unknown whether a submission was accepted; a later attempt looks again
    UNDECIDED = "undecided"  # the same, but paying again is not allowed
    FAILED = "failed"  # the generation failed at the service
    NO_IMAGES = "no_images"  # completed, without any URL
    EXPIRED = "expired"  # completed, but its images are gone
    COST_LIMIT = "cost_limit"  # the batch has reached its own spending limit
    REFERENCE = "reference"  # a reference image could not be read; nothing was paid
    DOWNLOAD = "download"  # an image could not be fetched, or is not the image it should be
    STORAGE = "storage"  # an image could not be stored
    TIMEOUT = "timeout"  # we stopped looking


FINAL = frozenset(
    {
        Kind.INVALID,
        Kind.BAD_REQUEST,
        Kind.AUTHENTICATION,
        Kind.QUOTA,
        Kind.PERMISSION,
        Kind.POLICY,
        Kind.MODEL_UNAVAILABLE,
        Kind.UNDECIDED,
        Kind.COST_LIMIT,
    }
)
"""Kinds for which sending the same request again does not help (contract: Errors)."""

_OF_COMPLETED = frozenset({Kind.NO_IMAGES, Kind.DOWNLOAD, Kind.STORAGE})

LIVES = "24 hours"
"""How long the service keeps result URLs (contract: Status)."""


class ApiError(Exception):
    """An error of the service, of the connection to it, or of the request.

    :param kind: what went wrong.
    :param message: one sentence for people: what is wrong, the value, what is allowed.
    :param status: HTTP status, if there was an answer.
    :param code: the service's own error code.
    :param retry_after: seconds the service asks to wait.
    :param not_accepted: True if the service surely did not accept the request, so that sending it again
        cannot pay twice (contract: Errors; connect errors, 429, 503 ``rate_limit_unavailable``).
    :param generation_id: the generation that this is about, if there is one.
    :param field: the field of the request that is not allowed.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        not_accepted: bool = False,
        generation_id: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.not_accepted = not_accepted
        self.generation_id = generation_id
        self.field = field

    def __str__(self) -> str:
        # A value that was refused as an id does not name a generation.
        if self.generation_id is None or self.field == "generation_id":
            return self.message
        return f"{self.message} {fate(self.generation_id, self.kind)}"

    def about(self, generation_id: str) -> ApiError:
        """Set the generation that this is about, if it is not set, and return self."""
        self.generation_id = self.generation_id or generation_id
        return self


def fate(generation_id: str, kind: Kind) -> str:
    """Return the end of every message after a submission: the generation, and what becomes of it."""
    # A DAG may ask for any text as an id. It must not be able to add lines to logs.
    name = "".join(c if c.isprintable() else "?" for c in generation_id)
    if kind in (Kind.NOT_FOUND, Kind.EXPIRED):
        return f"[generation {name}]"
    if kind is Kind.FAILED:
        return f"[generation {name}: accepted, failed at the service, which refunds it]"
    billed = f"[generation {name}: accepted and billed; "
    if kind in _OF_COMPLETED:
        return f"{billed}it is completed, and its images are available for {LIVES} after that]"
    if kind in FINAL:
        return (
            f"{billed}once the problem is fixed, GptImgDownloadOperator can fetch its images with this id, "
            f"for {LIVES} after it is completed; a Clear of the task that submitted it pays for new images]"
        )
    return f"{billed}it may still finish, and its images are available for {LIVES} after that]"


def invalid(field: str, value: object, allowed: str) -> ApiError:
    """Return the error for a bad input, with its field, its value (shortened) and what is allowed."""
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # a number with thousands of digits, a deeply nested list
        shown = f"<{type(value).__name__}>"
    if len(shown) > 120:
        shown = f"{shown[:100]}… ({len(shown)} characters)"
    return ApiError(Kind.INVALID, f"{field}={shown} is not allowed: {allowed}.", field=field)
