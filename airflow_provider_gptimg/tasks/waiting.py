"""Waiting for a generation in an Airflow task: what the operator and the sensor share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.errors import LIVES
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.polling.schedule import kind_of
from airflow_provider_gptimg.assets import announce
from airflow_provider_gptimg.compat.imports import TRIGGER_FAIL, TRIGGER_TIMEOUT
from airflow_provider_gptimg.exceptions import GptImgError, named, translated
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.result import Asked, Result, Store, collect
from airflow_provider_gptimg.tasks.lineage import lineage_of
from airflow_provider_gptimg.tasks.outputs import KeyedOperator
from airflow_provider_gptimg.tasks.reasons import leaves_reason
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_gptimg.tasks.lineage import Lineage

DEFER_MARGIN = 120.0
"""Seconds by which Airflow's own limit of a deferral lies behind ours: when it strikes, the trigger
gets no last look, so it is only there for a trigger that is gone."""

RESUME_PATIENCE = 60.0
"""Seconds in which a resumed task gets its look at the generation through a shaky network."""


class GenerationWait(KeyedOperator):
    """Base of tasks that wait for one generation, deferred or not, and hand its result on."""

    conn_id: str
    timeout: float
    n: int = 1
    """Images of the generation, where it is known: how long it takes depends on it."""

    generation: Generation | None = None
    """The generation this process last heard of, for :meth:`on_kill`."""

    result: Result | None = None
    """What was handed on, for the lineage."""

    identity_digest: str | None = None
    """The identity under which this task submitted; it goes through the deferral."""

    @cached_property
    def hook(self) -> GptImgHook:
        """The hook of the task's connection."""
        return GptImgHook(self.conn_id)

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        raise NotImplementedError

    def asked(self) -> Asked:
        """Return what a result repeats of its request, as far as this task knows it."""
        raise NotImplementedError

    def store(self, context: Context, asked: Asked) -> Store | None:
        """Return what stores an image, None where the service's URLs are handed on."""
        return None

    def finish(self, context: Context, generation: Generation, asked: Asked) -> Result:
        """Return the result of a generation that is over, after storing its images and pushing ``urls``.

        :raises GptImgGenerationFailedError: if it failed at the service.
        :raises GptImgNoImagesError: if it names no image.
        :raises GptImgExpiredError: if its images are gone.
        :raises GptImgDownloadError: if an image cannot be fetched, or is not what was asked for.
        :raises GptImgStorageError: if it cannot be stored.
        """
        with translated():
            result = collect(generation, asked, self.store(context, asked))
        self.result = result
        self.operator_extra_links = links_of(len(result["images"]))
        if self.do_xcom_push:
            context["ti"].xcom_push(key="urls", value=result["urls"])
        self.log.info("Generation %s is completed with %d image(s).", generation.id, len(result["urls"]))
        for uri in (image.get("uri") for image in result["images"]):
            if uri:  # the service's own URLs open for whoever has them, and do not belong in a log
                self.log.info("Stored %s", uri)
        announce(context, self.outlets, result)
        return result

    def reference_uris(self) -> list[str]:
        """Return where the images are that it started from, for the lineage."""
        return []

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Lineage | None:
        """Return the lineage for the OpenLineage provider, which asks here after a failure too."""
        known: Mapping[str, Any] | None = self.result
        if known is None and self.generation is not None:
            known = {"generation_id": self.generation.id}
        return lineage_of(inputs=self.reference_uris(), result=known, service=self.hook.settings.base_url)

    def known_id(self, ti: Any) -> str | None:
        """Return the generation's id where the deferral's own copy is lost, None where this is lost too."""
        raise NotImplementedError

    def new_deadline(self, generation: Generation) -> float:
        """Return until when to wait (Unix seconds) where what went into the deferral is lost."""
        return time.time() + self.timeout

    def stopped(self, error: GptImgError) -> GptImgError:
        """Return the exception for a wait that was given up."""
        return error

    def defer_wait(
        self,
        context: Context,
        generation_id: str,
        *,
        asked: Asked,
        deadline: float,
        end_task: bool = False,
    ) -> NoReturn:
        """Give the worker back and wait in the triggerer until ``deadline`` (Unix seconds)."""
        pace = self.pace
        self.operator_extra_links = links_of(self.n)
        if self.execution_timeout is not None:
            # Airflow 3 measures each stay on a worker for itself, and nothing in between.
            started = context["ti"].start_date.timestamp()
            deadline = min(deadline, started + self.execution_timeout.total_seconds())
        self.defer(
            trigger=GptImgGenerationTrigger(
                generation_id=generation_id,
                conn_id=self.conn_id,
                poll_interval=pace.interval,
                deadline=deadline,
                exponential_backoff=pace.exponential,
                max_wait=pace.max_wait,
                end_task=end_task,
                kind=kind_of(asked["model"], asked["resolution"], self.n) if asked["model"] else None,
            ),
            method_name="execute_complete",
            kwargs={
                "generation_id": generation_id,
                "asked": asked,
                "deadline": deadline,
                "try_number": context["ti"].try_number,
                "identity_digest": self.identity_digest,
            },
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + DEFER_MARGIN),
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume, also where Airflow would only fail the task because its trigger is gone."""
        if next_method == TRIGGER_FAIL:
            reason = str((next_kwargs or {}).get("error", "the trigger died"))
            for line in (next_kwargs or {}).get("traceback") or ():
                self.log.error("%s", line.rstrip())
            self.log.warning("Airflow gave up the wait (%s): asking the service itself.", reason)
            event = {"status": "timeout" if reason == TRIGGER_TIMEOUT else "error", "message": reason}
            next_method, next_kwargs = "execute_complete", {"event": event}
        return super().resume_execution(next_method, next_kwargs, context)

    @leaves_reason
    def execute_complete(
        self,
        context: Context,
        event: Any = None,
        *,
        generation_id: str | None = None,
        asked: Asked | None = None,
        deadline: float | None = None,
        try_number: int | None = None,
        identity_digest: str | None = None,
    ) -> Any:
        """Go on after the trigger's event: ask the service itself, and finish or fail.

        The event is a hint only. ``dag.test()`` resumes with the text "success" where the trigger
        would have ended the task; Airflow 3.0 may resume a retry with the event of the try before.
        """
        ti = context["ti"]
        self.identity_digest = identity_digest or self.identity_digest
        if try_number is not None and try_number != ti.try_number:
            return self.execute(context)
        told: Mapping[str, Any] = event if isinstance(event, Mapping) else {}
        generation_id = generation_id or told.get("generation_id") or self.known_id(ti)
        if not generation_id:
            # The trigger died and took the id with it: start over, which looks for what was paid for.
            return self.execute(context)
        try:
            generation = self.generation = self._look(generation_id, told)
            deadline = deadline or self.new_deadline(generation)
            if not generation.is_final and told.get("status") == "error":
                # Not deferred again: what the triggerer could not do once, it may never do.
                self.log.warning(
                    "The triggerer gave up the wait (%s): this worker waits on.", told.get("message")
                )
                generation = self.hook.wait_until(generation_id, pace=self.pace, deadline=deadline)
        except Exception as error:
            raise self.stopped(named(error, generation_id)) from error
        if generation.is_final:
            return self.finish(context, generation, asked or self.asked())
        self.defer_wait(context, generation_id, asked=asked or self.asked(), deadline=deadline)

    def on_kill(self) -> None:
        """Say what becomes of the generation, and end the wait; nobody can cancel it (contract: Status)."""
        if self.generation is not None:
            self.log.warning(
                "Killed while waiting for generation %s, which was accepted and billed; a retry of the task "
                "finds it, and its images can be had by this id for %s after it is completed.",
                self.generation.id,
                LIVES,
            )
        self.hook.interruption.set()  # comes last: it raises

    def _look(self, generation_id: str, told: Mapping[str, Any]) -> Generation:
        if told.get("status") == "timeout":
            return self.hook.wait_until(generation_id, pace=self.pace, deadline=time.time())
        deadline = time.time() + RESUME_PATIENCE
        return self.hook.run(flows.look(generation_id, pace=self.pace, deadline=deadline, clock=time.time))
