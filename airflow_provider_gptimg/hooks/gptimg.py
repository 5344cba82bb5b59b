"""The hook, which calls the image service with an Airflow connection."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from typing import Any

from airflow_provider_gptimg.api import balance, flows, wire
from airflow_provider_gptimg.api.balance import Balance
from airflow_provider_gptimg.api.client import AsyncClient, SyncClient
from airflow_provider_gptimg.api.errors import ApiError, invalid
from airflow_provider_gptimg.api.flows import Flow, Pace, T
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.interruption import Interruption
from airflow_provider_gptimg.api.polling.schedule import Course
from airflow_provider_gptimg.api.request import BUSINESS_ID, GenerationRequest, unchecked
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.api.uploads import upload
from airflow_provider_gptimg.api.wire import File, Upload
from airflow_provider_gptimg.compat.imports import AirflowNotFoundException, BaseHook, connection_of
from airflow_provider_gptimg.exceptions import GptImgValidationError, translated
from airflow_provider_gptimg.hooks import connection_form, diagnosis
from airflow_provider_gptimg.hooks.shared import buckets_for, schedules_for, settings_of, shared_client

WAIT_LIMIT = 1800.0
"""Default for the seconds that a wait may take: 4K has been seen to take minutes (contract: Status)."""

PATIENCE = 600.0
"""Seconds that one call keeps waiting when the service answers "later" (429)."""


class GptImgHook(BaseHook):
    """Calls the image service with the account of an Airflow connection.

    :param conn_id: a connection of type ``gptimg``: password = API key, host = base URL.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "gptimg_default"
    conn_type = "gptimg"
    hook_name = "GPT Image"

    def __init__(self, conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.conn_id = conn_id
        self._submitted: dict[str, float] = {}
        self.interruption = Interruption()
        """Ends this hook's waits, from a signal handler such as an operator's ``on_kill``."""

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the standard fields of the connection form (Airflow 3.0 and 3.1 ask the hook)."""
        return connection_form.field_behaviour()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the other fields of the connection form (Airflow 3.0 and 3.1 ask the hook)."""
        return connection_form.widgets()

    @cached_property
    def settings(self) -> Settings:
        """The connection's settings, checked.

        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        with self._connection_known():
            connection = self.get_connection(self.conn_id)
        return _settings(connection)

    def get_conn(self) -> SyncClient:
        """Return a client for the connection. Close it, or use it in a ``with``."""
        with translated():
            return SyncClient(
                self.settings, buckets=buckets_for(self.settings), interruption=self.interruption
            )

    def run(self, flow: Flow[T]) -> T:
        """Run a flow of the service's protocol to its end.

        :raises GptImgError: if anything went wrong.
        """
        with translated(), self.get_conn() as client:
            return client.run(flow)

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[AsyncClient]:
        """Return the client that all triggers of this process share for this connection.

        :raises GptImgValidationError: if the connection is not usable.
        """
        async with shared_client(await self.read_connection()) as client:
            yield client

    async def read_connection(self) -> Settings:
        """Return the connection's settings, checked. Callers within some seconds share one reading.

        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        return await settings_of(self.conn_id, self._read_settings)

    def submit(
        self,
        prompt: str,
        *,
        model: str | None = None,
        size: str = "1:1",
        resolution: str = "1K",
        n: int = 1,
        reference_images: str | list[str] | None = None,
        image_urls: str | list[str] | None = None,
        response_format: str = "url",
        extra_body: dict[str, Any] | None = None,
        client_business_id: str | None = None,
    ) -> Generation:
        """Submit one generation, which is billed, and return it as accepted.

        The hook sends it again only if the service surely did not accept it. The hook does not look for an
        earlier submission. The operators do that. After a :class:`GptImgUnavailableError` or a
        :class:`GptImgMalformedAnswerError` the service may still have accepted and billed it. Look it up
        by ``client_business_id`` before you submit again.

        :param size: the aspect ratio, such as ``16:9``. Some models take pixels, such as ``1536x1024``.
        :param resolution: ``1K``, ``2K`` or ``4K``.
        :param n: the number of images.
        :param model: the model. By default the connection's ``default_model``, else ``gpt-image-2``.
        :param reference_images: http(s) URLs to start from. For files, call :meth:`upload` first.
        :param image_urls: the older name of ``reference_images`` (contract: Submit).
        :param response_format: only ``url`` is allowed.
        :param extra_body: fields of the service that have no parameter here.
        :param client_business_id: your own id for the generation; at most 96 of ``[A-Za-z0-9_-]``.
        :raises GptImgValidationError: if a field is not allowed; nothing was sent.
        :raises GptImgError: if the service refuses the request, or in the cases above.
        """
        with translated():
            request = GenerationRequest.checked(
                prompt,
                model=model or self.settings.default_model,
                size=size,
                resolution=resolution,
                n=n,
                reference_images=reference_images,
                image_urls=image_urls,
                response_format=response_format,
                extra_body=extra_body,
                check_sizes=self.settings.check_sizes,
            )
            _check_business_id(client_business_id)
        self.log_unchecked({(request.size, request.resolution)})
        generation = self._call(wire.submission(request, client_business_id), wire.read_generation)
        self._remember(generation.id)
        return generation

    def get_generation(self, generation_id: str) -> Generation:
        """Return the generation as the service has it now, by its id or its business id.

        :raises GptImgNotFoundError: if the service does not know it.
        """

        def flow() -> Flow[Generation]:
            give_up_at = time.time() + PATIENCE
            try:
                return (
                    yield from flows.query(generation_id, clock=time.time, give_up_at=give_up_at, attempts=4)
                )
            except ApiError as error:
                raise error.about(generation_id) from None

        return self.run(flow())

    def wait(
        self,
        generation_id: str,
        *,
        poll_interval: float = 5.0,
        timeout: float = WAIT_LIMIT,
        submitted_at: float | None = None,
    ) -> Generation:
        """Wait until a generation is completed and return it with its URLs.

        :param poll_interval: seconds between two looks.
        :param timeout: seconds from now.
        :param submitted_at: the time of the submission, in Unix seconds. If the service does not know the
            generation in the first minute after it, the hook asks again. The hook knows this time for its
            own submissions.
        :raises GptImgGenerationFailedError: if the generation failed at the service.
        :raises GptImgTimeoutError: if the generation is not finished in time.
        """
        return self.wait_until(
            generation_id,
            pace=Pace(poll_interval),
            deadline=time.time() + timeout,
            since=self._submitted.get(generation_id) if submitted_at is None else submitted_at,
        )

    def wait_until(
        self,
        generation_id: str,
        *,
        pace: Pace,
        deadline: float,
        kind: str | None = None,
        since: float | None = None,
    ) -> Generation:
        """Wait like :meth:`wait`, at a given pace and until a given time.

        :param deadline: Unix seconds.
        :param kind: the kind of generation, such as ``gpt-image-2/2K/1``. One kind takes about the same time.
        :param since: the time of the submission in Unix seconds, if it is known.
        """
        with translated():
            schedule = schedules_for(self.settings).of(kind)
        course = Course(schedule, pace.interval, time.time, since=since, advise=pace.is_advisable)
        return self.run(
            flows.wait(
                generation_id,
                pace=pace,
                deadline=deadline,
                clock=time.time,
                submitted_at=since,
                course=course,
                on_unknown_status=self.log_unknown_status(generation_id),
                on_failed_look=self.log_failed_look(generation_id),
            )
        )

    def upload(self, content: bytes, *, name: str, mime_type: str) -> Upload:
        """Upload a picture's bytes, and return its URL to start a generation from (contract: Upload).

        :raises GptImgValidationError: if the picture is empty or over 10 MB.
        :raises GptImgBadRequestError: if the service refuses the picture's type.
        """
        file = File(name, content, mime_type)
        return self.run(upload(file, clock=time.time, give_up_at=time.time() + PATIENCE))

    def balance(self) -> Balance:
        """Return the quota of the key and the money of the account, in US dollars. This is free of charge.

        :raises GptImgAuthenticationError: if the service does not know the key.
        :raises GptImgError: if anything else went wrong.
        """
        return self.run(balance.ask(clock=time.time, give_up_at=time.time() + PATIENCE))

    def test_connection(self) -> tuple[bool, str]:
        """Ask once for the balances, free of charge. Return whether images can be made, and a message."""
        try:
            connection = self.get_connection(self.conn_id)
            works, message = diagnosis.examined(_settings(connection), connection.extra_dejson)
        except GptImgValidationError as error:
            works, message = False, diagnosis.field_reason(error.field, str(error))
        except Exception as error:  # noqa: BLE001 - the form shows every reason as text
            works, message = False, str(error)
        if not works:
            self.log.warning("The connection test failed: %s", message)  # the page shows it for seconds only
        return works, message

    def log_unknown_status(self, generation_id: str) -> Callable[[str], None]:
        """Return the callback for a status that the contract does not name."""
        return lambda status: self.log.warning(
            "Generation %s has the unknown status %r: treated as still running.", generation_id, status
        )

    def log_failed_look(self, generation_id: str) -> Callable[[ApiError], None]:
        """Return the callback for a look that failed and is repeated."""
        return lambda error: self.log.info(
            "A status query for generation %s failed, and is repeated: %s", generation_id, error
        )

    def log_unchecked(self, sizes: Collection[tuple[str, str]]) -> None:
        """Log the sizes that only the service checks, if the connection turns off the check of sizes."""
        if sizes and not self.settings.check_sizes:
            self.log.info("%s", unchecked(sizes))

    def _remember(self, generation_id: str) -> None:
        now = time.time()
        young = {name: at for name, at in self._submitted.items() if now - at < flows.NOT_YET_SECONDS}
        self._submitted = {**young, generation_id: now}

    def _call(self, request: wire.Request, read: Callable[[wire.Reply], T]) -> T:
        def flow() -> Flow[T]:
            give_up_at = time.time() + PATIENCE
            return read((yield from flows.call(request, clock=time.time, give_up_at=give_up_at)))

        return self.run(flow())

    async def _read_settings(self) -> Settings:
        with self._connection_known():
            connection = await connection_of(self, self.conn_id)
        return _settings(connection)

    @contextmanager
    def _connection_known(self) -> Iterator[None]:
        """Turn Airflow's error for a connection that it does not have into ours, which is not retried."""
        try:
            yield
        except AirflowNotFoundException as error:
            message = (
                f"{error}. Add the connection: "
                f"airflow connections add {self.conn_id} --conn-type gptimg --conn-password sk-…"
            )
            raise GptImgValidationError(message, field="conn_id") from error


def _check_business_id(value: str | None) -> None:
    if value is not None and not re.fullmatch(BUSINESS_ID, value):
        raise invalid("client_business_id", value, "1 to 96 of A-Z, a-z, 0-9, _ and -")


def _settings(connection: Any) -> Settings:
    with translated():
        return Settings.checked(
            host=_host(connection), api_key=connection.password, extra=connection.extra_dejson or {}
        )


def _host(connection: Any) -> str | None:
    """Return the base URL, also from a connection URI, which takes it apart into schema, host and port."""
    host: str = (connection.host or "").strip()
    if not host:
        return None
    if "://" not in host and connection.schema in ("http", "https"):
        host = f"{connection.schema}://{host}"
    start, authority, path = re.fullmatch(r"((?:[^/]*://)?)([^/]*)(.*)", host, re.DOTALL).groups()  # type: ignore[union-attr]
    if connection.port and not re.search(r":\d*$", authority):
        authority += f":{connection.port}"
    return f"{start}{authority}{path}"
