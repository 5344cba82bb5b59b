"""Every example runs on a real Airflow against the emulator, and what comes of it is looked at."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import runpy
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pendulum
import pytest
from airflow.sdk import task_group
from PIL import Image

from airflow_provider_gptimg.compat.human_input import HAS_HUMAN_INPUT
from dev.airflow_run import DagRun, task_name
from dev.processes import wait_until

PATIENCE = 300
PRODUCTS = [(1, "a teapot"), (2, "O'Brien's {{ lamp }}"), (3, 'a "red"; chair -- %s ?')]
SQUARE, WIDE, HIGH = (1024, 1024), (1536, 1024), (1024, 1536)
PICTURES = {
    ("example_gptimg_basic", "cover"): [(2048, 1152)],
    ("example_gptimg_basic", "posters"): [HIGH, HIGH, HIGH],
    ("example_gptimg_content_pipeline", "poster"): [HIGH],
    ("example_gptimg_etl", "illustrate.picture"): [WIDE] * len(PRODUCTS),
    ("example_gptimg_image_to_image", "watercolour"): [SQUARE],
    ("example_gptimg_image_to_image", "seasons"): [WIDE, WIDE, WIDE],
    ("example_gptimg_submit_then_sense", "download"): [HIGH],
    ("example_gptimg_assets", "postcard"): [WIDE],
    ("example_gptimg_taskflow", "banner"): [WIDE],
    ("example_gptimg_taskflow", "sticker"): [SQUARE, HIGH],
}
"""The sizes of the pictures that each task makes, one each."""

DAILY = "example_gptimg_content_pipeline"
NOT_STORED = "example_gptimg_basic"
CONSUMER = "example_gptimg_assets_consumer"
EXAMPLES = Path(__file__).parents[2] / "example_dags"


class Shop:
    """A database with products, and the Airflow connection to it."""

    def __init__(self, stack, conn_id: str, connection: dict[str, Any], connect, insert: str) -> None:
        self.conn_id = conn_id
        self._connect = connect
        with closing(connect()) as database:
            cursor = database.cursor()
            cursor.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT)")
            cursor.executemany(insert, PRODUCTS)
            database.commit()
        stack.api.request("POST", "/connections", json={"connection_id": conn_id, **connection})

    def manifest(self) -> list[tuple]:
        with closing(self._connect()) as database:
            cursor = database.cursor()
            cursor.execute("SELECT product_id, generation_id, uri, sha256 FROM pictures ORDER BY product_id")
            return cursor.fetchall()


def sqlite_shop(stack, folder: Path, conn_id: str) -> Shop:
    file = folder / f"{conn_id}.db"
    connection = {"conn_type": "sqlite", "host": str(file)}
    insert = "INSERT INTO products VALUES (?, ?)"
    return Shop(stack, conn_id, connection, lambda: sqlite3.connect(file), insert)


def postgres_shop(stack, conn_id: str) -> Shop:
    import psycopg2

    server = urlsplit(stack.database_url)
    place = {"host": server.hostname, "port": server.port}

    def connect(database: str = conn_id):
        return psycopg2.connect(**place, user=server.username, dbname=database)

    with closing(connect(server.path.strip("/"))) as database:
        database.autocommit = True
        database.cursor().execute(f"CREATE DATABASE {conn_id}")
    connection = {"conn_type": "postgres", "login": server.username, "schema": conn_id, **place}
    return Shop(stack, conn_id, connection, connect, "INSERT INTO products VALUES (%s, %s)")


@dataclass
class Played:
    """What is left after all examples have run side by side.

    :param etl: the runs of the ETL example by their database.
    """

    runs: dict[str, DagRun]
    etl: dict[Shop, DagRun]
    consumer: DagRun
    folder: Path
    ledger: dict[str, Any]

    def results(self, dag_id: str, task_id: str) -> list[dict[str, Any]]:
        run = self.runs[dag_id]
        return [run.task(task_id, ti["map_index"]).xcom() for ti in run.tasks(task_id)]


def start_etl(stack, shop: Shop, folder: Path) -> DagRun:
    conf = {"conn_id": shop.conn_id, "folder": folder.as_uri()}
    return stack.api.start_dag("example_gptimg_etl", conf)


def start_now(api, dag_id: str, conf: dict[str, str]) -> DagRun:
    return api.start_dag(dag_id, conf)


def start_daily(api, dag_id: str, conf: dict[str, str]) -> DagRun:
    """Start a run in place of the one that the schedule would start when the DAG is unpaused."""
    api.wait_dag(dag_id)
    body = {"logical_date": api.request("GET", f"/dags/{dag_id}")["next_dagrun_logical_date"], "conf": conf}
    run = api.request("POST", f"/dags/{dag_id}/dagRuns", json=body)
    api.unpause(dag_id)
    return DagRun(api, dag_id, run["dag_run_id"])


def run_of_consumer(api) -> DagRun:
    """Wait until the event of an asset has started a run."""
    path = f"/dags/{CONSUMER}/dagRuns"
    found = wait_until(
        lambda: api.collect(path, "dag_runs"), 60, lambda: f"no run of {CONSUMER}", interval=0.3
    )
    return DagRun(api, CONSUMER, found[0]["dag_run_id"])


@pytest.fixture(scope="module")
def shops(airflow_stack, tmp_path_factory) -> list[Shop]:
    shops = [sqlite_shop(airflow_stack, tmp_path_factory.mktemp("shop"), "shop_sqlite")]
    has_provider = importlib.util.find_spec("airflow.providers.postgres") is not None
    if has_provider and airflow_stack.database_url.startswith("postgresql"):
        shops.append(postgres_shop(airflow_stack, "shop_postgres"))
    return shops


@pytest.fixture(scope="module")
def played(airflow_stack, emulator_process, shops, tmp_path_factory) -> Iterator[Played]:
    """Start every example, then wait for all of them."""
    emulator_process.reset()
    api = airflow_stack.api
    folder = tmp_path_factory.mktemp("examples")
    Image.new("RGB", (64, 48), "teal").save(folder / "photo.png")
    Image.new("RGB", (64, 48), "gold").save(folder / "background.png")
    files = {"photo": str(folder / "photo.png"), "background": (folder / "background.png").as_uri()}
    api.wait_dag(CONSUMER)
    api.unpause(CONSUMER)

    etl = {shop: start_etl(airflow_stack, shop, folder / shop.conn_id) for shop in shops}
    runs = {"example_gptimg_etl": etl[shops[0]]}
    for dag_id, _ in PICTURES:
        if dag_id not in runs:
            conf = {"folder": (folder / dag_id).as_uri(), **files}
            start = start_daily if dag_id == DAILY else start_now
            runs[dag_id] = start(api, dag_id, conf)
    for run in [*runs.values(), *etl.values()]:
        assert run.wait(PATIENCE) == "success", run.describe()
    api.pause(DAILY)  # a run that its schedule starts at midnight would add to what is counted
    consumer = run_of_consumer(api)
    consumer.wait(PATIENCE)
    yield Played(runs, etl, consumer, folder, emulator_process.ledger())
    for dag_id in (CONSUMER, *runs):
        api.pause(dag_id)


def read(place: str) -> bytes:
    """Return what is at a URL, of a file or of the service."""
    with urlopen(place) as answer:
        return answer.read()


def test_no_log_has_a_warning_an_error_or_a_failed_wait(played):
    for run in (*played.runs.values(), *played.etl.values(), played.consumer):
        mismatches = run.mismatches()
        for ti in run.tasks():
            task = run.task(ti["task_id"], ti["map_index"])
            attempts = 1 + mismatches[task_name(ti["task_id"], ti["map_index"])]
            assert ti["try_number"] == attempts, f"{task}\n{task.log()}\n{run.describe()}"
            for event in task.log_events(attempts):
                assert event.get("level", "info") in ("debug", "info"), (run.dag_id, event)
                assert "'status': 'error'" not in str(event.get("result")), (run.dag_id, event)


@pytest.mark.parametrize(("dag_id", "task_id"), PICTURES)
def test_pictures_have_the_size_that_was_asked_for(played, dag_id, task_id):
    results = played.results(dag_id, task_id)
    images = [image for result in results for image in result["images"]]
    assert len(images) == len(results)
    for image, size in zip(images, PICTURES[dag_id, task_id], strict=True):
        content = read(image.get("uri") or image["url"])
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert picture.size == size
        if dag_id != NOT_STORED:
            assert hashlib.sha256(content).hexdigest() == image["sha256"]


def test_each_picture_is_paid_and_fetched_once_and_each_file_uploaded_once_in_a_task(played):
    paid = {row["id"]: row["status"] for row in played.ledger["submissions"]}
    made = [result["generation_id"] for key in PICTURES for result in played.results(*key)]
    more = (len(played.etl) - 1) * len(PRODUCTS)
    assert len(paid) == len(made) + more
    assert set(made) <= set(paid)
    assert set(paid.values()) == {"completed"}
    stored = [key for key in PICTURES if key[0] != NOT_STORED for _ in PICTURES[key]]
    assert played.ledger["requests"]["download"] == len(stored) + more
    assert played.ledger["requests"]["upload"] == 1 + 2  # one reference image, two files


def test_nothing_but_pictures_and_the_page_is_left(played):
    files = [path for path in played.folder.rglob("*") if path.is_file()]
    pictures = [path for path in files if path.suffix == ".png" and path.parent != played.folder]
    assert len(pictures) == played.ledger["requests"]["download"]
    others = sorted(path.name for path in set(files) - set(pictures))
    assert others == ["background.png", "index.html", "photo.png"]


def test_the_page_shows_the_picture_of_the_day(played):
    run = played.runs["example_gptimg_content_pipeline"]
    (result,) = played.results("example_gptimg_content_pipeline", "poster")
    day = pendulum.parse(run.api.request("GET", run.path)["run_after"])
    topics = runpy.run_path(str(EXAMPLES / "example_gptimg_content_pipeline.py"))["TOPICS"]
    assert result["prompt"] == f"A poster of {topics[day.strftime('%A')]}"

    page, picture = run.task("publish").xcom(), result["urls"][0]
    assert page == picture.rpartition("/")[0] + "/index.html"
    assert page.split("/")[-2] == day.strftime("%Y-%m-%d")
    html = read(page).decode()
    assert f'src="{picture.rpartition("/")[2]}"' in html
    assert result["prompt"] in html


def test_every_manifest_row_names_the_picture_of_its_product(played):
    for shop, run in played.etl.items():
        rows = shop.manifest()
        assert [row[0] for row in rows] == [number for number, _ in PRODUCTS]
        by_id = {}
        for index in range(len(PRODUCTS)):
            result = run.task("illustrate.picture", index).xcom()
            by_id[result["generation_id"]] = result
        for (_, generation_id, uri, sha256), (_, name) in zip(rows, PRODUCTS, strict=True):
            assert by_id[generation_id]["prompt"] == f"A catalogue picture of {name}"
            assert by_id[generation_id]["urls"] == [uri]
            assert hashlib.sha256(read(uri)).hexdigest() == sha256


def test_repeating_the_etl_pays_nothing_and_doubles_no_row(played, airflow_stack, emulator_process):
    before = {shop: shop.manifest() for shop in played.etl}
    paid = len(emulator_process.ledger()["submissions"])
    again = [start_etl(airflow_stack, shop, played.folder / "again") for shop in played.etl]
    for run in played.etl.values():
        run.task("illustrate.load", 0).clear()
    for run in again:
        assert run.wait(PATIENCE) == "success", run.describe()
        assert run.task("illustrate.picture").state() == "skipped"
    for run in played.etl.values():
        assert run.wait(PATIENCE) == "success", run.describe()
        assert run.task("illustrate.load", 0).details()["try_number"] == 2
    assert {shop: shop.manifest() for shop in played.etl} == before
    assert len(emulator_process.ledger()["submissions"]) == paid


def test_reference_images_are_part_of_what_was_asked(played):
    """The upload names its files, and its URLs went to the generations."""
    run = played.runs["example_gptimg_image_to_image"]
    uploaded = run.task("upload").xcom()
    assert [image["name"] for image in uploaded["images"]] == ["photo.png", "background.png"]
    details = run.task("seasons", 0).details()
    assert uploaded["urls"] == details["rendered_fields"]["reference_images"]


def test_the_download_repeats_what_was_submitted(played):
    run = played.runs["example_gptimg_submit_then_sense"]
    submitted, downloaded = run.task("submit").xcom(), run.task("download").xcom()
    assert submitted["status"] != "completed"
    assert downloaded["status"] == "completed"
    for key in ("generation_id", "prompt", "size", "resolution"):
        assert downloaded[key] == submitted[key]
    assert Path(downloaded["urls"][0]).name.startswith("cover-2")


def test_taskflow_hands_urls_on(played):
    run = played.runs["example_gptimg_taskflow"]
    (banner,) = played.results("example_gptimg_taskflow", "banner")
    stickers = played.results("example_gptimg_taskflow", "sticker")
    assert [sticker["prompt"] for sticker in stickers] == ["A sticker of a fox", "A sticker of a giraffe"]
    assert banner["prompt"] == "A banner for the autumn sale"
    made = [url for result in (banner, *stickers) for url in result["urls"]]
    assert run.task("collect").xcom() == made
    assert [url.split("/")[-2] for url in made] == ["banner", "stickers", "stickers"]


def test_the_event_of_the_asset_says_which_pictures_are_new(played):
    assert played.consumer.state() == "success", played.consumer.describe()
    (postcard,) = played.results("example_gptimg_assets", "postcard")
    news = played.consumer.task("announce").xcom()
    assert news == [f"{postcard['prompt']}: {postcard['urls'][0]}"]


def test_the_etl_survives_broken_pictures_and_a_kill(airflow_stack, emulator, tmp_path):
    """Two pictures break off, then a download hangs until its task is killed; nothing is paid again."""
    shop = sqlite_shop(airflow_stack, tmp_path, "shop_unlucky")
    emulator.faults(
        [
            {"on": "download", "kind": "truncate", "times": 2},
            {"on": "download", "kind": "hang", "times": 1},
        ]
    )
    run = start_etl(airflow_stack, shop, tmp_path / "pictures")
    wait_until(lambda: emulator.ledger()["requests"]["download"] > 2, PATIENCE, run.describe, interval=0.1)
    assert airflow_stack.kill_tasks() > 0
    assert run.wait(PATIENCE) == "success", run.describe()

    assert max(ti["try_number"] for ti in run.tasks("illustrate.picture")) == 2
    paid = {row["id"] for row in emulator.ledger()["submissions"]}
    rows = shop.manifest()
    assert len(paid) == len(rows) == len(PRODUCTS)
    assert {row[1] for row in rows} == paid
    for _, _, uri, sha256 in rows:
        assert hashlib.sha256(read(uri)).hexdigest() == sha256
    assert len(list((tmp_path / "pictures").iterdir())) == len(PRODUCTS)


@pytest.mark.skipif(not HAS_HUMAN_INPUT, reason="This Airflow cannot ask people")
def test_the_cover_that_a_person_chose_is_published(airflow_stack, emulator, tmp_path):
    run = start_now(airflow_stack.api, "example_gptimg_review", {"folder": tmp_path.as_uri()})
    choose = run.task("choose")
    assert choose.wait_question()["subject"] == "The cover of the winter issue"
    choose.answer("3", comment="More snow")
    assert run.wait(PATIENCE) == "success", run.describe()
    drafts = run.task("drafts").xcom()["urls"]
    assert choose.xcom("urls") == [drafts[2]]
    assert read(run.task("publish").xcom()) == read(drafts[2])
    assert len(emulator.ledger()["submissions"]) == 1


def answer_round(run: DagRun, number: int, option: str) -> None:
    """Answer the review of one iteration, once it asks."""

    def asking() -> dict[str, Any] | None:
        reviews = [ti for ti in run.tasks("until_approved.look") if ti["region_index"] == number]
        return next((ti for ti in reviews if ti["state"] in ("awaiting_input", "deferred")), None)

    ti = wait_until(asking, PATIENCE, run.describe, interval=0.3)
    run.task("until_approved.look").wait_worker_seen()
    run.api.request(
        "PATCH",
        f"{run.path}/taskInstances/until_approved.look/-1/hitlDetails",
        params={"region_id": ti["region_id"], "region_index": number},
        json={"chosen_options": [option], "params_input": {}},
    )


@pytest.mark.skipif(not hasattr(task_group(dict), "loop"), reason="This Airflow has no task loops")
def test_a_draft_is_made_again_until_it_is_approved(airflow_stack, emulator, tmp_path):
    run = start_now(airflow_stack.api, "example_gptimg_review_loop", {"folder": tmp_path.as_uri()})
    for number, option in enumerate(("Reject", "Reject", "Approve")):
        answer_round(run, number, option)
    assert run.wait(PATIENCE) == "success", run.describe()
    made = [path for number in range(3) for path in (tmp_path / "loop" / str(number)).iterdir()]
    assert len(made) == len(emulator.ledger()["submissions"]) == 3
    assert made[2].as_uri() in str(run.task("publish").details()["rendered_fields"])
    assert read(run.task("publish").xcom()) == made[2].read_bytes()
