"""Refuses templates and outputs of other tasks that gave no value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_gptimg.api.errors import ApiError, invalid
from airflow_provider_gptimg.compat.written_parameters import is_reference, is_template, written_for
from airflow_provider_gptimg.exceptions import GptImgValidationError, from_api, named
from airflow_provider_gptimg.tasks.templates import templates_named

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_gptimg.tasks.deferral import Deferral

TEXTS_OF_NOTHING = ("None", "nan", "NaN", "NaT", "<NA>", "null")
"""The texts that templates and tables write for a missing value."""

_PATHS = ("output_path", "file_name")
"""Parameters in which only a part may be missing: ``s3://bucket/None/``."""


def check_nothing(context: Context, task_id: str, fields: Iterable[str], values: object) -> None:
    """Check that every template and every output of another task gave a value.

    Parameters that the author left out, or set to ``None``, are not checked.

    :param fields: names of parameters.
    :param values: has their rendered values as attributes: an operator or its request.
    :raises GptImgValidationError: naming the field and its value.
    """
    for field in fields:
        value = getattr(values, field)
        if _came_to_nothing(written_for(context, task_id, field), value, is_path=field in _PATHS):
            raise from_api(_nothing(field, value))


def check_place_again(context: Context, task_id: str, values: object, kept: Deferral) -> None:
    """Check again where images go once they exist, because a resumed task is rendered again.

    :raises GptImgValidationError: naming the generation, whose images would be gone after 24 hours.
    """
    fields = [field for field in _PATHS if field not in (kept.returned or {})]
    try:
        with templates_named(context, task_id):
            check_nothing(context, task_id, fields, values)
    except GptImgValidationError as error:
        raise named(error, kept.generation_id) from None


def check_returned(returned: Mapping[str, Any]) -> None:
    """Check that a function left out the fields that it has no value for. An empty list is a value.

    :raises GptImgValidationError: naming the field and its value.
    """
    for field, value in returned.items():
        if is_missing(value):
            raise from_api(_nothing(field, value))


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, blank, or the text of one of these."""
    if isinstance(value, str):
        return value.strip() in ("", *TEXTS_OF_NOTHING)
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_nothing(value: object) -> bool:
    """Return whether a value is missing, or a list with only missing values. An empty dict is a value."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return all(map(_is_nothing, value))  # the outputs of a mapped task are fetched one by one
    return is_missing(value)


def _came_to_nothing(written: object, rendered: object, *, is_path: bool) -> bool:
    """Return whether any template in a value gave nothing."""
    if isinstance(written, str) or is_reference(written):
        return is_template(written) and (_is_nothing(rendered) or (is_path and _has_nothing_in_it(rendered)))
    if isinstance(written, Mapping) and isinstance(rendered, Mapping):
        pairs: Iterable[tuple[object, object]] = ((of, rendered.get(key)) for key, of in written.items())
    elif isinstance(written, (list, tuple)) and isinstance(rendered, (list, tuple)):
        pairs = zip(written, rendered, strict=False)
    else:
        return False
    return any(_came_to_nothing(of, value, is_path=is_path) for of, value in pairs)


def _has_nothing_in_it(rendered: object) -> bool:
    return any(part.strip() in TEXTS_OF_NOTHING for part in str(rendered).split("/"))


def _nothing(field: str, value: object) -> ApiError:
    return invalid(
        field,
        value,
        "it came out empty, often because an upstream task was skipped or returned nothing; to do without "
        "the parameter, leave it out",
    )
