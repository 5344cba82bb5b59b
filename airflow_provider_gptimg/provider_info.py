"""What Airflow reads to discover this provider; imports nothing, so discovery costs nothing."""

from __future__ import annotations

from typing import Any

INTEGRATION = "GPT Image"

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    # A port belongs in the base URL, but the Test button of Airflow 3.3.2 works only if one is stored.
    "hidden-fields": ["login", "schema"],
    "relabeling": {"host": "Base URL", "password": "API key"},
    "placeholders": {
        "host": "https://toapis.com, if left empty",
        "password": "sk-…",
        "port": "443 if the Test button says Bad Request, else empty",
    },
}
"""The standard fields of the connection form, as Airflow's provider schema writes it (3.2+)."""

CONN_FIELDS: dict[str, dict[str, Any]] = {
    "default_model": {
        "label": "Default model",
        "description": "The model for tasks that do not set one. If empty: gpt-image-2.",
        "schema": {
            "type": ["string", "null"],
            # Suggested while typing; any other name is allowed too.
            "examples": [
                "gpt-image-2",
                "gpt-image-2-vip",
                "gpt-image-2.5-flare",
                "gpt-image-2.5-flare-vip",
                "gpt-image-2.5-sunburst",
                "gpt-image-2.5-sunburst-vip",
            ],
        },
    },
    "check_sizes": {
        "label": "Check sizes",
        "description": "false leaves the check of sizes and resolutions to the service, for an account that "
        "has more than the documented ones. If empty: true, and others are refused before anything is paid.",
        "schema": {"type": ["string", "null"], "enum": ["true", "false"]},
    },
    "prices": {
        "label": "Prices",
        "description": 'US dollars per image by model and resolution, such as {"gpt-image-2": {"1K": 0.015}},'
        " for estimates and cost limits. If empty: the list prices of the service.",
        "schema": {"type": ["object", "null"]},
    },
    "rate_limit_group": {
        "label": "Rate limit group",
        "description": "The group of your account at the service: 5 submissions and 50 status queries a "
        "second in default, 16 and 166 in vip, 33 and 500 in svip. If empty: default.",
        "schema": {"type": ["string", "null"], "enum": ["default", "vip", "svip"]},
    },
    "submit_rps": {
        "label": "Submissions per second",
        "description": "Your own limit, such as 2.5, if others share the account. If empty: the "
        "limit of the group.",
        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 1_000_000},
    },
    "query_rps": {
        "label": "Status queries per second",
        "description": "The same for status queries, which check whether images are finished. Each triggerer "
        "applies the limit by itself: with two triggerers, give half. If empty: the limit of the group.",
        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 1_000_000},
    },
    "timeout": {
        "label": "Request timeout (seconds)",
        "description": "How long one call to the service may take, not how long an image may take. "
        "If empty: 30.",
        "schema": {"type": ["number", "null"], "minimum": 0, "maximum": 1_000_000},
    },
    "proxy": {
        "label": "Proxy URL",
        "description": "The proxy that every call goes through, such as http://proxy.example:3128. "
        "If empty: none, or the one that the machine's environment sets.",
        "schema": {"type": ["string", "null"]},
    },
    "verify": {
        "label": "Certificate check",
        "description": "The path of a file with certificates to trust (a CA bundle, PEM), or false to trust "
        "any server, which is only for tests. If empty: the usual public certificates.",
        "schema": {"type": ["string", "null"]},
    },
    "allow_insecure_http": {
        "label": "Allow plain http",
        "description": "Send the API key unencrypted to a base URL that begins with http:// and is not on "
        "this machine. Anybody on the way can read it. Leave this off.",
        "schema": {"type": ["boolean", "null"]},
    },
}
"""The fields kept in the connection's extra, as Airflow's provider schema writes it (3.2+)."""


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, valid under Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-gptimg",
        "name": INTEGRATION,
        "description": "Drives the asynchronous gpt-image-2 image generation service: "
        "you pay for an image once, until you have been given it.",
        "integrations": [
            {
                "integration-name": INTEGRATION,
                "external-doc-url": "https://docs.toapis.com",
                "tags": ["ai", "generative-ai", "service"],
            }
        ],
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
                    "airflow_provider_gptimg.operators.review",
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
        "cli": ["airflow_provider_gptimg.cli.definition.get_gptimg_cli_commands"],
        "extra-links": [
            "airflow_provider_gptimg.links.ImagesLink",
            "airflow_provider_gptimg.links.PictureLink",
        ],
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
