"""The operator with a protection switched off; importable by the triggerer, as every trigger must be."""

from __future__ import annotations

from typing import Any, NoReturn

from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger


class HastyTrigger(GptImgGenerationTrigger):
    """Fires as soon as the generation is over."""

    hold_back = 0.0


class HastyOperator(GptImgGenerateOperator):
    """Waits in a :class:`HastyTrigger`."""

    def defer(self, *, trigger: GptImgGenerationTrigger, **kwargs: Any) -> NoReturn:  # type: ignore[override]
        """Defer to the trigger that does not hold its event back."""
        super().defer(trigger=HastyTrigger(**trigger.serialize()[1]), **kwargs)
