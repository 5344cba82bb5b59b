"""The Airflow plugin: tabs on task instances and DAG runs, a page in the menu, and the app for them."""

from __future__ import annotations

import logging
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_gptimg.compat.plugin_pages import HAS_PLUGIN_PAGES

log = logging.getLogger(__name__)

PREFIX = "/gptimg"
"""The gallery's path below Airflow's own address."""

RUN_HREF = "gptimg/dags/{DAG_ID}/runs/{RUN_ID}"
TASK_HREF = RUN_HREF + "/tasks/{TASK_ID}?map_index={MAP_INDEX}"
ICON = "gptimg/static/icon.svg"
DARK_ICON = "gptimg/static/icon-dark.svg"

# No leading slash, so that they also work if Airflow lives below a path: its page sets the base.
VIEWS: list[dict[str, Any]] = [
    {
        "name": name,
        "href": href,
        "destination": destination,
        "url_route": route,
        "icon": ICON,
        "icon_dark_mode": DARK_ICON,
    }
    for name, href, destination, route in (
        ("Images", TASK_HREF, "task_instance", "gptimg-images"),
        ("Images", RUN_HREF, "dag_run", "gptimg-run-images"),
        ("Images", "gptimg/", "nav", "gptimg-latest"),
    )
]


class LazyApp:
    """An ASGI application that is imported at its first request.

    Airflow loads plugins in every process; only the API server serves pages.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        from airflow_provider_gptimg.gallery.app import app

        await app(scope, receive, send)


APP: dict[str, Any] = {"app": LazyApp(), "url_prefix": PREFIX, "name": "Images"}

if not HAS_PLUGIN_PAGES:
    log.info(
        "The gallery of generated images needs Airflow 3.1.1 or newer; everything else works without it."
    )


class GptImgGalleryPlugin(AirflowPlugin):
    """The gallery; empty on Airflow 3.0."""

    name = "gptimg_gallery"
    external_views = VIEWS if HAS_PLUGIN_PAGES else []
    fastapi_apps = [APP] if HAS_PLUGIN_PAGES else []
