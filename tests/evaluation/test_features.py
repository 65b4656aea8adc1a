"""Features of any kind as encoders: public ResNets, transformers, ONNX files, functions, ours."""

from __future__ import annotations

import argparse
import json
import pickle
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from synthetic import moving_clip, write_clip
from torch import nn

from chromatrack.errors import InputError, WeightsError
from chromatrack.evaluation.baselines.identity import IdentityTracker
from chromatrack.evaluation.features.callables import CallableEncoder, find_spec
from chromatrack.evaluation.features.registry import load_extractor, load_measured
from chromatrack.evaluation.features.resnet import DEVIATION, MEAN, load_resnet
from chromatrack.evaluation.protocols import protocol
from chromatrack.model.encoder import Encoder
from chromatrack.model.weights import save_encoder
from chromatrack.tracking.config import TrackConfig

SIZE = (72, 104)
IMAGE = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(1))


def state_of(*, deep=False, width=4, seed=0) -> dict[str, torch.Tensor]:
    """A small ResNet's weights by torchvision's names: basic blocks, or bottlenecks."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, norm: str, outputs: int, inputs: int, size: int) -> None:
        kernel = torch.randn(outputs, inputs, size, size, generator=generator)
        state[f"{name}.weight"] = kernel / (inputs * size * size) ** 0.5
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = torch.rand(outputs, generator=generator) + 0.1

    conv("conv1", "bn1", width, 3, 7)
    inputs = width
    for layer in range(1, 5):
        inner = width * 2 ** (layer - 1)
        outputs = inner * (4 if deep else 1)
        for block in range(2):
            at = f"layer{layer}.{block}"
            shapes = [(inner, inputs, 3), (inner, inner, 3)]
            if deep:
                shapes = [(inner, inputs, 1), (inner, inner, 3), (outputs, inner, 1)]
            for number, shape in enumerate(shapes, start=1):
                conv(f"{at}.conv{number}", f"{at}.bn{number}", *shape)
            if inputs != outputs or (layer > 1 and block == 0):
                conv(f"{at}.downsample.0", f"{at}.downsample.1", outputs, inputs, 1)
            inputs = outputs
    return {**state, "fc.weight": torch.zeros(10, inputs), "fc.bias": torch.zeros(10)}


def plain_forward(state: dict[str, torch.Tensor], rgb: torch.Tensor, *, layer=3) -> torch.Tensor:
    """The same network written down by hand: layers 3 and 4 without their stride."""

    def norm(x, name):
        stored = [state[f"{name}.{part}"] for part in ("running_mean", "running_var")]
        return F.batch_norm(x, *stored, state[f"{name}.weight"], state[f"{name}.bias"])

    mean, deviation = (torch.tensor(x).reshape(3, 1, 1) for x in (MEAN, DEVIATION))
    x = F.conv2d((rgb - mean) / deviation, state["conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(norm(x, "bn1").relu(), 3, 2, 1)
    for number in range(1, layer + 1):
        for block in range(2):
            at, stride = f"layer{number}.{block}", 2 if (number, block) == (2, 0) else 1
            deep = f"{at}.conv3.weight" in state
            y = x
            for k in (1, 2, 3) if deep else (1, 2):
                kernel = state[f"{at}.conv{k}.weight"]
                here = stride if k == (2 if deep else 1) else 1
                y = F.conv2d(y, kernel, stride=here, padding=kernel.shape[-1] // 2)
                y = norm(y, f"{at}.bn{k}")
                y = y.relu() if k < (3 if deep else 2) else y
            if f"{at}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride)
                x = norm(x, f"{at}.downsample.1")
            x = (x + y).relu()
    return x


def mmcv(name: str) -> str:
    """A weight's name in mmcv's terms."""
    for number in (1, 2, 3):
        name = name.replace(f"bn{number}.", f"conv{number}.bn.")
        if "bn" not in name:
            name = name.replace(f"conv{number}.weight", f"conv{number}.conv.weight")
    return name.replace("downsample.0.", "downsample.conv.").replace(
        "downsample.1.", "downsample.bn."
    )


LAYOUTS = {
    "torchvision": lambda s: s,
    "moco": lambda s: {
        "state_dict": {
            f"module.encoder_{k}.{n}": x + (k == "k") for k in "kq" for n, x in s.items()
        }
    },
    "vfs": lambda s: {
        "meta": {"epoch": 1},
        "state_dict": {f"backbone.{mmcv(n)}": x for n, x in s.items() if "fc" not in n}
        | {"img_head.fc.weight": torch.zeros(2, 2)},
    },
    "simsiam": lambda s: {"state_dict": {f"module.encoder.{n}": x for n, x in s.items()}},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("deep", [False, True])
def test_public_resnets_give_what_the_definition_gives(layout, deep, tmp_path):
    state = state_of(deep=deep)
    torch.save(LAYOUTS[layout](state), tmp_path / "weights.pth")
    encoder = load_extractor(f"resnet:{tmp_path / 'weights.pth'}")
    with torch.no_grad():
        features, unit = encoder.plain(IMAGE), encoder(IMAGE)
    torch.testing.assert_close(features, plain_forward(state, IMAGE), atol=1e-4, rtol=1e-4)
    assert features.shape == (1, encoder.spec.channels, 7, 9)
    assert (encoder.spec.stride, encoder.spec.offset) == (8, 0.0)
    torch.testing.assert_close(unit, F.normalize(features, dim=1))


def test_crw_networks_reflect_their_borders_and_keep_options_beside(tmp_path):
    state = state_of()
    model = {f"encoder.model.{n}": x for n, x in state.items() if "fc" not in n}
    renamed = {n.replace("conv1.weight", "conv1.1.weight"): x for n, x in model.items()}
    for weights in (model, renamed):
        weights = {**weights, "selfsim_fc.0.weight": torch.zeros(2, 2)}
        path = tmp_path / "pretrained.pth"
        torch.save({"model": weights, "args": argparse.Namespace(temp=0.05)}, path)
        encoder = load_resnet(path)
        with torch.no_grad():
            features, zeros = encoder.plain(IMAGE), plain_forward(state, IMAGE)
        assert not torch.allclose(features, zeros, atol=1e-4)
        far = torch.rand(1, 3, 480, 480)
        with torch.no_grad():
            inner = encoder.plain(far)[..., 25:35, 25:35]
        expected = plain_forward(state, far)[..., 25:35, 25:35]
        torch.testing.assert_close(inner, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [1, 2, 4])
def test_other_layers_are_read_on_request(layer, tmp_path):
    state = state_of()
    save_file(state, tmp_path / "weights.safetensors")
    encoder = load_extractor(f"resnet:{tmp_path / 'weights.safetensors'}", layer=layer)
    with torch.no_grad():
        expected = plain_forward(state, IMAGE, layer=layer)
        torch.testing.assert_close(encoder.plain(IMAGE), expected, atol=1e-4, rtol=1e-4)
    assert encoder.spec.stride == (4 if layer == 1 else 8)


def changed(**more) -> dict[str, torch.Tensor]:
    return {name: x for name, x in {**state_of(), **more}.items() if x is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(**{"layer3.1.bn2.bias": None}), r"missing: layer3\.1\.bn2\.bias$"),
        (changed(**{"layer2.0.se.weight": torch.zeros(1)}), r"unknown: layer2\.0\.se\.weight$"),
        (changed(**{"bn1.bias": torch.zeros(9)}), r"of another shape: bn1\.bias$"),
        ({n: x for n, x in state_of().items() if "layer3" not in n}, "missing: layer3$"),
        ({"a": torch.zeros(1)}, "expected a ResNet by torchvision's names .*, got a$"),
        ({}, "got no tensors"),
    ],
)
def test_weights_that_do_not_fit_are_named(state, message, tmp_path):
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=message):
        load_resnet(tmp_path / "weights.pth")


class Trap:
    """Would run code when unpickled."""

    def __reduce__(self):
        return (sys.exit, (3,))


def test_files_that_would_run_code_are_refused(tmp_path):
    torch.save({"state_dict": state_of(), "extra": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match="would run code"):
        load_resnet(tmp_path / "trap.pth")
    (tmp_path / "noise.pth").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    for name in ("noise.pth", "empty.pth", "no.safetensors", "none.pth"):
        with pytest.raises(WeightsError, match=name):
            load_resnet(tmp_path / name)
    with pytest.raises(InputError, match="1 to 4, got 5"):
        load_resnet(tmp_path / "trap.pth", layer=5)


# -- transformers --------------------------------------------------------------------------


def tiny_vit(kind: str, folder) -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="needs the extra `vit`")
    knobs = {
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 16,
        "intermediate_size": 48, "image_size": 64,
    }  # fmt: skip
    kinds = {
        "vit": (transformers.ViTConfig, transformers.ViTModel, {}),
        "dinov2": (transformers.Dinov2Config, transformers.Dinov2Model, {"patch_size": 14}),
        "dinov3": (
            transformers.DINOv3ViTConfig, transformers.DINOv3ViTModel, {"num_register_tokens": 4}
        ),
    }  # fmt: skip
    config, model, more = kinds[kind]
    torch.manual_seed(0)
    network = model(config(**(knobs | more))).eval()
    network.save_pretrained(folder)
    return network


@pytest.mark.parametrize(("kind", "patch"), [("vit", 16), ("dinov2", 14), ("dinov3", 16)])
def test_patch_tokens_of_transformers_are_the_feature_map(kind, patch, tmp_path):
    network = tiny_vit(kind, tmp_path)
    encoder = load_extractor(f"vit:{tmp_path}")
    assert (encoder.spec.channels, encoder.spec.stride) == (24, patch)
    assert encoder.spec.offset == (patch - 1) / 2
    image = torch.rand(2, 3, 4 * patch, 6 * patch)
    mean, deviation = (torch.tensor(x).reshape(3, 1, 1) for x in (MEAN, DEVIATION))
    more = {"interpolate_pos_encoding": True} if kind == "vit" else {}
    with torch.no_grad():
        tokens = network((image - mean) / deviation, **more).last_hidden_state
        features = encoder.plain(image)
        cut = encoder(image[..., : 4 * patch - 3, : 5 * patch + 1])
        early = load_extractor(f"vit:{tmp_path}", layer=1).plain(image)
    last = tokens[:, -24:]  # patches come last, row by row
    torch.testing.assert_close(features[:, :, 2, 3], last[:, 2 * 6 + 3])
    assert cut.shape == (2, 24, 4, 6)
    torch.testing.assert_close(cut.norm(dim=1), torch.ones(2, 4, 6))
    assert early.shape == features.shape and not torch.allclose(early, features)


def test_transformers_that_cannot_be_used(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers", reason="needs the extra `vit`")
    with pytest.raises(WeightsError, match="expected a folder with config"):
        load_extractor(f"vit:{tmp_path}")
    transformers.BertModel(
        transformers.BertConfig(
            vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
            intermediate_size=8,
        )
    ).save_pretrained(tmp_path / "bert")  # fmt: skip
    with pytest.raises(InputError, match="got bert"):
        load_extractor(f"vit:{tmp_path / 'bert'}")
    tiny_vit("vit", tmp_path / "vit")
    with pytest.raises(InputError, match="1 to 2, got 3"):
        load_extractor(f"vit:{tmp_path / 'vit'}", layer=3)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"chromatrack\[vit\]"):
        load_extractor("vit:anything")


# -- ONNX ----------------------------------------------------------------------------------


def write_onnx(path, *, side: int | None = None, stride: int = 8) -> torch.Tensor:
    """A file with one strided convolution; returns its kernel."""
    onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
    pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
    helper, kinds = onnx.helper, onnx.TensorProto
    kernel = torch.randn(5, 3, stride, stride, generator=torch.Generator().manual_seed(0))
    node = helper.make_node("Conv", ["image", "kernel"], ["map"], strides=[stride, stride])
    shape = [1, 3, side or "height", side or "width"]
    graph = helper.make_graph(
        [node],
        "features",
        [helper.make_tensor_value_info("image", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info("map", kinds.FLOAT, None)],
        [helper.make_tensor("kernel", kinds.FLOAT, kernel.shape, kernel.flatten().tolist())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return kernel


def test_an_onnx_file_is_run_and_its_stride_found(tmp_path):
    kernel = write_onnx(tmp_path / "net.onnx")
    encoder = load_extractor(tmp_path / "net.onnx")
    assert (encoder.spec.channels, encoder.spec.stride, encoder.spec.offset) == (5, 8, 3.5)
    assert load_extractor(tmp_path / "net.onnx", offset=0.0).spec.offset == 0
    image = torch.rand(2, 3, 30, 40)
    expected = F.conv2d(F.pad(image, (0, 0, 0, 2), mode="replicate"), kernel, stride=8)
    torch.testing.assert_close(encoder.plain(image), expected, atol=1e-4, rtol=1e-4)
    again = pickle.loads(pickle.dumps(encoder))
    torch.testing.assert_close(again(image), encoder(image))


def test_onnx_files_that_cannot_be_used(tmp_path):
    write_onnx(tmp_path / "fixed.onnx", side=64)
    encoder = load_extractor(tmp_path / "fixed.onnx")
    assert encoder.spec.stride == 8 and encoder(torch.rand(1, 3, 64, 64)).shape[-2:] == (8, 8)
    with pytest.raises(InputError, match="--size 64 --square True"):
        encoder(torch.rand(1, 3, 64, 80))
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    for name in ("bad.onnx", "none.onnx"):
        with pytest.raises(WeightsError, match=name):
            load_extractor(tmp_path / name)


# -- functions and networks ----------------------------------------------------------------


class Blocks(nn.Module):
    """Mean colours of blocks, and their opposites."""

    def __init__(self, stride: int = 8) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        mean = F.avg_pool2d(image, self.stride)
        return torch.cat([mean, 1 - mean], 1)


def blocks(image: torch.Tensor) -> torch.Tensor:
    return Blocks(4)(image)


@pytest.mark.parametrize("stride", [4, 8, 14, 16])
def test_a_network_or_function_is_an_encoder(stride):
    encoder = CallableEncoder(Blocks(stride))
    assert (encoder.spec.channels, encoder.spec.stride) == (6, stride)
    assert encoder.spec.offset == (stride - 1) / 2
    features = encoder(IMAGE)
    assert features.shape == (1, 6, -(-50 // stride), -(-70 // stride))
    torch.testing.assert_close(features.norm(dim=1), torch.ones_like(features[:, 0]))
    function = CallableEncoder(blocks, offset=0.0)
    assert function.spec.stride == 4 and function.spec.offset == 0
    again = pickle.loads(pickle.dumps(function))
    torch.testing.assert_close(again(IMAGE), function(IMAGE))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: [x], "got list"),
        (lambda x: x.mean((2, 3)), r"got \(1, 3\)"),
        (lambda x: F.adaptive_avg_pool2d(x, 7), "whole number of pixels per cell"),
        (lambda x: x[..., ::2, ::4], "same in height and width"),
        (lambda x: F.avg_pool2d(x, 9), "whole number of pixels per cell"),
    ],
)
def test_what_gives_no_feature_map_is_refused(function, message):
    with pytest.raises(InputError, match=message):
        load_measured(function, config=protocol("crw"))


def test_cells_that_go_missing_are_refused():
    narrow = CallableEncoder(lambda x: F.avg_pool2d(x, 16, 8), name="narrow")  # no padding
    with pytest.raises(InputError, match=r"narrow: expected 3 x 7 x 9 .* got 3 x 6 x 8"):
        narrow(IMAGE)
    assert find_spec(blocks, name="blocks", side=64).stride == 4


def test_a_callable_is_named_by_module_and_function(tmp_path, monkeypatch):
    (tmp_path / "their_features.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def forward(self, x):\n        return torch.nn.functional.avg_pool2d(x, 8)\n"
        "def coarse(x):\n    return torch.nn.functional.avg_pool2d(x, 16)\nVALUE = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_extractor("callable:their_features:Net").spec.stride == 8
    assert load_extractor("callable:their_features:coarse").spec.stride == 16
    for name, message in (
        ("their_features", "no function's name"),
        ("their_features:none", "cannot be imported"),
        ("no_such_module_here:f", "cannot be imported"),
        ("their_features:VALUE", "got int"),
    ):
        with pytest.raises(InputError, match=message):
            load_extractor(f"callable:{name}")


# -- our own, the floors, and all of them through a tracker ----------------------------------


def test_our_own_models_checkpoints_and_floors(tmp_path, tiny_encoder):
    from chromatrack.evaluation.features.registry import build_encoder
    from chromatrack.training import checkpoint
    from chromatrack.training.config import TrainConfig, to_json

    save_encoder(tmp_path / "mine.safetensors", tiny_encoder)
    assert load_extractor(tmp_path / "mine.safetensors").spec == tiny_encoder.spec
    torch.manual_seed(3)
    network = build_encoder("small")
    content = {"encoder": network.state_dict(), "average": None, "step": 1}
    checkpoint.write(tmp_path / "best.pt", content | {"config": to_json(TrainConfig())})
    again = load_extractor(tmp_path / "best.pt").state_dict()
    assert all(torch.equal(x, again[name]) for name, x in network.state_dict().items())
    torch.save(state_of(), tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match="name public ResNet checkpoints resnet:"):
        load_extractor(tmp_path / "resnet.pth")
    one, other = load_extractor("random").state_dict(), load_extractor("random").state_dict()
    assert all(torch.equal(x, other[name]) for name, x in one.items())
    assert load_extractor("raw-lab").spec.channels == 75
    assert isinstance(load_measured("identity", config=protocol("crw")), IdentityTracker)
    for options in ({"layer": 2}, {"offset": 0.0}):
        with pytest.raises(InputError, match="expected a model"):
            load_measured("small", config=protocol("crw"), **options)
    with pytest.raises(InputError, match="got int"):
        load_measured(3, config=protocol("crw"))  # pyright: ignore[reportArgumentType]


def test_every_family_runs_through_the_tracker(tmp_path):
    film = moving_clip(frames=4, size=SIZE, radius=14)
    clip = write_clip(tmp_path / "clip.mkv", film)
    torch.save(state_of(), tmp_path / "weights.pth")
    models: list[Encoder | str] = [f"resnet:{tmp_path / 'weights.pth'}", CallableEncoder(Blocks())]
    for model in models:
        for name in ("crw", "mast", "ours"):
            config = protocol(name, size=SIZE[0])
            tracker = load_measured(model, config=config, device="cpu")
            assert not isinstance(tracker, IdentityTracker)
            frames = list(tracker.track(clip, masks=film[0].mask))
            assert len(frames) == 4 and frames[3].mask.shape == SIZE


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nope.pt", "nope.pt: expected a checkpoint of chromatrack train; nothing is there"),
        ("vit:nope", "vit:nope: expected a folder with config.json and weights, or an id OWNER/N"),
        ("resnet/nope:x", "model 'resnet/nope:x': expected a shipped model (single-image, s"),
        ("nope", "model 'nope': expected a shipped model (single-image, small), the path of"),
    ],
)
def test_models_that_are_nowhere_are_named_once(name: str, said: str) -> None:
    if name.startswith("vit:"):
        pytest.importorskip("transformers")
    with pytest.raises(InputError) as caught:
        load_measured(name, config=TrackConfig())
    assert str(caught.value).startswith(said)
    assert str(caught.value).count("expected") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("hidden_size", value) for value in ("x", -1, 48, None, [])],
        *[("patch_size", value) for value in (0, -1, 8, 1.5, {})],
        *[("num_hidden_layers", value) for value in (0, 3, "x")],
        *[("model_type", value) for value in ("", 3, "bert", None)],
    ],
)
def test_folders_whose_configuration_is_wrong_say_so(tmp_path, name, value):
    tiny_vit("vit", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, name: value}))
    with pytest.raises(InputError) as caught:
        load_extractor(f"vit:{tmp_path}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{", '{"image_mean": 3}', '{"image_std": [0, 1, 1]}'])
def test_a_preprocessor_that_is_wrong_says_so(tmp_path, text):
    tiny_vit("vit", tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"preprocessor_config\.json: expected"):
        load_extractor(f"vit:{tmp_path}")


def test_mutated_onnx_files_work_or_say_why(tmp_path):
    write_onnx(tmp_path / "net.onnx")
    content, rng = (tmp_path / "net.onnx").read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        data = bytearray(content)
        data[rng.integers(len(data))] = rng.integers(256)
        (tmp_path / "net.onnx").write_bytes(data[: rng.integers(len(data) // 2, 2 * len(data))])
        try:
            load_extractor(tmp_path / "net.onnx")(torch.rand(1, 3, 64, 64))
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused
