"""The operator: submit one generation, wait for it, hand its images on."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_gptimg import identity
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.models import pixels
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.api.submission import OnDoubt, Origin, Reconciler, Submission
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.identity import Attempt
from airflow_provider_gptimg.memory import Memory
from airflow_provider_gptimg.result import Asked, Result, Store, asked, result_of
from airflow_provider_gptimg.storage import Storage, stem_of
from airflow_provider_gptimg.triggers.handover import ASKED_KEY
from airflow_provider_gptimg.waiting import GenerationWait

if TYPE_CHECKING:
    from airflow.sdk import Context

T = TypeVar("T")


class GptImgGenerateOperator(GenerationWait):
    """Generate images: submit once, wait without holding a worker, hand the images downstream.

    Safe to retry: an attempt that follows another one of the same try series continues with the
    generation that was already paid for. A Clear makes a new one.

    XCom: ``generation_id`` at once after the submission, ``return_value`` (a dict, see
    :class:`~airflow_provider_gptimg.result.Result`) and ``urls`` when it is completed.

    :param prompt: what to draw, at most 32,000 characters. (templated)
    :param size: aspect ratio such as ``16:9``; which ones there are depends on the resolution. (templated)
    :param resolution: ``1K``, ``2K`` or ``4K``. (templated)
    :param n: how many images. (templated)
    :param model: the connection's ``default_model`` by default, else ``gpt-image-2``. (templated)
    :param reference_images: http(s) URL or URLs of images to start from. (templated)
    :param extra_body: fields of the service that have no parameter here. (templated)
    :param output_path: a folder, as a path or URI that ``ObjectStoragePath`` opens: store the images
        there, and hand on where they are. (templated)
    :param conn_id: a connection of type ``gptimg``. (templated)
    :param wait_for_completion: False hands on what is known at submission, for a sensor to wait.
    :param deferrable: wait in the triggerer instead of on the worker.
    :param end_from_trigger: end the task in the triggerer too, where that can be done: no second
        worker start. Not with asset outlets, whose events only a worker sends, nor with ``output_path``.
    :param poll_interval: seconds between two looks at the generation.
    :param timeout: seconds the generation may take, from its submission.
    :param reattach: False submits anew in every attempt, and so pays again for every retry.
        ``or_fail`` is True, except that it fails where the images of an earlier attempt have expired
        instead of paying for new ones.
    :param on_ambiguous_submit: when a submission got no clear answer and look-ups do not find it:
        ``resubmit`` (may pay twice, says so in the log) or ``fail``.
    """

    _memory: Memory | None = None

    template_fields: Sequence[str] = (
        "prompt",
        "size",
        "resolution",
        "n",
        "model",
        "reference_images",
        "extra_body",
        "output_path",
        "conn_id",
    )
    ui_color = "#e8def8"

    def __init__(
        self,
        *,
        prompt: str,
        size: str = "1:1",
        resolution: str = "1K",
        n: int = 1,
        model: str | None = None,
        reference_images: str | list[str] | None = None,
        extra_body: dict[str, Any] | None = None,
        output_path: str | None = None,
        conn_id: str = GptImgHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = True,
        end_from_trigger: bool = False,
        poll_interval: float = 5.0,
        timeout: float = WAIT_LIMIT,
        reattach: bool | Literal["or_fail"] = True,
        on_ambiguous_submit: OnDoubt = "resubmit",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.size = size
        self.resolution = resolution
        self.n = n
        self.model = model
        self.reference_images = reference_images
        self.extra_body = extra_body
        self.output_path = output_path
        self.conn_id = conn_id
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.end_from_trigger = end_from_trigger
        self.poll_interval = _seconds("poll_interval", poll_interval)
        self.timeout = _seconds("timeout", timeout)
        self.reattach = _one_of("reattach", reattach, (True, False, "or_fail"))
        self.on_ambiguous_submit = _one_of("on_ambiguous_submit", on_ambiguous_submit, ("resubmit", "fail"))

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        return Pace(self.poll_interval)

    def asked(self) -> Asked:
        """Return what a result repeats of its request."""
        return asked(self._request(), submissions=1)

    def execute(self, context: Context) -> Any:
        """Submit, or attach to what an earlier attempt submitted; then wait and hand on.

        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        request = self._request()
        attempt = self._attempt(context, request)
        self._memory = attempt.memory
        submission = self._submit(attempt, request)
        try:
            return self._carry_on(context, request, submission)
        except Exception:
            attempt.memory.amend(running=False)
            raise

    def execute_complete(self, context: Context, event: Any = None, **kept: Any) -> Any:
        """Go on after the trigger's event; see :class:`~airflow_provider_gptimg.waiting.GenerationWait`."""
        memory = self._memory = Memory(context, self.log)
        memory.amend(clear_number=identity.clear_number(context))
        try:
            return super().execute_complete(context, event, **kept)
        except Exception:
            memory.amend(running=False)
            raise

    def on_kill(self) -> None:
        """Note that Airflow ends the attempt, and say what becomes of the generation."""
        super().on_kill()
        if self._memory is not None:
            self._memory.stop()

    def _carry_on(self, context: Context, request: GenerationRequest, submission: Submission) -> Any:
        generation = self.generation = submission.generation
        facts = asked(request, submission.submissions)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="generation_id", value=generation.id)
        if not self.wait_for_completion:
            return result_of(generation, facts)
        if not generation.is_final:
            deadline = submission.submitted_at + self.timeout
            if self.deferrable:
                self._defer(context, generation.id, facts, deadline)
            generation = self.hook.wait_until(generation.id, pace=self.pace, deadline=deadline)
        return self.finish(context, generation, facts)

    def finish(
        self, context: Context, generation: Generation, asked: Asked, store: Store | None = None
    ) -> Result:
        """Return the result of a generation that is over; with ``output_path``, after storing its images.

        :raises GptImgDownloadError: if an image cannot be fetched, or is not what was asked for.
        :raises GptImgStorageError: if it cannot be stored.
        """
        if not self.output_path:
            return super().finish(context, generation, asked, store)
        request = self._request()
        storage = Storage(
            folder=self.output_path,
            stem=stem_of(context["ti"], self._attempt(context, request).identity.digest),
            settings=self.hook.settings,
            size=pixels(request.model, request.size, request.resolution),
        )
        return super().finish(context, generation, asked, store=storage.store)

    def _attempt(self, context: Context, request: GenerationRequest) -> Attempt:
        return Attempt(
            context,
            self.log,
            retries=self.retries or 0,
            request=request,
            conn_id=self.conn_id,
            reattach=bool(self.reattach),
        )

    def _request(self) -> GenerationRequest:
        with translated():
            return GenerationRequest.checked(
                self.prompt,
                model=self.hook.settings.default_model if self.model is None else self.model,
                size=self.size,
                resolution=self.resolution,
                n=self.n,
                reference_images=self.reference_images,
                extra_body=self.extra_body,
            )

    def _submit(self, attempt: Attempt, request: GenerationRequest) -> Submission:
        reconciler = Reconciler(
            request=request,
            business_id=attempt.identity.business_id,
            fresh=attempt.is_fresh,
            known=attempt.known,
            on_ambiguous=self.on_ambiguous_submit,
            on_expired="fail" if self.reattach == "or_fail" else "resubmit",
            give_up_at=time.time() + self.timeout,
            clock=time.time,
            report=lambda sentence: self.log.warning("%s", sentence),
        )
        submission = self.hook.run(reconciler.submit())
        attempt.remember(submission)
        if submission.origin is Origin.SUBMITTED:
            self.log.info(
                "Submitted generation %s: %d image(s), %s at %s, %s. (%s)",
                submission.generation.id,
                request.n,
                request.size,
                request.resolution,
                request.model,
                submission.client_business_id,
            )
        return submission

    def _defer(self, context: Context, generation_id: str, facts: Asked, deadline: float) -> None:
        end_task = self.end_from_trigger and self._triggerer_can_end_it()
        if end_task:
            context["ti"].xcom_push(key=ASKED_KEY, value=facts)
        self.defer_wait(context, generation_id, asked=facts, deadline=deadline, end_task=end_task)

    def _triggerer_can_end_it(self) -> bool:
        """Whether nothing is left that only a worker does: asset events, files, XComs to map over."""
        mapped_over = next(iter(self.iter_mapped_dependants()), None) is not None
        if self.outlets or self.output_path or mapped_over or not self.do_xcom_push:
            self.log.info(
                "The task has work left for a worker: it is resumed instead of ended in the triggerer."
            )
            return False
        return True


def _one_of(name: str, value: T, allowed: tuple[object, ...]) -> T:
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not allowed: {', '.join(map(repr, allowed))}.")
    return value


def _seconds(name: str, value: float) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name}={value!r} is not allowed: a number of seconds above 0.")
    return float(value)
