"""What stands on the page on which a review asks people."""

from __future__ import annotations

import re

import httpx

from dev.airflow_run import RunTask

_PICTURE = re.compile(r"\[!\[Picture (\d+)(?:\\.|[^\]\\])*\]\(([^)]+)\)\]\(([^)]+)\)")


def pictures_in(body: str) -> list[tuple[str, str, str]]:
    """Return number, thumbnail and large picture of each image that the page shows."""
    return _PICTURE.findall(body)


def decide(task: RunTask, token: str, *options: str) -> int:
    """Answer a review as the user of a token, and return the status of the answer."""
    answer = httpx.patch(
        f"{task.run.api.base_url}/api/v2{task._question}",
        json={"chosen_options": options, "params_input": {}},
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=30,
    )
    return answer.status_code
