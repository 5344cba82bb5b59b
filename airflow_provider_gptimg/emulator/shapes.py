"""The other observed shapes of the service's answers, as a table of what each changes.

The first values of :class:`Shape` are from the service's reference. Each row of :data:`SHAPES` is one
deviation that the contract lists; a setting turns on any number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

Fields = dict[str, Any]


def _result_list(urls: list[str]) -> Fields:
    return {"result": {"type": "image", "data": [{"url": url} for url in urls]}}


def _result_object(urls: list[str]) -> Fields:
    return {"result": {"type": "image", "data": {"url": urls[0]}}}


def _images(urls: list[str]) -> Fields:
    return {"images": [{"url": url} for url in urls]}


def _top_level_url(urls: list[str]) -> Fields:
    return {"url": urls[0]}


def _error_object(code: str, message: str) -> Fields:
    return {"error": {"code": code, "message": message}}


def _fail_reason(_code: str, message: str) -> Fields:
    return {"fail_reason": message}


def _billing_text(status: str, credits_: str, usd: str) -> Fields:
    return {"billing": {"status": status, "credits": credits_, "cost_usd": usd}}


def _billing_numbers(status: str, credits_: str, usd: str) -> Fields:
    return {"billing": {"status": status, "credits": float(credits_), "cost_usd": float(usd)}}


def _no_billing(_status: str, _credits: str, _usd: str) -> Fields:
    return {}


@dataclass(frozen=True)
class Shape:
    """How an account's answers are written (contract: Status, Balance, Errors).

    :param id_prefix: The prefix of the ids of new tasks.
    :param queued: The first status of a task; None: as the page of its model names it.
    :param in_progress: The second status of a task.
    :param result: Writes the URLs of a completed task.
    :param failure: Writes the code and message of a failed task.
    :param billing: Writes the cost of a final task, from the amounts as text.
    :param numeric_codes: An error's code is its HTTP status, as a number.
    :param chinese: Messages are in Chinese.
    :param unknown_task: HTTP status and code for a task that does not exist.
    :param errors_in_200: Errors are sent with HTTP status 200.
    :param unknown_key_in_200: A balance query with an unknown key is answered 200 and ``success: false``.
    :param account_balance: Whether ``/v1/user/balance`` exists.
    """

    id_prefix: str = "task_img_"
    queued: str | None = None
    in_progress: str = "in_progress"
    result: Callable[[list[str]], Fields] = _result_list
    failure: Callable[[str, str], Fields] = _error_object
    billing: Callable[[str, str, str], Fields] = _billing_text
    numeric_codes: bool = False
    chinese: bool = False
    unknown_task: tuple[int, str] = (404, "task_not_found")
    errors_in_200: bool = False
    unknown_key_in_200: bool = False
    account_balance: bool = True


REFERENCE = Shape()
"""The shape of the service's reference. It is the default, and the control endpoints always use it."""


@dataclass(frozen=True)
class Deviation:
    """One row of :data:`SHAPES`: its description, and the parts of a :class:`Shape` that it changes."""

    meaning: str
    changes: Mapping[str, Any]


def _row(meaning: str, **changes: Any) -> Deviation:
    return Deviation(meaning, MappingProxyType(changes))


SHAPES: Mapping[str, Deviation] = MappingProxyType(
    {
        "url": _row("`url` at the top level, for the first image", result=_top_level_url),
        "images": _row("`images`, a list of objects with a `url`", result=_images),
        "result-object": _row("`result.data` is an object, for the first image", result=_result_object),
        "pending": _row("the first status is `pending`", queued="pending"),
        "submitted": _row("the first status is `submitted`", queued="submitted"),
        "processing": _row("the second status is `processing`", in_progress="processing"),
        "id-tsk": _row("new ids start with `tsk_img_`", id_prefix="tsk_img_"),
        "id-img": _row("new ids start with `img_`", id_prefix="img_"),
        "fail-reason": _row("a failed task says why in `fail_reason`, as text", failure=_fail_reason),
        "billing-numbers": _row("amounts in `billing` are numbers", billing=_billing_numbers),
        "no-billing": _row("there is no `billing`", billing=_no_billing),
        "numeric-codes": _row("an error's `code` is the HTTP status, as a number", numeric_codes=True),
        "chinese": _row("messages are in Chinese", chinese=True),
        "task-not-exist": _row(
            "an unknown task is answered 400 with the code `task_not_exist`",
            unknown_task=(400, "task_not_exist"),
        ),
        "errors-in-200": _row("errors come in an answer with status 200", errors_in_200=True),
        "unknown-key-in-200": _row(
            "a balance query with an unknown key is answered 200 with `success: false`",
            unknown_key_in_200=True,
        ),
        "no-account-balance": _row("`/v1/user/balance` does not exist", account_balance=False),
    }
)
"""Every shape that can be turned on, by name."""


def shape_of(names: Iterable[str]) -> Shape:
    """Return the reference's shape with the named deviations; if two change the same part, the later wins.

    :raises ValueError: for a name that is not in :data:`SHAPES`.
    """
    shape = REFERENCE
    for name in names:
        if name not in SHAPES:
            raise ValueError(f"shapes must be among {', '.join(SHAPES)}, not {name!r}")
        shape = replace(shape, **SHAPES[name].changes)
    return shape
