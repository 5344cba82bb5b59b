"""The exceptions of this provider, as one tree.

::

    AirflowException
    └── GptImgError                                 everything this provider raises
        ├── GptImgFinalError                        a retry cannot mend it: the task fails at once
        │   ├── GptImgValidationError               a bad parameter; nothing was sent (also ValueError)
        │   ├── GptImgBadRequestError               400, 413 and their like
        │   ├── GptImgAuthenticationError           401
        │   ├── GptImgQuotaError                    402
        │   ├── GptImgPermissionError               403
        │   ├── GptImgContentPolicyError            422
        │   ├── GptImgModelUnavailableError         503, no such model or no channel for it
        │   ├── GptImgRejectedError                 a person rejected the images
        │   ├── GptImgCostLimitError                max_cost_usd of a batch is reached
        │   └── GptImgUndecidedSubmissionError      accepted or not? and paying again was ruled out
        ├── GptImgServiceError                      the service or the way to it; a retry may help
        │   ├── GptImgNotFoundError                 404
        │   ├── GptImgRateLimitError                429
        │   ├── GptImgUnavailableError              5xx, no connection, a broken one
        │   ├── GptImgMalformedAnswerError          HTML, empty, truncated, not an object
        │   └── GptImgAmbiguousSubmissionError      accepted or not? a retry looks again
        ├── GptImgBatchError                        items of a batch failed; a retry makes what is missing
        ├── GptImgReferenceError                    a reference image could not be read; nothing was paid
        └── GptImgGenerationError                   about a generation that was accepted
            ├── GptImgGenerationFailedError         it failed at the service, which refunds it
            ├── GptImgNoImagesError                 completed, but without any image
            ├── GptImgExpiredError                  completed, but its images are gone
            ├── GptImgDownloadError                 an image could not be fetched, or is a wrong one
            ├── GptImgStorageError                  an image could not be stored
            └── GptImgTimeoutError                  not finished within the time limit
                └── GptImgSensorTimeoutError        the same in a sensor (also AirflowSensorTimeout)

``GptImgFinalError`` is also an ``AirflowFailException``, which makes Airflow skip the remaining
retries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_gptimg.api.errors import ApiError, Kind, fate
from airflow_provider_gptimg.compat.imports import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
)


class GptImgError(AirflowException):
    """Everything this provider raises.

    :param generation_id: the generation it is about, None before there is one.
    :param status: HTTP status of the service's answer, None where there was none.
    :param code: the service's own error code.
    :param field: the parameter that is not allowed, of a :class:`GptImgValidationError`.
    """

    is_left: bool = False
    """Whether the task has left it in its XCom ``error``."""

    cost_usd: float | None = None
    """What the generation cost, as in a result, after a task failed with it: 0.0 after a refund."""

    images_url: str | None = None
    """Where the task's pictures are in Airflow's UI, after a task failed with it."""

    def __init__(
        self,
        message: str = "",
        *,
        generation_id: str | None = None,
        status: int | None = None,
        code: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.generation_id = generation_id
        self.status = status
        self.code = code
        self.field = field

    @property
    def reason(self) -> str:
        """The reason in one word such as ``quota`` or ``timeout``; few enough to be a metric's label."""
        return next((kind for kind, its in _CLASSES.items() if isinstance(self, its)), Kind.UNAVAILABLE).value


class GptImgFinalError(GptImgError, AirflowFailException):
    """A retry cannot mend it, so the task fails at once."""


class GptImgValidationError(GptImgFinalError, ValueError):
    """A parameter is not allowed; nothing was sent."""


class GptImgBadRequestError(GptImgFinalError):
    """The service refused the request (400, 413)."""


class GptImgAuthenticationError(GptImgFinalError):
    """The service refused the key (401)."""


class GptImgQuotaError(GptImgFinalError):
    """The account has no balance left (402)."""


class GptImgPermissionError(GptImgFinalError):
    """The key may not do this, or the client is blocked (403)."""


OF_THE_KEY = (GptImgAuthenticationError, GptImgQuotaError, GptImgPermissionError)
"""What the service refuses because of who asks."""


class GptImgContentPolicyError(GptImgFinalError):
    """The service refused the content (422)."""


class GptImgModelUnavailableError(GptImgFinalError):
    """The service has no such model, or no channel for it (503)."""


class GptImgCostLimitError(GptImgFinalError):
    """A batch has reached its ``max_cost_usd``; a higher limit and a Clear go on."""


class GptImgRejectedError(GptImgFinalError):
    """A person rejected the images; a Clear of the task that made them makes others, and asks again."""


class GptImgUndecidedSubmissionError(GptImgFinalError):
    """Nobody can say whether a submission was accepted, and the task may not pay again."""


class GptImgServiceError(GptImgError):
    """The service or the way to it failed; a retry may help."""


class GptImgNotFoundError(GptImgServiceError):
    """The service does not know the generation (404)."""


class GptImgRateLimitError(GptImgServiceError):
    """The service asked to slow down for longer than the task may wait (429)."""


class GptImgUnavailableError(GptImgServiceError):
    """The service did not answer, or answered 5xx."""


class GptImgMalformedAnswerError(GptImgServiceError):
    """The answer cannot be read; the message shows how it begins."""


class GptImgAmbiguousSubmissionError(GptImgServiceError):
    """Nobody can say whether a submission was accepted; a retry looks again before it pays."""


class GptImgBatchError(GptImgError):
    """Items of a batch failed; a retry goes on with what is missing."""


class GptImgReferenceError(GptImgError):
    """A reference image could not be read; nothing was paid, and a retry may help."""


class GptImgGenerationError(GptImgError):
    """About a generation that was accepted."""


class GptImgGenerationFailedError(GptImgGenerationError):
    """The generation failed at the service, which refunds it; a retry submits another."""


class GptImgNoImagesError(GptImgGenerationError):
    """The generation is completed, but names no image."""


class GptImgExpiredError(GptImgGenerationError):
    """The generation is completed, but its images are gone."""


class GptImgDownloadError(GptImgGenerationError):
    """An image could not be fetched, or is not the image it should be; a retry fetches it again, unpaid."""


class GptImgStorageError(GptImgGenerationError):
    """An image could not be stored; a retry fetches and stores it again, unpaid."""


class GptImgTimeoutError(GptImgGenerationError):
    """The generation did not finish within the time limit; a retry looks at it again, unpaid."""


class GptImgSensorTimeoutError(GptImgTimeoutError, AirflowSensorTimeout):
    """The generation did not finish within the sensor's ``timeout``."""


_CLASSES: dict[Kind, type[GptImgError]] = {
    Kind.INVALID: GptImgValidationError,
    Kind.BAD_REQUEST: GptImgBadRequestError,
    Kind.AUTHENTICATION: GptImgAuthenticationError,
    Kind.QUOTA: GptImgQuotaError,
    Kind.PERMISSION: GptImgPermissionError,
    Kind.POLICY: GptImgContentPolicyError,
    Kind.MODEL_UNAVAILABLE: GptImgModelUnavailableError,
    Kind.NOT_FOUND: GptImgNotFoundError,
    Kind.RATE_LIMITED: GptImgRateLimitError,
    Kind.UNAVAILABLE: GptImgUnavailableError,
    Kind.UNREACHABLE: GptImgUnavailableError,
    Kind.MALFORMED: GptImgMalformedAnswerError,
    Kind.COST_LIMIT: GptImgCostLimitError,
    Kind.UNDECIDED: GptImgUndecidedSubmissionError,
    Kind.AMBIGUOUS: GptImgAmbiguousSubmissionError,
    Kind.FAILED: GptImgGenerationFailedError,
    Kind.NO_IMAGES: GptImgNoImagesError,
    Kind.EXPIRED: GptImgExpiredError,
    Kind.REFERENCE: GptImgReferenceError,
    Kind.DOWNLOAD: GptImgDownloadError,
    Kind.STORAGE: GptImgStorageError,
    Kind.TIMEOUT: GptImgTimeoutError,
}


def from_api(error: ApiError) -> GptImgError:
    """Return the provider's exception for an error of the service or of the way to it."""
    return _CLASSES[error.kind](
        str(error),
        generation_id=error.generation_id,
        status=error.status,
        code=error.code,
        field=error.field,
    )


def named(error: Exception, generation_id: str) -> GptImgError:
    """Return an error of a wait as one that says which generation it is about, and what becomes of it."""
    if isinstance(error, GptImgError):
        if error.generation_id is not None:
            return error
        kind = Kind(error.reason)
        return type(error)(
            f"{error} {fate(generation_id, kind)}",
            generation_id=generation_id,
            status=error.status,
            code=error.code,
            field=error.field,
        )
    said = f"{type(error).__name__}: {str(error).rstrip('.')}. {fate(generation_id, Kind.UNAVAILABLE)}"
    return GptImgServiceError(said, generation_id=generation_id)


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the service's protocol, which knows no Airflow, into the provider's own."""
    try:
        yield
    except ApiError as error:
        # The message says it all; httpx's inner tracebacks would bury it in the task log.
        raise from_api(error) from None
