"""Uploads reference images. This is free, so after an unclear answer it simply tries again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import PurePosixPath

from airflow_provider_gptimg.api import wire
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import MAX_BACKOFF, Clock, Flow, Sleep, call
from airflow_provider_gptimg.api.request import GenerationRequest, ReferenceFile
from airflow_provider_gptimg.api.wire import File, Upload

ATTEMPTS = 4
"""Most times to send one file."""

_PASSING = frozenset({Kind.UNAVAILABLE, Kind.UNREACHABLE, Kind.MALFORMED})


def upload(file: File, *, clock: Clock, give_up_at: float) -> Flow[Upload]:
    """Upload a file. Without a clear answer, try again: two copies cost nothing (contract: Upload).

    :raises ApiError: INVALID if it is empty or over 10 MB; any refusal of the service.
    """
    request = wire.upload(file)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return wire.read_upload((yield from call(request, clock=clock, give_up_at=give_up_at)))
        except ApiError as error:
            if attempt == ATTEMPTS or error.kind not in _PASSING or clock() >= give_up_at:
                raise
            yield Sleep(min(max(error.retry_after or 0.0, 2.0 ** (attempt - 1)), MAX_BACKOFF))
    raise AssertionError


def upload_all(files: Iterable[ReferenceFile], *, clock: Clock, give_up_at: float) -> Flow[dict[str, str]]:
    """Upload each content once, and return the URLs by SHA-256.

    :raises ApiError: REFERENCE if a file cannot be read, or has changed since it was checked.
    """
    urls: dict[str, str] = {}
    for file in files:
        if file.sha256 not in urls:
            sent = File(PurePosixPath(file.where).name, content_of(file), file.mime_type)
            urls[file.sha256] = (yield from upload(sent, clock=clock, give_up_at=give_up_at)).url
    return urls


def upload_references(
    request: GenerationRequest, *, clock: Clock, give_up_at: float
) -> Flow[GenerationRequest]:
    """Upload the files of a request, and return it with URLs only.

    :raises ApiError: what :func:`upload_all` raises.
    """
    return request.with_urls((yield from upload_all(request.files, clock=clock, give_up_at=give_up_at)))


def content_of(file: ReferenceFile) -> bytes:
    """Return the content of a file, if it is still what was checked.

    :raises ApiError: REFERENCE.
    """
    if file.problem is not None:
        raise file.problem
    content = file.read()
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ApiError(Kind.REFERENCE, f"The reference image {file.where} changed while the task read it.")
    return content
