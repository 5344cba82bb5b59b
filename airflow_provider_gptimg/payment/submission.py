"""Submits without paying twice: it looks before it pays again, and attaches to what was already paid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import count
from typing import Literal

from airflow_provider_gptimg.api import wire
from airflow_provider_gptimg.api.errors import ApiError, Kind
from airflow_provider_gptimg.api.flows import ENDS_A_WAIT, Clock, Flow, Sleep, call, is_not_yet, query
from airflow_provider_gptimg.api.generation import FAILED, Generation
from airflow_provider_gptimg.api.request import GenerationRequest
from airflow_provider_gptimg.api.uploads import upload_references
from airflow_provider_gptimg.payment.receipt import Receipt

LOOK_UP_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look-up of a business id. It is unknown how soon the service finds a generation by
its business id: "assume seconds" (contract: Finding a task again)."""

MAX_LOOK_UPS = 10
"""Most look-ups while the answers stay unclear. After that the task fails and does not pay."""

MAX_RESUBMITS = 2
"""How often one attempt of a task sends a submission again when its fate is unknown."""

MAX_ORDINALS = 100
"""Ends the search if a service reports every generation as failed."""

_NO_ANSWER = frozenset({Kind.UNAVAILABLE, Kind.UNREACHABLE, Kind.MALFORMED})
"""Errors after which a submission may have been accepted, unless the error rules it out."""

OnDoubt = Literal["resubmit", "fail"]


class Origin(Enum):
    """How a task came by its generation."""

    SUBMITTED = "submitted"
    ATTACHED = "attached to the one that was already paid for"


class Withdrawn(Exception):  # noqa: N818 - nothing went wrong
    """Nothing more must be submitted.

    :param surely: whether it is certain that nothing was paid for.
    """

    def __init__(self, *, surely: bool) -> None:
        super().__init__()
        self.surely = surely


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A generation that was paid for, now or by an earlier attempt, and the receipt for it."""

    generation: Generation
    client_business_id: str
    receipt: Receipt
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Submits one request under one identity, at most once for each generation that did not fail.

    :param business_id: makes the ``client_business_id`` of an ordinal.
    :param fresh: True if this identity surely never submitted before. Then nothing is looked up.
    :param on_ambiguous: what to do if a submission got no clear answer and look-ups do not find it:
        pay again, or fail.
    :param on_expired: what to do if the images of an earlier attempt are gone: pay again, or fail.
    :param known: the receipt of the latest submission, if one is remembered. It saves look-ups, but the
        service is asked all the same.
    :param give_up_at: until when to wait out "slow down" answers, in Unix seconds.
    :param report: called with a sentence that the reader must know.
    :param note: called with a sentence about something that goes as planned.
    :param is_owned: called before the first submission, if there is no paid generation to go on with. True
        means that the images are already there, and withdraws the submission.
    :param may_submit: called before each submission; False withdraws it.
    :param may_pay_again: called before a submission if an earlier one was paid for, or may have been. It
        raises an error to forbid it.
    """

    request: GenerationRequest
    business_id: Callable[[int], str]
    fresh: bool
    on_ambiguous: OnDoubt
    on_expired: OnDoubt = "resubmit"
    known: Receipt | None = None
    give_up_at: float
    clock: Clock
    report: Callable[[str], None]
    note: Callable[[str], None] = lambda sentence: None
    is_owned: Callable[[], bool] = lambda: False
    may_submit: Callable[[], bool] = lambda: True
    may_pay_again: Callable[[], None] = lambda: None

    def submit(self) -> Flow[Submission]:
        """Attach to the generation of an earlier attempt, or submit a new one.

        :raises ApiError: UNDECIDED if nobody knows whether a submission was accepted, and paying again is
            not allowed; AMBIGUOUS if a later attempt may find out; EXPIRED; any refusal of the service.
        """
        for ordinal in range(self.known.ordinal if self.known else 1, MAX_ORDINALS + 1):
            found = None if self.fresh else (yield from self._find(ordinal))
            if found is None:
                if self.is_owned():
                    raise Withdrawn(surely=True)
                if not self.fresh:
                    self.may_pay_again()
                    self._report_nothing_found(ordinal)
                return (yield from self._post(ordinal))
            if found.status == FAILED:
                self.report(
                    f"Generation {found.id} of an earlier attempt failed and was refunded; submitting again."
                )
            elif found.is_expired(self.clock()):
                # Otherwise the next one is looked for first: an attempt may have paid for it and died.
                if self.on_expired == "fail":
                    if self.is_owned():
                        raise Withdrawn(surely=True)
                    raise found.expired()
                self.report(
                    f"The images of generation {found.id} of an earlier attempt expired; submitting again."
                )
            else:
                return self._attached(found, ordinal)
        raise ApiError(
            Kind.FAILED, f"{MAX_ORDINALS} generations of this task failed or expired; not submitting another."
        )

    def _post(self, ordinal: int) -> Flow[Submission]:
        business_id = self.business_id(ordinal)
        complete = yield from upload_references(self.request, clock=self.clock, give_up_at=self.give_up_at)
        request = wire.submission(complete, business_id)
        doubt: ApiError | None = None
        for resubmits in range(MAX_RESUBMITS + 1):
            try:
                reply = yield from call(
                    request,
                    clock=self.clock,
                    give_up_at=self.give_up_at,
                    before_send=partial(self._withdraw, surely=doubt is None),
                )
                submitted_at = self.clock()  # not earlier: the call may have waited out a "slow down"
                generation = wire.read_generation(reply)
            except ApiError as error:
                is_clear = error.not_accepted or error.kind not in _NO_ANSWER
                if is_clear:
                    if doubt is None:
                        raise
                    # This refusal is about the new submission. The fate of the earlier one is still unknown.
                    raise self._in_doubt(
                        doubt, f"The next submission of {business_id} was refused: {error.message}"
                    ) from error
                doubt = error
            else:
                receipt = Receipt(
                    generation_id=generation.id,
                    ordinal=ordinal,
                    submissions=ordinal + resubmits,
                    submitted_at=submitted_at,
                )
                return Submission(
                    generation=generation,
                    client_business_id=business_id,
                    receipt=receipt,
                    origin=Origin.SUBMITTED,
                )
            self.report(
                f"The submission got no clear answer and may have been accepted. Looking it up. {doubt}"
            )
            try:
                found = yield from self._find(ordinal)
            except ApiError as error:
                raise self._in_doubt(doubt, f"{business_id} cannot be looked up: {error.message}") from error
            if found is not None:
                return self._attached(found, ordinal, resubmits)
            if self.on_ambiguous == "fail" or resubmits == MAX_RESUBMITS:
                unknown = f"Look-ups did not find its client_business_id {business_id}."
                raise self._in_doubt(doubt, unknown) from doubt
            self.may_pay_again()
            self.report(
                f"Look-ups over {sum(LOOK_UP_PAUSES):g} s did not find {business_id}. Submitting again. If "
                "the service accepted the first submission after all, this image is paid twice."
            )
        raise AssertionError

    def _in_doubt(self, doubt: ApiError, then: str) -> ApiError:
        """Return the error for a submission that may have been accepted; ``then`` says what happened next."""
        why = f"{doubt.message} {then}"
        if self.on_ambiguous == "fail":
            return ApiError(
                Kind.UNDECIDED,
                f"Nobody can say whether the submission was accepted: {why} Clear the task to pay for "
                "another one.",
            )
        return ApiError(
            Kind.AMBIGUOUS,
            f"Nobody can say whether the submission was accepted: {why} A retry of the task looks again "
            "before it pays.",
        )

    def _find(self, ordinal: int) -> Flow[Generation | None]:
        """Look up an ordinal's generation. Return None only if the service clearly said "unknown"."""
        if self.known and self.known.ordinal == ordinal:
            found = yield from self._look_up(self.known.generation_id, submitted_at=self.known.submitted_at)
            if found is not None:
                return found
            self.report(
                f"Generation {self.known.generation_id} is recorded, but the service does not know it."
            )
        business_id = self.business_id(ordinal)
        return (yield from self._look_up(business_id, business_id))

    def _look_up(
        self, name: str, business_id: str | None = None, *, submitted_at: float | None = None
    ) -> Flow[Generation | None]:
        return (
            yield from look_up(
                name,
                business_id,
                submitted_at=submitted_at,
                clock=self.clock,
                give_up_at=self.give_up_at,
                report=self.report,
            )
        )

    def _report_nothing_found(self, ordinal: int) -> None:
        unknown = f"Look-ups over {sum(LOOK_UP_PAUSES):g} s did not find {self.business_id(ordinal)}"
        if ordinal == 1:
            self.report(
                f"{unknown}, so no earlier attempt seems to have submitted it. Submitting. If one did after "
                "all, this image is paid twice."
            )
        else:  # nothing suggests that another one was submitted after the generation that ended
            self.note(
                f"{unknown}, so none was submitted after that. Submitting. This image is paid twice only if "
                "an attempt died unseen in between."
            )

    def _attached(self, found: Generation, ordinal: int, resubmits: int = 0) -> Submission:
        # What is known by an XCom alone is taken for the first one. The service may say that it is not.
        ordinals = range(ordinal, MAX_ORDINALS + 1)
        ordinal = next((n for n in ordinals if self.business_id(n) == found.client_business_id), ordinal)
        self.note(
            f"Found generation {found.id} ({found.status}) of {self.business_id(ordinal)}: not paying again."
        )
        known = self.known if self.known and self.known.ordinal == ordinal else None
        submitted_at = known.submitted_at if known else None
        if submitted_at is None:
            now = self.clock()
            submitted_at = now - found.age(now)
        receipt = Receipt(
            generation_id=found.id,
            ordinal=ordinal,
            submissions=known.submissions if known else ordinal + resubmits,
            submitted_at=submitted_at,
        )
        return Submission(
            generation=found,
            client_business_id=self.business_id(ordinal),
            receipt=receipt,
            origin=Origin.ATTACHED,
        )

    def _withdraw(self, *, surely: bool) -> None:
        if not self.may_submit():
            raise Withdrawn(surely=surely)


def latest_of(
    business_id: Callable[[int], str], *, clock: Clock, give_up_at: float, report: Callable[[str], None]
) -> Flow[Generation | None]:
    """Return the latest generation of an identity, None if the service knows none.

    :raises ApiError: see :func:`look_up`.
    """
    latest = None
    for ordinal in range(1, MAX_ORDINALS + 1):
        name = business_id(ordinal)
        found = yield from look_up(name, name, clock=clock, give_up_at=give_up_at, report=report)
        if found is None:
            return latest
        latest = found
        if found.status != FAILED and not found.is_expired(clock()):  # nothing was submitted after it
            return latest
    return latest


def look_up(
    name: str,
    business_id: str | None = None,
    *,
    submitted_at: float | None = None,
    clock: Clock,
    give_up_at: float,
    report: Callable[[str], None],
) -> Flow[Generation | None]:
    """Ask for a generation until the answer is clear. "Unknown" is clear only after some seconds.

    :param business_id: the business id that the generation must have, if the answer names one.
    :param submitted_at: when it was surely submitted, in Unix seconds. It may be unknown for a minute.
    :return: None if the service does not know it.
    :raises ApiError: AMBIGUOUS if no answer was clear; INVALID, AUTHENTICATION or PERMISSION at once.
    """
    unclear: ApiError | None = None
    is_early = False
    for number in count():
        if number >= len(LOOK_UP_PAUSES) and unclear is None and not is_early:
            return None
        if number >= MAX_LOOK_UPS and unclear is not None:
            raise ApiError(
                Kind.AMBIGUOUS,
                f"Could not find out whether {name} was submitted before ({unclear.message}); not paying "
                "again. A retry of the task looks again.",
            ) from unclear
        yield Sleep(LOOK_UP_PAUSES[min(number, len(LOOK_UP_PAUSES) - 1)])
        try:
            found = yield from query(name, clock=clock, give_up_at=give_up_at, attempts=2)
        except ApiError as error:
            if error.kind in ENDS_A_WAIT and error.kind is not Kind.NOT_FOUND:
                raise
            # A redirect or another refusal comes from something in between. It says nothing about the task.
            unclear = None if error.kind is Kind.NOT_FOUND else error
            is_early = is_not_yet(error, submitted_at, clock())
            continue
        if business_id is None or found.client_business_id in (None, business_id):
            return found
        report(f"The look-up of {name} returned another task ({found.client_business_id}): ignored.")
        unclear, is_early = None, False
    raise AssertionError
