"""What tells the iterations of a task loop apart, and leaves every other task instance as it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_gptimg.compat.task_instance import NO_REGION, region_of

REGION = UUID("01a21581-a9e2-74f8-8794-3bdabcc0c73f")
IN_LOOP = {"get_template_context": lambda: {"loop": object()}}
OUTSIDE = {"get_template_context": dict}


@pytest.mark.parametrize(
    ("known", "region"),
    [
        ({"map_index": 3}, ()),  # before Airflow 3.4
        ({"map_index": -1, "region_id": None, "region_index": None}, ()),
        ({"map_index": -1, "region_id": NO_REGION, "region_index": -1, **OUTSIDE}, ()),
        ({"map_index": 2, "region_id": REGION, "region_index": 2, **OUTSIDE}, ()),  # mapped
        ({"map_index": -1, "region_id": REGION, "region_index": 0, **IN_LOOP}, (str(REGION), "0")),
        ({"map_index": 2, "region_id": REGION, "region_index": 2, **IN_LOOP}, (str(REGION), "2")),
        ({"map_index": 2, "region_id": str(REGION), "region_index": 2}, (str(REGION), "2")),  # a record
    ],
)
def test_only_a_loop_has_a_region(known: dict[str, Any], region: tuple[str, ...]) -> None:
    assert region_of(SimpleNamespace(**known)) == region
