"""A plain HTTP client for the emulator's tests; it shares nothing with the provider's own client."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_gptimg.emulator.remote import Remote


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, after checking that it comes in the service's envelope."""
        assert set(self.json) == {"error"}
        expected = {"code", "message", "type"} | ({"param"} if self.status == 400 else set())
        assert set(self.json["error"]) == expected
        return self.json["error"]


@dataclass
class Service:
    """The service as a client sees it."""

    remote: Remote
    key: str | None = "sk-test"

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 10,
    ) -> Reply:
        sent = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        if isinstance(body, dict | list):
            sent["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection = http.client.HTTPConnection(urlsplit(self.remote.base_url).netloc, timeout=timeout)
        try:
            connection.request(method, path, body, {**sent, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def submit(self, **fields: Any) -> Reply:
        body = {"model": "gpt-image-2", "prompt": "a red fox", **fields}
        return self.call("POST", "/v1/images/generations", body)

    def status(self, identifier: str) -> Reply:
        return self.call("GET", f"/v1/images/generations/{quote(identifier, safe='')}")

    def upload(self, content: bytes, field: str = "file") -> Reply:
        boundary = "a-boundary-that-is-in-no-picture"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="a.png"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return self.call("POST", "/v1/uploads/images", body, {"Content-Type": kind})

    def get(self, url: str, **headers: str) -> Reply:
        """Download without a key, as from a content delivery network."""
        return Service(self.remote, key=None).call("GET", urlsplit(url).path, headers=headers)

    def urls(self, **fields: Any) -> list[str]:
        """Submit, let time pass, and return the URLs of the result."""
        generation_id = self.submit(**fields).json["id"]
        self.remote.advance(3600)
        return [image["url"] for image in self.status(generation_id).json["result"]["data"]]
