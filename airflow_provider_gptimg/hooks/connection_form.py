"""The connection form for Airflow 3.0 and 3.1. From 3.2 on Airflow reads the provider info instead."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from airflow_provider_gptimg.provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR

log = logging.getLogger(__name__)

_KINDS = {
    "string": "StringField",
    # The one field for numbers that these Airflows know; their page takes fractions in it too.
    "number": "IntegerField",
    "boolean": "BooleanField",
}


def label_of(field: str) -> str:
    """Return a connection field's label in the form."""
    if field in CONN_FIELDS:
        return str(CONN_FIELDS[field]["label"])
    return str(UI_FIELD_BEHAVIOUR["relabeling"].get(field, field))


def field_behaviour() -> dict[str, Any]:
    """Return the standard fields: which ones are hidden, their labels, and their placeholders."""
    return {
        "hidden_fields": UI_FIELD_BEHAVIOUR["hidden-fields"],
        "relabeling": UI_FIELD_BEHAVIOUR["relabeling"],
        "placeholders": UI_FIELD_BEHAVIOUR["placeholders"],
    }


def widgets() -> dict[str, Any]:
    """Return the fields of the extra as WTForms fields, or none if WTForms is not installed."""
    try:
        wtforms, validators = import_module("wtforms"), import_module("wtforms.validators")
    except ImportError:
        log.info(
            "WTForms is not installed here: the connection form has no fields for the extra. Write the extra "
            "as JSON instead."
        )
        return {}
    found = {}
    for name, field in CONN_FIELDS.items():
        schema = field["schema"]
        if schema["type"][0] not in _KINDS:
            continue  # a dict: these Airflows have a field for it only as a part of the whole extra
        checks = [validators.any_of(schema["enum"])] if "enum" in schema else []
        kind = getattr(wtforms, _KINDS[schema["type"][0]])
        found[name] = kind(
            field["label"], validators=[validators.Optional(), *checks], description=field["description"]
        )
    return found
