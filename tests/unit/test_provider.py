"""What Airflow itself says of the provider: discovery, schema, connection form, connection test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.provider_info import get_provider_info

AIRFLOW = Path(airflow.__file__).parent


def airflow_cli(*arguments: str) -> Any:
    command = [sys.executable, "-m", "airflow", *arguments, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout[done.stdout.index("[") :])


def test_provider_info_is_valid_for_airflow() -> None:
    schema = json.loads((AIRFLOW / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_connection_fields_are_valid_for_airflow() -> None:
    """The schema that Airflow's own providers are written against knows the form fields too."""
    schema = json.loads((AIRFLOW / "provider.yaml.schema.json").read_text())
    (connection_type,) = get_provider_info()["connection-types"]
    jsonschema.validate([connection_type], schema["properties"]["connection-types"])


def test_every_module_that_is_named_exists() -> None:
    from importlib import import_module

    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                import_module(module)


def test_airflow_lists_the_provider() -> None:
    providers = {row["package_name"]: row for row in airflow_cli("providers", "list")}
    assert providers["airflow-provider-gptimg"]["version"]
    hooks = {row["connection_type"]: row for row in airflow_cli("providers", "hooks")}
    assert hooks["gptimg"]["class"] == "airflow_provider_gptimg.hooks.gptimg.GptImgHook"
    assert hooks["gptimg"]["conn_id_attribute_name"] == "conn_id"


def test_the_connection_form_appears() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    behaviour = manager.field_behaviours["gptimg"]
    assert behaviour["relabeling"] == {"host": "Base URL", "password": "API key"}
    assert "login" in behaviour["hidden_fields"]
    fields = {name.split("__")[-1] for name in manager.connection_form_widgets if "__gptimg__" in name}
    assert {"timeout", "rate_limit_group", "proxy", "verify", "default_model", "submit_rps"} <= fields


def test_older_airflows_ask_the_hook_for_the_form() -> None:
    schema = json.loads((AIRFLOW / "customized_form_field_behaviours.schema.json").read_text())
    jsonschema.validate(GptImgHook.get_ui_field_behaviour(), schema)


@pytest.mark.parametrize(
    ("connection", "works", "says"),
    [
        ({"password": "sk-good"}, True, "Balance: 10"),
        ({"password": "sk-invalid"}, False, "key"),
        ({"password": ""}, False, "password"),
        ({"password": "sk-good", "extra": {"timeout": "soon"}}, False, "timeout='soon'"),
        ({"password": "sk-good", "host": "http://example.com"}, False, "allow_insecure_http"),
        ({"password": "sk-good", "host": "http://127.0.0.1:1"}, False, "Connect"),
    ],
)
def test_test_connection(
    gptimg_emulator: Any, monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], works: bool, says: str
) -> None:
    described = {"conn_type": "gptimg", "host": gptimg_emulator.base_url, **connection}
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(described))
    ok, message = GptImgHook().test_connection()
    assert ok is works
    assert says in message
    assert "sk-good" not in message
    assert gptimg_emulator.ledger()["submissions"] == []


@pytest.mark.parametrize(
    "uri",
    [
        "gptimg://:sk-x@localhost:8787/http",
        "gptimg://:sk-x@http%3A%2F%2Flocalhost%3A8787",
        "gptimg://:sk-x@http%3A%2F%2Flocalhost%3A8787%2Fv1%2F",
    ],
)
def test_connection_as_uri(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", uri)
    settings = GptImgHook().settings
    assert settings.base_url == "http://localhost:8787"
    assert "sk-x" not in repr(settings)


def test_default_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps({"conn_type": "gptimg", "password": "sk-x"}))
    assert GptImgHook().settings.base_url == "https://toapis.com"
