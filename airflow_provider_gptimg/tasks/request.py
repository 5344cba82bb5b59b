"""What a task is to make, as its author wrote it: rendered, not checked yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.exceptions import translated
from airflow_provider_gptimg.files.references import reference_texts, references

SENT = ("size", "resolution", "n", "model", "reference_images", "extra_body")
"""The fields that go to the service beside the prompt."""

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
        """Return the request of an operator whose templates are rendered."""
        return cls(**{name: getattr(operator, name) for name in FIELDS})

    def with_fields(self, fields: Mapping[str, Any]) -> TaskRequest:
        """Return the request with other values for some of its fields."""
        return replace(self, **fields)

    def declared(self) -> dict[str, Any]:
        """Return the fields that are sent, without the prompt."""
        return {name: value for name, value in asdict(self).items() if name in SENT}

    def checked(self, default_model: str) -> GenerationRequest:
        """Return the request for the service. Reference files are read, nothing is sent.

        :param default_model: the model if none is named.
        :raises GptImgValidationError: naming the field, its value and what is allowed.
        """
        with translated():
            return GenerationRequest.checked(
                self.prompt,
                model=default_model if self.model is None else self.model,
                size=self.size,
                resolution=self.resolution,
                n=self.n,
                reference_images=references(self.reference_images),
                extra_body=self.extra_body,
            )

    def reference_uris(self) -> list[str]:
        """Return where the reference images are, for the lineage; nothing is read."""
        return reference_texts(self.reference_images) if self.reference_images else []
