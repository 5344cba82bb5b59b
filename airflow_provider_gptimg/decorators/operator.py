"""The operator behind ``@task.gptimg``: it calls a function, and makes the images that it returns."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.sdk import ObjectStoragePath
from airflow.sdk.bases.decorator import DecoratedOperator
from jinja2 import TemplateError

from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.compat.imports import SET_DURING_EXECUTION, determine_kwargs
from airflow_provider_gptimg.decorators.returned import ReturnedRequests
from airflow_provider_gptimg.exceptions import (
    GptImgFinalError,
    GptImgUndecidedSubmissionError,
    GptImgValidationError,
)
from airflow_provider_gptimg.files.references import reference_texts
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator, problem_of
from airflow_provider_gptimg.payment.decision import Action
from airflow_provider_gptimg.payment.identity import hash_of
from airflow_provider_gptimg.result import Result
from airflow_provider_gptimg.tasks.deferral import Deferral
from airflow_provider_gptimg.tasks.nothing import check_nothing, check_returned
from airflow_provider_gptimg.tasks.request import FIELDS, TaskRequest
from airflow_provider_gptimg.tasks.templates import templates_named

if TYPE_CHECKING:
    from airflow.sdk import Context

_SHOWN = 200
"""The most characters of a wrong value that a message shows."""


class GptImgDecoratedOperator(DecoratedOperator, GptImgGenerateOperator):
    """Calls the function, and makes the images that the function asks for.

    Takes the arguments of :class:`~airflow_provider_gptimg.operators.generate.GptImgGenerateOperator`,
    except for ``prompt``. Fields that the function returns replace these arguments. The return value is
    rendered as a template, as with ``@task.bash``. For a text from elsewhere, return
    ``airflow.sdk.literal(text)``. Otherwise whoever wrote it can read everything that templates can read.

    You pay for an image once, even if the function returns another prompt each time, because the identity
    is made from the decorator's arguments. From Airflow 3.3 on, a retry uses what the function returned to
    the first attempt. Before, a retry calls the function again. If images are already paid, the task returns
    them, and the result then names the new prompt instead of theirs.
    """

    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *GptImgGenerateOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **GptImgGenerateOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.gptimg"
    # Rendered fields are sent when a task starts, when the prompt is not known, and with this
    # also when it ends or defers (Airflow 3.0 to 3.3).
    overwrite_rtif_after_execution = True

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.setdefault("prompt", SET_DURING_EXECUTION) is not SET_DURING_EXECUTION:
            raise TypeError(
                f"@task.gptimg takes no prompt={kwargs['prompt']!r}: the prompt is what "
                f"{python_callable.__name__}() returns."
            )
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, **kwargs)

    def check_written(self) -> None:
        """Check nothing yet, because the function's return value can replace every argument."""

    def execute(self, context: Context) -> Any:
        """Call the function, then submit, wait, and return the result.

        :raises GptImgValidationError: if the function returns no valid request; nothing was sent.
        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        # Not the method of DecoratedOperator, which would hand on what the function returns.
        return GptImgGenerateOperator.execute(self, context)

    def start(self, context: Context, *, resumed: bool, may_defer: bool) -> Result:
        """Ask the function what to make, then do the same as the generate operator."""
        attempt = self.open_attempt(context, resumed=resumed)
        declared = TaskRequest.of(self)
        # The function may return something else in a retry, so the identity is made of what is declared.
        decision = attempt.decide(hash_of({**declared.declared(), "conn_id": self.conn_id}))
        digest = attempt.identity(decision).digest
        kept = ReturnedRequests(context.get("task_state_store"), self.log)
        returned = None if decision.action is Action.SUBMIT else kept.recall(digest)
        if returned is not None:
            self.log.info("Reusing what %s returned to an earlier attempt.", self._function)
        else:
            returned = self._call(context)
            kept.keep(digest, returned)
        self._show(returned)
        try:
            wanted = declared.with_fields(returned)
            request = self._request(context, wanted, returned)
            if (problem := problem_of(request)) and decision.receipt is None:
                decision = attempt.decide(None, problem)
            self._show(decision.asked or {})
            return self.make(
                context, attempt, decision, wanted, request, may_defer=may_defer, returned=returned
            )
        except GptImgFinalError as error:
            # It was refused, and nothing was paid for: the function may be mended before the next attempt.
            if error.generation_id is None and not isinstance(error, GptImgUndecidedSubmissionError):
                kept.forget()
            raise

    def _request(
        self, context: Context, wanted: TaskRequest, returned: Mapping[str, Any]
    ) -> GenerationRequest:
        with self._blamed(returned), templates_named(context, self.task_id):
            check_returned(returned)
            # "prompt" is no template here: the function returns it.
            declared_fields = [name for name in (*FIELDS, "conn_id") if name not in returned]
            check_nothing(context, self.task_id, declared_fields, self)
            self.check_storage(context, wanted)
            return wanted.checked(self.hook.settings)

    def hand_on(self, context: Context, generation: Generation, kept: Deferral) -> Result:
        """Return the result of a finished generation, and note that it was given."""
        wanted = TaskRequest.of(self).with_fields(kept.returned or {})
        self._show(kept.returned or {})
        self._show(kept.asked)
        return self.give(context, generation, kept, wanted)

    def _call(self, context: Context) -> Mapping[str, Any]:
        # A copy: an argument that is called like a part of the context must not replace that.
        scope = cast("Context", {**context, **self.op_kwargs})
        arguments = determine_kwargs(self.python_callable, self.op_args, scope)
        returned = self.python_callable(*self.op_args, **arguments)
        if inspect.iscoroutine(returned):
            returned = asyncio.run(returned)
        try:
            rendered = self.render_template(returned, scope)
        except TemplateError as error:
            cure = "return airflow.sdk.literal(text) for a text that is not a template"
            raise self._refused(returned, f"it fails as a template ({error}); {cure}") from error
        if isinstance(rendered, str):
            return {"prompt": rendered}
        if not isinstance(rendered, Mapping):
            raise self._refused(returned, f"it is of type {type(rendered).__name__}")
        unknown = [name for name in rendered if name not in FIELDS]
        if unknown:
            raise self._refused(returned, f"{unknown[0]!r} is not a field that a function can return")
        if "prompt" not in rendered:
            raise self._refused(returned, "it has no 'prompt'")
        return self._plain(returned, rendered)

    def _plain(self, returned: object, rendered: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what was returned as plain JSON, which goes through the deferral."""
        if rendered.get("reference_images") is not None:
            # A path is taken for its text; what is no reference is refused later, naming who gave it.
            with suppress(ApiError):
                rendered = {**rendered, "reference_images": reference_texts(rendered["reference_images"])}
        if isinstance(folder := rendered.get("output_path"), (os.PathLike, ObjectStoragePath)):
            rendered = {**rendered, "output_path": str(folder)}
        try:
            json.dumps(rendered)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._refused(returned, f"it must be plain JSON ({error})") from None
        return rendered

    def _refused(self, returned: object, why: str) -> GptImgValidationError:
        shown = repr(returned)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}…"
        return GptImgValidationError(
            f"The function {self._function} of @task.gptimg returned {shown}: {why}. A prompt (text) is "
            f"allowed, or a dict with 'prompt' and any of {', '.join(FIELDS[1:])}."
        )

    @property
    def _function(self) -> str:
        return f"{getattr(self.python_callable, '__name__', self.python_callable)}()"

    @contextmanager
    def _blamed(self, returned: Mapping[str, Any]) -> Iterator[None]:
        """Say of a field that is not allowed that the function returned it, if it did."""
        try:
            yield
        except GptImgValidationError as error:
            if error.field not in returned:
                raise
            raise GptImgValidationError(
                f"{error} The function {self._function} of @task.gptimg returned it."
            ) from None

    def _show(self, fields: Mapping[str, Any]) -> None:
        """Let Airflow's page of rendered fields, and the lineage, show what was asked for."""
        for name in FIELDS:
            value = fields.get(name)
            # Of a paid prompt only the beginning is known.
            if value is not None and not (name == "prompt" and str(self.prompt).startswith(value)):
                setattr(self, name, value)
