"""The operator that submits one generation, waits for it, and hands its images downstream."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.generation import COMPLETED, Generation
from airflow_provider_gptimg.api.interruption import Interrupted
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.assets import announce
from airflow_provider_gptimg.compat.task_instance import created_at, facts_of, task_instance
from airflow_provider_gptimg.exceptions import GptImgAmbiguousSubmissionError, GptImgNotFoundError, from_api
from airflow_provider_gptimg.files.cache import key_of, own_key
from airflow_provider_gptimg.files.names import FileNames
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.hooks.metrics import Metrics
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.payment.attempt import Attempt
from airflow_provider_gptimg.payment.decision import (
    FIRST_SERIES,
    GENERATION_ID_KEY,
    Action,
    Decision,
    OnClear,
)
from airflow_provider_gptimg.payment.identity import Identity, fingerprint
from airflow_provider_gptimg.payment.memory import Memory
from airflow_provider_gptimg.payment.receipt import Receipt
from airflow_provider_gptimg.payment.submission import (
    OnDoubt,
    Origin,
    Reconciler,
    Submission,
    Withdrawn,
    latest_of,
)
from airflow_provider_gptimg.result import Result, asked, list_price, result_of
from airflow_provider_gptimg.tasks.caching import Owned, cache_of
from airflow_provider_gptimg.tasks.deferral import Deferral
from airflow_provider_gptimg.tasks.ending import ends_in_triggerer
from airflow_provider_gptimg.tasks.nothing import check_nothing, check_place_again
from airflow_provider_gptimg.tasks.parameters import age, one_of, seconds, templated
from airflow_provider_gptimg.tasks.request import TEMPLATE_FILES, TaskRequest
from airflow_provider_gptimg.tasks.templates import templates_named
from airflow_provider_gptimg.tasks.waiting import (
    MANY_IMAGES,
    RESUME_PATIENCE,
    GenerationWait,
    check_place,
    is_stored,
    storing,
)

if TYPE_CHECKING:
    import os
    from datetime import timedelta

    from airflow.sdk import Context, ObjectStoragePath, XComArg


class GptImgGenerateOperator(GenerationWait):
    """Generate images: submit once, wait without holding a worker, hand the images downstream.

    You pay for an image once, until you have been given it. A retry goes on with the paid generation. So
    does a Clear of a task that failed, was killed, waits or runs. Only a Clear of a task that succeeded
    pays for a new one.

    XCom: ``generation_id`` right after the submission; ``return_value`` (a dict, see
    :class:`~airflow_provider_gptimg.result.Result`) and ``urls`` when the generation is completed.

    :param prompt: what to draw, at most 32,000 characters; or the name of a template file that ends with
        ``.prompt`` or ``.j2``. (templated)
    :param size: the aspect ratio, such as ``16:9``. Each resolution has its own list of sizes. (templated)
    :param resolution: ``1K``, ``2K`` or ``4K``. (templated)
    :param n: the number of images. (templated)
    :param model: the model. By default the connection's ``default_model``, else ``gpt-image-2``. (templated)
    :param reference_images: images to start from: http(s) URLs, local paths, object-storage URIs such as
        ``s3://bucket/key``, or the result of a task that made or uploaded images. One or a list. Files must
        be PNG, JPEG, WebP or GIF of at most 10 MB. They are uploaded before the submission. (templated)
    :param extra_body: fields of the service that have no parameter here. (templated)
    :param output_path: a folder, as a path or URI (text, ``Path``, ``ObjectStoragePath``). The task stores
        the images there, and the result says where they are. (templated)
    :param file_name: the images' name below ``output_path``, such as ``{{ ds }}/cover-{index}.{format}``.
        You can also use ``{identity}``, ``{task_id}`` and ``{map_index}``. Every repeat writes the same
        names. By default the name has task, map index, identity and index. (templated)
    :param verify_images: decode every picture completely before it is stored. This needs Pillow (extra
        ``verify``). Header, end, length and size in pixels are always checked.
    :param cache_path: a folder, as a path or URI. The task never pays again for an image in this folder. It
        finds the image by model, prompt, size, resolution, n, extra_body and the content of reference files.
        Without ``output_path`` the result leads into this folder. A Clear after success makes a new image,
        which replaces the cached one. (templated)
    :param cache_max_age: make cached images again if they are older than this.
    :param conn_id: a connection of type ``gptimg``. (templated)
    :param wait_for_completion: if False, the task returns right after the submission, and a sensor can wait.
    :param deferrable: wait in the triggerer instead of on the worker.
    :param end_from_trigger: also end the task in the triggerer, which saves the second start of a worker. If
        some work is left that only a worker can do, the task is resumed on a worker, and its log names the
        reason: ``output_path``, outlets, ``on_success_callback``, ``post_execute`` and some others.
    :param poll_interval: seconds between two looks at the generation.
    :param timeout: seconds that the generation may take, from its submission.
    :param durable: if False, every attempt submits again, and so pays again.
    :param on_clear: what a Clear does after the task has succeeded: ``new`` makes new images, ``continue``
        returns the same images as long as they exist.
    :param on_expired: what to do if the images of an earlier attempt have expired: ``resubmit`` pays for new
        ones, ``fail`` fails.
    :param on_ambiguous_submit: what to do if a submission got no clear answer and look-ups do not find it:
        ``resubmit`` submits again (it may pay twice, and says so in the log), ``fail`` fails.
    """

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
        "cache_path",
        "conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"extra_body": "json", "reference_images": "json"}
    template_ext: Sequence[str] = TEMPLATE_FILES
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
        output_path: str | os.PathLike[str] | ObjectStoragePath | XComArg | None = None,
        file_name: str | XComArg | None = None,
        verify_images: bool = False,
        cache_path: str | os.PathLike[str] | ObjectStoragePath | XComArg | None = None,
        cache_max_age: timedelta | None = None,
        conn_id: str | XComArg = GptImgHook.default_conn_name,
        wait_for_completion: bool = True,
        deferrable: bool = True,
        end_from_trigger: bool = True,
        poll_interval: float = 5.0,
        timeout: float = WAIT_LIMIT,
        durable: bool = True,
        on_clear: OnClear = "new",
        on_expired: OnDoubt = "resubmit",
        on_ambiguous_submit: OnDoubt = "resubmit",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.size = templated(size)
        self.resolution = templated(resolution)
        self.n = templated(n)
        self.model = templated(model)
        self.reference_images = templated(reference_images)
        self.operator_extra_links = links_of(n)
        self.extra_body = templated(extra_body)
        self.output_path = templated(output_path)
        self.file_name = templated(file_name)
        self.verify_images = verify_images
        self.cache_path = templated(cache_path)
        self.cache_max_age = age("cache_max_age", cache_max_age)
        if cache_path is not None and not wait_for_completion:
            raise ValueError(
                "cache_path needs wait_for_completion=True: images enter the cache when they are completed."
            )
        self.conn_id = templated(conn_id)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        # Not under its own name: where there is a listener (OpenLineage), Airflow refuses a whole DAG with
        # a task that says it ends from its trigger. This one is resumed on a worker then.
        self._end_from_trigger = end_from_trigger
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.timeout = seconds("timeout", timeout)
        self.durable = one_of("durable", durable, (True, False))
        self.on_clear = one_of("on_clear", on_clear, ("new", "continue"))
        self.on_expired = one_of("on_expired", on_expired, ("resubmit", "fail"))
        self.on_ambiguous_submit = one_of("on_ambiguous_submit", on_ambiguous_submit, ("resubmit", "fail"))
        # What a mapped task is expanded over is refused when it runs, like what a template gives.
        if not getattr(self, "_BaseOperator__from_mapped", False):
            self.check_written()

    def check_written(self) -> None:
        """Check the values that no template can change any more.

        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        TaskRequest.of(self).check_written()

    @property
    def pushed_keys(self) -> frozenset[str]:
        """Keys of the result that the task itself pushes as XComs."""
        return frozenset({GENERATION_ID_KEY, "urls"} if self.wait_for_completion else {GENERATION_ID_KEY})

    @property
    def pace(self) -> Pace:
        """How long to wait between two looks."""
        return Pace(self.poll_interval)

    def start(self, context: Context, *, resumed: bool, may_defer: bool) -> Result:
        """Submit, or go on with what was paid for. Then wait, and return the result."""
        attempt = self.open_attempt(context, resumed=resumed)
        with templates_named(context, self.task_id):
            check_nothing(context, self.task_id, self.template_fields, self)
            wanted = TaskRequest.of(self)
            self.check_storage(context, wanted)
            request = wanted.checked(self.hook.settings)
        decision = attempt.decide(fingerprint(request, self.conn_id), problem_of(request))
        return self.make(context, attempt, decision, wanted, request, may_defer=may_defer)

    def open_attempt(self, context: Context, *, resumed: bool) -> Attempt:
        """Return this attempt. It knows what earlier attempts left."""
        facts = facts_of(context, retries=self.retries or 0, pushes_xcoms=self.do_xcom_push, resumed=resumed)
        return Attempt.begin(
            facts,
            self._memory(context),
            durable=self.durable,
            on_clear=self.on_clear,
            is_completed=partial(self._is_completed, context),
            was_given=partial(self._was_given, context),
            log=self.log,
        )

    def make(
        self,
        context: Context,
        attempt: Attempt,
        decision: Decision,
        wanted: TaskRequest,
        request: GenerationRequest,
        *,
        may_defer: bool,
        returned: Mapping[str, Any] | None = None,
    ) -> Result:
        """Carry out the decision, wait for the generation, and hand its images downstream.

        :param returned: the return value of a decorated function, for the deferral.
        """
        if decision.action is Action.REFUSE:
            raise refusal(decision, request)
        ti = task_instance(context)
        digest = attempt.identity(decision).digest
        owned = self._owned(context, attempt, wanted, request, digest)
        try:
            submission = self._submit(attempt, decision, request, owned)
        except Withdrawn:
            if owned is None or owned.result is None:
                raise
            return self._give_owned(context, attempt, owned.result)
        self._count(context, decision, submission, request.model)
        receipt, generation = submission.receipt, submission.generation
        self.generation = generation
        facts = asked(request, receipt.submissions)
        if decision.asked and decision.receipt and decision.receipt.generation_id == generation.id:
            # An earlier attempt may have asked for something else, if the fingerprint leaves that open.
            facts = {**facts, **decision.asked, "submissions": receipt.submissions}
        may_end_there = self._end_from_trigger and self.deferrable and self.wait_for_completion and may_defer
        ends_there = (
            may_end_there
            and not generation.is_final
            and ends_in_triggerer(self, stores=wanted.output_path is not None or self.cache_path is not None)
        )
        self.asked = facts
        cache_key = None
        if self.cache_path is not None:
            cache_key = self._cache_key(attempt, decision, submission, request)
        remember = partial(
            attempt.remember,
            receipt,
            fingerprint=decision.fingerprint or "",
            asked=facts,
            ends_in_triggerer=ends_there,
            cache_key=cache_key,
        )
        remember()
        if self.do_xcom_push:
            ti.xcom_push(key=GENERATION_ID_KEY, value=generation.id)
        kept = Deferral(
            generation_id=generation.id,
            deadline=(receipt.submitted_at or time.time()) + self.timeout,
            try_number=ti.try_number,
            asked=facts,
            submitted_at=receipt.submitted_at,
            digest=digest,
            returned=None if returned is None else dict(returned),
            cache_key=cache_key,
            ends_in_triggerer=ends_there,
        )
        try:
            return self._go_on(context, generation, kept, may_defer=may_defer)
        except Interrupted:
            remember()  # on Airflow 3.4 the Clear that ends this attempt has discarded what it remembered
            raise

    def hand_on(self, context: Context, generation: Generation, kept: Deferral) -> Result:
        """Return the result of a finished generation, and note that it was given."""
        return self.give(context, generation, kept, TaskRequest.of(self))

    def give(self, context: Context, generation: Generation, kept: Deferral, wanted: TaskRequest) -> Result:
        """Store the images if there is a folder for them, return the result, and note that it was given."""
        check_place_again(context, self.task_id, wanted, kept)
        cache = cache_of(self.cache_path, self.cache_max_age) if kept.cache_key else None
        storage = storing(
            context,
            self.hook.settings,
            output_path=wanted.output_path,
            file_name=wanted.file_name,
            verify_images=self.verify_images,
            digest=kept.digest or "",
            asked=kept.asked,
            slot=cache.slot(kept.cache_key, generation.id) if cache and kept.cache_key else None,
        )
        result = self.finish(context, generation, kept.asked, storage)
        self._note_given(context)
        return result

    def resume(self, context: Context, kept: Deferral, event: Mapping[str, Any]) -> Any:
        """Go on after a deferral. From here on no trigger ends the task."""
        if kept.ends_in_triggerer:
            self._memory(context).amend(ends_in_triggerer=False)
        return super().resume(context, replace(kept, ends_in_triggerer=False), event)

    def check_storage(self, context: Context, wanted: TaskRequest) -> None:
        """Check everything about storage before anything is paid.

        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        if wanted.output_path is not None:
            check_place(
                context,
                task_id=self.task_id,
                output_path=wanted.output_path,
                file_name=wanted.file_name,
                verify_images=self.verify_images,
                images=1 if wanted.n == 1 else MANY_IMAGES,
            )

    def reference_uris(self) -> list[str]:
        """Return the addresses of the reference images, without reading them."""
        return TaskRequest.of(self).reference_uris()

    def _go_on(self, context: Context, generation: Generation, kept: Deferral, *, may_defer: bool) -> Result:
        if not self.wait_for_completion:
            self.result = result_of(generation, kept.asked, prices=self.hook.settings.prices)
            announce(context, self.outlets, self.result)
            self._note_given(context)
            return self.result
        if not generation.is_final:
            if self.deferrable and may_defer:
                self.defer_wait(context, kept)
            generation = self.wait_here(kept)
        return self.hand_on(context, generation, kept)

    def _owned(
        self,
        context: Context,
        attempt: Attempt,
        wanted: TaskRequest,
        request: GenerationRequest,
        digest: str,
    ) -> Owned | None:
        """Return what the cache has, None without one; a Clear after success wants a new image."""
        cache = cache_of(self.cache_path, self.cache_max_age)
        if cache is None or attempt.series != FIRST_SERIES:
            return None
        names = FileNames.of(wanted.file_name, task_instance(context), digest)
        folder = None if wanted.output_path is None else Place.of(wanted.output_path)
        return Owned(cache, request, asked(request, 0), folder, names, self.log)

    def _cache_key(
        self, attempt: Attempt, decision: Decision, submission: Submission, request: GenerationRequest
    ) -> str:
        """Return the key under which a generation's images are entered: by the request that it was made of.

        An earlier attempt may have asked for something else: a function returns another prompt, or a file
        has changed.
        """
        generation, record = submission.generation, attempt.facts.own_record
        if record and record.cache_key and record.receipt and record.receipt.generation_id == generation.id:
            return record.cache_key
        is_known = submission.origin is Origin.SUBMITTED or decision.action is Action.SUBMIT
        if decision.fingerprint == fingerprint(request, self.conn_id):  # all of it is in the business id
            named = generation.client_business_id
            if named is None and generation.id != attempt.facts.pushed_id:
                named = submission.client_business_id  # by which it was found
            is_known |= named == submission.client_business_id
        return (key_of(request) if is_known else None) or own_key(generation.id)

    def _give_owned(self, context: Context, attempt: Attempt, result: Result) -> Result:
        """Hand on what was taken from the cache, and note that it was given."""
        self.log.info(
            "Taken from the cache, not billed: %d image(s) of generation %s.",
            len(result["images"]),
            result["generation_id"],
        )
        if self.do_xcom_push:
            task_instance(context).xcom_push(key=GENERATION_ID_KEY, value=result["generation_id"])
        self.hand_out(context, result)
        Metrics(task_instance(context)).cached(result, list_price(result, self.hook.settings.prices))
        attempt.remember_given()
        return result

    def _submit(
        self,
        attempt: Attempt,
        decision: Decision,
        request: GenerationRequest,
        owned: Owned | None,
    ) -> Submission:
        self.hook.log_unchecked({(request.size, request.resolution)})
        reconciler = Reconciler(
            request=request,
            business_id=attempt.identity(decision).business_id,
            fresh=decision.action is Action.SUBMIT,
            known=decision.receipt,
            on_ambiguous=self.on_ambiguous_submit,
            on_expired=self.on_expired,
            is_owned=owned.take if owned else lambda: False,
            give_up_at=time.time() + self.timeout,
            clock=time.time,
            report=self._warn,
            note=lambda sentence: self.log.info("%s", sentence),
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

    def _count(self, context: Context, decision: Decision, submission: Submission, model: str) -> None:
        metrics = Metrics(task_instance(context))
        metrics.submitted(submission, model)
        if self.durable:
            known = decision.receipt.generation_id if decision.receipt else None
            metrics.resumed(type(self).__name__, known, submission)

    def _memory(self, context: Context) -> Memory:
        push = task_instance(context).xcom_push if self.do_xcom_push else None
        return Memory(context.get("task_state_store"), push, self.log)

    def _note_given(self, context: Context) -> None:
        facts = facts_of(context, retries=self.retries or 0, pushes_xcoms=False, resumed=False)
        self._memory(context).amend(base=facts.base, given_by=facts.try_number)

    def _is_completed(self, context: Context, receipt: Receipt) -> bool:
        try:
            return self._was_completed(context, self.look(receipt.generation_id, patience=RESUME_PATIENCE))
        except GptImgNotFoundError:
            return True  # nothing is left of it to go on with

    def _was_given(self, context: Context, identity: Identity) -> bool | None:
        give_up_at = time.time() + self.timeout
        flow = latest_of(identity.business_id, clock=time.time, give_up_at=give_up_at, report=self._warn)
        latest = self.hook.run(flow)
        if latest is None:
            return None
        if not self._was_completed(context, latest):
            return False
        wanted = TaskRequest.of(self)
        return wanted.output_path is None or is_stored(
            context, wanted.output_path, wanted.file_name, identity.digest
        )

    def _was_completed(self, context: Context, generation: Generation) -> bool:
        """Whether a generation was completed before the Clear, as far as that can be told."""
        if generation.status != COMPLETED:
            return False
        finished, cleared = generation.finished_at(time.time()), created_at(task_instance(context))
        return finished is None or cleared is None or finished <= cleared

    def _warn(self, sentence: str) -> None:
        self.log.warning("%s", sentence)


def problem_of(request: GenerationRequest) -> str | None:
    """Return why a file of a request cannot be read, or None if all files can."""
    return next((str(file.problem) for file in request.files if file.problem), None)


def refusal(decision: Decision, request: GenerationRequest) -> Exception:
    """Return the exception for a decision not to pay."""
    problem = next((file.problem for file in request.files if file.problem), None)
    if problem is not None:
        return from_api(problem)
    return GptImgAmbiguousSubmissionError(" ".join(decision.notes))
