"""An emulator that runs for long gives back what has expired."""

from __future__ import annotations

import gc
import tracemalloc

from airflow_provider_gptimg.emulator.clock import Clock
from airflow_provider_gptimg.emulator.settings import Settings
from airflow_provider_gptimg.emulator.state import EXPIRED_TASKS, Emulator
from airflow_provider_gptimg.emulator.submission import parse_submission

A_DAY = 86_400
ROUND = 5_000
MEGABYTE = 1_000_000


def a_day_of_work(emulator: Emulator, day: int) -> None:
    """Submit, look at and let expire a round of tasks, and some uploads."""
    for number in range(ROUND):
        fields = {
            "model": "gpt-image-2",
            "prompt": f"{day}/{number} {'[fail]' if number % 10 == 0 else ''}" + "x" * 1_000,
            "client_business_id": f"af-{day}-{number}",
        }
        task = emulator.submit(parse_submission(fields, "standard"), "sk-test")
        emulator.look(task.id)
        emulator.keep()  # as before every answer
    for number in range(20):
        emulator.uploads.add(b"GIF89a" + bytes([day, number]) * 50_000)
    emulator.clock.advance(2 * A_DAY)
    emulator.settle()


def test_memory_does_not_grow_with_what_has_expired(record_figures):
    emulator = Emulator(Settings(balance=1e6, latency_median=10.0), Clock(lambda: 1e9))
    used = []
    tracemalloc.start()
    try:
        for day in range(8):
            a_day_of_work(emulator, day)
            gc.collect()
            used.append(tracemalloc.get_traced_memory()[0] / MEGABYTE)
    finally:
        tracemalloc.stop()
    figures = ", ".join(f"{megabytes:.1f}" for megabytes in used)
    record_figures(f"memory of the emulator after each of 8 times {ROUND} expired tasks, MB: {figures}")
    assert used[-1] < used[2] + 1
    assert len(emulator.tasks) == len(emulator.ledger.entries) == EXPIRED_TASKS
    assert emulator.accepted == 8 * ROUND
    assert emulator.ledger.used == 8 * ROUND * 9 // 10 * 15_000


def test_the_latest_expired_tasks_are_remembered(service, slow):
    generation_id = service.submit(client_business_id="af-1").json["id"]
    slow.advance(30 * A_DAY)
    service.submit()
    slow.advance(30 * A_DAY)
    assert service.status("af-1").json["id"] == generation_id
    assert len(slow.ledger()["submissions"]) == 2


def test_an_uploaded_picture_stays_in_the_results_that_show_it(service, slow):
    reference = service.upload(b"GIF89a").json["data"]["url"]
    slow.advance(A_DAY - 100)
    generation_id = service.submit(reference_images=[reference]).json["id"]
    slow.advance(1001)
    path = f"/files/results/{generation_id}/0.png"
    before = service.get(path).headers["ETag"]
    slow.advance(A_DAY - 100)
    assert service.get(reference).status == 410
    assert service.get(path).headers["ETag"] == before
    slow.advance(2 * A_DAY)
    assert slow.ledger()["requests"]["upload"] == 1
    assert service.get(reference).status == 404
