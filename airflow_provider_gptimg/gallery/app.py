"""The gallery's routes; every one except for scripts and styles asks Airflow's auth manager first."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException

from airflow_provider_gptimg.gallery.access import MAY_SEE_TASK, Viewer, viewer
from airflow_provider_gptimg.gallery.cards import Card, Place
from airflow_provider_gptimg.gallery.html import Group, label, page
from airflow_provider_gptimg.gallery.live_generations import generation_now, live_picture
from airflow_provider_gptimg.gallery.stored_files import Gone, file_name, media_type, read_picture
from airflow_provider_gptimg.gallery.task_cards import PAGE, CardPage, card_at, card_page
from airflow_provider_gptimg.gallery.task_instances import (
    Task,
    dags_with_pictures,
    instances,
    latest,
    picture_tasks,
)
from airflow_provider_gptimg.gallery.thumbnails import Thumbnails

FIRST = 12
"""Cards of each task on the page of a run."""

SCAN = 2000
"""How many tasks the page of the latest pictures searches for a filter."""

A_DAY = timedelta(days=1)
TASK_PATH = "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}"

app = FastAPI(title="Images", docs_url=None, redoc_url=None, openapi_url=None)
app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
thumbnails = Thumbnails()

MOST = 2**31 - 1
"""The largest index that a database accepts."""

PageNumber = Annotated[int, Query(ge=1, le=100_000)]
MapIndex = Annotated[int, InPath(ge=-1, le=MOST)]


def _region(
    region_id: UUID | None = None, region_index: Annotated[int | None, Query(ge=-1, le=MOST)] = None
) -> tuple[UUID, int] | None:
    return None if region_id is None or region_index is None else (region_id, region_index)


Region = Annotated["tuple[UUID, int] | None", Depends(_region)]
"""A place in a loop (Airflow 3.4), in the query parameters that Airflow's own pages use."""


@app.get("/dags/{dag_id}/runs/{run_id}", dependencies=MAY_SEE_TASK)
def run_page(request: Request, session: SessionDep, dag_id: str, run_id: str) -> Response:
    """Show the pictures of a run by task."""
    groups = []
    counts = picture_tasks(session, dag_id, run_id)
    known = {id_: instances(session, dag_id, run_id, id_, limit=FIRST)[0] for id_ in counts}
    session.close()  # frees its connection while storage is read, which may take long
    for task_id, members in counts.items():
        tasks = known[task_id]
        shown = card_page(tasks, _now(), count=FIRST)
        total = shown.items if members == 1 else members
        groups.append(_group(task_id, shown.cards[:FIRST], total, shown))
    return page(request, "run", title=f"Images of {run_id}", groups=groups, dag_id=dag_id, run_id=run_id)


@app.get(TASK_PATH, dependencies=MAY_SEE_TASK)
def task_page(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    session: SessionDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    region: Region,
    map_index: str = "",
    page_number: Annotated[PageNumber, Query(alias="page")] = 1,
) -> Response:
    """Show the pictures of a task; ``map_index`` is not a number if Airflow has none."""
    start = (page_number - 1) * PAGE
    index = int(map_index) if re.fullmatch(r"-?[0-9]{1,9}", map_index) else None
    find: dict[str, Any] = {"map_index": index, "region": region}
    tasks, total = instances(session, dag_id, run_id, task_id, limit=PAGE, offset=start, **find)
    if total == 0:
        raise HTTPException(404, "There is no such task instance.")
    if total == 1:
        tasks, _ = instances(session, dag_id, run_id, task_id, limit=1, **find)
    siblings = 0
    if region is not None or index not in (None, -1):
        siblings = instances(session, dag_id, run_id, task_id, limit=1)[1]
    session.close()  # as above
    shown = card_page(tasks, _now(), start=start if total == 1 else 0)
    total = shown.items if total == 1 else total
    group = _group(task_id, shown.cards, total, shown)
    one = tasks[0].place if len(tasks) == 1 else None
    name = f"{task_id} {label(one)}".strip() if one else task_id
    return page(
        request,
        "task",
        title=f"Images of {name}",
        groups=[group],
        dag_id=dag_id,
        run_id=run_id,
        place=one,
        is_all="all" in request.query_params,  # of the task, whatever instance the user comes from
        siblings=siblings,
        number=page_number,
        pages=-(-total // PAGE),
    )


@app.get(TASK_PATH + "/{map_index}/pictures/{item}/{index}", dependencies=MAY_SEE_TASK)
def picture(  # noqa: PLR0917 - FastAPI passes them by name
    session: SessionDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: MapIndex,
    item: int,
    index: int,
    region: Region,
    small: bool = False,
    download: bool = False,
    live: bool = False,
) -> Response:
    """Send a picture that the task recorded, nothing else.

    A picture that only the service has is sent small if it is large, and whole for a download. With ``live``
    it is sent in either size, for pages that must not contain the service's own addresses, which anybody can
    open.
    """
    task, card = _task_and_card(session, Place(dag_id, run_id, task_id, map_index), region, item, index)
    try:
        is_live = live and card.url is not None
        if small and (card.is_large or is_live):
            key = f"{task.conn_id} {card.generation_id} {index}"
            content = thumbnails.get(key, partial(_live, task, card))
        elif small:
            content = thumbnails.get(str(card.sha256), partial(read_picture, card))
        elif is_live or (download and card.url is not None):
            content = _live(task, card)
        else:
            content = read_picture(card)
    except Gone as gone:
        raise HTTPException(404, str(gone)) from gone
    headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    if download:
        name = quote(file_name(card, content), safe="")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return Response(content, media_type=media_type(content), headers=headers)


@app.get(TASK_PATH + "/{map_index}/progress/{item}", dependencies=MAY_SEE_TASK)
def progress(  # noqa: PLR0917 - FastAPI passes them by name
    session: SessionDep,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: MapIndex,
    item: int,
    region: Region,
) -> Response:
    """Return the progress of a generation: ``{"status", "progress"}`` from the service, or null."""
    task, card = _task_and_card(session, Place(dag_id, run_id, task_id, map_index), region, item, 0)
    said: dict[str, Any] = {"status": None, "progress": None}
    if card.generation_id is not None and task.conn_id is not None:
        with suppress(Gone):
            generation = generation_now(task.conn_id, card.generation_id)
            said = {"status": generation.status, "progress": generation.progress}
    return JSONResponse(said, headers={"Cache-Control": "private, no-store"})


@app.get("/")
def latest_page(  # noqa: PLR0917 - FastAPI passes them by name
    request: Request,
    session: SessionDep,
    seen_by: Annotated[Viewer, Depends(viewer)],
    dag_id: str = "",
    prompt: Annotated[str, Query(max_length=500)] = "",
    since: str = "",
    until: str = "",
    page_number: Annotated[PageNumber, Query(alias="page")] = 1,
) -> Response:
    """Show the newest pictures of all DAGs that the viewer may see."""
    made = dags_with_pictures(session, seen_by.readable_dags())
    dags = [dag for dag in made if seen_by.may_see(dag)]
    chosen = [dag for dag in dags if dag_id in ("", dag)]
    found: list[Card] = []
    looked = 0
    end = page_number * PAGE
    first, last = _day(since), _day(until)
    tasks = latest(
        session,
        chosen,
        since=first,
        until=None if last is None else last + A_DAY,
        chunk=PAGE,
        scan=SCAN,
    )
    for task in tasks:
        looked += 1
        cards = card_page([task], _now(), count=FIRST).cards
        found += [card for card in cards if prompt.casefold() in (card.prompt or "").casefold()]
        if len(found) > end:
            break
    return page(
        request,
        "latest",
        title="Images",
        groups=[Group("", found[end - PAGE : end], len(found))],
        looked=looked if looked >= SCAN else None,
        dags=dags,
        chosen={"dag_id": dag_id, "prompt": prompt, "since": since, "until": until},
        number=page_number,
        pages=page_number + (len(found) > end),
    )


@app.exception_handler(AnyHTTPException)
def refused(request: Request, error: AnyHTTPException) -> Response:
    """Explain why there is nothing to see, on a page in the gallery's style."""
    return page(request, "refused", status=error.status_code, title=str(error.detail), code=error.status_code)


def _group(task_id: str, cards: list[Card], total: int, shown: CardPage) -> Group:
    return Group(
        task_id, cards, total, shown.problem, shown.progress, shown.cost, is_whole_cost=shown.is_whole_cost
    )


def _task_and_card(
    session: SessionDep, place: Place, region: tuple[UUID, int] | None, item: int, index: int
) -> tuple[Task, Card]:
    where = (place.dag_id, place.run_id, place.task_id)
    tasks, _ = instances(session, *where, map_index=place.map_index, region=region, limit=1)
    session.close()  # as above
    if not tasks:
        raise HTTPException(404, "There is no such task instance.")
    try:
        return tasks[0], card_at(tasks[0], item, index, _now())
    except Gone as gone:
        raise HTTPException(404, str(gone)) from gone


def _live(task: Task, card: Card) -> bytes:
    if task.conn_id is None or card.generation_id is None:
        raise Gone("The task did not record which connection it used.")
    return live_picture(task.conn_id, card.generation_id, card.index)


def _day(text: str) -> datetime | None:
    """Return the start of a day. None for no day, and for the calendar's last one: it has no next day."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
        return day if day + A_DAY else None
    except (ValueError, OverflowError):
        return None


def _now() -> datetime:
    return datetime.now(timezone.utc)
