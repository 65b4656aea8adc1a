"""Settings and fixtures that all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tensors are tiny: threads only cost
os.environ.setdefault("MKL_NUM_THREADS", "1")

import pytest
import torch
from hypothesis import settings
from torch import nn

from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import Encoder, build_encoder
from chromatrack.tracking import cores

if "PYTEST_XDIST_WORKER" in os.environ:  # also where the user asked for more
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as where a shell starts the tests aside
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("chromatrack", deadline=None)
settings.load_profile("chromatrack")

TINY = EncoderConfig(widths=(8, 16, 16), blocks=(1, 1, 1), embedding=16)
TINY_CLIPS = EncoderConfig(kind="vondrick2018", widths=(8, 8, 8), blocks=(1, 1, 1), embedding=8)


def randomize(encoder: Encoder) -> None:
    """Give an encoder lively weights, and batch norms statistics as if trained, in place."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)


def _tiny(config: EncoderConfig) -> Encoder:
    torch.manual_seed(0)
    encoder = build_encoder(config)
    randomize(encoder)
    return encoder.eval()


@pytest.fixture(scope="session", autouse=True)
def kept_code() -> Iterator[None]:
    """Commands here leave code in memory: to let it go is to read a list of all that is mapped, a
    tenth of a second in this process, at every command and every first frame after one.
    """

    def prepare() -> None:
        cores.leave_cores()
        cores.give_back_memory()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "prepare_process", prepare)
        yield


@pytest.fixture
def tiny_encoder() -> Encoder:
    """An untrained residual encoder of 15 k parameters, 16 channels, stride 8."""
    return _tiny(TINY)


@pytest.fixture
def tiny_clip_encoder() -> Encoder:
    """The paper's network with 8 channels everywhere: clips of 4 frames."""
    return _tiny(TINY_CLIPS)


# -- a browser and servers for tests/studio; here, because one conftest is imported by name


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
