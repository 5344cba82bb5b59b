"""The metrics that the pages, the dashboard and the alert name are those that are sent."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_gptimg.hooks import metrics
from tests.support.documentation import DOCS, blocks

PAGE = DOCS / "monitoring.md"
NAMES = {value for value in vars(metrics).values() if isinstance(value, str) and value.startswith("gptimg.")}
USED = re.compile(r"\bairflow_(gptimg_\w+)")
DASHBOARD = json.loads((DOCS / "grafana" / "gptimg.json").read_text())


def used(text: str) -> set[str]:
    """Return the metrics in a query, as Airflow calls them; Prometheus has no dots in names."""
    return {name.replace("gptimg_", "gptimg.", 1) for name in USED.findall(text)}


def test_the_page_lists_what_is_sent() -> None:
    rows = re.findall(r"^\| `(gptimg\.\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(NAMES)


def test_the_dashboard_shows_all_of_it_and_nothing_else() -> None:
    assert used(json.dumps(DASHBOARD)) == NAMES


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_queries_use_only_labels_that_are_sent(panel: dict) -> None:
    for target in panel["targets"]:
        braces = re.findall(r"\{([^{}]*)\}", target["expr"])
        by = re.findall(r"by \(([\w, ]*)\)", target["expr"])
        labels = {label for part in braces for label in re.findall(r"(\w+)=~?\"", part)}
        labels |= {label.strip() for part in by for label in part.split(",")}
        assert labels <= {"dag_id", "model", "reason", "category", "quantile"}


def test_the_alert_uses_what_is_sent() -> None:
    (rule,) = [block.text for block in blocks("yaml") if block.page == PAGE]
    assert used(rule) == {metrics.SUBMISSIONS, metrics.COMPLETIONS}
