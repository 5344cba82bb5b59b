"""``@task.gptimg``: a function returns the prompt, and the task makes the images."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from airflow.sdk.bases.decorator import task_decorator_factory

from airflow_provider_gptimg.decorators.operator import GptImgDecoratedOperator

P = ParamSpec("P")

if TYPE_CHECKING:
    import os
    from datetime import timedelta

    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.bases.decorator import _TaskDecorator
    from airflow.sdk.definitions._internal.expandinput import (
        OperatorExpandArgument,
        OperatorExpandKwargsArgument,
    )
    from airflow.sdk.definitions._internal.templater import LiteralValue
    from airflow.sdk.definitions.xcom_arg import PlainXComArg, XComArg

    from airflow_provider_gptimg.payment.decision import OnClear
    from airflow_provider_gptimg.payment.submission import OnDoubt

    Request = str | LiteralValue | Mapping[str, Any]
    R = TypeVar("R", bound=Request | Coroutine[Any, Any, Request])

    class GptImgTask(_TaskDecorator[P, R, GptImgDecoratedOperator]):
        """A decorated function as type checkers see it. At runtime it is Airflow's own class.

        Here the result has ``["urls"]``, which the types of ``airflow.sdk`` do not declare.
        """

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> PlainXComArg:
            """Make a task."""
            ...

        def partial(self, **kwargs: Any) -> GptImgTask[P, R]:
            """Fix some arguments of the function, to map over the others."""
            ...

        def expand(self, **map_kwargs: OperatorExpandArgument) -> PlainXComArg:
            """Make a task for each element."""
            ...

        def expand_kwargs(self, kwargs: OperatorExpandKwargsArgument, *, strict: bool = True) -> PlainXComArg:
            """Make a task for each dict of arguments."""
            ...

        def override(self, **kwargs: Any) -> GptImgTask[P, R]:
            """Change what the decorator declares, such as ``task_id``."""
            ...

    class _Decorator(Protocol):
        def __call__(self, python_callable: Callable[P, R], /) -> GptImgTask[P, R]: ...


@overload
def gptimg_task(python_callable: Callable[P, R], /) -> GptImgTask[P, R]: ...


@overload
def gptimg_task(
    *,
    multiple_outputs: bool = False,
    size: str | XComArg = ...,
    resolution: str | XComArg = ...,
    n: int | str | XComArg = ...,
    model: str | XComArg | None = ...,
    reference_images: Any = ...,
    extra_body: Mapping[str, Any] | XComArg | None = ...,
    output_path: str | os.PathLike[str] | ObjectStoragePath | XComArg | None = ...,
    file_name: str | XComArg | None = ...,
    verify_images: bool = ...,
    cache_path: str | os.PathLike[str] | ObjectStoragePath | XComArg | None = ...,
    cache_max_age: timedelta | None = ...,
    conn_id: str | XComArg = ...,
    wait_for_completion: bool = ...,
    deferrable: bool = ...,
    end_from_trigger: bool = ...,
    poll_interval: float = ...,
    timeout: float = ...,
    durable: bool = ...,
    on_clear: OnClear = ...,
    on_expired: OnDoubt = ...,
    on_ambiguous_submit: OnDoubt = ...,
    **kwargs: Any,
) -> _Decorator: ...


def gptimg_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool = False, **kwargs: Any
) -> Any:
    """Make images with the prompt, or the request, that a function returns.

    Use ``@task.gptimg`` without arguments, or with the arguments of
    :class:`~airflow_provider_gptimg.operators.generate.GptImgGenerateOperator` and of any operator::

        @task.gptimg(size="16:9", resolution="2K", output_path="s3://covers/{{ ds }}/")
        def cover(title: str, ds: str | None = None):
            return f"The cover of {title}, {ds}"

        publish(cover("Dune")["urls"])

    :param python_callable: returns a prompt, or a dict with ``prompt`` and any of ``size``, ``resolution``,
        ``n``, ``model``, ``reference_images``, ``extra_body``, ``output_path``, ``file_name``. It may be an
        ``async def``.
    :param multiple_outputs: True makes every key of the result a separate XCom. This is never inferred
        from the function, because the function returns the request and not the result.
    :raises GptImgValidationError: in the running task, if the function returns anything else; nothing was
        sent.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=GptImgDecoratedOperator,
        **kwargs,
    )
