"""Pages from templates: everything escaped, under a strict content-security policy.

The browser loads a picture that only the service has from the service itself. An API server that fetched it
would be a proxy for any address that a task has recorded. So the policy names only the hosts of the pictures
on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from airflow_provider_gptimg.gallery.addresses import Addresses
from airflow_provider_gptimg.gallery.cards import Card, Cost, Place, State, origins

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; img-src 'self'"
)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # addresses here name DAGs, which the service must not see
    "Cache-Control": "private, no-store",
}

UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Group:
    """The cards of a task.

    :param total: the number of cards, including those that are not on the page.
    :param problem: why there are no cards.
    :param progress: the progress of a batch that is under way, in words.
    :param cost: the cost of the whole batch, or else of the cards on the page.
    """

    task_id: str
    cards: list[Card]
    total: int
    problem: str | None = None
    progress: str | None = None
    cost: Cost | None = None
    is_whole_cost: bool = False

    @property
    def is_partly_priced(self) -> bool:
        """Whether the cost leaves out cards that are not on the page."""
        return self.total > len(self.cards) and not self.is_whole_cost

    @property
    def instances(self) -> int:
        """The number of task instances that the cards are from."""
        return len({card.place for card in self.cards})

    @property
    def iterations(self) -> list[tuple[int | None, list[Card]]]:
        """The cards by iteration, which is None outside loops."""
        return [(number, list(some)) for number, some in groupby(self.cards, _iteration)]


def page(
    request: Request, name: str, *, status: int = 200, groups: list[Group] | None = None, **values: Any
) -> Response:
    """Return a page.

    :param name: the name of its template.
    """
    groups = groups or []
    costs = [group.cost for group in groups if group.cards]
    cards = [card for group in groups for card in group.cards]
    html = _templates.get_template(f"{name}.html").render(
        at=Addresses(request.scope.get("root_path", "")),
        groups=groups,
        shown=len(cards),
        cost=Cost.sum(costs),
        is_coming=any(card.state is State.COMING for card in cards)
        or any(group.progress for group in groups),
        other_page=lambda number: "?" + urlencode([*_without_page(request), ("page", number)]),
        **values,
    )
    policy = " ".join([POLICY, *origins(cards)])
    return HTMLResponse(html, status, headers={**HEADERS, "Content-Security-Policy": policy})


def label(place: Place) -> str:
    """Return a label that identifies a task instance within its task, such as ``iteration 1 [3]``."""
    parts = []
    if place.iteration is not None:
        parts.append(f"iteration {place.iteration}")
    if place.map_index >= 0:
        parts.append(f"[{place.map_index}]")
    return " ".join(parts)


def span(seconds: float) -> str:
    """Return a time span in the largest unit that fits, such as ``23 h``."""
    for unit, name in UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.1f} s"


def dollars(cost: Cost) -> str:
    """Return a cost for people: ``$0.015``, or ``about $0.50`` for an estimate; two to four decimals."""
    text = f"{cost.usd:.4f}".rstrip("0")
    text += "0" * (2 - len(text.partition(".")[2]))
    return f"about ${text}" if cost.is_estimated else f"${text}"


def left(moment: datetime) -> str:
    """Return the time left until a moment."""
    return span((moment - datetime.now(timezone.utc)).total_seconds())


def ratio(card: Card) -> tuple[int, int]:
    """Return a width and height with a picture's proportions, as far as they are known."""
    if card.width and card.height:
        return card.width, card.height
    wide, _, high = (card.size or "").partition(":")
    if wide.isdecimal() and high.isdecimal() and 0 < int(wide) < 100 and 0 < int(high) < 100:
        return int(wide) * 100, int(high) * 100
    return 100, 100


def is_mixed(cards: list[Card]) -> bool:
    """Return whether cards have different proportions, and so need equal frames to form rows."""
    return len({width / height for width, height in map(ratio, cards)}) > 1


def _iteration(card: Card) -> int | None:
    return card.place.iteration


def _without_page(request: Request) -> list[tuple[str, str]]:
    return [(key, value) for key, value in request.query_params.multi_items() if key != "page"]


_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(
    span=span,
    dollars=dollars,
    left=left,
    ratio=ratio,
    is_mixed=is_mixed,
    label=label,
)
