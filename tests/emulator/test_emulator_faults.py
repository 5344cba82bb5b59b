"""Every kind of fault, over a real connection."""

from __future__ import annotations

import http.client
import threading
import time

import pytest


@pytest.fixture
def fault(gptimg_emulator, slow):
    """Set one rule and return it; tasks take 1000 s, so that nothing else moves."""

    def set_rule(**rule):
        gptimg_emulator.faults([rule])
        return rule

    return set_rule


def accepted(service) -> int:
    return len(service.remote.ledger()["submissions"])


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_request"),
        (401, "unauthorized"),
        (402, "insufficient_quota"),
        (422, "content_policy_violation"),
        (429, "rate_limit_exceeded"),
        (500, "internal_error"),
        (502, "internal_error"),
        (503, "rate_limit_unavailable"),
        (504, "internal_error"),
    ],
)
def test_status(service, fault, status, code):
    fault(on="submit", kind="status", status=status, retry_after=3, times=1)
    reply = service.submit()
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.headers["Retry-After"] == "3"
    assert reply.headers["X-RateLimit-Category"] == ("async_submit" if status == 429 else None)
    assert accepted(service) == 0
    assert service.submit().status == 200
    requests = service.remote.ledger()["requests"]
    assert (requests["submit"], requests["rate_limited"]) == (2, int(status == 429))


def test_status_although_accepted(service, fault):
    fault(on="submit", kind="status", status=502, accepted=True, times=1)
    assert service.submit(client_business_id="af-1").status == 502
    assert accepted(service) == 1
    assert service.remote.ledger()["balance"] == 9.985
    assert service.status("af-1").status == 200


def test_status_of_a_lookup(service, fault):
    fault(on="status", kind="status", status=404)
    generation_id = service.submit().json["id"]
    reply = service.status(generation_id)
    assert (reply.status, reply.error["code"]) == (404, "task_not_found")
    assert service.remote.ledger()["submissions"][0]["polls"] == 0


def test_reset_before(service, fault):
    fault(on="submit", kind="reset_before", times=1)
    with pytest.raises(ConnectionResetError):
        service.submit()
    assert accepted(service) == 0
    assert service.submit().status == 200


def test_reset_after(service, fault):
    fault(on="submit", kind="reset_after", times=1)
    with pytest.raises(ConnectionResetError):
        service.submit(client_business_id="af-1")
    assert accepted(service) == 1
    assert service.remote.ledger()["balance"] == 9.985
    assert service.status("af-1").status == 200


def test_delay(service, fault):
    fault(on="submit", kind="delay", seconds=0.3, times=1)
    start = time.monotonic()
    assert service.submit().status == 200
    assert time.monotonic() - start >= 0.3


def test_a_delayed_submission_is_billed_even_if_the_client_gives_up(service, fault):
    fault(on="submit", kind="delay", seconds=30)
    body = {"model": "gpt-image-2", "prompt": "a fox"}
    with pytest.raises(TimeoutError):
        service.call("POST", "/v1/images/generations", body, timeout=2)
    assert accepted(service) == 1


def test_malformed(service, fault):
    generation_id = service.submit().json["id"]
    fault(on="status", kind="malformed", times=2)
    first, second = service.status(generation_id), service.status(generation_id)
    assert (first.status, second.status) == (200, 200)
    assert first.body.startswith(b"<html>")
    for reply in (first, second):
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            _ = reply.json
    assert service.status(generation_id).json["id"] == generation_id
    assert service.remote.ledger()["submissions"][0]["polls"] == 3


def test_a_malformed_answer_to_a_submission_was_accepted(service, fault):
    fault(on="submit", kind="malformed", times=1)
    assert service.submit().status == 200
    assert accepted(service) == 1


@pytest.mark.parametrize("endpoint", ["submit", "status", "upload", "download"])
def test_truncate(service, fault, endpoint):
    (url,) = service.urls()
    calls = {
        "submit": service.submit,
        "status": lambda: service.status("nothing"),
        "upload": lambda: service.upload(b"GIF89a"),
        "download": lambda: service.get(url),
    }
    fault(on=endpoint, kind="truncate", times=1)
    with pytest.raises(http.client.IncompleteRead) as caught:
        calls[endpoint]()
    assert abs(len(caught.value.partial) - caught.value.expected) <= 1
    assert calls[endpoint]().status in {200, 404}


@pytest.mark.parametrize("was_accepted", [False, True])
def test_hang(service, fault, was_accepted):
    fault(on="submit", kind="hang", seconds=0.3, accepted=was_accepted, times=1)
    start = time.monotonic()
    with pytest.raises(ConnectionResetError):
        service.submit()
    assert time.monotonic() - start >= 0.3
    assert accepted(service) == int(was_accepted)


def test_hang_until_the_client_gives_up(service, fault):
    fault(on="status", kind="hang")
    with pytest.raises(TimeoutError):
        service.call("GET", "/v1/images/generations/x", timeout=0.2)
    assert service.submit().status == 200  # others are served meanwhile


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "hang"])
def test_uploads_and_downloads_break_too(service, fault, kind):
    fault(on="upload", kind=kind, seconds=0.1, times=1)
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        service.upload(b"GIF89a")
    url = service.upload(b"GIF89a").json["data"]["url"]
    fault(on="download", kind=kind, seconds=0.1, times=1)
    with pytest.raises(ConnectionResetError):
        service.get(url)
    assert service.get(url).status == 200


def test_a_connection_that_was_kept_alive_is_reset(service, fault):
    host = service.remote.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=5)
    headers = {"Authorization": "Bearer sk-test"}
    connection.request("GET", "/v1/balance", headers=headers)
    connection.getresponse().read()
    fault(on="status", kind="reset_before")
    connection.request("GET", "/v1/images/generations/x", headers=headers)
    with pytest.raises(ConnectionResetError):
        connection.getresponse()
    connection.close()


def test_times_and_order(service, fault):
    service.remote.faults(
        [
            {"on": "submit", "kind": "status", "status": 500, "times": 2},
            {"on": "submit", "kind": "status", "status": 503, "times": 1},
        ]
    )
    assert [service.submit().status for _ in range(4)] == [500, 500, 503, 200]


def test_rules_replace_each_other_and_can_be_cleared(service, fault):
    fault(on="submit", kind="status", status=500)
    fault(on="status", kind="status", status=500)
    assert service.submit().status == 200
    service.remote.faults([])
    assert service.status("nothing").status == 404


def test_probability_is_repeatable(service, fault):
    def outcomes() -> list[int]:
        fault(on="status", kind="status", status=503, probability=0.5)
        return [service.status("nothing").status for _ in range(40)]

    first = outcomes()
    assert set(first) == {404, 503}
    assert outcomes() == first
    service.remote.configure(seed=5)
    assert outcomes() != first
    service.remote.configure(seed=0)
    assert outcomes() == first
    fault(on="status", kind="status", status=503, probability=0.0)
    assert service.status("nothing").status == 404


def test_another_seed_throws_other_dice_for_the_rules_in_force(service, fault):
    def outcomes() -> list[int]:
        return [service.status("nothing").status for _ in range(40)]

    fault(on="status", kind="status", status=503, probability=0.5)
    first = outcomes()
    service.remote.configure(seed=5)
    other = outcomes()
    service.remote.configure(seed=0)
    assert outcomes() == first != other


def test_match(service, fault):
    ids = [service.submit(prompt=f"fox {n}", client_business_id=f"af-{n}").json["id"] for n in (1, 2)]
    fault(on="status", kind="status", status=500, match="af-2")
    assert [service.status(identifier).status for identifier in ids] == [200, 500]
    assert [service.status(identifier).status for identifier in ("af-1", "af-2", "af-3")] == [200, 500, 404]
    fault(on="submit", kind="status", status=500, match="wölf")
    assert [service.submit(prompt=p).status for p in ("a wölf", "a fox")] == [500, 200]
    assert service.call("POST", "/v1/images/generations", "{").status == 400
    service.remote.advance(1001)
    fault(on="download", kind="status", status=500, match="fox 1")
    paths = [f"/files/results/{identifier}/0.png" for identifier in ids]
    assert [service.get(path).status for path in (*paths, "/files/uploads/x")] == [500, 200, 404]


def test_many_connections_break_at_once(service, fault):
    fault(on="submit", kind="reset_after", times=20)
    failures = []

    def submit() -> None:
        try:
            service.submit()
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=submit) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) == 20
    assert accepted(service) == 30
