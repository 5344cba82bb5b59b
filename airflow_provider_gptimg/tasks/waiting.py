"""Waits for a generation in an Airflow task, and passes its result on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.errors import LIVES
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.image_formats import MIME_TYPES
from airflow_provider_gptimg.api.models import pixels
from airflow_provider_gptimg.api.polling.schedule import kind_of
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.assets import announce
from airflow_provider_gptimg.compat.task_instance import region_of, task_instance
from airflow_provider_gptimg.compat.xcom import ASKED_KEY
from airflow_provider_gptimg.exceptions import GptImgError, named, translated
from airflow_provider_gptimg.files.cache import Slot
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.files.storage import Storage, check_decoder, check_folder, check_names
from airflow_provider_gptimg.hooks.metrics import Metrics
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.result import NOTHING_ASKED, Asked, Result, collect, cost_of, shortfall
from airflow_provider_gptimg.tasks.base import LOST, TIMED_OUT, GptImgTask
from airflow_provider_gptimg.tasks.caching import made_by
from airflow_provider_gptimg.tasks.deferral import Deferral
from airflow_provider_gptimg.tasks.lineage import lineage_of
from airflow_provider_gptimg.tasks.templates import OF_AN_ITERATION, is_own
from airflow_provider_gptimg.triggers.generation import GptImgGenerationTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_gptimg.tasks.lineage import Lineage

DEFER_MARGIN = 120.0
"""Seconds between our deadline and Airflow's own limit for a deferral. When Airflow's limit ends the wait,
the trigger gets no last look. So that limit is only for a trigger that is gone."""

MANY_IMAGES = 10
"""The assumed number of images if a task does not know it: the index in a name then has one more digit."""

RESUME_PATIENCE = 60.0
"""Seconds for which a resumed task tries to look at the generation through a shaky network."""


class GenerationWait(GptImgTask):
    """Base of tasks that wait for one generation, deferred or not, and hand its result on."""

    timeout: float
    n: Any = 1
    """The number of images, if it is known. The duration depends on it."""

    asked: Asked = NOTHING_ASKED
    """The request, as far as this process knows it."""

    generation: Generation | None = None
    """The generation as this process last saw it, for :meth:`on_kill` and the lineage."""

    result: Result | None = None
    """The result that was handed on, for the lineage."""

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        raise NotImplementedError

    def hand_on(self, context: Context, generation: Generation, kept: Deferral) -> Result:
        """Return the result of a finished generation; see :meth:`finish`."""
        raise NotImplementedError

    def gave_up(self, error: GptImgError) -> GptImgError:
        """Return the exception for a wait that was given up."""
        return error

    def finish(
        self, context: Context, generation: Generation, asked: Asked, storage: Storage | None = None
    ) -> Result:
        """Return the result of a finished generation, after storing its images and pushing ``urls``.

        :param storage: where the images go; None hands on the service's URLs.
        :raises GptImgGenerationFailedError: if it failed at the service.
        :raises GptImgNoImagesError: if it names no image.
        :raises GptImgExpiredError: if its images are gone.
        :raises GptImgDownloadError: if an image cannot be fetched, or is not what was asked for.
        :raises GptImgStorageError: if an image cannot be stored.
        """
        with translated():
            store = storage.store if storage else None
            result = collect(generation, asked, store, prices=self.hook.settings.prices)
        if storage:
            storage.enter(result["images"], asked, made_by(context))
        self.log.info("Generation %s is completed with %d image(s).", generation.id, len(result["urls"]))
        self.hand_out(context, result)
        Metrics(task_instance(context)).given(result)
        return result

    def hand_out(self, context: Context, result: Result) -> None:
        """Push ``urls``, and report the images in the log and in asset events."""
        self.result = result
        self.operator_extra_links = links_of(len(result["images"]))
        if self.do_xcom_push:
            task_instance(context).xcom_push(key="urls", value=result["urls"])
        if line := shortfall(result):
            self.log.warning("%s", line)
        for uri in (image.get("uri") for image in result["images"]):
            if uri:  # the service's own URLs open for anyone who has them, so they stay out of the log
                self.log.info("Stored %s", uri)
        announce(context, self.outlets, result)

    def defer_wait(self, context: Context, kept: Deferral) -> NoReturn:
        """Give the worker back and wait in the triggerer."""
        ti, pace, deadline = task_instance(context), self.pace, kept.deadline
        if kept.ends_in_triggerer:
            ti.xcom_push(key=ASKED_KEY, value=kept.asked)
        self.operator_extra_links = links_of(self.n)
        if self.execution_timeout is not None:
            # Airflow 3 measures each stay on a worker separately, and not the time in between.
            deadline = min(deadline, ti.start_date.timestamp() + self.execution_timeout.total_seconds())
        self.defer(
            trigger=GptImgGenerationTrigger(
                generation_id=kept.generation_id,
                conn_id=self.conn_id,
                poll_interval=pace.interval,
                deadline=deadline,
                exponential_backoff=pace.exponential,
                max_wait=pace.max_wait,
                end_task=kept.ends_in_triggerer,
                submitted_at=kept.submitted_at,
                kind=self.kind(kept.asked),
            ),
            method_name="execute_complete",
            kwargs=replace(kept, deadline=deadline).as_kwargs(ti),
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + DEFER_MARGIN),
        )

    def resume(self, context: Context, kept: Deferral, event: Mapping[str, Any]) -> Any:
        """Ask the service what became of the generation. Then finish, wait on, or fail."""
        self.asked = kept.asked
        try:
            generation = self.generation = self._look(kept, event)
            if not generation.is_final and event.get("status") == LOST:
                # Not deferred again: the triggerer failed once and may fail every time.
                self.log.warning(
                    "The triggerer stopped the wait (%s). This worker continues to wait.",
                    event.get("message"),
                )
                generation = self.wait_here(kept)
        except Exception as error:
            raise self.gave_up(named(error, kept.generation_id)) from error
        if not generation.is_final:
            self.defer_wait(context, kept)
        return self.hand_on(context, generation, kept)

    def wait_here(self, kept: Deferral, deadline: float | None = None) -> Generation:
        """Wait on this worker, until the given or else its own deadline (Unix seconds)."""
        return self.hook.wait_until(
            kept.generation_id,
            pace=self.pace,
            deadline=kept.deadline if deadline is None else deadline,
            kind=self.kind(kept.asked),
            since=kept.submitted_at,
        )

    def kind(self, asked: Asked) -> str | None:
        """Return the name of generations that take about as long; None if the model is not known."""
        return kind_of(asked["model"], asked["resolution"], self.n) if asked["model"] else None

    def look(self, generation_id: str, *, patience: float, submitted_at: float | None = None) -> Generation:
        """Look at a generation. If the network fails, try again for ``patience`` seconds."""
        look = flows.look(
            generation_id,
            pace=self.pace,
            deadline=time.time() + patience,
            clock=time.time,
            submitted_at=submitted_at,
        )
        return self.hook.run(look)

    def _look(self, kept: Deferral, event: Mapping[str, Any]) -> Generation:
        if event.get("status") == TIMED_OUT:
            return self.wait_here(kept, time.time())
        return self.look(kept.generation_id, patience=RESUME_PATIENCE, submitted_at=kept.submitted_at)

    def note_failure(self, context: Context, error: GptImgError) -> None:
        """Count a failure, say what it cost, and push its reason."""
        Metrics(task_instance(context)).failed(error.reason)
        if self.generation is not None and self.generation.id == error.generation_id:
            error.cost_usd, _ = cost_of(self.generation, self.asked, self.hook.settings.prices)
        super().note_failure(context, error)

    def reference_uris(self) -> list[str]:
        """Return where the images are that the task started from, for the lineage."""
        return []

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Lineage | None:
        """Return the lineage. The OpenLineage provider also calls this after a failure."""
        known: Mapping[str, Any] | None = self.result
        if known is None and self.generation is not None:
            known = {"generation_id": self.generation.id}
        return lineage_of(inputs=self.reference_uris(), result=known, service=self.hook.settings.base_url)

    def on_kill(self) -> None:
        """Log what becomes of the generation, which cannot be cancelled (contract: Status). End the wait."""
        if self.generation is not None:
            self.log.warning(
                "Killed while waiting for generation %s, which was accepted and billed. A retry of the task "
                "goes on with it. You can fetch its images with this id for %s after it is completed.",
                self.generation.id,
                LIVES,
            )
        super().on_kill()  # comes last: it raises


def check_place(
    context: Context,
    *,
    task_id: str,
    output_path: Any,
    file_name: Any,
    verify_images: bool,
    images: int = MANY_IMAGES,
    item: int | None = None,
) -> None:
    """Check where a task's images will be stored, and under which names.

    :param images: the greatest number of images. From the second one on, a name is longer.
    :param item: the index of the item in a batch.
    :raises GptImgValidationError: naming the field, its value and what is allowed.
    """
    ti = task_instance(context)
    with translated():
        folder = check_folder(output_path)
        names = FileNames.of(file_name, ti, "0" * 40, item=item, item_id=item)
        if not is_own(context, task_id, "file_name"):
            names.check_mapped(ti)
        if region_of(ti) and not is_own(context, task_id, "file_name", OF_AN_ITERATION):
            names.check_loop()
        check_names(folder, names, images=images)
        if verify_images:
            check_decoder()


def storing(
    context: Context,
    settings: Settings,
    *,
    output_path: Any,
    file_name: Any,
    verify_images: bool,
    digest: str,
    asked: Asked,
    slot: Slot | None = None,
) -> Storage | None:
    """Return the storage for images, None if there is neither an ``output_path`` nor a cache.

    :param digest: part of the file names. It differs from task to task, and is the same in every repeat.
    :param slot: the images' place in the cache.
    """
    if output_path is None and slot is None:
        return None
    model, size, resolution = asked["model"], asked["size"], asked["resolution"]
    return Storage(
        folder=output_path,
        names=FileNames.of(file_name, task_instance(context), digest),
        settings=settings,
        size=pixels(model, size, resolution) if model and size and resolution else None,
        decode=verify_images,
        slot=slot,
    )


def is_stored(context: Context, output_path: Any, file_name: Any, digest: str) -> bool:
    """Return whether a task's first image is stored; True if the storage does not let us look."""
    names = FileNames.of(file_name, task_instance(context), digest)
    folder = Place.of(output_path)
    try:
        return any((folder / names.name(0, image_format)).exists() for image_format in MIME_TYPES)
    except Exception:  # noqa: BLE001 - a storage may raise anything
        return True
