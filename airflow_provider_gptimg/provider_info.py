"""What Airflow reads to discover this provider; imports nothing, so discovery costs nothing."""

from __future__ import annotations

from typing import Any

INTEGRATION = "GPT Image"

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login", "port", "schema"],
    "relabeling": {"host": "Base URL", "password": "API key"},
    "placeholders": {"host": "https://toapis.com", "password": "sk-…"},
}
"""The standard fields of the connection form, as Airflow's provider schema writes it (3.2+)."""

CONN_FIELDS: dict[str, dict[str, Any]] = {
    "timeout": {
        "label": "Request timeout (seconds)",
        "description": "How long one HTTP request may take. Default: 30.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    },
    "rate_limit_group": {
        "label": "Rate limit group",
        "description": "The group of your account; decides how fast this provider calls. Default: default.",
        "schema": {"type": ["string", "null"], "enum": ["default", "vip", "svip"]},
    },
    "submit_rps": {
        "label": "Submissions per second",
        "description": "Overrides the group's limit for submissions.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    },
    "query_rps": {
        "label": "Status queries per second",
        "description": "Overrides the group's limit for status queries.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    },
    "proxy": {
        "label": "Proxy URL",
        "description": "An HTTP(S) proxy for every call, such as http://proxy.example:3128.",
        "schema": {"type": ["string", "null"]},
    },
    "verify": {
        "label": "Verify TLS certificates",
        "description": "true, false, or the path of a CA bundle. Default: true.",
        "schema": {"type": ["string", "boolean", "null"]},
    },
    "default_model": {
        "label": "Default model",
        "description": "Used where a task names no model. Default: gpt-image-2.",
        "schema": {"type": ["string", "null"]},
    },
    "allow_insecure_http": {
        "label": "Allow plain http",
        "description": "Send the key over plain http to a host that is not this machine. Leave off.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}
"""The fields kept in the connection's extra, as Airflow's provider schema writes it (3.2+)."""


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, valid under Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-gptimg",
        "name": INTEGRATION,
        "description": "Drives the asynchronous gpt-image-2 image generation service: "
        "every image is paid for once and never lost.",
        "integrations": [{"integration-name": INTEGRATION, "tags": ["service"]}],
        "hooks": [
            {"integration-name": INTEGRATION, "python-modules": ["airflow_provider_gptimg.hooks.gptimg"]}
        ],
        "operators": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    "airflow_provider_gptimg.operators.generate",
                    "airflow_provider_gptimg.operators.batch",
                    "airflow_provider_gptimg.operators.upload",
                    "airflow_provider_gptimg.operators.download",
                ],
            }
        ],
        "sensors": [
            {
                "integration-name": INTEGRATION,
                "python-modules": ["airflow_provider_gptimg.sensors.generation"],
            }
        ],
        "triggers": [
            {
                "integration-name": INTEGRATION,
                "python-modules": [
                    "airflow_provider_gptimg.triggers.generation",
                    "airflow_provider_gptimg.triggers.batch",
                ],
            }
        ],
        "task-decorators": [
            {"name": "gptimg", "class-name": "airflow_provider_gptimg.decorators.gptimg.gptimg_task"}
        ],
        "extra-links": ["airflow_provider_gptimg.links.ImagesLink"],
        "connection-types": [
            {
                "connection-type": "gptimg",
                "hook-name": INTEGRATION,
                "hook-class-name": "airflow_provider_gptimg.hooks.gptimg.GptImgHook",
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONN_FIELDS,
            }
        ],
    }
