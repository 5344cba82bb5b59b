"""The sensor: wait for a generation that was submitted elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.compat.imports import AirflowSensorTimeout, AirflowSkipException
from airflow_provider_gptimg.exceptions import (
    GptImgError,
    GptImgSensorTimeoutError,
    GptImgTimeoutError,
    translated,
)
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.result import Asked, Result, asked_in, generation_id_in
from airflow_provider_gptimg.tasks.parameters import templated
from airflow_provider_gptimg.tasks.reasons import leaves_reason
from airflow_provider_gptimg.tasks.templates import templates_named
from airflow_provider_gptimg.tasks.waiting import GenerationWait

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class GptImgGenerationSensor(GenerationWait, BaseSensorOperator):
    """Wait for a generation submitted elsewhere, and hand its result on as the operator does.

    ``timeout``, ``soft_fail``, ``never_fail``, ``exponential_backoff``, ``max_wait`` and ``mode`` mean
    what they mean for every Airflow sensor, and the same whether it is deferred or not.

    :param generation_id: its id, or the whole dict that ``GptImgGenerateOperator`` with
        ``wait_for_completion=False`` returned: then the result repeats prompt and size too. (templated)
    :param conn_id: a connection of type ``gptimg``. (templated)
    :param deferrable: wait in the triggerer. True unless a ``mode`` is given.
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

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        max_wait = self.max_wait.total_seconds() if self.max_wait else None
        return Pace(self.poke_interval, exponential=self.exponential_backoff, max_wait=max_wait)

    def asked(self) -> Asked:
        """Return what is known of the request: nothing, unless a whole result was given."""
        return asked_in(self.generation_id)

    @leaves_reason
    def execute(self, context: Context) -> Any:
        """Wait in the way that was chosen.

        :raises GptImgSensorTimeoutError: after ``timeout`` seconds.
        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        if not self.deferrable:
            try:
                with self.hook.interruption.reaches():  # Airflow's own sleep between two looks
                    return super().execute(context)
            except AirflowSensorTimeout as error:
                raise GptImgSensorTimeoutError(
                    f"{error} Generation {self._id()} was accepted and billed, and may still finish.",
                    generation_id=self._id(),
                ) from error
        deadline = time.time() + self.timeout
        if looked := self.poke(context):
            return looked.xcom_value
        self.defer_wait(context, self._id(), asked=self.asked(), deadline=deadline)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, and again after a failure; done when the generation is over."""
        try:
            with templates_named(context, self.task_id), self.hook.interruption.held_off():
                return PokeReturnValue(*self._result(context))
        except GptImgError as error:
            # Airflow skips a deferred sensor for every AirflowException, a poking one only for some.
            if self.soft_fail or self.never_fail:
                why = "soft_fail" if self.soft_fail else "never_fail"
                raise AirflowSkipException(f"Skipping due to {why} is set to True: {error}") from error
            raise

    def known_id(self, ti: Any) -> str:
        """Return the id that it was given."""
        return self._id()

    def stopped(self, error: GptImgError) -> GptImgError:
        """Return the exception for a wait that was given up: a timeout is a sensor's timeout."""
        if isinstance(error, GptImgTimeoutError):
            return GptImgSensorTimeoutError(str(error), generation_id=error.generation_id)
        return error

    def _result(self, context: Context) -> tuple[bool, Result | None]:
        generation = self.generation = self.hook.run(
            flows.look(self._id(), pace=self.pace, deadline=time.time() + self.timeout, clock=time.time)
        )
        if not generation.is_final:
            return False, None
        return True, self.finish(context, generation, self.asked())

    def _id(self) -> str:
        with translated():
            return generation_id_in(self.generation_id)
