"""What the gallery asks the service while somebody looks: progress, and large pictures to scale down."""

from __future__ import annotations

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from airflow_provider_gptimg.emulator.remote import Remote
from airflow_provider_gptimg.gallery.live_generations import generation_now, live_picture
from airflow_provider_gptimg.gallery.stored_files import Gone
from airflow_provider_gptimg.gallery.thumbnails import Thumbnails
from airflow_provider_gptimg.hooks.gptimg import GptImgHook


def test_progress_comes_from_the_service(emulator: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", emulator.airflow_connection)
    generation = GptImgHook().submit("[slow] A cathedral")
    asked = [generation_now("gptimg_default", generation.id) for _ in range(20)]
    assert isinstance(asked[0].progress, int)
    assert emulator.ledger()["requests"]["status"] == 1  # the others got the same answer
    with pytest.raises(Gone):
        generation_now("gptimg_default", "no-such-generation")
    with pytest.raises(Gone):
        generation_now("no_such_connection", generation.id)


def test_a_large_picture_of_the_service_is_fetched_once_and_scaled(
    emulator: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", emulator.airflow_connection)
    hook = GptImgHook()
    done = hook.wait(hook.submit("A reef", size="16:9", resolution="2K").id, poll_interval=0.1)
    whole = live_picture("gptimg_default", done.id, 0)
    small = Thumbnails().get("any", lambda: whole)
    with Image.open(io.BytesIO(whole)) as picture:
        assert picture.width > 2000
    assert len(small) < len(whole) / 10
    with pytest.raises(Gone, match="no such picture"):
        live_picture("gptimg_default", done.id, 1)


def test_a_service_that_does_not_send_holds_nobody_up_for_long(
    emulator: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", emulator.airflow_connection)
    hook = GptImgHook()
    done = hook.wait(hook.submit("A slow reef", n=6).id, poll_interval=0.1)
    emulator.faults([{"on": "download", "kind": "hang", "seconds": 6}])
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:  # more than are fetched at a time: some only wait for their turn
        asked = [pool.submit(live_picture, "gptimg_default", done.id, n, seconds=1) for n in range(6)]
        assert all(isinstance(picture.exception(timeout=20), Gone) for picture in asked)
    assert time.monotonic() - began < 5  # before the service lets go
    emulator.faults([])
    assert live_picture("gptimg_default", done.id, 0)


def test_a_connection_that_is_gone_is_said(emulator: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", emulator.airflow_connection)
    hook = GptImgHook()
    done = hook.wait(hook.submit("A harbour").id, poll_interval=0.1)
    assert generation_now("gptimg_default", done.id).is_final  # which is remembered
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps({"conn_type": "gptimg"}))
    with pytest.raises(Gone, match="cannot be fetched"):
        live_picture("gptimg_default", done.id, 0)
