"""The OpenAPI description: one block of arguments per route, request bodies included."""

from __future__ import annotations

from typing import Any

from fastapi import Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from airflow_provider_gptimg.emulator import control_models, response_models
from airflow_provider_gptimg.emulator.faults import Rules
from airflow_provider_gptimg.emulator.models import MODELS as KNOWN_MODELS
from airflow_provider_gptimg.emulator.models import PIXEL_SIZE, Model
from airflow_provider_gptimg.emulator.submission import MAX_IMAGES, MAX_PROMPT, VISIBLE, WEB_URL

_STRINGS = {"schema": {"type": "string"}}
_NUMBERS = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
_LIMITS = {
    "X-RateLimit-Limit": {"description": "Maximum number of requests at once.", **_NUMBERS},
    "X-RateLimit-Remaining": {"description": "Remaining requests.", **_NUMBERS},
    "X-RateLimit-Reset": {"description": "Unix seconds; when the full limit is available again.", **_NUMBERS},
    "X-RateLimit-Category": {"schema": {"type": "string", "enum": ["async_submit", "async_query"]}},
}
_ERRORS = {
    400: "The request is wrong; never retry.",
    401: "The key is missing or wrong.",
    402: "The balance is not sufficient.",
    403: "The client is blocked (only with `strict_user_agent`).",
    404: "It was not found.",
    410: "It existed, but it has expired.",
    413: "The body is too large.",
    415: "The body is compressed, which is not supported.",
    422: "The content was refused.",
    429: "Too many requests; not accepted, not counted.",
    503: "No channel for this model; never retry.",
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": response_models.Envelope, "description": _ERRORS[status]} for status in statuses
    }
    if 429 in found:
        retry = {"description": "Seconds to wait.", "required": True, **_NUMBERS}
        found[429]["headers"] = {"Retry-After": retry, **_LIMITS}
    return found


def _block(
    success: dict[str, Any],
    errors: dict[int | str, dict[str, Any]],
    body: dict[str, Any] | None = None,
    media_type: str = "application/json",
) -> dict[str, Any]:
    """Return the arguments of a route decorator; handlers read and check their bodies themselves."""
    extra = {}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {media_type: {"schema": body}}}
    return {"response_model": None, "responses": {200: success, **errors}, "openapi_extra": extra}


def _of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    return _inlined(schema, definitions)  # type: ignore[no-any-return]


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    """Replace references by their targets, so that a request body's schema is self-contained."""
    if isinstance(value, dict):
        if "$ref" in value:
            return _inlined(definitions[value["$ref"].rpartition("/")[2]], definitions)
        return {name: _inlined(item, definitions) for name, item in value.items()}
    return [_inlined(item, definitions) for item in value] if isinstance(value, list) else value


def _submission_schema() -> dict[str, Any]:
    """Describe valid submissions: one variant per model and tier, made from the table of models."""
    variants = []
    for model in KNOWN_MODELS.values():
        if model.sizes:
            variants += [_variant(model, tier) for tier in model.sizes]
        else:
            size = {"type": ["string", "null"], "pattern": f"^{PIXEL_SIZE}$", "examples": ["1536x1024"]}
            variants.append(_object(model, {"size": size, "resolution": {"type": "null"}}, []))
    return {"title": "Submission", "anyOf": variants}


def _variant(model: Model, tier: str) -> dict[str, Any]:
    sizes = list(model.sizes[tier])
    # The defaults are 1:1 and 1K; an omitted value has to fit, too.
    required = ([] if tier == "1K" else ["resolution"]) + ([] if "1:1" in sizes else ["size"])
    # A required field cannot be null, because null counts as absent.
    size = {"enum": sizes if "size" in required else [*sizes, None]}
    resolution = {"enum": [tier, tier.lower()] if "resolution" in required else [tier, tier.lower(), None]}
    return _object(model, {"size": size, "resolution": resolution}, required, f" at {tier}")


def _object(model: Model, size: dict[str, Any], required: list[str], suffix: str = "") -> dict[str, Any]:
    urls: dict[str, Any] = {
        "type": ["array", "null"],
        "items": {"type": "string", "pattern": f"^{WEB_URL}$"},
    }
    if model.max_references is not None:
        urls["maxItems"] = model.max_references
    count = {"type": ["integer", "null"], "minimum": 1, "maximum": model.max_images or MAX_IMAGES}
    return {
        "title": f"{model.name}{suffix}",
        "type": "object",
        "required": ["model", "prompt", *required],
        "properties": {
            "model": {"enum": [model.name]},
            "prompt": {"type": "string", "minLength": 1, "maxLength": MAX_PROMPT, "pattern": VISIBLE},
            **size,
            "n": count,
            "response_format": {"enum": ["url", None]},
            "reference_images": urls,
            "image_urls": {**urls, "description": "The older name of `reference_images`."},
            "client_business_id": {"type": ["string", "null"]},
            **{name: {"enum": [*values, None]} for name, values in model.options.items()},
        },
    }


_KEY = {"dependencies": [Security(HTTPBearer(auto_error=False, description="Any key that starts with sk-."))]}
_TASK = {"model": response_models.TaskView, "description": "The generation.", "headers": _LIMITS}
_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_UPLOADED = {"model": response_models.UploadView, "description": "Stored."}
_REFUSED: dict[int | str, dict[str, Any]] = {
    400: {"model": response_models.Refusal, "description": "The type or size is not allowed."}
}
_LEDGER = {"model": response_models.LedgerView, "description": "The ledger."}
_CACHE = {"ETag": _STRINGS, "Cache-Control": _STRINGS}
_CACHED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The client already has the picture.", "headers": _CACHE}
}


def _picture(*media_types: str) -> dict[str, Any]:
    content = {name: {"schema": {"type": "string", "format": "binary"}} for name in media_types}
    return {"description": "The picture.", "content": content, "headers": _CACHE}


def _file_block(*media_types: str) -> dict[str, Any]:
    block = _block(_picture(*media_types), {**_CACHED, **_errors(404, 410)})
    return {**block, "response_class": Response}


SUBMIT = {**_block(_TASK, _errors(400, 401, 402, 403, 413, 415, 422, 429, 503), _submission_schema()), **_KEY}
STATUS = {**_block(_TASK, _errors(401, 403, 404, 429)), **_KEY}
UPLOAD = {
    **_block(_UPLOADED, {**_REFUSED, **_errors(401, 403, 413, 415)}, _FILE, "multipart/form-data"),
    **_KEY,
}
_MONEY = {"model": response_models.BalanceView, "description": "The balance."}
BALANCE = {**_block(_MONEY, _errors(401, 403)), **_KEY}
ACCOUNT_BALANCE = {**_block(_MONEY, _errors(401, 403, 404)), **_KEY}
MODELS = {
    **_block({"model": response_models.ModelList, "description": "The models."}, _errors(401, 403)),
    **_KEY,
}
RESULT_FILE = _file_block("image/png")
UPLOAD_FILE = _file_block("image/png", "image/jpeg", "image/webp", "image/gif")
LEDGER = _block(_LEDGER, {})
RESET = _block(_LEDGER, {})
FAULTS = _block({"model": Rules, "description": "The rules in force."}, _errors(400, 413, 415), _of(Rules))
CLOCK = _block(
    {"model": response_models.Now, "description": "The new time."},
    _errors(400, 413, 415),
    _of(control_models.Advance),
)
CONFIG = _block(
    {"model": control_models.Configuration, "description": "All settings."},
    _errors(400, 413, 415),
    _of(control_models.Configuration),
)
