"""What the gallery's tests show: tasks, and pictures and manifests in storage."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from PIL import Image

from airflow_provider_gptimg.batch.folder import FOLDER, stem_of
from airflow_provider_gptimg.gallery.cards import Card, Place, State
from airflow_provider_gptimg.gallery.task_instances import Task

NOW = datetime(2026, 11, 1, tzinfo=timezone.utc)
PLACE = Place("dag", "run", "task", -1)
CONN_ID = "gptimg_default"


def task(**changes: Any) -> Task:
    known = {"place": PLACE, "state": "success", "started": NOW, "ended": NOW, "result": None}
    rest = {"generation_id": None, "error": None, "batch": None, "fields": {"conn_id": CONN_ID}}
    return Task(**{**known, **rest, **changes})


def stored(path: Path, content: bytes, **changes: Any) -> Card:
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    known = {"uri": path.as_uri(), "sha256": digest, "bytes": len(content)}
    return Card(PLACE, State.READY, **{**known, **changes})


def png(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.effect_noise((width, height), 50).save(target, "PNG")
    return target.getvalue()


def manifest(folder: Path, lines: Iterable[Any], place: Place = PLACE) -> dict[str, Any]:
    """Write the manifest of a batch, under its own name, and return the result that names it."""
    path = folder / f"{stem_of(place, CONN_ID)}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {"manifest": path.as_uri(), "completed": len(path.read_text().splitlines()), "failed": 0}


def journal_folder(folder: Path, place: Place = PLACE) -> Path:
    """Return where the journal of a batch is."""
    return folder / FOLDER / stem_of(place, CONN_ID) / "0"
