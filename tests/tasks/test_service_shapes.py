"""The hook against every shape that the emulator plays, as answers of the service were seen (contract)."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from airflow_provider_gptimg.emulator.shapes import SHAPES
from airflow_provider_gptimg.exceptions import (
    GptImgContentPolicyError,
    GptImgGenerationFailedError,
    GptImgNotFoundError,
)
from airflow_provider_gptimg.hooks.gptimg import GptImgHook

ALL = [[], *([name] for name in SHAPES)]


@pytest.fixture(params=ALL, ids=lambda names: "+".join(names) or "reference")
def hook(gptimg_emulator: Any, request: pytest.FixtureRequest) -> GptImgHook:
    gptimg_emulator.configure(shapes=request.param)
    return GptImgHook()


def test_images_come(hook: GptImgHook) -> None:
    submitted = hook.submit("A fox")
    generation = hook.wait(submitted.id, poll_interval=0.05)
    (url,) = generation.urls
    with urllib.request.urlopen(url) as answer:
        assert answer.read(4) == b"\x89PNG"
    assert generation.cost_usd in (0.015, None)


def test_what_fails_says_so(hook: GptImgHook) -> None:
    submitted = hook.submit("[fail] A fox")
    with pytest.raises(GptImgGenerationFailedError):
        hook.wait(submitted.id, poll_interval=0.05)


def test_errors_are_told_apart(hook: GptImgHook) -> None:
    with pytest.raises(GptImgNotFoundError):
        hook.get_generation("task_img_unknown")
    with pytest.raises(GptImgContentPolicyError):
        hook.submit("[refuse] A fox")


def test_the_money_is_read(hook: GptImgHook) -> None:
    balance = hook.balance()
    assert balance.key_usd == 10.0
    assert balance.account_usd in (10.0, None)
