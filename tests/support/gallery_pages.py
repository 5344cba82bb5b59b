"""The gallery's pages over Airflow's database. Everybody may see all: rights need a real Airflow."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest


class Pages:
    """The gallery over one run.

    :param run: the path of its page.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, dag_id: str, run_id: str) -> None:
        from airflow.api_fastapi.common.db.common import _get_session
        from airflow.utils.session import create_session
        from starlette.testclient import TestClient

        from airflow_provider_gptimg.gallery.access import MAY_SEE_TASK, viewer
        from airflow_provider_gptimg.gallery.app import app

        self.run = f"/dags/{dag_id}/runs/{run_id}"
        self.sessions: list[Any] = []
        self._http = TestClient(app, raise_server_exceptions=False)

        def session() -> Iterator[Any]:
            with create_session(scoped=False) as session:
                self.sessions.append(session)
                yield session

        everybody = SimpleNamespace(readable_dags=lambda: {dag_id}, may_see=lambda dag_id: True)
        rights = {right.dependency: lambda: None for right in MAY_SEE_TASK}
        monkeypatch.setattr(
            app, "dependency_overrides", {_get_session: session, viewer: lambda: everybody, **rights}
        )

    def get(self, path: str, **query: str) -> Any:
        return self._http.get(path, params=query or None)  # an empty dict would drop what the path has
