"""Whether the manifest or journal that an XCom names is the task's own.

Whoever may write a task's XComs could name another's there, and so read prompts, and hashes that open
pictures, of a DAG that is closed to them. A batch names its files by who it is: a name says whose it is.
"""

from __future__ import annotations

import re

from airflow_provider_gptimg.batch.folder import FOLDER, stem_of
from airflow_provider_gptimg.gallery.stored_files import Gone
from airflow_provider_gptimg.gallery.task_instances import Task

AMBIGUOUS = re.compile(r"[?#\\\x00-\x1f]|::")
"""What may make a storage read another file than the one that a URI ends with: versions, chained files."""


def own_manifest(task: Task) -> str | None:
    """Return the URI of a batch's manifest, None where it has none.

    :raises Gone: if another name stands there than the batch itself gives.
    """
    return _own(task, task.manifest, r"{stem}\.jsonl", "manifest")


def own_journal(task: Task) -> str | None:
    """Return the URI of the journal of a batch without a manifest, None where it has none.

    :raises Gone: if another name stands there than the batch itself gives.
    """
    return _own(task, task.journal, re.escape(FOLDER) + r"/{stem}/-?\d+", "journal")


def _own(task: Task, uri: str | None, pattern: str, what: str) -> str | None:
    if uri is None:
        return None
    # The connection is a part of the name. Of a run that is long ago Airflow does not keep which one it
    # was; then it is one of those that the task asks with elsewhere.
    conn_ids = task.other_conn_ids if task.conn_id is None else {task.conn_id}
    names = [pattern.format(stem=re.escape(stem_of(task.place, conn_id))) for conn_id in conn_ids]
    if not AMBIGUOUS.search(uri) and any(re.search(rf"(^|/){name}\Z", uri) for name in names):
        return uri
    if not names:
        raise Gone("Airflow no longer knows which connection the batch used, and so not which files are its.")
    raise Gone(f"The {what} that the task's XCom names is not the task's own.")
