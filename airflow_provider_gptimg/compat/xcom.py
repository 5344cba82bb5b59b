"""Hands a result downstream from the triggerer, so that no worker has to resume the task.

Airflow's own way, ``TaskSuccessEvent(xcoms=…)``, encodes values as JSON twice: downstream tasks get text
instead of lists. So this module writes the XComs as a worker does, and the event is empty.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from typing import Any

from airflow_provider_gptimg.api.generation import Generation
from airflow_provider_gptimg.api.prices import Prices
from airflow_provider_gptimg.compat.shared_calls import SharedCalls
from airflow_provider_gptimg.result import NOTHING_ASKED, Result, result_of, shortfall

with suppress(ImportError):
    # Connections are read through this module. Every process of Airflow has loaded it by now. To load it
    # only at the first look-up would block the event loop.
    import airflow.sdk.execution_time.supervisor  # noqa: F401

ASKED_KEY = "asked"
"""XCom key for what only the worker knows, and the trigger that ends its task needs."""

_first_requests = SharedCalls[None]()


def prepare(ti: Any) -> None:
    """Start one request for an XCom per triggerer, so that the result can be written at once later.

    The first request makes the triggerer's supervisor build Airflow's whole execution API (measured with
    3.3: 6 s on two idle cores, 15 to 24 s on busy ones). So it is made while the generation is running.

    :param ti: the trigger's task instance; None in ``dag.test()``.
    """
    if ti is not None and writes_from_triggerer():
        _first_requests.begin("XCom", partial(_request, ti), math.inf)


async def _request(ti: Any) -> None:
    from airflow.sdk.execution_time.xcom import XCom

    with suppress(Exception):  # `push_result` meets it too, and says so
        await XCom.aget_one(key=ASKED_KEY, **_where(ti))


async def push_result(ti: Any, generation: Generation, log: Any, prices: Prices) -> Result | None:
    """Write a result's XComs from the event loop, and return it; None if only a worker can do it.

    Only a worker can do it on an Airflow without ``XCom.aset``, with a custom XCom backend (which may block
    the loop), and after any failure.

    :param ti: the trigger's task instance; None in ``dag.test()``.
    :param log: a logger.
    :param prices: the account's prices.
    """
    from airflow.sdk.execution_time.xcom import XCom

    if ti is None or not writes_from_triggerer():
        log.info("XComs cannot be written from the triggerer here: the task is resumed on a worker instead.")
        return None
    where = _where(ti)
    try:
        asked = await XCom.aget_one(key=ASKED_KEY, **where)
        result = result_of(generation, asked or NOTHING_ASKED, prices=prices)
        if line := shortfall(result):
            log.warning("%s", line)
        # Before the XComs, because the triggerer closes the task's log as soon as it hears of the end (3.3).
        log.info(
            "Generation %s is completed with %d image(s). The task ends in the triggerer.",
            generation.id,
            len(result["urls"]),
        )
        await XCom.aset(key="urls", value=result["urls"], **where)
        await XCom.aset(key=XCom.XCOM_RETURN_KEY, value=result, **where)
    except Exception:
        log.exception("Could not end the task from the triggerer; it is resumed on a worker instead.")
        return None
    return result


def _where(ti: Any) -> dict[str, Any]:
    return {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}


def writes_from_triggerer() -> bool:
    """Return whether XComs can be written from the event loop: with Airflow's own backend, from 3.1 on."""
    from airflow.sdk.execution_time.xcom import XCom

    try:
        from airflow.sdk.bases.xcom import BaseXCom
    except ImportError:  # Airflow 3.0
        return False
    return XCom is BaseXCom and hasattr(XCom, "aset")
