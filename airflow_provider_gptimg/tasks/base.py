"""What all tasks of this provider share: a hook, an output with keys, resuming, and reasons for failures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_gptimg.compat.imports import TRIGGER_FAIL, TRIGGER_TIMEOUT
from airflow_provider_gptimg.compat.task_instance import task_instance
from airflow_provider_gptimg.exceptions import OF_THE_KEY, GptImgError
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.links import images_url
from airflow_provider_gptimg.tasks.deferral import Deferral

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.xcom_arg import PlainXComArg

ERROR_KEY = "error"
"""XCom key of ``{"error": class of the exception, "message", "generation_id", "reason", "cost_usd"}``. A
retry removes it."""

LOST, TIMED_OUT = "error", "timeout"
"""The statuses of events after which the triggerer no longer waits."""


class GptImgTask(BaseOperator):
    """Base of all operators and sensors. Subclasses do their work in :meth:`start` and :meth:`resume`."""

    conn_id: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # Airflow would push every key of the result, even those already pushed, which it may refuse
        # (apache/airflow#65011). So this class pushes them itself.
        self.pushes_each_output, self.multiple_outputs = self.multiple_outputs, False

    @property
    def pushed_keys(self) -> frozenset[str]:
        """Keys of the result that the task pushes itself."""
        return frozenset({"urls"})

    if TYPE_CHECKING:

        @property
        def output(self) -> PlainXComArg:
            """What the task hands downstream. For type checkers, Airflow declares it without keys."""
            ...

    @cached_property
    def hook(self) -> GptImgHook:
        """The hook of the task's connection."""
        return GptImgHook(self.conn_id)

    def start(self, context: Context, *, resumed: bool, may_defer: bool) -> Any:
        """Do the task's work from its beginning.

        :param resumed: whether this attempt was deferred, and so has done part of the work. What it knew is
            lost then.
        :param may_defer: False if the triggerer could not wait, so this worker must.
        """
        raise NotImplementedError

    def resume(self, context: Context, kept: Deferral, event: Mapping[str, Any]) -> Any:
        """Go on after a deferral.

        :param event: what the trigger said; only a hint.
        """
        raise NotImplementedError

    def on_kill(self) -> None:
        """End the wait of the task by raising in it."""
        self.hook.interruption.set()

    def execute(self, context: Context) -> Any:
        """Do the task's work.

        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        with leaving_its_reason(self, context):
            return self._pushed_apart(context, self.start(context, resumed=False, may_defer=True))

    def execute_complete(self, context: Context, event: Any = None, **kwargs: Any) -> Any:
        """Go on after the trigger's event.

        ``dag.test()`` resumes with the text "success" where the trigger would have ended the task. Airflow
        3.0 may resume a retry with the event of the try before.

        :raises GptImgError: see :mod:`airflow_provider_gptimg.exceptions`.
        """
        told: Mapping[str, Any] = event if isinstance(event, Mapping) else {}
        kept = Deferral.read(kwargs, task_instance(context))
        with leaving_its_reason(self, context):
            if kept is not None:
                return self._pushed_apart(context, self.resume(context, kept, told))
            may_defer = told.get("status") not in (LOST, TIMED_OUT)
            return self._pushed_apart(context, self.start(context, resumed=True, may_defer=may_defer))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume, even if Airflow would just fail the task because its trigger is gone."""
        if next_method == TRIGGER_FAIL:
            reason = str((next_kwargs or {}).get("error", "the trigger died"))
            for line in (next_kwargs or {}).get("traceback") or ():
                self.log.error("%s", line.rstrip())
            self.log.warning("Airflow stopped the wait (%s). Asking the service itself.", reason)
            event = {"status": TIMED_OUT if reason == TRIGGER_TIMEOUT else LOST, "message": reason}
            next_method, next_kwargs = "execute_complete", {"event": event}
        return super().resume_execution(next_method, next_kwargs, context)

    def _pushed_apart(self, context: Context, result: Any) -> Any:
        """Return the result, after pushing each of its keys if ``multiple_outputs`` says so."""
        if self.pushes_each_output and self.do_xcom_push and isinstance(result, Mapping):
            for key, value in result.items():
                # A missing key is read as None anyway, and Airflow 3.0 refuses to push None.
                if key not in self.pushed_keys and value is not None:
                    task_instance(context).xcom_push(key=key, value=value)
        return result

    def note_failure(self, context: Context, error: GptImgError) -> None:
        """Push the reason for the failure."""
        leave_reason(self, context, error)


@contextmanager
def leaving_its_reason(task: BaseOperator, context: Context) -> Iterator[None]:
    """Record why a task failed, for the gallery, callbacks and downstream tasks."""
    try:
        yield
    except GptImgError as error:
        name_connection(task, error)
        if isinstance(task, GptImgTask):
            task.note_failure(context, error)
        else:
            leave_reason(task, context, error)
        raise


def name_connection(task: BaseOperator, error: GptImgError) -> None:
    """Name the connection whose key was refused: the message may be all that a person sees."""
    conn_id = getattr(task, "conn_id", None)
    if isinstance(error, OF_THE_KEY) and isinstance(conn_id, str) and conn_id not in str(error):
        error.args = (f"{error} The connection is {conn_id}.",)


def leave_reason(task: BaseOperator, context: Context, error: GptImgError) -> None:
    """Say where the pictures are. Push why the task failed, if it pushes XComs."""
    error.images_url = images_url(task_instance(context))
    if not task.do_xcom_push:
        return
    reason = {
        "error": type(error).__name__,
        "message": str(error),
        "generation_id": error.generation_id,
        "reason": error.reason,
        "cost_usd": error.cost_usd,
    }
    try:
        task_instance(context).xcom_push(key=ERROR_KEY, value=reason)
    except Exception as problem:  # noqa: BLE001 - the failure itself must not be hidden
        task.log.warning("The reason could not be pushed to XCom (%s).", type(problem).__name__)
