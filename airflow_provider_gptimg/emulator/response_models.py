"""The shapes of answers, as the OpenAPI description shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """What went wrong."""

    code: str
    message: str
    type: str
    param: str | None = Field(default=None, description="Only for a 400: the field that caused it.")

    model_config = ConfigDict(json_schema_extra={"required": ["code", "message", "type"]})


class Envelope(BaseModel):
    """Every error of the service."""

    error: Problem


class TaskError(BaseModel):
    """Why a generation failed."""

    code: str
    message: str


class ImageUrl(BaseModel):
    """One image of a result."""

    url: str


class Result(BaseModel):
    """The images of a completed generation."""

    type: Literal["image"]
    data: list[ImageUrl]


class Billing(BaseModel):
    """What a final generation cost; the amounts are text."""

    status: Literal["settled", "refunded"]
    credits: str = Field(pattern=r"^[0-9]+(\.[0-9]+)?$", description="200 a dollar")
    cost_usd: str = Field(pattern=r"^[0-9]+(\.[0-9]+)?$", description="dollars")


class TaskView(BaseModel):
    """A generation, as the answers to a submission and to a status query show it."""

    id: str
    object: Literal["generation.task"]
    model: str
    status: Literal["queued", "pending", "in_progress", "completed", "failed"] = Field(
        description="`pending` is what the 2.5 models call `queued`."
    )
    progress: int = Field(ge=0, le=100)
    created_at: int = Field(description="Unix seconds")
    metadata: dict[str, Any]
    client_business_id: str = Field(default="", description="Only if the submission had one.")
    completed_at: int = Field(default=0, description="Unix seconds; only when completed.")
    expires_at: int = Field(default=0, description="Unix seconds, 24 hours later; only when completed.")
    result: Result = Field(default=..., description="Only when completed.")
    error: TaskError = Field(default=..., description="Only when failed.")
    billing: Billing = Field(default=..., description="Only when completed or failed.")

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["id", "object", "model", "status", "progress", "created_at", "metadata"]
        }
    )


class UploadData(BaseModel):
    """A stored upload."""

    id: str
    url: str
    mime_type: Literal["image/jpeg", "image/png", "image/webp", "image/gif"]
    size: int = Field(description="bytes")


class UploadView(BaseModel):
    """The answer to an upload."""

    success: Literal[True]
    message: str
    data: UploadData


class Refusal(BaseModel):
    """The answer to an upload that is refused."""

    success: Literal[False]
    message: str


class BalanceView(BaseModel):
    """Money of a key's quota, or of the whole account. ``remain_*`` are -1 if the quota is unlimited."""

    success: Literal[True]
    remain_balance: float = Field(description="dollars")
    used_balance: float = Field(description="dollars")
    remain_credits: float
    used_credits: float
    credits_per_usd: Literal[200]
    unlimited_quota: bool


class ModelLine(BaseModel):
    """One model."""

    id: str
    object: Literal["model"]
    created: int = Field(description="Unix seconds")
    owned_by: str


class ModelList(BaseModel):
    """The models of a key, in OpenAI's shape."""

    object: Literal["list"]
    data: list[ModelLine]


class LedgerLine(BaseModel):
    """One accepted submission; money in dollars."""

    id: str
    client_business_id: str | None
    key_tail: str = Field(description="The last four characters of the key.")
    model: str
    n: int
    status: Literal["queued", "in_progress", "completed", "failed"]
    accepted_at: float = Field(description="Unix seconds")
    finishes_at: float = Field(description="Unix seconds; when its result is available")
    billed: float
    refunded: float
    polls: int = Field(description="Status queries answered for it.")


class RequestCounts(BaseModel):
    """Requests that arrived, whatever their outcome; ``rate_limited`` of them were answered 429."""

    submit: int
    status: int
    upload: int
    download: int
    rate_limited: int


class LedgerView(BaseModel):
    """Everything that was accepted, and what is left."""

    submissions: list[LedgerLine]
    requests: RequestCounts
    balance: float


class Now(BaseModel):
    """The emulator's time."""

    now: float = Field(description="Unix seconds")
