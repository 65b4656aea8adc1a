"""A studio to talk to, as a browser would, for the tests."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image
from starlette.testclient import TestClient
from studio_workers import with_forks

from chromatrack.studio.app import make_app
from chromatrack.studio.manager import Studio

PORT, TOKEN = 8760, "token-of-the-tests"
BASE = f"http://127.0.0.1:{PORT}"


@contextmanager
def studio_client(home) -> Iterator[TestClient]:
    """A client with the cookie, of a studio with real workers."""
    app = make_app(with_forks(Studio(home)), token=TOKEN, port=PORT)
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        client.studio = app._app.state.studio
        assert client.get("/", params={"token": TOKEN}).status_code == 303
        yield client


def events(client):
    """The socket of events, to be used in a `with` block."""
    return client.websocket_connect(f"ws://127.0.0.1:{PORT}/api/events", headers={"origin": BASE})


def png_of(mask: np.ndarray) -> str:
    """A mask as the page sends it: 8-bit PNG in base64."""
    out = io.BytesIO()
    Image.fromarray((mask > 0).astype(np.uint8) * 255).save(out, format="PNG")
    return base64.b64encode(out.getvalue()).decode()


def pixels_of(response) -> np.ndarray:
    """The pixels of a picture that was answered."""
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)))


def do(client, **action):
    """Do an action that is taken; its answer."""
    response = client.post("/api/actions", json=action)
    assert response.status_code == 200, response.text
    return response.json()


def project_of(client):
    """The project part of the state."""
    return client.get("/api/state").json()["project"]


def wait_for_job(client, seconds=240):
    """Wait until no job is under way; the project then."""
    deadline = time.monotonic() + seconds
    while (project := project_of(client))["job"] is not None:
        assert time.monotonic() < deadline, project["job"]
        time.sleep(0.05)
    return project
