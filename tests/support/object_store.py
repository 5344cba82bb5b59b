"""An S3 server of its own on this machine (moto), for tests that store in a bucket."""

from __future__ import annotations

import json
import logging
from functools import cache
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "pictures"
CONN_ID = "store"
FOLDER = f"s3://{CONN_ID}@{BUCKET}"


class Bucket:
    """An empty bucket, and the Airflow connection by which it is reached."""

    def __init__(self, url: str) -> None:
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client: Any = boto3.client("s3", endpoint_url=url, **keys)
        self.client.create_bucket(Bucket=BUCKET)
        extra = {"region_name": "us-east-1", "endpoint_url": url}
        self.connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}

    @property
    def environment(self) -> dict[str, str]:
        """The connection as an environment variable."""
        return {f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(self.connection)}

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


def bucket() -> Bucket:
    """Return a server with one bucket, empty."""
    found = _server()
    for key in found.listing():
        found.client.delete_object(Bucket=BUCKET, Key=key)
    return found
