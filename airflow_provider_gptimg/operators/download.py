"""The operator that stores the images of a generation, wherever it was made."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.compat.task_instance import task_instance
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.result import Result, asked_in, generation_id_in, submitted_at_in
from airflow_provider_gptimg.tasks.deferral import Deferral
from airflow_provider_gptimg.tasks.nothing import check_nothing, check_place_again
from airflow_provider_gptimg.tasks.parameters import seconds, templated
from airflow_provider_gptimg.tasks.templates import templates_named
from airflow_provider_gptimg.tasks.waiting import GenerationWait, check_place, storing

if TYPE_CHECKING:
    import os

    from airflow.sdk import Context, ObjectStoragePath, XComArg


class GptImgDownloadOperator(GenerationWait):
    """Store the images of a generation. If it still runs, wait for it first. This never pays.

    XCom, as of :class:`~airflow_provider_gptimg.operators.generate.GptImgGenerateOperator` with an
    ``output_path``: ``return_value`` (see :class:`~airflow_provider_gptimg.result.Result`) and
    ``urls``, the stored URIs.

    :param generation_id: the generation's id, or the dict that the generating task or the sensor returned.
        With the dict, the size in pixels is checked, and the result has the prompt. (templated)
    :param output_path: a folder, as a path or URI; text, ``Path`` or ``ObjectStoragePath``. (templated)
    :param file_name: see ``GptImgGenerateOperator``. ``{identity}`` is made from the generation's id.
        (templated)
    :param verify_images: decode every picture completely before it is stored; see ``GptImgGenerateOperator``.
    :param conn_id: a connection of type ``gptimg``. (templated)
    :param deferrable: wait in the triggerer instead of on the worker.
    :param poll_interval: seconds between two looks.
    :param timeout: seconds that the generation may still take, from the first look.
    """

    template_fields: Sequence[str] = ("generation_id", "output_path", "file_name", "conn_id")
    operator_extra_links = links_of()
    ui_color = "#e8def8"

    def __init__(
        self,
        *,
        generation_id: str | Mapping[str, Any] | XComArg,
        output_path: str | os.PathLike[str] | ObjectStoragePath | XComArg,
        file_name: str | XComArg | None = None,
        verify_images: bool = False,
        conn_id: str | XComArg = GptImgHook.default_conn_name,
        deferrable: bool = True,
        poll_interval: float = 5.0,
        timeout: float = WAIT_LIMIT,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generation_id: Any = generation_id
        self.output_path: Any = templated(output_path)
        self.file_name = templated(file_name)
        self.verify_images = verify_images
        self.conn_id = templated(conn_id)
        self.deferrable = deferrable
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.timeout = seconds("timeout", timeout)

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        return Pace(self.poll_interval)

    def start(self, context: Context, *, resumed: bool, may_defer: bool) -> Result:
        """Look at the generation, wait if it still runs, and store its images."""
        with templates_named(context, self.task_id), translated():
            check_nothing(context, self.task_id, self.template_fields, self)
            check_place(
                context,
                task_id=self.task_id,
                output_path=self.output_path,
                file_name=self.file_name,
                verify_images=self.verify_images,
            )
            generation_id = generation_id_in(self.generation_id)
        kept = Deferral(
            generation_id=generation_id,
            deadline=time.time() + self.timeout,
            try_number=task_instance(context).try_number,
            asked=asked_in(self.generation_id),
            submitted_at=submitted_at_in(self.generation_id),
        )
        generation = self.generation = self.look(
            generation_id, patience=self.timeout, submitted_at=kept.submitted_at
        )
        if not generation.is_final:
            if self.deferrable and may_defer:
                self.defer_wait(context, kept)
            generation = self.wait_here(kept)
        return self.hand_on(context, generation, kept)

    def hand_on(self, context: Context, generation: Generation, kept: Deferral) -> Result:
        """Store the images of a finished generation, and return the result."""
        check_place_again(context, self.task_id, self, kept)
        store = storing(
            context,
            self.hook.settings,
            output_path=self.output_path,
            file_name=self.file_name,
            verify_images=self.verify_images,
            # Of the generation's id alone: its images are the same whoever stores them.
            digest=hashlib.sha256(kept.generation_id.encode()).hexdigest(),
            asked=kept.asked,
        )
        return self.finish(context, generation, kept.asked, store)
