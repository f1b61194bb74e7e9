"""`make demo`: the gcp_spy notebooks run headless, and one page with what arrived."""

import html
import json
import time
from pathlib import Path

from workshop.authoring.checking.headless import force_sandbox, run_in_world
from workshop.authoring.editions.pages import as_html, write_page
from workshop.ground import BUILD, NOTEBOOKS
from workshop.ground.cells import read_steps
from workshop.sandbox import Mail, SlackMessage

FOLDER = BUILD / "demo"
WORLD = "talk"


def run_demo() -> Path:
    """Run the notebooks that build the DAG, and return the page that shows them.

    It has links to the notebooks, then the last message and mail of the whole DAG.
    """
    force_sandbox()
    names = sorted({step.notebook for step in read_steps()})
    pages, start = [], time.monotonic()
    for name in names:
        print(name, flush=True)
        out = FOLDER / name
        results = run_in_world(NOTEBOOKS / name, WORLD, out, progress=True)
        pages.append(as_html(out, out.with_suffix(".html")))
    print(f"{len(names)} notebooks in {time.monotonic() - start:.0f} s")
    runs = json.loads(results.read_text("utf-8"))
    last = [run for run in runs if run["world"] == WORLD and not run["switches"]][-1]
    message = SlackMessage(last["slack"][-1], 200, "ok")
    got = last["mails"][-1]
    to, cc, bcc = (tuple(got[whom]) for whom in ("to", "cc", "bcc"))
    everyone = (*to, *cc, *bcc)
    mail = Mail("airflow@example.com", everyone, got["subject"], got["html"], cc=cc, bcc=bcc)
    row = '<li><a href="{}">{}</a></li>'
    links = [row.format(html.escape(page.name), html.escape(page.stem)) for page in pages]
    shown = {"message": message._repr_html_(), "mail": mail._repr_html_()}
    return write_page("demo.html", FOLDER / "index.html", links="\n".join(links), **shown)
