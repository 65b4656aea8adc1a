"""The API fuzzed from its own description: whatever is sent, nothing breaks.

`STUDIO_FUZZ=2000 pytest tests/studio/test_studio_fuzz.py` sends that many cases for each address.
"""

from __future__ import annotations

import os

import httpx
import numpy as np
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from studio_client import do, project_of, studio_client, wait_for_job

from chromatrack.video.writer import VideoWriter

CASES = int(os.environ.get("STUDIO_FUZZ", "10"))
SLOW = {"/api/demo", "/api/upload"}
OURS = {"host", "origin", "cookie"}
CLOSING = {"/api/close", "/api/open"}  # what is open is to stay open meanwhile


def test_no_request_that_the_description_allows_or_not_breaks_the_server(tmp_path):
    video = tmp_path / "clip.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(video, fps=10) as writer:
        for _ in range(4):
            writer.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    with studio_client(tmp_path / "home") as client:
        assert client.post("/api/open", json={"path": str(video)}).status_code == 200
        for kind in ("object", "point", "box", "keypoints"):
            do(client, type="add", kind=kind)
        schema = schemathesis.openapi.from_dict(client.get("/api/openapi.json").json())
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) > 12
        for operation in operations:
            if operation.path not in SLOW | CLOSING:
                _fuzz(client, operation)
        wait_for_job(client)
        assert project_of(client)["video"]["frames"] == 4
        assert client.get("/api/frames/3").status_code == 200


def _fuzz(client, operation):
    modes = schemathesis.GenerationMode
    cases = st.one_of(operation.as_strategy(modes.POSITIVE), operation.as_strategy(modes.NEGATIVE))

    @settings(max_examples=CASES, suppress_health_check=list(HealthCheck), database=None)
    @given(cases)
    def sends(case):
        given_ = case.as_transport_kwargs(base_url=str(client.base_url))
        body = given_.get("data")
        if isinstance(body, bytes | str):
            given_["content"] = given_.pop("data")
        headers = given_.get("headers") or {}
        given_["headers"] = {k: v for k, v in headers.items() if k.lower() not in OURS}
        known = ("method", "url", "params", "headers", "json", "data", "content", "files")
        try:
            answer = client.request(**{name: given_[name] for name in known if name in given_})
        except (httpx.InvalidURL, UnicodeEncodeError, httpx.LocalProtocolError):
            return  # cannot be sent
        assert answer.status_code < 500, answer.text

    sends()
