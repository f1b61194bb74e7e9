"""Pages outside: where their addresses are from, and what `make check-links` says of them."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from workshop.authoring.checking import links
from workshop.authoring.checking.headless import read
from workshop.ground import notebooks


class Site(BaseHTTPRequestHandler):
    """A site whose pages are named after the status of their answer."""

    def do_GET(self) -> None:
        status = int(self.path[1:4])
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/" + self.path[5:])
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_each_page_has_its_source_and_a_notebook_that_leads_there() -> None:
    prose = "".join(cell.source for path in notebooks() for cell in read(path).cells)
    linked = set(re.findall(r"\]\((https://[^)]+)\)", prose))
    assert set(links.read_pages()) == linked
    for source in links.read_pages().values():
        assert re.match(r"apache|metadata of |the talk, slides? \d+|the page, seen in ", source)
    airflow = [page for page in links.read_pages() if "airflow.apache.org/docs" in page]
    assert all("/stable/" in page for page in airflow), "a new version moves them"


@pytest.mark.parametrize(
    ("path", "good", "said"),
    [
        ("/200", True, "1 of 1 pages answer."),
        ("/302/200", True, "1 of 1 pages answer."),
        ("/302/404", False, "404: "),
        ("/500", False, "500: "),
        ("/403", True, "Open it yourself, the site lets no program in (403): "),
    ],
)
def test_a_page_that_is_gone_is_named_with_its_source(
    path: str, good: bool, said: str, site: str, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr(links, "read_pages", lambda: {site + path: "the talk, slide 4"})
    assert links.open_pages() == good
    lines = capsys.readouterr().out
    assert lines.startswith(said)
    if not good:
        assert f"{site}{path}, from the talk, slide 4\n" in lines
        assert "Correct those above in the notebooks and in pages.csv" in lines


def test_a_site_that_does_not_answer_is_named(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(links, "read_pages", lambda: {"http://127.0.0.1:9/": "the talk, slide 4"})
    assert not links.open_pages()
    assert capsys.readouterr().out.startswith("ConnectionError: http://127.0.0.1:9/, from ")
