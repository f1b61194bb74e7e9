"""`make demo`: the gcp_spy notebooks run headless, and one page with what arrived."""

import html
import json
import time
from pathlib import Path

from workshop import editions, headless
from workshop.lab import BUILD
from workshop.sandbox import Mail, SlackMessage
from workshop.slides import NOTEBOOKS, read_steps

FOLDER = BUILD / "demo"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>gcp_spy: the demo</title>
<style>
body {{ font-family: Helvetica, Arial, sans-serif; line-height: 1.5; max-width: 720px;
  margin: 2em auto; padding: 0 1em; color: #1b1b1b; background: #f6f8fa }}
</style>
</head>
<body>
<h1>gcp_spy: the demo</h1>
<p>The notebooks have run in the sandbox: gcloud, Slack and the mail server are stand-ins.</p>
<ul>
{links}
</ul>
<h2>The Slack message, as it arrived</h2>
{message}
<h2>The mail, as it arrived</h2>
{mail}
</body>
</html>
"""


def run(world: str = "talk") -> Path:
    """Run the notebooks that build the DAG, and return the page that shows them.

    Args:
        world: the sandbox's world.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    names = sorted({step.notebook for step in read_steps()})
    pages, start = [], time.monotonic()
    for name in names:
        print(name, flush=True)
        out = FOLDER / name
        results = headless.run_in_world(NOTEBOOKS / name, world, out, progress=True)
        pages.append(editions.as_html(out, out.with_suffix(".html")))
    print(f"{len(names)} notebooks in {time.monotonic() - start:.0f} s")
    return page(pages, results, world)


def page(pages: list[Path], results: Path, world: str) -> Path:
    """Write the page: links to the notebooks, then the last message and mail of the whole DAG.

    Args:
        pages: the notebooks as HTML.
        results: what the last notebook left, as JSON.
        world: only what arrived in this world.
    """
    runs = [run for run in json.loads(results.read_text("utf-8")) if run["world"] == world]
    runs = [run for run in runs if not run["switches"]]
    message = SlackMessage(runs[-1]["slack"][-1], 200, "ok")
    got = runs[-1]["mails"][-1]
    mail = Mail("airflow@example.com", tuple(got["to"]), got["subject"], got["html"])
    links = "\n".join(
        f'<li><a href="{html.escape(page.name)}">{html.escape(page.stem)}</a></li>'
        for page in pages
    )
    out = FOLDER / "index.html"
    text = PAGE.format(links=links, message=message._repr_html_(), mail=mail._repr_html_())
    out.write_text(text, encoding="utf-8")
    return out
