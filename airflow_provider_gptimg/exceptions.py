"""The exceptions of this provider, as one tree.

::

    AirflowException
    └── GptImgError                                 all errors of this provider
        ├── GptImgFinalError                        a retry cannot fix it: the task fails at once
        │   ├── GptImgValidationError               a bad parameter; nothing was sent (also ValueError)
        │   ├── GptImgBadRequestError               400, 413 and similar
        │   ├── GptImgAuthenticationError           401
        │   ├── GptImgQuotaError                    402
        │   ├── GptImgPermissionError               403
        │   ├── GptImgContentPolicyError            422
        │   ├── GptImgModelUnavailableError         503, no such model or no channel for it
        │   ├── GptImgRejectedError                 a person rejected the images
        │   ├── GptImgCostLimitError                max_cost_usd of a batch is reached
        │   └── GptImgUndecidedSubmissionError      accepted or not? the task may not pay again
        ├── GptImgServiceError                      the service or the network failed; a retry may help
        │   ├── GptImgNotFoundError                 404
        │   ├── GptImgRateLimitError                429
        │   ├── GptImgUnavailableError              5xx, no connection, a broken one
        │   ├── GptImgMalformedAnswerError          HTML, empty, truncated, not an object
        │   └── GptImgAmbiguousSubmissionError      accepted or not? a retry looks again
        ├── GptImgBatchError                        items of a batch failed; a retry makes the missing ones
        ├── GptImgReferenceError                    a reference image could not be read; nothing was paid
        └── GptImgGenerationError                   about a generation that was accepted
            ├── GptImgGenerationFailedError         it failed at the service, which refunds it
            ├── GptImgNoImagesError                 completed, but without any image
            ├── GptImgExpiredError                  completed, but its images are gone
            ├── GptImgDownloadError                 an image could not be fetched, or is wrong
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
    """The base class of all exceptions of this provider.

    :param generation_id: the id of the generation, or None before there is one.
    :param status: the HTTP status of the service's answer, or None if there was no answer.
    :param code: the service's own error code.
    :param field: for a :class:`GptImgValidationError`, the parameter that is not allowed.
    """

    is_left: bool = False
    """Whether the task has pushed this error as its XCom ``error``."""

    cost_usd: float | None = None
    """What the generation cost, as in a result; 0.0 after a refund. Set when a task has failed with it."""

    images_url: str | None = None
    """The address of the task's pictures in Airflow's UI. Set when a task has failed with it."""

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
        """The reason in one word, such as ``quota`` or ``timeout``. Metrics have it as a label."""
        return next((kind for kind, its in _CLASSES.items() if isinstance(self, its)), Kind.UNAVAILABLE).value


class GptImgFinalError(GptImgError, AirflowFailException):
    """A retry cannot fix the error, so the task fails at once."""


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
"""The service refuses these because of the key or its account."""


class GptImgContentPolicyError(GptImgFinalError):
    """The service refused the content (422)."""


class GptImgModelUnavailableError(GptImgFinalError):
    """The service has no such model, or no channel for it (503)."""


class GptImgCostLimitError(GptImgFinalError):
    """A batch has reached its ``max_cost_usd``. Raise the limit and clear the task to go on."""


class GptImgRejectedError(GptImgFinalError):
    """A person rejected the images. Clear the task that made them: it makes new ones, and asks again."""


class GptImgUndecidedSubmissionError(GptImgFinalError):
    """Nobody can say whether a submission was accepted, and the task may not pay again."""


class GptImgServiceError(GptImgError):
    """The service or the network failed; a retry may help."""


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
    """Items of a batch failed; a retry makes the missing ones."""


class GptImgReferenceError(GptImgError):
    """A reference image could not be read; nothing was paid, and a retry may help."""


class GptImgGenerationError(GptImgError):
    """An error of a generation that the service had accepted."""


class GptImgGenerationFailedError(GptImgGenerationError):
    """The generation failed at the service, which refunds it; a retry submits again."""


class GptImgNoImagesError(GptImgGenerationError):
    """The generation is completed, but names no image."""


class GptImgExpiredError(GptImgGenerationError):
    """The generation is completed, but its images are gone."""


class GptImgDownloadError(GptImgGenerationError):
    """An image could not be fetched, or is wrong. A retry fetches it again and pays nothing."""


class GptImgStorageError(GptImgGenerationError):
    """An image could not be stored. A retry fetches and stores it again, and pays nothing."""


class GptImgTimeoutError(GptImgGenerationError):
    """The generation did not finish within the time limit. A retry looks at it again and pays nothing."""


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
    """Return the provider's exception for an error of the service or the network."""
    return _CLASSES[error.kind](
        str(error),
        generation_id=error.generation_id,
        status=error.status,
        code=error.code,
        field=error.field,
    )


def named(error: Exception, generation_id: str) -> GptImgError:
    """Return an error that also names the generation, and says what happens to it."""
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
    """Turn errors of the service's protocol, which does not know Airflow, into the provider's exceptions."""
    try:
        yield
    except ApiError as error:
        # The message says it all; httpx's inner tracebacks would bury it in the task log.
        raise from_api(error) from None
