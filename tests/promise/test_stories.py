"""The same story of the service ends the same, whichever way a task waits for it.

Every way runs in Airflow's own ``dag.test()``, against a scripted service over a real socket.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from airflow_provider_gptimg import exceptions
from tests.support.airflow_versions import skip_second_look
from tests.support.endings import Ending, run
from tests.support.service import CREATED, GENERATION_ID, Answer, Script

URLS = ["https://files.example/0.png", "https://files.example/1.png"]
DONE = {
    **CREATED,
    "status": "completed",
    "completed_at": 1790000020,
    "expires_at": 4102444800,
    "result": {"type": "image", "data": [{"url": url} for url in URLS]},
}
RUNNING = Answer({**CREATED, "status": "in_progress", "progress": 40})
COMPLETED = Answer(DONE)
ERROR_500 = Answer({"error": {"code": "internal_error", "message": "oops"}}, 500)

RESULT = {
    "generation_id": GENERATION_ID,
    "status": "completed",
    "model": "gpt-image-2",
    "prompt": "A fox",
    "size": "16:9",
    "resolution": "2K",
    "urls": URLS,
    "images": [{"index": index, "url": url} for index, url in enumerate(URLS)],
    "created_at": "2026-09-21T14:13:20Z",
    "completed_at": "2026-09-21T14:13:40Z",
    "expires_at": "2100-01-01T00:00:00Z",
    "submissions": 1,
    "missing": 0,
    "cost_usd": 0.04,
    "cost_estimated": True,
    "cached": False,
}

pytestmark = pytest.mark.usefixtures("database", "quick")

WAYS = [
    *("sync", "deferred", "end_from_trigger"),
    *("sensor_poke", "sensor_reschedule", "sensor_deferred", "sensor_end_from_trigger"),
]


@dataclass
class Story:
    """What the service does, and how that ends: with an exception, or with the result."""

    status: list[Answer]
    error: type[BaseException] | None = None
    says: str = ""
    submit: Answer | None = None


STORIES = {
    "completed": Story([RUNNING, COMPLETED]),
    "a status nobody has heard of means running": Story(
        [Answer({**CREATED, "status": "warming_up"}), COMPLETED]
    ),
    "images instead of result": Story(
        [Answer({**{k: v for k, v in DONE.items() if k != "result"}, "images": [{"url": u} for u in URLS]})]
    ),
    "five failures in a row, then completed": Story([RUNNING, *[ERROR_500] * 5, COMPLETED]),
    "told to slow down, then completed": Story(
        [Answer({"error": {"code": "rate_limit_exceeded"}}, 429, {"Retry-After": "1"}), COMPLETED]
    ),
    "already completed when submitted": Story([COMPLETED], submit=COMPLETED),
    "failed": Story(
        [
            Answer(
                {**CREATED, "status": "failed", "error": {"code": "generation_failed", "message": "no luck"}}
            )
        ],
        exceptions.GptImgGenerationFailedError,
        "no luck",
    ),
    "failed, with fail_reason": Story(
        [Answer({**CREATED, "status": "failed", "fail_reason": "运气不好"})],
        exceptions.GptImgGenerationFailedError,
        "运气不好",
    ),
    "completed without any URL": Story(
        [Answer({**CREATED, "status": "completed", "result": {"type": "image", "data": []}})],
        exceptions.GptImgNoImagesError,
        "no image URL",
    ),
    "never finishes": Story([RUNNING], exceptions.GptImgTimeoutError, "accepted and billed"),
    "the key is revoked": Story(
        [RUNNING, Answer({"error": {"code": "unauthorized", "message": "bad key"}}, 401)],
        exceptions.GptImgAuthenticationError,
        "401",
    ),
    "the key may no longer": Story(
        [Answer({"error": {"message": "blocked"}}, 403)], exceptions.GptImgPermissionError, "403"
    ),
    "the service forgot it": Story(
        [Answer({"error": {"code": "task_not_found", "message": "who?"}}, 404)],
        exceptions.GptImgNotFoundError,
        "404",
    ),
    "the service is down": Story([ERROR_500], exceptions.GptImgUnavailableError, "6 status queries in a row"),
    "a proxy answers HTML": Story(
        [Answer("<html><body>Bad gateway</body></html>")],
        exceptions.GptImgMalformedAnswerError,
        "Bad gateway",
    ),
}


def script_of(story: Story) -> Script:
    script = Script(status=list(story.status))
    if story.submit:
        script.submit = [story.submit]
    return script


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STORIES)
def test_same_story_same_ending(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "never finishes":
        skip_second_look(way)
    monkeypatch.setattr("airflow_provider_gptimg.api.flows.NOT_YET_SECONDS", 0.3)
    story = STORIES[name]
    script = script_of(story)
    ending = run(way, script, monkeypatch)

    if story.error is None:
        assert ending == Ending("success", RESULT, URLS, None)
    else:
        assert ending.state == "failed"
        assert isinstance(ending.error, story.error)
        assert story.says in str(ending.error)
        assert ending.error.generation_id == GENERATION_ID
        assert GENERATION_ID in str(ending.error)
    submissions = [path for method, path, *_ in script.received if method == "POST"]
    assert submissions == ["/v1/images/generations"]


@pytest.mark.parametrize("way", ["sensor_poke_soft", "sensor_reschedule_soft", "sensor_deferred_soft"])
@pytest.mark.parametrize("name", ["failed", "never finishes", "the key is revoked", "the service is down"])
def test_soft_fail_skips(name: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "never finishes":
        skip_second_look(way)
    ending = run(way, script_of(STORIES[name]), monkeypatch)
    assert (ending.state, ending.result, ending.error) == ("skipped", None, None)
