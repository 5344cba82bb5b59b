"""The bodies that the control endpoints accept: how far to move the clock, which settings to change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_provider_gptimg.emulator.clock import MAX_ADVANCE
from airflow_provider_gptimg.emulator.json_bodies import whole
from airflow_provider_gptimg.emulator.settings import MAX_BALANCE
from airflow_provider_gptimg.emulator.shapes import SHAPES

ShapeName = Annotated[str, Field(json_schema_extra={"enum": list(SHAPES)})]
Day = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class Advance(BaseModel):
    """How far to move the clock."""

    model_config = ConfigDict(extra="forbid", strict=True)

    advance: float = Field(ge=0, le=MAX_ADVANCE, allow_inf_nan=False, description="seconds")


class Configuration(BaseModel):
    """Settings to change; what is not named stays. ``balance`` sets the money that is left now."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seed: Annotated[int, BeforeValidator(whole)] = 0
    latency_median: Day = Field(default=4.0, description="seconds")
    latency_sigma: float = Field(default=0.35, ge=0, le=5, allow_inf_nan=False)
    rate_limit: Literal["default", "vip", "svip", "off"] = "default"
    balance: float = Field(default=10.0, ge=0, le=MAX_BALANCE, allow_inf_nan=False, description="dollars")
    lookup_lag: Day = Field(default=0.0, description="seconds until a business id can be found")
    ignore_business_id: bool = False
    strict_user_agent: bool = False
    size_table: Literal["standard", "full"] = "standard"
    shapes: list[ShapeName] = Field(
        default=[],
        max_length=100,
        description="Other answer formats. If two conflict, the later one is used.",
    )
