"""The operator that stores the images of a generation made anywhere."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_gptimg.api import flows
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.result import Asked, asked_in, generation_id_in, submitted_at_in
from airflow_provider_gptimg.tasks.parameters import seconds, templated
from airflow_provider_gptimg.tasks.reasons import leaves_reason
from airflow_provider_gptimg.tasks.storing import StoringWait
from airflow_provider_gptimg.tasks.templates import templates_named

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class GptImgDownloadOperator(StoringWait):
    """Store the images of a generation, after waiting for it where it still runs. It never pays.

    Hands on what :class:`~airflow_provider_gptimg.operators.generate.GptImgGenerateOperator` with an
    ``output_path`` does: ``return_value`` (see :class:`~airflow_provider_gptimg.result.Result`) and
    ``urls``, the stored URIs.

    :param generation_id: its id, or the dict that the generating task or the sensor returned: then the
        size in pixels is checked, and the result repeats the prompt. (templated)
    :param output_path: a folder, as a path or URI that ``ObjectStoragePath`` opens. (templated)
    :param file_name: see ``GptImgGenerateOperator``; ``{identity}`` is made of the generation's id.
        (templated)
    :param verify_images: decode every picture completely before it is stored; see there.
    :param conn_id: a connection of type ``gptimg``. (templated)
    :param deferrable: wait in the triggerer instead of on the worker.
    :param poll_interval: seconds between two looks.
    :param timeout: seconds that a generation which still runs may take, from the first look.
    """

    template_fields: Sequence[str] = ("generation_id", "output_path", "file_name", "conn_id")
    operator_extra_links = links_of()
    ui_color = "#e8def8"

    def __init__(
        self,
        *,
        generation_id: str | Mapping[str, Any] | XComArg,
        output_path: str | XComArg,
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
        self.output_path: str = templated(output_path)
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

    def asked(self) -> Asked:
        """Return what is known of the request: nothing, unless a whole result was given."""
        return asked_in(self.generation_id)

    def known_id(self, ti: Any) -> str:
        """Return the id that it was given."""
        return generation_id_in(self.generation_id)

    def digest(self, context: Context) -> str:
        """Return a hash of the generation's id: its images are the same whoever stores them."""
        return hashlib.sha256(generation_id_in(self.generation_id).encode()).hexdigest()

    @leaves_reason
    def execute(self, context: Context) -> Any:
        """Look, wait if need be, and store.

        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        with templates_named(context, self.task_id), translated():
            self.check_storage(context)
            generation_id = generation_id_in(self.generation_id)
        submitted_at = submitted_at_in(self.generation_id)
        deadline = time.time() + self.timeout
        generation = self.generation = self.hook.run(
            flows.look(
                generation_id,
                pace=self.pace,
                deadline=deadline,
                clock=time.time,
                submitted_at=submitted_at,
            )
        )
        if not generation.is_final:
            if self.deferrable:
                self.defer_wait(
                    context, generation_id, asked=self.asked(), deadline=deadline, submitted_at=submitted_at
                )
            generation = self.hook.wait_until(
                generation_id, pace=self.pace, deadline=deadline, submitted_at=submitted_at
            )
        return self.finish(context, generation, self.asked())
