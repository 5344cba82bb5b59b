"""A StatsD server on a socket, which remembers what Airflow sends it."""

from __future__ import annotations

import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple


class Sent(NamedTuple):
    """One line: ``name,label=value:1.0|c``, with the labels as InfluxDB writes them."""

    name: str
    value: float
    kind: str
    labels: dict[str, str]


class StatsdListener:
    """Context manager: listens on a free UDP port of this machine."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._sent: list[Sent] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> StatsdListener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def airflow_environment(self) -> dict[str, str]:
        """What an Airflow needs to send here, with labels."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.port),
            "AIRFLOW__METRICS__STATSD_PREFIX": "airflow",
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        }

    def sent(self, name: str, **labels: str) -> list[Sent]:
        """Return what was sent under a name, with these labels at least."""
        return [
            each for each in list(self._sent) if each.name == name and labels.items() <= each.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a counter."""
        return sum(each.value for each in self.sent(name, **labels))

    def names(self, prefix: str) -> set[str]:
        """Return the names that were sent, of those that begin so."""
        return {each.name for each in list(self._sent) if each.name.startswith(prefix)}

    def kinds(self, prefix: str) -> dict[str, set[str]]:
        """Return the labels of each name, of those that begin so."""
        found: dict[str, set[str]] = defaultdict(set)
        for each in list(self._sent):
            if each.name.startswith(prefix):
                found[each.name] |= set(each.labels)
        return found

    def _listen(self) -> None:
        while True:
            try:
                packet = self._socket.recv(65_535)
            except OSError:
                return
            self._sent.extend(_read(packet.decode(errors="replace")))


def _read(packet: str) -> Iterator[Sent]:
    for line in packet.splitlines():
        head, _, rest = line.rpartition(":")
        value, _, kind = rest.partition("|")
        name, *labels = head.split(",")
        try:
            yield Sent(name, float(value), kind, dict(label.split("=", 1) for label in labels))
        except ValueError:
            continue
