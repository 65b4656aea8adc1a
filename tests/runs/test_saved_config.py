"""Settings read back from result.json."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from chromatrack.errors import InputError
from chromatrack.runs.saved_config import LATER, saved_config
from chromatrack.tracking.config import TrackConfig


def test_runs_saved_before_a_setting_was_there_are_read_as_they_were_made():
    now = asdict(TrackConfig())
    assert saved_config({"config": now}, "result.json") == TrackConfig()
    then = {name: value for name, value in now.items() if name not in LATER}
    assert saved_config({"config": then}, "result.json") == TrackConfig(decoder="none", int8=False)


def test_a_setting_that_was_always_there_has_to_be():
    config = {name: value for name, value in asdict(TrackConfig()).items() if name != "adapt"}
    with pytest.raises(InputError, match="missing: adapt"):
        saved_config({"config": config}, "result.json")
