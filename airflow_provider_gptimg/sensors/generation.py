"""The sensor that waits for a generation which another task submitted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.compat.imports import AirflowSensorTimeout, AirflowSkipException
from airflow_provider_gptimg.compat.task_instance import task_instance
from airflow_provider_gptimg.exceptions import (
    GptImgError,
    GptImgSensorTimeoutError,
    GptImgTimeoutError,
    translated,
)
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.result import Result, asked_in, generation_id_in, submitted_at_in
from airflow_provider_gptimg.tasks.deferral import Deferral
from airflow_provider_gptimg.tasks.ending import ends_in_triggerer
from airflow_provider_gptimg.tasks.nothing import check_nothing
from airflow_provider_gptimg.tasks.parameters import templated
from airflow_provider_gptimg.tasks.templates import templates_named
from airflow_provider_gptimg.tasks.waiting import GenerationWait

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class GptImgGenerationSensor(GenerationWait, BaseSensorOperator):
    """Wait for a generation that was submitted elsewhere, and return the same result as the operator.

    ``timeout``, ``soft_fail``, ``never_fail``, ``exponential_backoff``, ``max_wait`` and ``mode`` work as
    in every Airflow sensor. They work the same whether the sensor is deferred or not.

    :param generation_id: the generation's id, or the whole dict that ``GptImgGenerateOperator`` with
        ``wait_for_completion=False`` returned. With the dict, the result has prompt and size too. (templated)
    :param conn_id: a connection of type ``gptimg``. (templated)
    :param deferrable: wait in the triggerer. The default is True, unless you give a ``mode``.
    :param end_from_trigger: also end the sensor in the triggerer, like
        :class:`~airflow_provider_gptimg.operators.generate.GptImgGenerateOperator`.
    :param poke_interval: seconds between two looks.
    :param timeout: seconds from the first look.
    """

    template_fields: Sequence[str] = ("generation_id", "conn_id")
    operator_extra_links = links_of()
    ui_color = "#e8def8"

    def __init__(
        self,
        *,
        generation_id: str | Mapping[str, Any] | XComArg,
        conn_id: str | XComArg = GptImgHook.default_conn_name,
        deferrable: bool | None = None,
        end_from_trigger: bool = True,
        poke_interval: float = 5.0,
        timeout: float = WAIT_LIMIT,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.generation_id: Any = generation_id
        self.conn_id = templated(conn_id)
        # From default_args it is not among the arguments here.
        has_mode = "mode" in kwargs or self.mode != "poke"
        self.deferrable = not has_mode if deferrable is None else deferrable
        self._end_from_trigger = end_from_trigger  # for the name, see the operator

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        max_wait = self.max_wait.total_seconds() if self.max_wait else None
        return Pace(self.poke_interval, exponential=self.exponential_backoff, max_wait=max_wait)

    def start(self, context: Context, *, resumed: bool, may_defer: bool) -> Any:
        """Wait in the chosen mode.

        :raises GptImgSensorTimeoutError: after ``timeout`` seconds.
        """
        if not self.deferrable:
            try:
                with self.hook.interruption.reaches():  # Airflow's own sleep between two looks
                    return BaseSensorOperator.execute(self, context)
            except AirflowSensorTimeout as error:
                raise GptImgSensorTimeoutError(
                    f"{error} Generation {self._id()} was accepted and billed, and may still finish.",
                    generation_id=self._id(),
                ) from error
        deadline = time.time() + self.timeout
        if looked := self.poke(context):
            return looked.xcom_value
        kept = Deferral(
            generation_id=self._id(),
            deadline=deadline,
            try_number=task_instance(context).try_number,
            asked=asked_in(self.generation_id),
            submitted_at=submitted_at_in(self.generation_id),
            ends_in_triggerer=may_defer and self._end_from_trigger and ends_in_triggerer(self),
        )
        if may_defer:
            self.defer_wait(context, kept)
        try:
            generation = self.wait_here(kept)
        except GptImgError as error:
            raise self.gave_up(error) from error
        return self.hand_on(context, generation, kept)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, and again after a failure. The sensor is done when the generation is finished."""
        try:
            with templates_named(context, self.task_id):
                check_nothing(context, self.task_id, self.template_fields, self)
            with templates_named(context, self.task_id), self.hook.interruption.held_off():
                generation = self.generation = self.look(
                    self._id(),
                    patience=self.timeout,
                    submitted_at=submitted_at_in(self.generation_id),
                )
                if not generation.is_final:
                    return PokeReturnValue(is_done=False)
                result = self.finish(context, generation, asked_in(self.generation_id))
                return PokeReturnValue(is_done=True, xcom_value=result)
        except GptImgError as error:
            # Airflow skips a deferred sensor for every AirflowException, a poking one only for some.
            if self.soft_fail or self.never_fail:
                why = "soft_fail" if self.soft_fail else "never_fail"
                raise AirflowSkipException(f"Skipping due to {why} is set to True: {error}") from error
            raise

    def hand_on(self, context: Context, generation: Generation, kept: Deferral) -> Result:
        """Return the result of a finished generation."""
        return self.finish(context, generation, kept.asked)

    def gave_up(self, error: GptImgError) -> GptImgError:
        """Return the exception for a wait that was given up. A timeout becomes a sensor's timeout."""
        if isinstance(error, GptImgTimeoutError):
            return GptImgSensorTimeoutError(str(error), generation_id=error.generation_id)
        return error

    def _id(self) -> str:
        with translated():
            return generation_id_in(self.generation_id)
