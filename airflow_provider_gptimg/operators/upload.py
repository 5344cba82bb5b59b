"""The operator that uploads files and returns URLs that a generation can start from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from airflow_provider_gptimg.api.errors import invalid
from airflow_provider_gptimg.api.request import ReferenceFile
from airflow_provider_gptimg.api.uploads import upload_all
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.files.references import references
from airflow_provider_gptimg.hooks.gptimg import PATIENCE, GptImgHook
from airflow_provider_gptimg.tasks.base import GptImgTask
from airflow_provider_gptimg.tasks.nothing import check_nothing
from airflow_provider_gptimg.tasks.parameters import templated
from airflow_provider_gptimg.tasks.templates import templates_named

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class UploadedImage(TypedDict):
    """One uploaded file: its URL at the service, its source, SHA-256, bytes and type."""

    index: int
    url: str
    name: str
    source: str
    sha256: str
    bytes: int
    mime_type: str


class Uploads(TypedDict):
    """What an upload hands downstream (XCom ``return_value``)."""

    urls: list[str]
    images: list[UploadedImage]


class GptImgUploadOperator(GptImgTask):
    """Upload pictures, free of charge, and return URLs for ``reference_images``.

    Files with the same content are sent once. XCom: ``return_value`` (:class:`Uploads`) and
    ``urls``, in the order of the files.

    :param files: local paths or object-storage URIs such as ``s3://bucket/key``, or the result of a task
        that stored images; one or a list. PNG, JPEG, WebP or GIF of at most 10 MB. (templated)
    :param conn_id: a connection of type ``gptimg``. (templated)
    """

    template_fields: Sequence[str] = ("files", "conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"files": "json"}
    ui_color = "#e8def8"

    def __init__(
        self, *, files: Any, conn_id: str | XComArg = GptImgHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.files = templated(files)
        self.conn_id = templated(conn_id)

    def start(self, context: Context, *, resumed: bool, may_defer: bool) -> Uploads:
        """Check every file, then upload them.

        :raises GptImgValidationError: if a file is not a picture of 1 byte to 10 MB; nothing was sent.
        :raises GptImgReferenceError: if a file cannot be read.
        :raises GptImgError: if the service refuses something.
        """
        with templates_named(context, self.task_id), translated():
            check_nothing(context, self.task_id, self.template_fields, self)
            files = _files(references(self.files, "files") or [])
        urls = self.hook.run(upload_all(files, clock=time.time, give_up_at=time.time() + PATIENCE))
        images = [
            UploadedImage(
                index=index,
                url=urls[file.sha256],
                name=PurePosixPath(file.where).name,
                source=file.where,
                sha256=file.sha256,
                bytes=file.size,
                mime_type=file.mime_type,
            )
            for index, file in enumerate(files)
        ]
        result = Uploads(urls=[image["url"] for image in images], images=images)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="urls", value=result["urls"])
        self.log.info("Uploaded %d file(s) with %d different contents.", len(files), len(urls))
        return result


def _files(given: list[str | ReferenceFile]) -> list[ReferenceFile]:
    files = []
    for file in given:
        if isinstance(file, str):
            raise invalid("files", file, "this is already a URL: pass it to reference_images as it is")
        if file.problem is not None:
            raise file.problem
        files.append(file)
    return files
