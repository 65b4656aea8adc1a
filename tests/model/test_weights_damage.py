"""Mutated weights files and checkpoints: a network that works, or one line; never anything else."""

from __future__ import annotations

import json
import os
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from chromatrack.errors import InputError, WeightsError
from chromatrack.evaluation.features.resnet import load_resnet
from chromatrack.model.config import EncoderConfig
from chromatrack.model.encoder import Encoder, build_encoder
from chromatrack.model.weights import load_checkpoint, load_encoder, read_header, save_encoder

CONFIG = EncoderConfig(widths=(8, 8, 16), blocks=(1, 1, 1), embedding=8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    save_encoder(path, build_encoder(CONFIG))
    return path


def header_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


STRANGE = [None, True, -1, 0, 10**12, 10**400, 1.5, float("nan"), 1e308, "x", [], {}, [[8]], "\0"]


def config_mutations() -> list[tuple[str, object]]:
    """Every entry of the configuration with strange values, and entries of lists too."""
    found: list[tuple[str, object]] = []
    for name, value in asdict(CONFIG).items():
        found += [(name, strange) for strange in STRANGE]
        if isinstance(value, tuple):
            found += [(name, [strange, *value[1:]]) for strange in STRANGE]
            found += [(name, [*value, value[-1]]), (name, [*value] * 1000)]
    return [*found, ("depth", 3), ("", None)]


def is_same(name: str, value: object) -> bool:
    """Whether the configuration stays what it was."""
    value = tuple(value) if isinstance(value, list) else value
    return name in asdict(CONFIG) and repr(value) == repr(asdict(CONFIG)[name])


@pytest.mark.parametrize("name", [b"m\xff.safetensors", "mäß 模型.safetensors".encode(), b"-m"])
def test_a_weights_file_may_have_any_name(whole: Path, tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(whole.read_bytes())
    found, expected = load_encoder(path).state_dict(), load_encoder(whole).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    assert read_header(path) == read_header(whole)


@pytest.mark.parametrize(
    "start", [b"", b"{", b"\0\0\0\x20ftypisom", b"\xff" * 8 + b"{", b"\x80\0\0\0\0\0\0\0{"]
)
def test_what_does_not_begin_as_weights_is_not_read_whole(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "long.safetensors"
    path.write_bytes(start)
    if len(start) > 8 and start[8:] != b"{":
        os.truncate(path, 1 << 40)
    with pytest.raises(WeightsError, match=r"long\.safetensors: expected a safetensors weights"):
        load_encoder(path)


@pytest.mark.parametrize(("name", "value"), config_mutations(), ids=lambda x: repr(x)[:24])
def test_configurations_are_as_strict_as_user_files(
    whole: Path, tmp_path: Path, name: str, value: object
) -> None:
    header, data = header_of(whole.read_bytes())
    config = json.loads(header["__metadata__"]["chromatrack"])
    header["__metadata__"]["chromatrack"] = json.dumps({**config, name: value})
    path = tmp_path / "m.safetensors"
    path.write_bytes(joined(header, data))
    if is_same(name, value) or (name == "raw_share" and value in (0, 0.0) and value is not None):
        load_encoder(path)
        return
    with pytest.raises(WeightsError, match=r"m\.safetensors: ") as raised:
        load_encoder(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, "{", '"small"', "NaN", "[]", "\0"])
def test_configurations_that_are_no_json_object_say_so(
    whole: Path, tmp_path: Path, text: str
) -> None:
    header, data = header_of(whole.read_bytes())
    header["__metadata__"]["chromatrack"] = text
    path = tmp_path / "m.safetensors"
    path.write_bytes(joined(header, data))
    with pytest.raises(WeightsError, match="expected a configuration") as raised:
        load_encoder(path)
    assert len(str(raised.value)) < 600


def filled(value: float) -> Callable[[dict[str, Tensor]], None]:
    def change(state: dict[str, Tensor]) -> None:
        next(x for x in state.values() if x.ndim == 4).flatten()[3] = value

    return change


def zeroed(state: dict[str, Tensor]) -> None:
    for value in state.values():
        value.zero_()


def negative(state: dict[str, Tensor]) -> None:
    next(x for name, x in state.items() if name.endswith("running_var"))[0] = -1


def enormous(state: dict[str, Tensor]) -> None:
    for name, value in state.items():
        if value.is_floating_point() and name.endswith("weight"):
            value.fill_(6e4)
            state[name] = value.double() * 1e300 if value.ndim == 1 else value


def as_bytes(state: dict[str, Tensor]) -> None:
    state["head.weight"] = state["head.weight"].to(torch.int8)


def transposed(state: dict[str, Tensor]) -> None:
    state["head.weight"] = state["head.weight"].transpose(0, 1).contiguous()


DAMAGE = {
    "NaN": (filled(float("nan")), "NaN or infinity in "),
    "infinity": (filled(float("inf")), "NaN or infinity in "),
    "variance": (negative, "variances of 0 or more"),
    "zero": (zeroed, "the same everywhere"),
    "enormous": (enormous, r"expected weights up to 1e\+06, got 6e\+304 in bn"),
    "bytes": (as_bytes, "floating-point weights"),
    "transposed": (transposed, "do not fit"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_tensors_are_checked(whole: Path, tmp_path: Path, kind: str) -> None:
    from safetensors.torch import load_file, save_file

    change, message = DAMAGE[kind]
    state = {name: x.clone() for name, x in load_file(whole).items()}
    change(state)
    path = tmp_path / "m.safetensors"
    save_file(state, path, metadata=read_header(whole))
    with pytest.raises(WeightsError, match=message):
        load_encoder(path)


def damaged(content: bytes, rng: np.random.Generator, *, head: int) -> bytes:
    data = bytearray(content)
    at = int(rng.integers(min(head, len(data))))
    match rng.integers(4):
        case 0:
            data[at] = int(rng.integers(256))
        case 1:
            del data[at:]
        case 2:
            del data[at : at + int(rng.integers(1, 30))]
        case _:
            data[at : at + 4] = b"9999"
    return bytes(data)


def works_or_says(load: Callable[[], Encoder]) -> bool:
    """Whether a network was loaded, which then gives finite features; else one line."""
    try:
        encoder = load()
    except InputError as error:
        assert isinstance(error, WeightsError) and "\n" not in str(error)
        return False
    with torch.inference_mode():
        assert bool(torch.isfinite(encoder(torch.rand(1, 3, 32, 32))).all())
    return True


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_of_weights_work_or_say_why(whole: Path, tmp_path: Path) -> None:
    content, rng = whole.read_bytes(), np.random.default_rng(0)
    path, refused = tmp_path / "m.safetensors", 0
    head = 8 + struct.unpack("<Q", content[:8])[0]
    for number in range(120):
        path.write_bytes(damaged(content, rng, head=head if number % 4 else len(content)))
        refused += not works_or_says(lambda: load_encoder(path))
    assert refused > 60


def checkpoint(path: Path, **more: object) -> Path:
    state = build_encoder("small").state_dict()
    torch.save({"step": 3, "config": json.dumps({"model": "small"}), "encoder": state} | more, path)
    return path


@pytest.mark.filterwarnings("ignore")
def test_mutated_checkpoints_say_why(tmp_path: Path) -> None:
    content, rng = checkpoint(tmp_path / "whole.pt").read_bytes(), np.random.default_rng(1)
    load_checkpoint(tmp_path / "whole.pt")
    path = tmp_path / "m.pt"
    for number in range(60):
        at_end = number % 2
        piece = content[::-1] if at_end else content
        changed = damaged(piece, rng, head=6000)
        path.write_bytes(changed[::-1] if at_end else changed)
        works_or_says(lambda: load_checkpoint(path))


def test_a_flipped_bit_in_a_checkpoint_is_found_by_its_check_sum(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pt")
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    data = bytearray(path.read_bytes())
    data[largest.header_offset + 2000] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="is damaged"):
        load_checkpoint(path)


NAN = {name: x * float("nan") for name, x in build_encoder("small").state_dict().items()}
REPEATED = {name: torch.zeros(1).expand(10**12) for name in NAN}
CONTENTS: dict[str, dict[str, object]] = {
    "NaN": {"encoder": NAN},
    "average NaN": {"average": NAN},
    "no mapping": {"encoder": [1, 2]},
    "no tensors": {"encoder": {"stem.weight": 3}},
    "numbers as names": {"encoder": {3: torch.zeros(3)}},
    "empty": {"encoder": {}},
    "huge": {"encoder": REPEATED},
    "other model": {"config": json.dumps({"model": "base"})},
    "model of no kind": {"config": json.dumps({"model": ["small"]})},
    "model unknown": {"config": json.dumps({"model": "large"})},
    "config no json": {"config": "{"},
    "config a list": {"config": "[]"},
    "config bytes": {"config": b"{}"},
    "step text": {"step": "3"},
    "step negative": {"step": -3},
    "step huge": {"step": 10**30},
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_a_checkpoint_holds_is_checked(tmp_path: Path, kind: str) -> None:
    with pytest.raises(WeightsError, match=r"c\.pt: expected a checkpoint") as raised:
        load_checkpoint(checkpoint(tmp_path / "c.pt", **CONTENTS[kind]))
    assert "\n" not in str(raised.value)


def resnet_weights() -> dict[str, Tensor]:
    """A ResNet of a few channels by torchvision's names."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {"conv1.weight": torch.randn(8, 3, 7, 7) / 12}
    norms = {"bn1": 8}
    for layer in (1, 2, 3):
        at = f"layer{layer}.0"
        for number in (1, 2):
            state[f"{at}.conv{number}.weight"] = torch.randn(8, 8, 3, 3) / 8
            norms[f"{at}.bn{number}"] = 8
        state[f"{at}.downsample.0.weight"] = torch.randn(8, 8, 1, 1) / 3
        norms[f"{at}.downsample.1"] = 8
    for name, count in norms.items():
        for part, value in zip(
            ("weight", "bias", "running_mean", "running_var"), (1, 0, 0, 1), strict=True
        ):
            state[f"{name}.{part}"] = torch.full((count,), float(value))
    return state


SHAPES = [(), (0,), (8,), (8, 8), (8, 0, 3, 3), (0, 8, 3, 3), (8, 8, 0, 0), (8, 7, 3, 3), (8,) * 5]


@pytest.mark.parametrize("name", ["conv1.weight", "layer2.0.conv2.weight", "bn1.running_var"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_public_networks_of_other_shapes_say_why(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    path = tmp_path / "r.pth"
    torch.save(resnet_weights(), path)
    load_resnet(path)
    if shape != (8,) or name != "bn1.running_var":
        torch.save({**resnet_weights(), name: torch.zeros(shape)}, path)
        with warnings.catch_warnings(), pytest.raises(WeightsError, match=r"r\.pth: expected"):
            warnings.simplefilter("ignore")
            load_resnet(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((8, 3, 7, 7), float("nan")), "NaN or infinity in conv1.weight"),
        (torch.zeros(1).expand(8, 10**12), "repeats a few numbers"),
        (torch.zeros(8, 3, 7, 7).to_sparse(), "floating-point weights"),
        (torch.zeros(8, 3, 7, 7, dtype=torch.complex64), "floating-point weights"),
    ],
)
def test_public_networks_of_other_numbers_say_why(
    tmp_path: Path, value: Tensor, message: str
) -> None:
    path = tmp_path / "r.pth"
    torch.save({**resnet_weights(), "conv1.weight": value}, path)
    with pytest.raises(WeightsError, match=message):
        load_resnet(path)


@pytest.mark.filterwarnings("ignore")
def test_mutated_public_checkpoints_work_or_say_why(tmp_path: Path) -> None:
    path, rng = tmp_path / "r.pth", np.random.default_rng(2)
    torch.save(resnet_weights(), path)
    content = path.read_bytes()
    for number in range(60):
        at_end = number % 2
        piece = content[::-1] if at_end else content
        changed = damaged(piece, rng, head=6000)
        path.write_bytes(changed[::-1] if at_end else changed)
        works_or_says(lambda: load_resnet(path))


@pytest.mark.parametrize("name", ["widths", "blocks"])
def test_configurations_in_python_are_checked_too(name: str) -> None:
    with pytest.raises(InputError, match=name):
        replace(CONFIG, **{name: (8, 8, "x")})
