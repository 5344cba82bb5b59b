"""Directives that write parts of pages from the package itself: options, fields, sizes, exceptions."""

from __future__ import annotations

import json
from argparse import SUPPRESS
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from airflow_provider_gptimg import exceptions
from airflow_provider_gptimg.api.models import RATIOS, RESOLUTIONS, SIZES
from airflow_provider_gptimg.emulator.__main__ import _parser
from airflow_provider_gptimg.emulator.faults import Rule
from airflow_provider_gptimg.emulator.shapes import SHAPES
from airflow_provider_gptimg.provider_info import CONN_FIELDS, UI_FIELD_BEHAVIOUR

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class TableDirective(SphinxDirective):
    """Base of directives that put a table with these heads into the page, cells in Markdown."""

    heads: tuple[str, ...]

    def rows(self) -> Iterable[tuple[str, ...]]:
        """Return the cells, row by row."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rule = tuple("---" for _ in self.heads)
        lines = [f"| {' | '.join(row)} |" for row in (self.heads, rule, *self.rows())]
        place = nodes.Element()
        self.state.nested_parse(StringList(lines, source="generated"), 0, place)
        return place.children


class EmulatorOptions(TableDirective):
    """The options of the command ``gptimg-emulator``."""

    heads = ("option", "default", "what it does")

    def rows(self) -> Iterable[tuple[str, ...]]:
        """Return an option a row, as the command's own parser has them."""
        for action in _parser()._actions:
            if "--help" not in action.option_strings:
                takes = f" {action.metavar or action.dest.upper()}" if action.nargs is None else ""
                default = f"`{action.default}`" if takes and action.default != SUPPRESS else ""
                yield f"`{action.option_strings[-1]}{takes}`", default, action.help or ""


class EmulatorShapes(TableDirective):
    """The shapes of answers that the emulator's setting ``shapes`` turns on."""

    heads = ("shape", "what it changes")

    def rows(self) -> Iterable[tuple[str, ...]]:
        """Return a shape a row, as the emulator's own table has them."""
        for name, deviation in SHAPES.items():
            yield f"`{name}`", deviation.meaning


class ConnectionFields(TableDirective):
    """The fields of a connection of type ``gptimg``."""

    heads = ("field", "in the form", "type", "what it is for")

    def rows(self) -> Iterable[tuple[str, ...]]:
        """Return a field a row, as Airflow's form shows them."""
        for name, label in UI_FIELD_BEHAVIOUR["relabeling"].items():
            yield f"`{name}`", label, "string", f"`{UI_FIELD_BEHAVIOUR['placeholders'][name]}`"
        yield "`port`", "Port", "integer", "of the base URL, where that is given and names none"
        for name, field in CONN_FIELDS.items():
            yield f"`extra.{name}`", field["label"], _type(field["schema"]), field["description"]


class FaultFields(TableDirective):
    """The fields of one rule of ``/_emulator/faults``."""

    heads = ("field", "default", "what it does")

    def rows(self) -> Iterable[tuple[str, ...]]:
        """Return a field a row, as the emulator's own description has them."""
        for name, field in Rule.model_fields.items():
            default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
            choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            allowed = f"{', '.join(f'`{choice}`' for choice in choices)}. " if choices else ""
            yield f"`{name}`", default, f"{allowed}{field.description}"


class Sizes(TableDirective):
    """The pixels of every size at every resolution."""

    heads = ("`size`", *(f"`{resolution}`" for resolution in RESOLUTIONS))

    def rows(self) -> Iterable[tuple[str, ...]]:
        """Return a ratio a row."""
        for ratio in RATIOS:
            cells = (SIZES[resolution].get(ratio) for resolution in RESOLUTIONS)
            yield f"`{ratio}`", *(f"{cell[0]} x {cell[1]}" if cell else "" for cell in cells)


class ExceptionList(SphinxDirective):
    """The exceptions below ``GptImgError``, each with the one that it is a kind of; for ``eval-rst``."""

    def run(self) -> list[nodes.Node]:
        """Return a definition of each."""
        lines = []
        for name, value in vars(exceptions).items():
            if (
                isinstance(value, type)
                and issubclass(value, exceptions.GptImgError)
                and value.__bases__[0] in _OWN
            ):
                bases = ", ".join(f":py:exc:`{base.__name__}`" for base in value.__bases__)
                lines += [
                    f".. py:exception:: {name}",
                    "",
                    f"   Bases: {bases}",
                    "",
                    f"   {value.__doc__}",
                    "",
                ]
        place = nodes.Element()
        self.state.nested_parse(StringList(lines, source="generated"), 0, place)
        return place.children


_OWN = {value for name, value in vars(exceptions).items() if name.startswith("GptImg")}


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    return " or ".join(name for name in schema["type"] if name != "null")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known."""
    app.add_directive("emulator-options", EmulatorOptions)
    app.add_directive("emulator-shapes", EmulatorShapes)
    app.add_directive("connection-fields", ConnectionFields)
    app.add_directive("exception-list", ExceptionList)
    app.add_directive("fault-fields", FaultFields)
    app.add_directive("image-sizes", Sizes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
