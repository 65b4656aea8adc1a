"""A browser and servers for the tests in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from studio_browser import CHROMIUM, FLAGS, playwright

    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """Starts servers; whatever happens, none is left behind."""
    from studio_browser import Server

    servers: list[Server] = []

    def run(*given: Any) -> Any:
        servers.append(Server(*given))
        return servers[-1]

    yield run
    for server in servers:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from studio_browser import Server

    server = Server(tmp_path_factory.mktemp("studio"))
    yield server
    server.kill()
