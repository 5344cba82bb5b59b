"""Faults on demand: the rules a test sets, and which request they hit."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from airflow_provider_gptimg.emulator.json_bodies import whole

Endpoint = Literal["submit", "status", "upload", "download"]
Kind = Literal["status", "reset_before", "reset_after", "delay", "malformed", "truncate", "hang"]

DEFAULT_SECONDS = {"delay": 2.0, "hang": 3600.0}
MAX_SECONDS = 86_400

# The limits come first: after a validator they would not get into the description.
HttpError = Annotated[int, Field(ge=400, le=599), BeforeValidator(whole)]
Times = Annotated[int, Field(ge=1), BeforeValidator(whole)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]


def _two_variants(schema: dict[str, Any]) -> None:
    """Describe in full that `status` needs a status and the other kinds do not."""
    properties, required = schema.pop("properties"), schema.pop("required")
    status = properties["status"]["anyOf"][0]  # without the null that stands for "not given"
    others = {**properties["kind"], "enum": [kind for kind in get_args(Kind) if kind != "status"]}
    own = {**properties["kind"], "enum": ["status"]}
    common = {"type": schema.pop("type"), "additionalProperties": schema.pop("additionalProperties")}
    schema["anyOf"] = [
        {**common, "properties": {**properties, "kind": others}, "required": required},
        {
            **common,
            "properties": {**properties, "kind": own, "status": status},
            "required": [*required, "status"],
        },
    ]


class Rule(BaseModel):
    """One fault. The first rule that matches a request and wins its throw of the dice is applied."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra=_two_variants,
    )

    on: Endpoint = Field(
        description="The endpoint. A look-up by business id is a `status`, a picture is a `download`."
    )
    kind: Kind = Field(
        description=(
            "`status`: answer that HTTP status with its envelope; not processed unless `accepted`. "
            "`reset_before`: reset the connection, nothing is processed. "
            "`reset_after`: process (accept, bill), then reset the connection without an answer. "
            "`delay`: process, then hold the answer back for `seconds`. "
            "`malformed`: process, then answer 200 with HTML or with broken JSON, in turns. "
            "`truncate`: process, then close the connection half way through the body. "
            "`hang`: hold the connection for `seconds` and reset it without an answer; not processed "
            "unless `accepted`."
        )
    )
    status: HttpError | None = Field(
        default=None, description="For `status`, which requires it: the HTTP status."
    )
    retry_after: Seconds | None = Field(default=None, description="For `status`: adds `Retry-After`.")
    seconds: Seconds | None = Field(
        default=None, description="For `delay` (default 2) and `hang` (default 3600); real seconds."
    )
    accepted: bool = Field(
        default=False,
        description="For `status` and `hang`: process the request first, as when an answer is lost.",
    )
    probability: float = Field(
        default=1.0, ge=0, le=1, description="Probability of the fault; the emulator's seed decides."
    )
    times: Times | None = Field(default=None, description="Maximum number of times; default: no limit.")
    match: str | None = Field(
        default=None,
        min_length=1,
        description="Only requests whose prompt, business id or path contains this text.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Rule:
        if self.kind == "status" and self.status is None:
            raise ValueError("kind 'status' needs a status, such as 503")
        return self

    @property
    def duration(self) -> float:
        """Seconds that `delay` and `hang` last."""
        return DEFAULT_SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds


class Rules(BaseModel):
    """The rules that replace the current ones; an empty list clears them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rules: list[Rule] = Field(max_length=1_000)


class FaultBook:
    """The rules in force, how often each has hit, and the dice."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.replace([])

    def replace(self, rules: list[Rule]) -> None:
        """Put ``rules`` in force, and restart the counts and the dice."""
        self.rules = rules
        self.hits = [0] * len(rules)
        self._dice = self._new_dice()

    def seed(self, seed: int) -> None:
        """Use other dice from now on; the rules and their hit counts stay."""
        self._seed = seed
        self._dice = self._new_dice()

    def _new_dice(self) -> random.Random:
        return random.Random(f"{self._seed}/faults")

    def looks_at_text(self, endpoint: Endpoint) -> bool:
        """Tell whether a rule for ``endpoint`` needs the request's text to decide."""
        return any(rule.on == endpoint and rule.match is not None for rule in self.rules)

    def draw(self, endpoint: Endpoint, text: str) -> tuple[Rule, int] | None:
        """Return the rule that hits this request and its hit count so far, or ``None``."""
        for position, rule in enumerate(self.rules):
            if rule.on != endpoint or (rule.match is not None and rule.match not in text):
                continue
            if rule.times is not None and self.hits[position] >= rule.times:
                continue
            if rule.probability < 1 and self._dice.random() >= rule.probability:
                continue
            self.hits[position] += 1
            return rule, self.hits[position]
        return None
