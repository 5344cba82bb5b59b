"""An S3 server of its own on this machine (moto), for tests that store in a bucket."""

from __future__ import annotations

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
import httpx
from moto.server import ThreadedMotoServer

from dev.processes import ManagedProcess, StartupError, free_port, wait_until

BUCKET = "pictures"
CONN_ID = "store"
FOLDER = f"s3://{CONN_ID}@{BUCKET}"


class Bucket:
    """An empty bucket, and the Airflow connection by which it is reached."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys = {
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
            "region_name": "us-east-1",
        }
        self.client: Any = boto3.client("s3", endpoint_url=url, **self._keys)
        self.client.create_bucket(Bucket=BUCKET)
        self.connection = self._connection("key", "secret")

    @property
    def environment(self) -> dict[str, str]:
        """The connection as an environment variable."""
        return {f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(self.connection)}

    @contextmanager
    def user_with(self, *actions: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Give connection id and environment of a user who may only do this; rights are checked inside."""
        name = f"user_{uuid.uuid4().hex[:8]}"
        iam: Any = boto3.client("iam", endpoint_url=self._url, **self._keys)
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        allowed = [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]
        policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
        iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
        connection = self._connection(key["AccessKeyId"], key["SecretAccessKey"])
        self._check_rights_after(0)
        try:
            yield name, {f"AIRFLOW_CONN_{name.upper()}": json.dumps(connection)}
        finally:
            self._check_rights_after(10**9)

    def _connection(self, login: str, password: str) -> dict[str, Any]:
        extra = {"region_name": "us-east-1", "endpoint_url": self._url}
        return {"conn_type": "aws", "login": login, "password": password, "extra": extra}

    def _check_rights_after(self, requests: int) -> None:
        httpx.post(f"{self._url}/moto-api/reset-auth", content=str(requests)).raise_for_status()

    def listing(self, prefix: str = "") -> list[str]:
        """Return the keys that begin so, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def buckets(self) -> list[str]:
        return [bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]]


@cache
def _server() -> Bucket:
    # One for the whole process, to its end: Airflow keeps what it opened under the name of a connection, and
    # would go on asking the first server where there is a second one.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return Bucket(f"http://{host}:{port}")


@contextmanager
def server_process(log_file: Path) -> Iterator[Bucket]:
    """Start a server in a process of its own, for measurements of what its client takes."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "moto.server", "--port", url.rpartition(":")[2]]
    process = ManagedProcess("s3", command, log_file)

    def answers() -> bool:
        if not process.running():
            raise StartupError(f"the S3 server ended:\n{process.tail()}")
        with suppress(httpx.TransportError):
            return httpx.get(url).status_code < HTTPStatus.INTERNAL_SERVER_ERROR
        return False

    try:
        wait_until(answers, 60, process.tail)
        yield Bucket(url)
    finally:
        process.stop()


def bucket() -> Bucket:
    """Return a server with one bucket, empty."""
    found = _server()
    for key in found.listing():
        found.client.delete_object(Bucket=BUCKET, Key=key)
    return found
