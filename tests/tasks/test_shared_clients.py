"""What all waits of a process share."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.hooks import shared
from airflow_provider_gptimg.hooks.shared import settings_of


class Reader:
    """Reads a connection; counts how often."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.readings = 0

    async def __call__(self) -> Settings:
        self.readings += 1
        await asyncio.sleep(0)
        error = self.errors.pop(0) if self.errors else None
        if error:
            raise error
        return Settings(base_url="http://127.0.0.1", api_key="sk-test")


async def test_a_thousand_waits_read_their_connection_once() -> None:
    reader = Reader()
    await asyncio.gather(*(settings_of("c", reader) for _ in range(1_000)))
    assert reader.readings == 1
    await settings_of("another", reader)
    assert reader.readings == 2


async def test_it_is_read_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "READ_AGAIN_AFTER", 0.0)
    reader = Reader()
    await settings_of("c", reader)
    await settings_of("c", reader)
    assert reader.readings == 2


async def test_an_error_is_everybodys_and_nobodys_later() -> None:
    reader = Reader(exceptions.GptImgValidationError("bad"))
    both: list[Any] = await asyncio.gather(
        settings_of("c", reader), settings_of("c", reader), return_exceptions=True
    )
    assert [type(error).__name__ for error in both] == ["GptImgValidationError"] * 2
    assert (await settings_of("c", reader)).api_key == "sk-test"
    assert reader.readings == 2


async def test_a_wait_that_is_cancelled_takes_nothing_from_the_others() -> None:
    reader = Reader()
    first, second = (asyncio.create_task(settings_of("c", reader)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).api_key == "sk-test"
    assert reader.readings == 1
