"""The operator that shows images to a person, who approves them or chooses the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timezone
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict

from airflow.sdk import Param

from airflow_provider_gptimg.api.errors import ApiError, Kind, invalid
from airflow_provider_gptimg.compat.human_input import (
    HAS_HUMAN_INPUT,
    HITLOperator,
    SkipMixin,
    human_arguments,
    to_skip,
)
from airflow_provider_gptimg.compat.task_instance import own_xcom, task_instance
from airflow_provider_gptimg.exceptions import (
    GptImgFinalError,
    GptImgRejectedError,
    translated,
)
from airflow_provider_gptimg.hooks.gptimg import GptImgHook
from airflow_provider_gptimg.links import links_of
from airflow_provider_gptimg.review.page import amount_of, body_of
from airflow_provider_gptimg.review.pictures import Pictures, is_expired, pictures_in
from airflow_provider_gptimg.tasks.base import leaving_its_reason
from airflow_provider_gptimg.tasks.nothing import check_nothing
from airflow_provider_gptimg.tasks.parameters import count, one_of, templated
from airflow_provider_gptimg.tasks.templates import templates_named

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

Mode = Literal["approve", "choose"]
OnReject = Literal["skip", "fail"]

REVIEW_KEY = "review"
"""XCom key of the images to review, see :class:`~airflow_provider_gptimg.review.pictures.Pictures`."""

COMMENT = "comment"
"""The form's field for the reviewer's comment."""


EXAMPLES = ("Make them again", "Wrong style", "Wrong subject", "Something is missing")
"""Texts that the field suggests. The reviewer may write anything else."""


class Review(TypedDict):
    """What a review hands downstream (XCom ``return_value``).

    :param decision: ``approved`` or ``rejected``.
    :param chosen: the numbers of the chosen images as the reviewer saw them, counted from 1.
    :param images: the chosen images, each with ``url`` or ``uri`` and everything else that is known about it.
    :param urls: the chosen images' URLs, or where they are stored; also a separate XCom.
    :param decided_by: the name of the user, or None if nobody answered in time and the default counts.
    :param decided_at: ISO 8601, UTC.
    :param comment: what the person wrote, or None.
    """

    decision: Literal["approved", "rejected"]
    chosen: list[int]
    images: list[dict[str, Any]]
    urls: list[str]
    decided_by: str | None
    decided_at: str
    comment: str | None


class GptImgReviewOperator(HITLOperator, SkipMixin):
    """Show images to a person, who approves or rejects them, or chooses the best (Airflow 3.1 and newer).

    Airflow's page "Required Actions" shows the images to everybody who may see the task's XComs. The operator
    takes all parameters of Airflow's own ``HITLOperator``, such as assigned users, notifiers and time limits.

    :param images: the result of one or more tasks that made images, also of a mapped task; the result of a
        batch (the page shows its first 200 images); URLs, paths or object-storage URIs. (templated)
    :param mode: ``"approve"``: all images or none. ``"choose"``: some images, or none.
    :param least: the smallest number of images to choose.
    :param most: the largest number of images to choose; None for all.
    :param on_reject: after a rejection, ``"skip"`` the tasks directly downstream, or ``"fail"`` without
        retries.
    :param subject: the headline. (templated)
    :param body: a text for the reviewer, in Markdown, above the images. (templated)
    :param defaults: the answer if nobody answers within ``response_timeout``: ``"Approve"``,
        ``"Reject"``, or the numbers to choose.
    :param conn_id: the connection of type ``gptimg`` that made the images. The gallery uses it to fetch
        images that are not stored. (templated)
    """

    APPROVE, REJECT = "Approve", "Reject"

    template_fields: Sequence[str] = ("images", "conn_id", "subject", "body")
    template_fields_renderers = {"images": "json", "body": "md"}  # noqa: RUF012 - as Airflow declares it
    operator_extra_links = links_of(0)
    ui_color = "#e8def8"
    inherits_from_skipmixin = True

    def __init__(
        self,
        *,
        images: Any,
        mode: Mode = "approve",
        least: int = 1,
        most: int | None = None,
        on_reject: OnReject = "skip",
        subject: str | None = None,
        body: str | None = None,
        defaults: str | int | Sequence[str | int] | None = None,
        params: Mapping[str, Any] | None = None,
        conn_id: str | XComArg = GptImgHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        if not HAS_HUMAN_INPUT:
            raise GptImgFinalError(
                "GptImgReviewOperator needs Airflow 3.1 or newer: this Airflow cannot ask people."
            )
        self.mode = one_of("mode", mode, ("approve", "choose"))
        self.least = count("least", least, least=1)
        self.most = None if most is None else count("most", most, least=self.least)
        self.on_reject = one_of("on_reject", on_reject, ("skip", "fail"))
        choosing = self.mode == "choose"
        super().__init__(
            subject=subject or ("Choose images" if choosing else "Approve these images?"),
            body=body,
            options=[self.REJECT] if choosing else [self.APPROVE, self.REJECT],  # until the images are known
            multiple=choosing and self.most != 1,
            defaults=_options(defaults),
            params={**_comment_field(), **_fields(params or {})},
            **human_arguments(kwargs),
        )
        self.images = images
        self.conn_id = templated(conn_id)

    def validate_defaults(self) -> None:
        """Check the defaults. The numbers to choose are checked later, when the images are known."""
        if self.defaults is None or self.mode == "approve":
            super().validate_defaults()
        elif not all(option == self.REJECT or option.isdecimal() for option in self.defaults):
            raise ValueError(f"defaults={self.defaults!r} is not allowed: numbers of images, or Reject.")

    def execute(self, context: Context) -> Any:
        """Ask, and wait for the answer.

        :raises GptImgError: if something is not an image, or images are gone, cannot be read or are too few.
        """
        with leaving_its_reason(self, context):
            with templates_named(context, self.task_id), translated():
                check_nothing(context, self.task_id, ("images", "conn_id"), self)
                shown = pictures_in(self.images)
                self._check_counts(len(shown["pictures"]))
            # Whatever do_xcom_push says: the gallery sends what stands there, and the answer is about it.
            task_instance(context).xcom_push(key=REVIEW_KEY, value=shown)
            self._ask(context, shown)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the decision.

        :raises GptImgRejectedError: if all images were rejected, with ``on_reject="fail"``.
        :raises GptImgExpiredError: if the service no longer has a chosen image.
        """
        with leaving_its_reason(self, context):
            shown: Pictures = own_xcom(task_instance(context), REVIEW_KEY)
            self.options = self._options_for(len(shown["pictures"]))
            answer = super().execute_complete(context, event)
            options = [str(option) for option in answer["chosen_options"]]
            if not self._is_allowed(options, len(shown["pictures"])):
                self.log.warning("The answer %s is not allowed. Asking again: %s", options, self._task(shown))
                self._ask(context, shown)
            with translated():
                review = self._review(options, shown, answer)
            return self._hand_on(context, review)

    def _ask(self, context: Context, shown: Pictures) -> NoReturn:
        self.options = self._options_for(len(shown["pictures"]))
        self.body = body_of(shown, task_instance(context), text=self.body, task=self._task(shown))
        self.log.info("%d image(s) to review.", len(shown["pictures"]))
        super().execute(context)
        raise AssertionError("Airflow's operator waits in all of its ways")

    def _options_for(self, there_are: int) -> list[str]:
        if self.mode == "approve":
            return [self.APPROVE, self.REJECT]
        return [*map(str, range(1, there_are + 1)), self.REJECT]

    def _task(self, shown: Pictures) -> str:
        """Return what the reviewer is to do, in Markdown."""
        there_are = len(shown["pictures"])
        if self.mode == "approve":
            what = "this image" if there_are == 1 else f"all {there_are} images"
            return f"**Approve {what}**, or reject."
        amount = amount_of(self.least, self._most(there_are), there_are)
        return f"**Choose {amount}** by number, or choose only Reject."

    def _most(self, there_are: int) -> int:
        return there_are if self.most is None else min(self.most, there_are)

    def _check_counts(self, there_are: int) -> None:
        """Check what could not be checked before the images were known.

        :raises ApiError: kind INVALID.
        """
        if self.mode == "choose" and self.least > there_are:
            raise invalid("least", self.least, f"there are {there_are} image(s) to choose from")
        if self.defaults is not None and not self._is_allowed(self.defaults, there_are):
            task = amount_of(self.least, self._most(there_are), there_are)
            raise invalid(
                "defaults", self.defaults, f"numbers of {task} from 1 to {there_are}, or only Reject"
            )

    def _is_allowed(self, options: Sequence[str], there_are: int) -> bool:
        """Return whether an answer is one that was asked for. Airflow does not check how many were chosen."""
        if self.mode == "approve" or options == [self.REJECT]:
            return True
        numbers = set(options)
        return (
            len(numbers) == len(options)
            and numbers <= set(map(str, range(1, there_are + 1)))
            and self.least <= len(numbers) <= self._most(there_are)
        )

    def _review(self, options: Sequence[str], shown: Pictures, answer: Mapping[str, Any]) -> Review:
        """Return what was decided.

        :raises ApiError: kind EXPIRED.
        """
        if self.REJECT in options:
            chosen = []
        elif self.mode == "approve":
            chosen = list(range(1, len(shown["pictures"]) + 1))
        else:
            chosen = sorted(map(int, options))
        images = [{"number": number, **shown["pictures"][number - 1]} for number in chosen]
        gone = [image["number"] for image in images if is_expired(image)]
        if gone:
            numbers = ", ".join(map(str, gone))
            raise ApiError(
                Kind.EXPIRED,
                f"The chosen image(s) {numbers} are gone: the service keeps images for 24 hours. "
                "Clear the task that made them, or store them with output_path.",
            )
        user = answer.get("responded_by_user")
        said = answer["params_input"].get(COMMENT)
        return Review(
            decision="approved" if images else "rejected",
            chosen=chosen,
            images=images,
            urls=[image.get("uri") or image["url"] for image in images],
            decided_by=user["name"] if user else None,
            decided_at=answer["responded_at"].astimezone(timezone.utc).isoformat(),
            comment=said.strip() if isinstance(said, str) and said.strip() else None,
        )

    def _hand_on(self, context: Context, review: Review) -> Review:
        ti = task_instance(context)
        who = review["decided_by"] or "nobody in time (the default)"
        said = f": {review['comment']}" if review["comment"] else ""
        self.log.info("%s by %s, chosen %s%s", review["decision"], who, review["chosen"], said)
        if self.do_xcom_push:
            ti.xcom_push(key="urls", value=review["urls"])
        if review["decision"] == "approved":
            return review
        if self.do_xcom_push:
            # What ends a task that failed, or skips what follows, keeps Airflow from pushing what it returns.
            ti.xcom_push(key="return_value", value=review)
        if self.on_reject == "fail":
            raise GptImgRejectedError(f"The images were rejected by {who}{said}")
        self.skip(context["ti"], to_skip(context["task"]))
        return review


def _options(defaults: str | int | Sequence[str | int] | None) -> list[str] | None:
    if defaults is None:
        return None
    return [str(defaults)] if isinstance(defaults, (str, int)) else list(map(str, defaults))


def _fields(params: Mapping[str, Any]) -> dict[str, Any]:
    # As Airflow hands them in, and not their values: only the fields themselves say which of them are the
    # DAG's own params. Those are nothing that the reviewer is asked for.
    get: Callable[[str], Any] = getattr(params, "get_param", params.get)
    return {name: get(name) for name in params}


def _comment_field() -> dict[str, Any]:
    # Airflow gives a text field no name that a screen reader would say, unless there are examples to offer;
    # and a description would stand in for its label.
    return {COMMENT: Param(None, type=["null", "string"], title="Comment", examples=[*EXAMPLES])}
