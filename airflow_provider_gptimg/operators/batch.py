"""The operator that makes many images in one Airflow task."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from airflow_provider_gptimg.api.balance import said
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import Pace
from airflow_provider_gptimg.api.models import DEFAULT_MODEL, Pixels
from airflow_provider_gptimg.assets import announce
from airflow_provider_gptimg.batch.budget import Budget, check_prices
from airflow_provider_gptimg.batch.columns import Columns
from airflow_provider_gptimg.batch.failures import Failures
from airflow_provider_gptimg.batch.folder import BatchFolder
from airflow_provider_gptimg.batch.item_check import Checked, check
from airflow_provider_gptimg.batch.items import Item, Items, label_of
from airflow_provider_gptimg.batch.journal import Journal
from airflow_provider_gptimg.batch.maker import Waiting
from airflow_provider_gptimg.batch.manifest import BatchResult, Manifest
from airflow_provider_gptimg.batch.owned_items import OwnedItems
from airflow_provider_gptimg.batch.plan import BatchPlan, Rules, ToMake
from airflow_provider_gptimg.batch.progress import Progress
from airflow_provider_gptimg.batch.remake import Remake
from airflow_provider_gptimg.batch.runner import Runner
from airflow_provider_gptimg.compat.task_instance import facts_of, task_instance
from airflow_provider_gptimg.compat.written_parameters import is_template
from airflow_provider_gptimg.exceptions import GptImgBatchError, GptImgError, from_api, translated
from airflow_provider_gptimg.files.names import FileNames, fields_of
from airflow_provider_gptimg.files.place import Place
from airflow_provider_gptimg.files.storage import Storage
from airflow_provider_gptimg.hooks.gptimg import WAIT_LIMIT, GptImgHook
from airflow_provider_gptimg.hooks.metrics import Metrics
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.payment.decision import OnClear
from airflow_provider_gptimg.payment.submission import OnDoubt
from airflow_provider_gptimg.tasks.base import GptImgTask
from airflow_provider_gptimg.tasks.caching import cache_of, made_by
from airflow_provider_gptimg.tasks.nothing import check_nothing
from airflow_provider_gptimg.tasks.parameters import age, count, dollars, one_of, seconds, templated
from airflow_provider_gptimg.tasks.request import SENT
from airflow_provider_gptimg.tasks.templates import templates_named
from airflow_provider_gptimg.tasks.waiting import DEFER_MARGIN, check_place
from airflow_provider_gptimg.triggers.batch import GptImgBatchTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath, XComArg

MAX_IN_FLIGHT = 1000
"""Default for the number of items under way at once: 33 a second (svip) for 30 s each are about as many."""

BATCH_KEY = "batch"
"""XCom key of the place where a running batch notes what it has done: ``{"journal", "total"}``."""

WATCHED = 100
"""Generations that a trigger watches for a batch. More would make a large row in Airflow's database."""


class GptImgBatchOperator(GptImgTask):
    """Make many images in one task: submit at the account's rate, wait, store each image as it comes.

    Every item has its own identity. After a kill or a failure, a retry or a Clear goes on where the batch
    stopped. It pays only for items that are missing, failed or were changed. So does a Clear after a success.
    A Clear sends refused items again, and a retry does not. The batch keeps its records in storage, in
    ``.gptimg`` below ``output_path``.

    XCom: ``batch`` right at the start (where its journal is, how many items); at the end ``return_value``
    (:class:`BatchResult`) and ``manifest``, the URI of a file of JSON lines. Each line has an item's
    ``index``, ``id``, ``status``, ``request``, ``row``, ``generation_id``, ``uris``, ``images`` (as in
    :class:`~airflow_provider_gptimg.result.Result`), ``submissions``, times, and ``error``.

    :param items: prompts, or dicts with ``prompt`` and any of ``size``, ``resolution``, ``n``, ``model``,
        ``reference_images``, ``extra_body`` and ``id`` (your own name for the item). Pass a list, a DataFrame
        of pandas or polars, or the path or URI of a file that ends with ``.jsonl``, ``.ndjson``, ``.csv`` or
        ``.tsv``, also with ``.gz`` after it. (templated)
    :param columns: your names for the fields, such as ``{"id": "sku", "prompt": "text"}``. Write
        ``{"size": None}`` if your column ``size`` is something else. Case and blanks do not count. All other
        columns and keys are kept, and the manifest has them as ``row``.
    :param output_path: a folder, as a path or URI; text, ``Path`` or ``ObjectStoragePath``. (templated)
    :param size: this and the other request fields are the defaults for items without their own. (templated)
    :param file_name: see ``GptImgGenerateOperator``. ``{identity}`` is the item's identity, ``{item}`` its
        index and ``{id}`` its id. With ``{id}`` every item needs an id. Default names contain the id, too.
        (templated)
    :param verify_images: decode every picture completely before it is stored; see ``GptImgGenerateOperator``.
    :param cache_path: see ``GptImgGenerateOperator``. Items with the same request are paid once, and all of
        them get the image. A Clear with ``on_clear="new"``, and ``remake``, make new images, which replace
        the cached ones. (templated)
    :param cache_max_age: see ``GptImgGenerateOperator``.
    :param conn_id: a connection of type ``gptimg``. (templated)
    :param max_in_flight: the largest number of items that are submitted and not yet stored.
    :param on_item_error: ``fail``: after the first failed item no more are submitted. When the items in
        flight are stored, the task fails. ``continue``: go on. An error that is not about an item (an empty
        account, no connection, a full disk) always ends the attempt. A batch without any completed item
        fails, too.
    :param max_failed_items: with ``continue``, the number of items that may fail. One more ends the
        batch as ``fail`` does.
    :param max_cost_usd: the most US dollars that all attempts together may spend. Items under way, and items
        that may have been paid, count at their price. Refunded items do not count. At the limit, the items
        under way are stored, and the task fails without retries. Raise the limit and clear the task to go on.
    :param on_low_balance: what to do if the account has less money than the estimated cost of the images.
    :param deferrable: give the worker back while there is nothing to submit or store.
    :param on_clear: what a Clear does. ``continue``: make items that are missing, failed or were changed, and
        keep the rest. ``new``: after a success, make everything again.
    :param remake: ids or indexes (from 0) of items to make again although they have images: a list, or
        a text such as ``{{ params.remake }}``, with commas between several. Each item is made again once
        after each Clear, and never by a retry. If the ids are numbers, a number is an id. (templated)
    :param poll_interval: seconds between two looks at a generation.
    :param timeout: seconds that a generation may take, from its submission.
    :param on_ambiguous_submit: see ``GptImgGenerateOperator``.
    """

    _failures: Failures | None = None

    template_fields: Sequence[str] = (
        "items",
        "output_path",
        "size",
        "resolution",
        "n",
        "model",
        "reference_images",
        "extra_body",
        "file_name",
        "cache_path",
        "remake",
        "conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "items": "json",
        "extra_body": "json",
        "reference_images": "json",
    }
    operator_extra_links = links_of(0)
    ui_color = "#e8def8"

    def __init__(
        self,
        *,
        items: Iterable[Any] | str | os.PathLike[str] | XComArg,
        output_path: str | os.PathLike[str] | ObjectStoragePath | XComArg,
        columns: Mapping[str, str | None] | None = None,
        size: str | XComArg = "1:1",
        resolution: str | XComArg = "1K",
        n: int | str | XComArg = 1,
        model: str | XComArg | None = None,
        reference_images: Any = None,
        extra_body: Mapping[str, Any] | XComArg | None = None,
        file_name: str | XComArg | None = None,
        verify_images: bool = False,
        cache_path: str | os.PathLike[str] | ObjectStoragePath | XComArg | None = None,
        cache_max_age: timedelta | None = None,
        conn_id: str | XComArg = GptImgHook.default_conn_name,
        max_in_flight: int = MAX_IN_FLIGHT,
        on_item_error: Literal["fail", "continue"] = "fail",
        max_failed_items: int | None = None,
        deferrable: bool = True,
        max_cost_usd: float | None = None,
        on_low_balance: Literal["warn", "fail", "ignore"] = "warn",
        on_clear: OnClear = "continue",
        remake: Any = None,
        poll_interval: float = 5.0,
        timeout: float = WAIT_LIMIT,
        on_ambiguous_submit: OnDoubt = "resubmit",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Read once, copied often.
        self.items: Any = list(items) if isinstance(items, Iterator) else items
        Columns(columns)  # which checks it
        self.columns = columns
        self.output_path = templated(output_path)
        self.size = templated(size)
        self.resolution = templated(resolution)
        self.n = templated(n)
        self.model = templated(model)
        self.reference_images = templated(reference_images)
        self.extra_body = templated(extra_body)
        self.file_name = templated(file_name)
        self.verify_images = verify_images
        self.cache_path = templated(cache_path)
        self.cache_max_age = age("cache_max_age", cache_max_age)
        self.conn_id = templated(conn_id)
        self.max_in_flight = count("max_in_flight", max_in_flight, least=1)
        self.on_item_error = one_of("on_item_error", on_item_error, ("fail", "continue"))
        self.max_failed_items = (
            None if max_failed_items is None else count("max_failed_items", max_failed_items, least=0)
        )
        if max_failed_items is not None and on_item_error == "fail":
            raise ValueError(
                "max_failed_items is for on_item_error='continue'; with 'fail', the first failed item ends "
                "the batch."
            )
        self.max_cost_usd = None if max_cost_usd is None else dollars("max_cost_usd", max_cost_usd)
        self.on_low_balance = one_of("on_low_balance", on_low_balance, ("warn", "fail", "ignore"))
        self.deferrable = deferrable
        self.on_clear = one_of("on_clear", on_clear, ("new", "continue"))
        self.remake = remake
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.timeout = seconds("timeout", timeout)
        self.on_ambiguous_submit = one_of("on_ambiguous_submit", on_ambiguous_submit, ("resubmit", "fail"))
        # What a mapped task is expanded over is refused when it runs, like what a template gives.
        if not getattr(self, "_BaseOperator__from_mapped", False):
            self.check_written()

    def check_written(self) -> None:
        """Refuse a list of items that no template can change any more.

        The connection is not known: a model that is not named is the service's default.

        :raises GptImgValidationError: naming the items, the field, its value and what is allowed.
        """
        is_list = isinstance(self.items, (list, tuple)) and len(self.items) > 0
        if is_list and not is_template([self.items, *(getattr(self, name) for name in SENT)]):
            with translated():
                self._check(self._items("", DEFAULT_MODEL, check_sizes=True))

    @property
    def pushed_keys(self) -> frozenset[str]:
        """Keys of the result that the task itself pushes as XComs."""
        return frozenset({"manifest"})

    def start(self, context: Context, *, resumed: bool, may_defer: bool) -> BatchResult:
        """Begin, or go on where an earlier attempt stopped. Defer if waiting is all that is left to do.

        :raises GptImgValidationError: for invalid items, before anything is paid.
        :raises GptImgBatchError: if items failed; the manifest says which.
        :raises GptImgFinalError: if a retry cannot fix the failure.
        """
        ti = task_instance(context)
        task = facts_of(context, retries=self.retries or 0, pushes_xcoms=self.do_xcom_push, resumed=False)
        with templates_named(context, self.task_id), translated():
            # Items are checked one by one, and nothing in remake means nothing to make again.
            fields = [name for name in self.template_fields if name not in ("items", "remake")]
            check_nothing(context, self.task_id, fields, self)
            check_place(
                context,
                task_id=self.task_id,
                output_path=self.output_path,
                file_name=self.file_name,
                verify_images=self.verify_images,
                item=0,
            )
            folder = BatchFolder(self.output_path, ti, self.conn_id, task, self.on_clear)
            settings = self.hook.settings
            items = self._items(folder.identity, settings.default_model, check_sizes=settings.check_sizes)
            checked = self._check(items)
            self.hook.log_unchecked(checked.sizes)
            remake = Remake(self.remake, items)
            failures = self._failures = Failures(self._most_failures)
            if self.max_cost_usd is not None:
                check_prices(checked.priced, self.hook.settings.prices)
        if not resumed:
            self._say(checked, remake)
        with translated():
            journal = Journal(folder.journal, ti.try_number)
            journal.open()
            if self.do_xcom_push and not resumed:
                ti.xcom_push(key=BATCH_KEY, value={"journal": str(folder.journal), "total": checked.total})
            plan = BatchPlan(
                items=items,
                journal=journal,
                failures=failures,
                progress=Progress(checked.total),
                rules=self._rules(),
                settings=self.hook.settings,
                storage_for=partial(self._storage, ti),
                cleared_at=task.base,
                trusted=folder.record.trusted,
                remake=remake,
                budget=Budget(self.hook.settings.prices, journal, self.max_cost_usd),
                owned=self._owned(context, folder),
                before_paying=self._check_money if not resumed else lambda to_make: None,
                metrics=Metrics(ti),
                log=self.log,
            )
            waiting = asyncio.run(Runner(plan).run())
            if waiting:
                self._defer(waiting, plan.progress)
            journal.compact()
            manifest = Manifest(Place.of(self.output_path) / f"{folder.stem}.jsonl")
            manifest.write(items, journal)
            result = manifest.result(plan.progress)
            failures.end(result["completed"])
            if not failures.has_failed:
                folder.finish()
        if failures.has_failed:
            self._fail(failures, result)
        self.log.info("The manifest is %s", result["manifest"])
        if self.do_xcom_push:
            ti.xcom_push(key="manifest", value=result["manifest"])
        announce(context, self.outlets, result)
        return result

    def _check_money(self, to_make: ToMake) -> None:
        """Say before the first submission what the batch is estimated to cost, and what money there is.

        :raises ApiError: kind QUOTA, if there is too little and ``on_low_balance`` says so.
        """
        cost = f"about {to_make.usd:.3f} USD at the connection's prices" if to_make.usd else "cost unknown"
        if self.on_low_balance == "ignore":
            self.log.info("To be made: %d images, %s.", to_make.images, cost)
            return
        try:
            found = self.hook.balance()
        except GptImgError as error:
            self.log.info(
                "To be made: %d images, %s. The balance is unknown: %s", to_make.images, cost, error
            )
            return
        self.log.info("To be made: %d images, %s. %s", to_make.images, cost, said(found))
        if found.usd is not None and found.usd < to_make.usd:
            low = f"{to_make.images} images cost {cost}, but only {found.usd:.2f} USD can be spent."
            if self.on_low_balance == "fail":
                raise ApiError(
                    Kind.QUOTA, f"{low} Nothing was submitted. Top up the account, then clear the task."
                )
            self.log.warning("%s The batch stops when the money runs out. Finished images are kept.", low)

    def _say(self, checked: Checked, remake: Remake) -> None:
        for note in checked.notes:
            self.log.info("%s", note)
        if checked.warning:
            self.log.warning("%s", checked.warning)
        if remake.unknown:
            unknown = ", ".join(map(repr, remake.unknown))
            self.log.warning("remake names items that do not exist. They are ignored: %s", unknown)

    def on_kill(self) -> None:
        """End the work, and log what happens to the rest. Nothing in flight can be cancelled."""
        if self._failures is not None:
            self._failures.halt()
        self.log.warning(
            "Killed. A retry or a Clear goes on with this batch and pays only for what is missing."
        )
        super().on_kill()  # comes last: it raises

    @property
    def _most_failures(self) -> int | None:
        return 0 if self.on_item_error == "fail" else self.max_failed_items

    @property
    def _named_by(self) -> set[str]:
        return set() if self.file_name is None else fields_of(self.file_name)

    def _only_name(self) -> str | None:
        """Return what of an item is in the names of its images, if they have no identity in them."""
        if "identity" in self._named_by or self.file_name is None:
            return None
        return "id" if "id" in self._named_by else "index"

    def _items(self, identity: str, default_model: str, *, check_sizes: bool) -> Items:
        given = {"model": default_model}
        given |= {name: value for name in SENT if (value := getattr(self, name)) is not None}
        needs_ids = "id" in self._named_by
        columns = Columns(self.columns)
        return Items(self.items, given, identity, columns, needs_ids=needs_ids, check_sizes=check_sizes)

    def _check(self, items: Items) -> Checked:
        checked = check(items, has_cache=self.cache_path is not None)
        if checked.are_too_many(self._most_failures):
            raise checked.refusal()
        return checked

    def _rules(self) -> Rules:
        return Rules(
            pace=Pace(self.poll_interval),
            max_in_flight=self.max_in_flight,
            timeout=self.timeout,
            on_ambiguous=self.on_ambiguous_submit,
            may_leave=self.deferrable,
            named_by=self._only_name(),
        )

    def _storage(self, ti: Any, item: Item, size: Pixels | None) -> Storage:
        return Storage(
            folder=self.output_path,
            names=FileNames.of(self.file_name, ti, item.digest, item=item.index, item_id=item.id),
            settings=self.hook.settings,
            size=size,
            decode=self.verify_images,
        )

    def _owned(self, context: Context, folder: BatchFolder) -> OwnedItems | None:
        cache = cache_of(self.cache_path, self.cache_max_age)
        if cache is None:
            return None
        return OwnedItems(
            cache=cache,
            storage_of=lambda item: self._storage(task_instance(context), item, None),
            prices=self.hook.settings.prices,
            made_by=made_by(context),
            is_to_be_used=folder.record.number == 0,
        )

    def _defer(self, waiting: Sequence[Waiting], progress: Progress) -> NoReturn:
        watched = waiting[:WATCHED]
        kinds = {generation.kind for generation in watched}
        deadline = max(generation.deadline for generation in watched)
        is_all = len(watched) == progress.total - progress.over
        self.log.info(
            "%d generations are under way. Waiting in the triggerer for %d of them.",
            len(waiting),
            len(watched),
        )
        self.defer(
            trigger=GptImgBatchTrigger(
                generation_ids=[generation.generation_id for generation in watched],
                conn_id=self.conn_id,
                poll_interval=self.poll_interval,
                deadline=deadline,
                enough=len(watched) if is_all else (len(watched) + 1) // 2,
                kind=kinds.pop() if len(kinds) == 1 else None,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + DEFER_MARGIN),
        )
        raise AssertionError("a deferral does not return")

    def _fail(self, failures: Failures, result: BatchResult) -> NoReturn:
        left = result["total"] - result["completed"] - result["failed"]
        first = ""
        if result["failed_items"]:
            failure = result["failed_items"][0]
            first = f" The first, {label_of(failure['index'], failure['id'])}: {failure['message']}"
        if failures.final is not None and failures.final.kind is Kind.COST_LIMIT:
            raise from_api(
                ApiError(
                    Kind.COST_LIMIT,
                    f"{failures.final.message} {result['completed']} of {result['total']} items are stored, "
                    f"{result['failed']} failed, {left} were not submitted. See {result['manifest']}; with a "
                    "higher max_cost_usd, a Clear goes on and pays only for what is missing.",
                )
            )
        what_next = "a Clear" if failures.final else "a retry or a Clear"
        message = (
            f"{result['failed']} of {result['total']} items failed, {result['completed']} are stored, {left} "
            f"were not submitted.{first} See {result['manifest']}; {what_next} goes on and pays only for "
            "what is missing."
        )
        if failures.final is not None:
            raise from_api(ApiError(failures.final.kind, message))
        raise GptImgBatchError(message)
