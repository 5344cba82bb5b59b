"""The operator behind ``@task.gptimg``: it calls a function, and makes the images that this asks for."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from airflow.sdk import ObjectStoragePath
from airflow.sdk.bases.decorator import DecoratedOperator

# The same private place from Airflow 3.0 to 3.3; Apache's own providers have it from there too.
from airflow.sdk.definitions._internal.types import SET_DURING_EXECUTION
from jinja2 import TemplateError

from airflow_provider_gptimg.api.errors import ApiError
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.compat.imports import determine_kwargs
from airflow_provider_gptimg.decorators.returned import Answers
from airflow_provider_gptimg.exceptions import GptImgValidationError
from airflow_provider_gptimg.files.references import reference_texts
from airflow_provider_gptimg.operators.generate import GptImgGenerateOperator
from airflow_provider_gptimg.payment.submission import Submission
from airflow_provider_gptimg.result import NOTHING_ASKED, Asked
from airflow_provider_gptimg.tasks.reasons import leaves_reason

if TYPE_CHECKING:
    from airflow.sdk import Context

SENT = ("size", "resolution", "n", "model", "reference_images", "extra_body")
"""Request fields that can be declared in the decorator; the function may return each of them too."""

RETURNABLE = ("prompt", *SENT, "output_path", "file_name")
"""What a dict may hold that the function returns."""

NO_REQUEST = GenerationRequest(prompt="")
"""In place of the request where only the identity is asked for, which does not depend on it."""

_SHOWN = 200
"""So many characters of a wrong value go into a message."""


class GptImgDecoratedOperator(DecoratedOperator, GptImgGenerateOperator):
    """Calls the function, and makes the images that it asks for.

    Takes the arguments of :class:`~airflow_provider_gptimg.operators.generate.GptImgGenerateOperator`
    but for ``prompt``. What the function returns goes before what they declare, and is rendered as
    templates, as ``@task.bash`` does it: return ``airflow.sdk.literal(text)`` for a text from elsewhere,
    or whoever wrote it can read whatever templates can.

    An image is paid for once although the function may return another prompt each time: the identity is
    made of what the decorator declares. From Airflow 3.3 on, a retry goes on with what the function
    returned to the first attempt. Before, it calls the function again: where images are paid for
    already, they are the result, which then names another prompt than theirs.
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

    _returned: Mapping[str, Any] | None = None

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

    @leaves_reason
    def execute(self, context: Context) -> Any:
        """Call the function, then submit, wait and hand on.

        :raises GptImgValidationError: if the function returns no request, or a wrong one; nothing was sent.
        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        self._take(self._answer(context))
        # Not that of DecoratedOperator, which in Airflow 3.0 fails after the fact with multiple outputs.
        return self._each_on_its_own(context, GptImgGenerateOperator.execute(self, context))

    def execute_complete(
        self, context: Context, event: Any = None, *, returned: Mapping[str, Any] | None = None, **kept: Any
    ) -> Any:
        """Go on after the trigger's event, without calling the function again.

        :param returned: what it returned before the deferral.
        """
        answers = Answers(context, self.log)
        returned = returned or answers.here()
        if returned is None and answers.durable:
            returned = answers.recall(self.digest(context))
        if returned is not None:
            self._take(returned)
        return self._each_on_its_own(context, super().execute_complete(context, event, **kept))

    def defer(
        self,
        *,
        trigger: Any,
        method_name: str,
        kwargs: dict[str, Any] | None = None,
        timeout: timedelta | float | None = None,
    ) -> NoReturn:
        """Defer, and keep what the function returned for the process that resumes."""
        kept = {**(kwargs or {}), "returned": self._returned}
        super().defer(trigger=trigger, method_name=method_name, kwargs=kept, timeout=timeout)

    def asked(self) -> Asked:
        """Return what a result repeats of the request, as far as it is known."""
        if self._returned is None:  # its trigger died (before Airflow 3.3)
            return {**NOTHING_ASKED, "submissions": 1}
        return super().asked()

    @cached_property
    def _declared(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*RETURNABLE, "conn_id")}

    def _take(self, returned: Mapping[str, Any]) -> None:
        """Let what the function returned go before what the decorator declares."""
        self._returned = dict(returned)
        for name, value in {**self._declared, **returned}.items():
            setattr(self, name, value)

    def _answer(self, context: Context) -> Mapping[str, Any]:
        """Return what the function returns, or has returned to an earlier attempt of the same series."""
        answers = Answers(context, self.log)
        if not answers.durable:
            return self._call(context)
        attempt = self._attempt(context, NO_REQUEST)
        digest = attempt.identity.digest
        returned = None if attempt.is_fresh else answers.recall(digest)
        if returned is not None:
            self.log.info("Going on with what %s returned to an earlier attempt.", self._function)
            return returned
        returned = self._call(context)
        answers.keep(digest, returned)
        return returned

    def _call(self, context: Context) -> Mapping[str, Any]:
        # A copy: an argument that is called like a part of the context must not replace that.
        scope = cast("Context", {**context, **self.op_kwargs})
        arguments = determine_kwargs(self.python_callable, self.op_args, scope)
        returned = self.python_callable(*self.op_args, **arguments)
        try:
            rendered = self.render_template(returned, scope)
        except TemplateError as error:
            cure = "return airflow.sdk.literal(text) for a text that is no template"
            raise self._refused(returned, f"as a template it fails ({error}); {cure}") from error
        if isinstance(rendered, str):
            return {"prompt": rendered}
        if not isinstance(rendered, Mapping):
            raise self._refused(returned, f"it is of type {type(rendered).__name__}")
        unknown = [name for name in rendered if name not in RETURNABLE]
        if unknown:
            raise self._refused(returned, f"{unknown[0]!r} is no field that a function can return")
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
        if inspect.iscoroutine(returned):
            returned.close()  # nobody will await it, which Python would complain about
        shown = repr(returned)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}…"
        return GptImgValidationError(
            f"The function {self._function} of @task.gptimg returned {shown}: {why}. A prompt (text) is "
            f"allowed, or a dict with 'prompt' and any of {', '.join(RETURNABLE[1:])}."
        )

    @property
    def _function(self) -> str:
        return f"{getattr(self.python_callable, '__name__', self.python_callable)}()"

    def _request(self) -> GenerationRequest:
        if self._returned is None:
            return NO_REQUEST
        with self._blamed():
            return super()._request()

    def check_storage(self, context: Context) -> None:
        """Check what concerns the storing before anything is paid.

        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        with self._blamed():
            super().check_storage(context)

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Say of a field that is not allowed that the function returned it, if it did."""
        try:
            yield
        except GptImgValidationError as error:
            if error.field not in (self._returned or ()):
                raise
            raise GptImgValidationError(
                f"{error} The function {self._function} of @task.gptimg returned it."
            ) from None

    def _fingerprint(self, request: GenerationRequest) -> str:
        """Return a hash of what is declared: what the function returns may be different in a retry."""
        declared = {name: self._declared[name] for name in (*SENT, "conn_id")}
        return hashlib.sha256(json.dumps(declared, sort_keys=True, default=str).encode()).hexdigest()

    def _carry_on(self, context: Context, facts: Asked, submission: Submission) -> Any:
        self._show(facts)
        Answers(context, self.log).keep_here(self._returned or {})
        return super()._carry_on(context, facts, submission)

    def _show(self, paid: Asked) -> None:
        """Let the rendered fields show what was paid for, which an earlier attempt may have asked for."""
        shown = {"size": paid["size"], "resolution": paid["resolution"], "model": paid["model"]}
        if paid["prompt"] and not str(self.prompt).startswith(paid["prompt"]):
            shown["prompt"] = paid["prompt"]
        known = {name: value for name, value in shown.items() if value is not None}
        self._take({**(self._returned or {}), **known})

    def _each_on_its_own(self, context: Context, result: Any) -> Any:
        """Push every key of the result, if ``multiple_outputs`` asks for it, that is not pushed yet.

        Airflow would push some of them a second time, which it may refuse (apache/airflow#65011); and
        Airflow 3.0 refuses None, which a key that is not there is read as anyway.
        """
        if self.multiple_outputs and self.do_xcom_push:
            self.multiple_outputs = False
            pushed = {"generation_id", "urls"} if self.wait_for_completion else {"generation_id"}
            for key, value in result.items():
                if key not in pushed and value is not None:
                    context["ti"].xcom_push(key=key, value=value)
        return result
