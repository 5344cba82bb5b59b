"""The emulator against its own OpenAPI description."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from airflow_provider_gptimg.emulator.app import create_app
from airflow_provider_gptimg.emulator.server import EmulatorServer

EXAMPLES = hypothesis.settings(
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(scope="module")
def server():
    with EmulatorServer(balance=1e9) as server:
        yield server


# Read in process, so that the tests can be collected; tried over a real connection.
description = schemathesis.openapi.from_dict(
    schemathesis.openapi.from_asgi("/openapi.json", create_app()).raw_schema
)


@description.include(path_regex="^/(v1|files)/").parametrize()
@EXAMPLES
def test_the_service(case, server):
    case.headers["Authorization"] = "Bearer sk-test"
    response = case.call(server.base_url)
    excluded = []
    if response.status_code == 503 and response.json()["error"]["code"] == "model_not_found":
        excluded.append(not_a_server_error)  # what the service answers to an unknown model
    if response.status_code == 400 and "Unsupported image type" in response.text:
        excluded.append(positive_data_acceptance)  # JSON Schema cannot say what a picture is
    case.validate_response(response, excluded_checks=excluded)


@description.include(path_regex="^/_emulator/").parametrize()
@EXAMPLES
def test_control(case, server):
    case.call_and_validate(server.base_url)
    server.reset()  # what was set here must not break what comes next


def test_every_route_is_described():
    described = {
        (method.upper(), path) for path, item in description.raw_schema["paths"].items() for method in item
    }
    assert described == {
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/images/generations/{generation_id}"),
        ("POST", "/v1/uploads/images"),
        ("GET", "/v1/balance"),
        ("GET", "/v1/user/balance"),
        ("GET", "/v1/models"),
        ("GET", "/files/results/{generation_id}/{name}"),
        ("GET", "/files/uploads/{name}"),
        ("GET", "/_emulator/ledger"),
        ("POST", "/_emulator/reset"),
        ("POST", "/_emulator/faults"),
        ("POST", "/_emulator/clock"),
        ("POST", "/_emulator/config"),
    }
