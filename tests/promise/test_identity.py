"""Who asks: the identity under which a generation is found again."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_gptimg.api.request import BUSINESS_ID, GenerationRequest
from airflow_provider_gptimg.compat.task_instance import place_of
from airflow_provider_gptimg.payment.identity import Identity, fingerprint

REQUEST = GenerationRequest.checked("A fox")


def ti(**changes: Any) -> Any:
    """A task instance, as Airflow 3.0 to 3.3 have it."""
    return SimpleNamespace(**{"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, **changes})


@pytest.mark.parametrize(
    "other",
    [
        {"instance": ti(dag_id="e")},
        {"instance": ti(run_id="s")},
        {"instance": ti(task_id="u")},
        {"instance": ti(map_index=0)},
        {"instance": ti(dag_id="d\0r", run_id="")},
        {"instance": ti(region_id=UUID(int=7), region_index=0)},
        {"instance": ti(region_id=UUID(int=7), region_index=1)},
        {"series": "1"},
        {"request": GenerationRequest.checked("A fox", n=2)},
        {"request": GenerationRequest.checked("A fox", extra_body={"seed": 1})},
        {"conn_id": "other"},
    ],
)
def test_whatever_differs_makes_another_identity(other: dict[str, Any]) -> None:
    same = {"instance": ti(), "series": "0", "request": REQUEST, "conn_id": "c"}

    def identity(parts: dict[str, Any]) -> Identity:
        made_of = fingerprint(parts["request"], parts["conn_id"])
        return Identity.of(place_of(parts["instance"]), parts["series"], made_of)

    assert identity(same) == identity(dict(same))
    assert identity(same) != identity({**same, **other})


def test_outside_loops_airflow_3_4_changes_no_identity() -> None:
    assert place_of(ti(region_id=UUID(int=0), region_index=-1)) == place_of(ti())
    mapped = ti(map_index=2, region_id=UUID(int=7), region_index=2, get_template_context=dict)
    assert place_of(mapped) == place_of(ti(map_index=2))


def test_business_ids_are_of_the_kind_that_careful_clients_use() -> None:
    first, second = (Identity.of(["d"], "0", "f").business_id(ordinal) for ordinal in (1, 2))
    assert re.fullmatch(BUSINESS_ID, first)
    assert (first[-2:], second[-2:]) == ("-1", "-2")
