"""The control endpoints as Python methods, for an emulator in this process or elsewhere."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

TIMEOUT = 30.0


class Remote:
    """Controls a running emulator through its control endpoints.

    :param base_url: Where it listens, such as ``http://127.0.0.1:8787``.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        # Not the environment's proxy: the emulator is on this machine or in this network.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @property
    def url(self) -> str:
        """The base URL."""
        return self.base_url

    @property
    def airflow_connection(self) -> str:
        """The connection as JSON, for ``AIRFLOW_CONN_GPTIMG_DEFAULT``."""
        return json.dumps({"conn_type": "gptimg", "host": self.base_url, "password": "sk-emulator"})

    def ledger(self) -> dict[str, Any]:
        """Return the submissions, the request counts and the balance."""
        return self._call("GET", "ledger")

    def reset(self) -> None:
        """Forget everything, and return to the initial settings and to the real time."""
        self._call("POST", "reset", {})

    def faults(self, rules: list[dict[str, Any]]) -> None:
        """Replace the fault rules; an empty list clears them."""
        self._call("POST", "faults", {"rules": rules})

    def advance(self, seconds: float) -> float:
        """Move the emulator's clock forward and return its new time in Unix seconds."""
        return float(self._call("POST", "clock", {"advance": seconds})["now"])

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Change settings until the next reset, and return all settings."""
        return self._call("POST", "config", changes)

    def _call(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the caller's own http URL
            f"{self.base_url}/_emulator/{name}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=TIMEOUT) as answer:
                return json.load(answer)  # type: ignore[no-any-return]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]["message"]) from None
