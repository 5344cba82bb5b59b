"""The Markdown of Airflow's page "Required Actions": numbered pictures, and the reviewer's task."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from airflow_provider_gptimg.links import picture_address
from airflow_provider_gptimg.review.pictures import Pictures, expires_in, moment

_SIGNS = re.compile(r"([\\`*_{}\[\]()#<>|~&!])")
_NOT_IN_AN_ADDRESS = re.compile(r"[\s<>()\\]")


def body_of(shown: Pictures, ti: Any, *, text: str | None, task: str) -> str:
    """Return the body of the request.

    :param ti: the running task instance; the gallery sends its pictures.
    :param text: the DAG author's introduction, in Markdown.
    :param task: the reviewer's task, in Markdown.
    """
    parts = [text.strip()] if text and text.strip() else []
    parts.append(task)
    if shown["left_out"]:
        parts.append(
            f"These are the first {len(shown['pictures']):,}; {shown['left_out']:,} more are not shown."
        )
    if shown["expired"]:
        parts.append(f"{shown['expired']:,} more are gone: the service keeps pictures for 24 hours.")
    for number, picture in enumerate(shown["pictures"], 1):
        parts += [_picture(number, picture, ti), _caption(number, picture)]
    return "\n\n".join(parts)


def amount_of(least: int, most: int, there_are: int) -> str:
    """Return how many images the reviewer has to choose, in words."""
    if least == most:
        return "1 image" if least == 1 else f"{least} images"
    return f"{least} or more images" if most >= there_are else f"{least} to {most} images"


def plain(text: str) -> str:
    """Return a text escaped so that Markdown shows it unchanged, in one line."""
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))


def _picture(number: int, picture: dict[str, Any], ti: Any) -> str:
    prompt = picture.get("prompt")
    alt = plain(f"Picture {number}: {prompt}" if prompt else f"Picture {number}")
    small, large = _addresses(number, picture, ti)
    return f"[![{alt}]({small})]({large})"


def _addresses(number: int, picture: dict[str, Any], ti: Any) -> Sequence[str]:
    if picture.get("uri") is None and picture.get("generation_id") is None:
        # A foreign address. The gallery never fetches an address from an XCom, so the browser does.
        address = _NOT_IN_AN_ADDRESS.sub(lambda sign: f"%{ord(sign[0]):02X}", picture["url"])
        return (address, address)
    version = str(picture.get("sha256") or picture.get("generation_id"))[-12:]
    query = {} if picture.get("uri") else {"live": "1"}
    small, large = (
        picture_address(ti, number - 1, picture["index"], version, {**size, **query})
        for size in ({"small": "1"}, {})
    )
    return small, large


def _caption(number: int, picture: dict[str, Any]) -> str:
    facts = [str(picture["id"])] if "id" in picture else []
    if picture.get("prompt"):
        facts.append(str(picture["prompt"]))
    if picture.get("width"):
        facts.append(f"{picture['width']} × {picture['height']}")  # noqa: RUF001
    elif picture.get("size"):
        facts.append(" ".join(str(picture[name]) for name in ("size", "resolution") if picture.get(name)))
    if isinstance(picture.get("cost_usd"), (int, float)):
        about = "about " if picture.get("cost_estimated") else ""
        facts.append(f"{about}${picture['cost_usd']:.4f}".rstrip("0").rstrip("."))
    if left := expires_in(picture):
        facts.append(f"not stored: gone on {moment(time.time() + left)}")
    return " · ".join([f"**{number}**", *map(plain, facts)])
