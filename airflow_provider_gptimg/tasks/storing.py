"""Keeping the images of a generation: what the operators that store share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_gptimg.api.models import pixels
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.storage import Storage, check_decoder, check_folder, check_names
from airflow_provider_gptimg.result import Asked, Store
from airflow_provider_gptimg.tasks.templates import is_own
from airflow_provider_gptimg.tasks.waiting import GenerationWait

if TYPE_CHECKING:
    from airflow.sdk import Context


class StoringWait(GenerationWait):
    """Waits for a generation and stores its images where ``output_path`` says so."""

    output_path: Any
    file_name: str | None
    verify_images: bool

    def digest(self, context: Context) -> str:
        """Return what tells this task's files from those of all others, the same in every repeat."""
        raise NotImplementedError

    def check_storage(self, context: Context) -> None:
        """Check what concerns the storing before anything is paid.

        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        if self.output_path is not None:
            check_place(context, self)

    def store(self, context: Context, asked: Asked) -> Store | None:
        """Return what stores an image, if there is an ``output_path``.

        It raises ApiError of kind DOWNLOAD where an image cannot be fetched or is not what was asked
        for, of kind STORAGE where it cannot be stored.
        """
        if self.output_path is None:
            return None
        names = FileNames.of(self.file_name, context["ti"], self.digest(context))
        model, size, resolution = asked["model"], asked["size"], asked["resolution"]
        return Storage(
            folder=self.output_path,
            names=names,
            settings=self.hook.settings,
            size=pixels(model, size, resolution) if model and size and resolution else None,
            decode=self.verify_images,
        ).store


def check_place(context: Context, task: Any, *, item: int | None = None) -> None:
    """Check where a task's images are to be stored and what they are to be called.

    :param task: with ``output_path``, ``file_name`` and ``verify_images``.
    :param item: the index of one of many items.
    :raises GptImgValidationError: naming the field, its value and what is allowed.
    """
    ti: Any = context["ti"]
    with translated():
        folder = check_folder(task.output_path)
        names = FileNames.of(task.file_name, ti, "0" * 40, item=item)
        if not is_own(context, task.task_id, "file_name"):
            names.check_mapped(ti)
        check_names(folder, names, images=1 if getattr(task, "n", None) == 1 and item is None else 10)
        if task.verify_images:
            check_decoder()
