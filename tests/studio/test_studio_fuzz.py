"""The API fuzzed from its own description: whatever is sent, nothing breaks.

`STUDIO_FUZZ=2000 pytest -s tests/studio/test_studio_fuzz.py` sends that many cases for each
address, and prints how many were sent, what was answered and how long it took.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import checks
from studio_client import do, project_of, studio_client, wait_for_job

from chromatrack.video.writer import VideoWriter

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
FEW, MANY = int(os.environ.get("STUDIO_FUZZ", "4")), 12
SLOW = {"/api/demo", "/api/upload"}
OURS = {"host", "origin", "cookie"}
CLOSING = {"/api/close", "/api/open"}  # what is open is to stay open meanwhile


@pytest.mark.parametrize("cases", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_no_request_that_the_description_allows_or_not_breaks_the_server(tmp_path, cases):
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
        sent = Counter()
        for operation in operations:
            if operation.path not in SLOW | CLOSING:
                sent += _fuzz(client, operation, cases)
        sys.stdout.write(f"{sent.total()} cases in all: {_told(sent)}\n")
        wait_for_job(client)
        assert project_of(client)["video"]["frames"] == 4
        assert client.get("/api/frames/3").status_code == 200


def _told(sent):
    return ", ".join(f"{status}: {count}" for status, count in sorted(sent.items()))


def _fuzz(client, operation, most):
    """Send an operation's cases; how often each status was answered."""
    answered, began = Counter(), time.monotonic()
    modes = schemathesis.GenerationMode
    cases = st.one_of(operation.as_strategy(modes.POSITIVE), operation.as_strategy(modes.NEGATIVE))

    @settings(max_examples=most, suppress_health_check=list(HealthCheck), database=None)
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
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code >= 400:
            assert "\n" not in answer.json()["error"]
        answered[answer.status_code] += 1

    sends()
    name, took = f"{operation.method.upper()} {operation.path}", time.monotonic() - began
    count = answered.total()
    sys.stdout.write(f"{name:<36} {count:>6} cases {took:7.1f} s   {_told(answered)}\n")
    return answered
