"""What a task must make, as its author wrote it: rendered, but not checked yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_gptimg.api.models import DEFAULT_MODEL
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.api.settings import Settings
from airflow_provider_gptimg.compat.written_parameters import is_template
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.files.references import reference_texts, references

SENT = ("size", "resolution", "n", "model", "reference_images", "extra_body")
"""The fields that are sent to the service besides the prompt."""

TEMPLATE_FILES = (".prompt", ".j2")
"""The extensions of template files."""

FIELDS = ("prompt", *SENT, "output_path", "file_name")
"""All fields that say what to make and where to store it."""


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """A request and where its images go; the fields are the parameters of ``GptImgGenerateOperator``."""

    prompt: Any
    size: Any
    resolution: Any
    n: Any
    model: Any
    reference_images: Any
    extra_body: Any
    output_path: Any
    file_name: Any

    @classmethod
    def of(cls, operator: Any) -> TaskRequest:
        """Return the request of an operator with rendered templates."""
        return cls(**{name: getattr(operator, name) for name in FIELDS})

    def check_written(self) -> None:
        """Refuse what is wrong whatever the templates give, before the DAG ever runs.

        No file and no connection is read. If no model is named, the service's default is assumed.

        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        fixed = {name: value for name, value in vars(self).items() if not is_template(value)}
        texts = {name: fixed[name] for name in ("prompt", "size", "resolution", "model") if name in fixed}
        if str(texts.get("prompt")).endswith(TEMPLATE_FILES):
            del texts["prompt"]
        # With render_template_as_native_obj=True, text becomes a number or a dict.
        others = {
            name: fixed[name] for name in ("n", "extra_body") if not isinstance(fixed.get(name, ""), str)
        }
        if texts.get("model", "") is None:
            texts["model"] = DEFAULT_MODEL
        with translated():
            GenerationRequest.checked(
                texts.pop("prompt", "-"),
                **{"model": "unknown", **texts},
                **others,
                check_sizes={"size", "resolution", "model"} <= texts.keys(),
            )

    def with_fields(self, fields: Mapping[str, Any]) -> TaskRequest:
        """Return the request with other values for some of its fields."""
        return replace(self, **fields)

    def declared(self) -> dict[str, Any]:
        """Return the fields that are sent, without the prompt."""
        return {name: value for name, value in asdict(self).items() if name in SENT}

    def checked(self, settings: Settings) -> GenerationRequest:
        """Return the request for the service. It reads reference files, but sends nothing.

        :param settings: the connection's settings: the default model, and whether to check sizes.
        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        with translated():
            return GenerationRequest.checked(
                self.prompt,
                model=settings.default_model if self.model is None else self.model,
                size=self.size,
                resolution=self.resolution,
                n=self.n,
                reference_images=references(self.reference_images),
                extra_body=self.extra_body,
                check_sizes=settings.check_sizes,
            )

    def reference_uris(self) -> list[str]:
        """Return where the reference images are, for the lineage. Reads nothing."""
        return reference_texts(self.reference_images) if self.reference_images else []
