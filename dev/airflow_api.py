"""Airflow's public REST API (v2), as far as the tests and the demo use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from dev.airflow_run import DagRun
from dev.processes import wait_until

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
PAGE = 100

ANSWER_SECONDS = 120.0
"""A cold API server on a busy machine does not answer for a minute, until it has built what a task needs."""


class AirflowApi:
    """A client for one Airflow; every wait has a deadline, and on a timeout says what it saw instead.

    ``evidence`` returns more lines (such as log tails) for a wait that times out, and ``scheduler_log`` the
    scheduler's whole log.
    """

    def __init__(
        self,
        base_url: str,
        evidence: Callable[[], str] = lambda: "",
        scheduler_log: Callable[[], str] = lambda: "",
    ) -> None:
        self.base_url = base_url
        self.evidence = evidence
        self.scheduler_log = scheduler_log
        # trust_env=False: no proxy from the environment for calls to this machine
        self._http = httpx.Client(base_url=base_url, timeout=ANSWER_SECONDS, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def token(self, user: str | None = None) -> str:
        """Return an API token: a user's, whose password is their name, or anybody's where nobody logs in."""
        if user is None:
            answer = self._http.get("/auth/token")
        else:
            answer = self._http.post("/auth/token", json={"username": user, "password": user})
        return str(answer.raise_for_status().json()["access_token"])

    def use_token(self, token: str) -> None:
        """Send every request with a token."""
        self._http.headers["Authorization"] = f"Bearer {token}"

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send a request below ``/api/v2`` and return the decoded answer; raise on an error status."""
        if "Authorization" not in self._http.headers:
            self.use_token(self.token())
        response = self._http.request(method, f"/api/v2{path}", **kwargs)
        if response.is_error:
            raise httpx.HTTPStatusError(
                f"{response.status_code} from {method} {path}: {response.text[:500]}",
                request=response.request,
                response=response,
            )
        return response.json() if response.content else None

    def collect(self, path: str, field: str, **params: Any) -> list[dict[str, Any]]:
        """Return all entries of a paged collection."""
        entries: list[dict[str, Any]] = []
        while True:
            page = self.request("GET", path, params={**params, "limit": PAGE, "offset": len(entries)})
            entries += page[field]
            if not page[field] or len(entries) >= page["total_entries"]:
                return entries

    def unhealthy(self) -> list[str]:
        """Return the components that do not report as healthy, or ``api-server``."""
        try:
            health = self.request("GET", "/monitor/health")
        except httpx.HTTPError:
            return ["api-server"]
        return [name for name in COMPONENTS if (health.get(name) or {}).get("status") != "healthy"]

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace of every DAG file that cannot be imported."""
        errors = self.collect("/importErrors", "import_errors")
        return {error["filename"]: error["stack_trace"] for error in errors}

    def has_dag(self, dag_id: str) -> bool:
        """Tell whether the DAG has been parsed and can run."""
        try:
            details = self.request("GET", f"/dags/{dag_id}")
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return False
            raise
        return not details.get("is_stale", False)

    def wait_dag(self, dag_id: str, timeout: float = 60) -> None:
        """Wait until the DAG has been parsed."""

        def describe() -> str:
            errors = "\n".join(f"{name}:\n{trace}" for name, trace in self.import_errors().items())
            return f"no DAG {dag_id!r}; import errors: {errors or 'none'}\n{self.evidence()}"

        wait_until(lambda: self.has_dag(dag_id), timeout, describe, interval=0.2)

    def unpause(self, dag_id: str) -> None:
        """Allow the DAG's runs to start."""
        self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Pause the DAG, so that its schedule starts no more runs."""
        self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": True})

    def trigger_run(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> DagRun:
        """Start a run of a DAG that is parsed and not paused; without ``run_id`` Airflow makes one up."""
        body = {"logical_date": None, "conf": dict(conf or {}), "dag_run_id": run_id}
        run = self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)
        return DagRun(self, dag_id, run["dag_run_id"])

    def start_dag(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None
    ) -> DagRun:
        """Wait for the DAG, unpause it and start a run."""
        self.wait_dag(dag_id)
        self.unpause(dag_id)
        return self.trigger_run(dag_id, conf, run_id)
