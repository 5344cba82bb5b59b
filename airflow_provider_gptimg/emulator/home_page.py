"""The page at ``/``: about the emulator, and the latest pictures."""

from __future__ import annotations

from html import escape
from itertools import islice

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from airflow_provider_gptimg import __version__
from airflow_provider_gptimg.emulator.ledger import dollars
from airflow_provider_gptimg.emulator.state import Emulator
from airflow_provider_gptimg.emulator.task_answers import base_url
from airflow_provider_gptimg.emulator.tasks import Task

SHOWN = 24

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>gptimg-emulator</title>
<link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; --ink: #22262e; --paper: #faf6ee; --card: #fff; --soft: #7a7f8a; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #eee8dc; --paper: #16181d; --card: #22262e; }} }}
body {{ margin: 0; padding: 3rem 5vw; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 2rem; letter-spacing: -.02em; margin: 0; }}
p {{ color: var(--soft); max-width: 46rem; }}
code {{ background: var(--card); padding: .1em .4em; border-radius: 4px; color: var(--ink); }}
dl {{ display: flex; flex-wrap: wrap; gap: 2.5rem; margin: 2rem 0; }}
dt {{ color: var(--soft); font-size: .8rem; text-transform: uppercase; letter-spacing: .06em; }}
dd {{ margin: 0; font-size: 1.7rem; font-variant-numeric: tabular-nums; }}
main {{ display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }}
figure {{ margin: 0; background: var(--card); border-radius: 10px; overflow: hidden;
  box-shadow: 0 1px 8px #0002; }}
img, .wait {{ display: block; width: 100%; aspect-ratio: 4/3; object-fit: cover; }}
.wait {{ display: grid; place-items: center; color: var(--soft);
  background: linear-gradient(120deg, #e4576e33, #f4b94233, #2a9d8f33); }}
figcaption {{ padding: .7rem .9rem; font-size: .85rem; overflow-wrap: anywhere; }}
small {{ color: var(--soft); display: block; }}
</style></head><body>
<h1>gptimg-emulator</h1>
<p>The gpt-image-2 service on your own machine, version {version}: same API, real pictures, play money.
Base URL <code>{url}</code>, any key that starts with <code>sk-</code>. Its API is described in
<a href="openapi.json">openapi.json</a>. What it did is in the <a href="_emulator/ledger">ledger</a>.</p>
<dl>{figures}</dl>
<main>{pictures}</main>
</body></html>
"""


def home_page_routes(emulator: Emulator) -> APIRouter:
    """Return the route of the home page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def home_page(request: Request) -> HTMLResponse:
        emulator.settle()
        requests = emulator.ledger.requests
        figures = {
            "balance": f"${dollars(emulator.ledger.balance):.2f}",
            "spent": f"${dollars(emulator.ledger.used):.2f}",
            "generations": emulator.accepted,
            "status queries": requests.status,
            "downloads": requests.download,
            "answered 429": requests.rate_limited,
        }
        latest = islice(reversed(emulator.tasks.values()), SHOWN)
        now = emulator.clock.now()
        page = _PAGE.format(
            version=__version__,
            url=escape(base_url(request)),
            figures="".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures.items()),
            pictures="".join(_figure(task, now) for task in latest),
        )
        return HTMLResponse(page)

    return router


def _figure(task: Task, now: float) -> str:
    submission, status = task.submission, task.status(now)
    prompt = escape(submission.prompt[:140])
    link = f"files/results/{task.id}/0.png"
    picture = f'<div class="wait">{status.replace("_", " ")} · {task.progress(now)} %</div>'
    if status == "failed":
        picture = '<div class="wait">failed, refunded</div>'
    elif now >= task.expires_at:
        picture = '<div class="wait">expired</div>'
    elif status == "completed":
        preview = f"_emulator/preview/{task.id}/0.png"
        picture = f'<a href="{link}"><img loading="lazy" src="{preview}" alt="{prompt}"></a>'
    width, height = submission.pixels
    details = f"{submission.model} · {width} x {height} · n = {submission.n} · key …{escape(task.key_tail)}"
    return f"<figure>{picture}<figcaption>{prompt}<small>{details}</small></figcaption></figure>"
