"""Whether the manifest or journal that an XCom names is the task's own.

Whoever may write a task's XComs could put another task's file there. Then they could read prompts, and the
hashes that open pictures, of a DAG that they may not see. A batch puts its identity into the names of its
files, so a name tells the owner.
"""

from __future__ import annotations

import re

from airflow_provider_gptimg.batch.folder import FOLDER, stem_of
from airflow_provider_gptimg.gallery.stored_files import Gone
from airflow_provider_gptimg.gallery.task_instances import Task

AMBIGUOUS = re.compile(r"[?#\\\x00-\x1f]|::")
"""Parts of a URI that may make a storage read a file other than the one at its end: versions, chained
files."""


def own_manifest(task: Task) -> str | None:
    """Return the URI of a batch's manifest, None where it has none.

    :raises Gone: if the name is not the one that the batch itself gives.
    """
    return _own(task, task.manifest, r"{stem}\.jsonl", "manifest")


def own_journal(task: Task) -> str | None:
    """Return the URI of the journal of a batch without a manifest, None where it has none.

    :raises Gone: if the name is not the one that the batch itself gives.
    """
    return _own(task, task.journal, re.escape(FOLDER) + r"/{stem}/-?\d+", "journal")


def _own(task: Task, uri: str | None, pattern: str, what: str) -> str | None:
    if uri is None:
        return None
    # The connection is part of the name. For an old run, Airflow no longer keeps which one it was. Then it is
    # one of the connections that the task uses elsewhere.
    conn_ids = task.other_conn_ids if task.conn_id is None else {task.conn_id}
    names = [pattern.format(stem=re.escape(stem_of(task.place, conn_id))) for conn_id in conn_ids]
    if not AMBIGUOUS.search(uri) and any(re.search(rf"(^|/){name}\Z", uri) for name in names):
        return uri
    if not names:
        raise Gone(
            "Airflow no longer knows which connection the batch used, so its files cannot be identified."
        )
    raise Gone(f"The {what} that the task's XCom names does not belong to the task.")
