"""The operator: submit one generation, wait for it, hand its images on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.assets import announce
from airflow_provider_gptimg.compat.imports import has_listeners
from airflow_provider_gptimg.compat.xcom import ASKED_KEY
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.files.references import reference_texts, references
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.payment import identity
from airflow_provider_gptimg.payment.identity import Attempt
from airflow_provider_gptimg.payment.memory import Memory
from airflow_provider_gptimg.payment.submission import OnDoubt, Origin, Reconciler, Submission
from airflow_provider_gptimg.result import Asked, asked, result_of
from airflow_provider_gptimg.tasks.parameters import one_of, seconds, templated
from airflow_provider_gptimg.tasks.reasons import leaves_reason
from airflow_provider_gptimg.tasks.storing import StoringWait
from airflow_provider_gptimg.tasks.templates import templates_named

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg


class GptImgGenerateOperator(StoringWait):
    """Generate images: submit once, wait without holding a worker, hand the images downstream.

    Safe to retry: an attempt that follows another one of the same try series continues with the
    generation that was already paid for. A Clear makes a new one.

    XCom: ``generation_id`` at once after the submission, ``return_value`` (a dict, see
    :class:`~airflow_provider_gptimg.result.Result`) and ``urls`` when it is completed.

    :param prompt: what to draw, at most 32,000 characters; or the name of a template file that ends with
        ``.prompt`` or ``.j2``. (templated)
    :param size: aspect ratio such as ``16:9``; which ones there are depends on the resolution. (templated)
    :param resolution: ``1K``, ``2K`` or ``4K``. (templated)
    :param n: how many images. (templated)
    :param model: the connection's ``default_model`` by default, else ``gpt-image-2``. (templated)
    :param reference_images: images to start from: http(s) URLs, local paths, object-storage URIs such as
        ``s3://bucket/key``, or the result of a task that made or uploaded some; one or a list. Files are
        PNG, JPEG, WebP or GIF of at most 10 MB, and are uploaded before the submission. (templated)
    :param extra_body: fields of the service that have no parameter here. (templated)
    :param output_path: a folder, as a path or URI that ``ObjectStoragePath`` opens: store the images
        there, and hand on where they are. (templated)
    :param file_name: what they are called below it, such as ``{{ ds }}/cover-{index}.{format}``; in
        braces also ``{identity}``, ``{task_id}`` and ``{map_index}``. Every repeat writes the same
        names. By default task, map index, identity and index. (templated)
    :param verify_images: decode every picture completely before it is stored, which takes Pillow
        (extra ``verify``); its header, end, length and size in pixels are checked in any case.
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
    _is_resumed = False

    template_fields: Sequence[str] = (
        "prompt",
        "size",
        "resolution",
        "n",
        "model",
        "reference_images",
        "extra_body",
        "output_path",
        "file_name",
        "conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"extra_body": "json", "reference_images": "json"}
    template_ext: Sequence[str] = (".prompt", ".j2")
    operator_extra_links = links_of()
    ui_color = "#e8def8"

    def __init__(
        self,
        *,
        prompt: str | XComArg,
        size: str | XComArg = "1:1",
        resolution: str | XComArg = "1K",
        n: int | str | XComArg = 1,
        model: str | XComArg | None = None,
        reference_images: Any = None,
        extra_body: Mapping[str, Any] | XComArg | None = None,
        output_path: str | XComArg | None = None,
        file_name: str | XComArg | None = None,
        verify_images: bool = False,
        conn_id: str | XComArg = GptImgHook.default_conn_name,
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
        self.size = templated(size)
        self.resolution = templated(resolution)
        self.n = templated(n)
        self.model = templated(model)
        self.reference_images = reference_images
        self.operator_extra_links = links_of(n)
        self.extra_body = templated(extra_body)
        self.output_path = templated(output_path)
        self.file_name = templated(file_name)
        self.verify_images = verify_images
        self.conn_id = templated(conn_id)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        # Not under its own name: where there is a listener (OpenLineage), Airflow refuses a whole DAG with
        # a task that says it ends from its trigger. This one is resumed on a worker then.
        self._end_from_trigger = end_from_trigger
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.timeout = seconds("timeout", timeout)
        self.reattach = one_of("reattach", reattach, (True, False, "or_fail"))
        self.on_ambiguous_submit = one_of("on_ambiguous_submit", on_ambiguous_submit, ("resubmit", "fail"))

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        return Pace(self.poll_interval)

    def asked(self) -> Asked:
        """Return what a result repeats of its request."""
        return asked(self._request(), submissions=1)

    @leaves_reason
    def execute(self, context: Context) -> Any:
        """Submit, or attach to what an earlier attempt submitted; then wait and hand on.

        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        with templates_named(context, self.task_id):
            self.check_storage(context)
            request = self._request()
        attempt = self._attempt(context, request)
        self._memory = attempt.memory
        self.identity_digest = attempt.identity.digest
        try:
            submission = self._submit(attempt, request)
            facts = attempt.remember(submission, asked(request, submission.submissions))
            return self._carry_on(context, facts, submission)
        except Exception:
            attempt.memory.amend(running=False)
            raise

    def execute_complete(self, context: Context, event: Any = None, **kept: Any) -> Any:
        """Go on after the trigger's event; see ``tasks.waiting``."""
        self._is_resumed = True
        memory = self._memory = Memory(context, self.log)
        memory.amend(clear_number=identity.clear_number(context))
        try:
            return super().execute_complete(context, event, **(kept or self._remembered(context, memory)))
        except Exception:
            memory.amend(running=False)
            raise

    def _remembered(self, context: Context, memory: Memory) -> dict[str, Any]:
        """Return what went into the deferral, where a trigger that died took it along."""
        last, ti = memory.last, context["ti"]
        # Another than was pushed, or of before a Clear, where this attempt's could not be stored.
        if (
            last is None
            or last.generation_id is None
            or last.base != identity.base_of(ti, self.retries or 0)
            or self.known_id(ti) not in (None, last.generation_id)
        ):
            return {}
        return {
            "generation_id": last.generation_id,
            "asked": last.asked,
            "deadline": last.submitted_at + self.timeout,
            "identity_digest": last.digest,
        }

    def known_id(self, ti: Any) -> str | None:
        """Return the id that was pushed at once after the submission, None where nothing is pushed."""
        pushed = ti.xcom_pull(task_ids=self.task_id, key="generation_id", map_indexes=ti.map_index)
        return pushed if isinstance(pushed, str) else None

    def new_deadline(self, generation: Generation) -> float:
        """Return until when to wait (Unix seconds), counted from the submission by the service's clock."""
        now = time.time()
        return now - generation.age(now) + self.timeout

    def on_kill(self) -> None:
        """Note that Airflow ends the attempt, and say what becomes of the generation."""
        if self._memory is not None:
            self._memory.stop()
        super().on_kill()  # comes last: it ends the wait

    def _carry_on(self, context: Context, facts: Asked, submission: Submission) -> Any:
        generation = self.generation = submission.generation
        if self.do_xcom_push:
            context["ti"].xcom_push(key="generation_id", value=generation.id)
        if not self.wait_for_completion:
            self.result = result_of(generation, facts)
            announce(context, self.outlets, self.result)
            return self.result
        if not generation.is_final:
            deadline = submission.submitted_at + self.timeout
            if self.deferrable:
                self._defer(context, generation.id, facts, deadline)
            generation = self.hook.wait_until(generation.id, pace=self.pace, deadline=deadline)
        return self.finish(context, generation, facts)

    def reference_uris(self) -> list[str]:
        """Return where the images are that it starts from; nothing is read."""
        return reference_texts(self.reference_images) if self.reference_images else []

    def digest(self, context: Context) -> str:
        """Return the identity, which tells task instances, series of attempts and requests apart."""
        if self.identity_digest is None:  # resumed by dag.test(), which drops what went into the deferral
            self.identity_digest = self._attempt(context, self._request()).identity.digest
        return self.identity_digest

    def _attempt(self, context: Context, request: GenerationRequest) -> Attempt:
        with translated():
            return Attempt(
                context,
                self.log,
                retries=self.retries or 0,
                request=request,
                fingerprint=self._fingerprint(request),
                reattach=bool(self.reattach),
                resumed=self._is_resumed,
            )

    def _fingerprint(self, request: GenerationRequest) -> str:
        """Return a hash of what makes the request another one, for the identity."""
        return identity.fingerprint(request, self.conn_id)

    def _model(self) -> Any:
        return self.hook.settings.default_model if self.model is None else self.model

    def _request(self) -> GenerationRequest:
        with translated():
            return GenerationRequest.checked(
                self.prompt,
                model=self._model(),
                size=self.size,
                resolution=self.resolution,
                n=self.n,
                reference_images=references(self.reference_images),
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
        end_task = self._end_from_trigger and self._triggerer_can_end_it()
        if end_task:
            context["ti"].xcom_push(key=ASKED_KEY, value=facts)
        self.defer_wait(context, generation_id, asked=facts, deadline=deadline, end_task=end_task)

    def _triggerer_can_end_it(self) -> bool:
        """Whether nothing is left that only a worker does: asset events, files, XComs, listeners."""
        mapped_over = next(iter(self.iter_mapped_dependants()), None) is not None
        one_xcom = self.do_xcom_push and not self.multiple_outputs
        if self.outlets or self.output_path or mapped_over or not one_xcom or has_listeners():
            self.log.info(
                "The task has work left for a worker: it is resumed instead of ended in the triggerer."
            )
            return False
        return True
