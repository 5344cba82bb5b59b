"""What Airflow itself says of the provider: discovery, schema, connection form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_gptimg.api.models import DEFAULT_MODEL, MODELS
from airflow_provider_gptimg.api.polling.rate_limit import QUERIES_PER_SECOND, SUBMITS_PER_SECOND
from airflow_provider_gptimg.api.settings import DEFAULT_BASE_URL, DEFAULT_TIMEOUT
from airflow_provider_gptimg.exceptions import GptImgValidationError
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.provider_info import CONN_FIELDS, get_provider_info

AIRFLOW = Path(airflow.__file__).parent


def airflow_cli(*arguments: str) -> Any:
    command = [sys.executable, "-m", "airflow", *arguments, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout[done.stdout.index("[{") :])


def test_provider_info_is_valid_for_airflow() -> None:
    schema = json.loads((AIRFLOW / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


@pytest.mark.parametrize("section", get_provider_info())
def test_every_section_is_valid_for_airflows_registry(section: str) -> None:
    """The schema that Airflow's own providers are written against is stricter, and newer ones know more."""
    schema = json.loads((AIRFLOW / "provider.yaml.schema.json").read_text())
    known = schema["properties"].get(section)
    if known is None or (section == "integrations" and '"ai"' not in json.dumps(known)):
        pytest.skip(f"this Airflow's schema does not know all of {section}")
    jsonschema.validate(get_provider_info()[section], known)


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


FIELDS = {
    # The fields of the extra, and the kind of input each of them gets.
    "default_model": "string",
    "check_sizes": "string",
    "prices": "object",
    "rate_limit_group": "string",
    "submit_rps": "number",
    "query_rps": "number",
    "timeout": "number",
    "proxy": "string",
    "verify": "string",
    "allow_insecure_http": "boolean",
}
ALLOWED: dict[str, Any] = {
    "default_model": "gpt-image-2-vip",
    "check_sizes": "false",
    "prices": {"gpt-image-2": {"1K": 0.01}},
    "rate_limit_group": "svip",
    "submit_rps": 2.5,
    "query_rps": 20,
    "timeout": 12,
    "proxy": "http://proxy.example:3128",
    "verify": "false",
    "allow_insecure_http": True,
}


def form() -> Any:
    """Return the form as the API server tells it to the page."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (found,) = (meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "gptimg")
    if found.extra_fields is None:
        pytest.skip("this Airflow makes forms only where WTForms is installed")
    return found


def test_the_form_has_every_field_with_label_and_help() -> None:
    assert form().hook_name == "GPT Image"
    fields = form().extra_fields
    assert {name for name in FIELDS if FIELDS[name] != "object"} <= set(fields) <= set(FIELDS)
    for name, field in fields.items():
        kind, null = field["schema"]["type"]
        assert null == "null"  # without it, the page marks a field as required
        assert kind.replace("integer", "number") == FIELDS[name]  # Airflow 3.0 and 3.1 have one word for both
        assert field["schema"]["title"] == CONN_FIELDS[name]["label"]
        assert field["description"] == CONN_FIELDS[name]["description"]
        assert field["value"] is None  # what is not filled in is not stored
    labels = [field["schema"]["title"] for field in fields.values()]
    assert len(set(labels)) == len(fields)


def test_the_form_has_the_standard_fields_that_mean_something() -> None:
    standard = form().standard_fields
    for name in ("login", "url_schema"):
        assert getattr(standard, name).hidden
    assert (standard.host.hidden, standard.host.title) == (False, "Base URL")
    assert DEFAULT_BASE_URL in standard.host.placeholder
    assert (standard.password.hidden, standard.password.title) == (False, "API key")
    assert standard.password.placeholder.startswith("sk-")


def test_the_choices_are_those_of_the_service() -> None:
    assert CONN_FIELDS["rate_limit_group"]["schema"]["enum"] == list(SUBMITS_PER_SECOND)
    assert f"If empty: {DEFAULT_MODEL}." in CONN_FIELDS["default_model"]["description"]
    assert CONN_FIELDS["default_model"]["schema"]["examples"] == sorted(MODELS)
    assert f"If empty: {DEFAULT_TIMEOUT:g}." in CONN_FIELDS["timeout"]["description"]
    help_of_group = CONN_FIELDS["rate_limit_group"]["description"]
    for group in SUBMITS_PER_SECOND:
        assert str(int(SUBMITS_PER_SECOND[group])) in help_of_group
        assert str(int(QUERIES_PER_SECOND[group])) in help_of_group


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_does_something(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(**extra: Any) -> Any:
        host = "http://service.example" if name == "allow_insecure_http" else None
        described = {"conn_type": "gptimg", "host": host, "password": "sk-x", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(described))
        return GptImgHook().settings

    if name == "allow_insecure_http":
        with pytest.raises(GptImgValidationError):
            settings()
        assert settings(**{name: True}).base_url == "http://service.example"
    else:
        assert settings(**{name: ALLOWED[name]}) != settings()


@pytest.mark.parametrize("unset", [None, "", " "])
def test_a_form_that_is_saved_without_extras_means_the_defaults(
    monkeypatch: pytest.MonkeyPatch, unset: str | None
) -> None:
    described = {"conn_type": "gptimg", "password": "sk-x"}
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(described))
    plain = GptImgHook().settings
    described |= {"host": "", "login": "", "schema": "", "extra": dict.fromkeys(FIELDS, unset)}  # type: ignore[dict-item]
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(described))
    assert GptImgHook().settings == plain


def test_older_airflows_ask_the_hook_for_the_form() -> None:
    schema = json.loads((AIRFLOW / "customized_form_field_behaviours.schema.json").read_text())
    jsonschema.validate(GptImgHook.get_ui_field_behaviour(), schema)
    # They look for both in the class itself, not in what it inherits.
    assert {"get_ui_field_behaviour", "get_connection_form_widgets"} <= set(vars(GptImgHook))


def test_older_airflows_make_the_same_fields_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """They put fields of their own in the place of WTForms, of which only the description is wanted."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
    from airflow.providers_manager import ConnectionFormWidgetInfo

    modules: Any = ModuleType("wtforms"), ModuleType("wtforms.validators")
    for kind in ("String", "Integer", "Boolean"):
        setattr(modules[0], f"{kind}Field", getattr(HookMetaService, f"Mock{kind}Field"))
    modules[1].Optional, modules[1].any_of = HookMetaService.MockOptional, HookMetaService.MockEnum
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)

    widgets = {
        f"extra__gptimg__{name}": ConnectionFormWidgetInfo("GptImgHook", "package", field, name, False)
        for name, field in GptImgHook.get_connection_form_widgets().items()
    }
    older = HookMetaService._convert_extra_fields(widgets)["gptimg"]
    assert list(older) == [
        name for name in CONN_FIELDS if FIELDS[name] != "object"
    ]  # they have no field for one
    for name, field in older.items():
        assert field["schema"]["title"] == CONN_FIELDS[name]["label"]
        assert field["description"] == CONN_FIELDS[name]["description"]
        assert field["schema"].get("enum") == CONN_FIELDS[name]["schema"].get("enum")
        assert field["schema"]["type"] == [FIELDS[name].replace("number", "integer"), "null"]
        assert field["value"] is None


def test_the_form_needs_no_form_library(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wtforms", None)  # what makes an import fail
    with caplog.at_level("INFO", "airflow_provider_gptimg"):
        assert GptImgHook.get_connection_form_widgets() == {}
    assert "WTForms is not installed here" in caplog.text


@pytest.mark.parametrize(
    "uri",
    [
        "gptimg://:sk-x@localhost:8787/http",
        "gptimg://:sk-x@http%3A%2F%2Flocalhost%3A8787",
        "gptimg://:sk-x@http%3A%2F%2Flocalhost%3A8787%2Fv1%2F",
        "gptimg://http://:sk-x@localhost:8787",
        "gptimg://:sk-x@http%3A%2F%2Flocalhost:8787/?timeout=60",
    ],
)
def test_connection_as_uri(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", uri)
    settings = GptImgHook().settings
    assert settings.base_url == "http://localhost:8787"
    assert "sk-x" not in repr(settings)


@pytest.mark.parametrize(
    ("host", "port", "base_url"),
    [
        ("https://gateway.example", 8443, "https://gateway.example:8443"),
        ("gateway.example", 8443, "https://gateway.example:8443"),
        ("https://gateway.example/images/v1", 8443, "https://gateway.example:8443/images"),
        ("https://[::1]/v1", 8443, "https://[::1]:8443"),
        ("https://gateway.example:9000", 443, "https://gateway.example:9000"),  # its own one counts
        ("https://gateway.example", 0, "https://gateway.example"),
        (" https://gateway.example ", None, "https://gateway.example"),
        ("", 443, "https://toapis.com"),
        (None, 443, "https://toapis.com"),
    ],
)
def test_connection_with_a_port(
    monkeypatch: pytest.MonkeyPatch, host: str | None, port: int | None, base_url: str
) -> None:
    described = {"conn_type": "gptimg", "host": host, "port": port, "password": "sk-x"}
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps(described))
    assert GptImgHook().settings.base_url == base_url


def test_default_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GPTIMG_DEFAULT", json.dumps({"conn_type": "gptimg", "password": "sk-x"}))
    assert GptImgHook().settings.base_url == "https://toapis.com"
