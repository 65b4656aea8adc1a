"""What this installation is made of, and the known traps it may have fallen into."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from chromatrack import __version__

PACKAGES = ("numpy", "pillow", "safetensors", "rich", "tyro", "matplotlib")
OLDEST_TORCH = (2, 6)
PINNED = "pip install -c constraints.txt . installs the tested versions"

ENCODERS = {
    "libx264": "H.264 mp4, the default output",
    "aac": "sound that cannot be copied",
    "ffv1": "FFV1 output",
    "prores_ks": "ProRes output",
}
DECODERS = ("h264", "hevc", "vp9", "av1", "ffv1", "prores", "mpeg4", "mjpeg", "gif")
NEEDED = frozenset({"libx264", "h264"})
"""Codecs whose absence breaks the ordinary use; the others only cost a format."""


@dataclass
class Diagnosis:
    """What `diagnose` found.

    rows: (what, what was found), in reading order. warnings: traps, each with what to do.
    problems: what is broken and needed; `chromatrack doctor` then exits with 1.
    """

    rows: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def diagnose() -> Diagnosis:
    """Look at versions, torch build, device, FFmpeg codecs and shipped models; changes nothing."""
    found = Diagnosis()
    place = "installed" if _version("chromatrack") else "run from a folder, not installed"
    found.rows.append(("chromatrack", f"{__version__}, {place}"))
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    found.rows.append(("python", python))
    torch, av = _import("torch", found), _import("av", found)
    if torch is not None:
        _look_at_torch(torch, found)
    if av is not None:
        _look_at_ffmpeg(av, found)
    found.rows.extend((name, _version(name) or "missing") for name in PACKAGES)
    found.problems.extend(f"{n} is not installed; {PINNED}" for n in PACKAGES if not _version(n))
    found.rows.append(("numba", _version("numba") or "missing"))
    if not _version("numba"):
        found.warnings.append(f"numba is not installed: tracking on the CPU is slower; {PINNED}")
    _look_at_torchvision(found)
    if torch is not None and av is not None:
        _look_at_models(found)
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _import(name: str, found: Diagnosis) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        found.rows.append((name, "does not import"))
        found.problems.append(f"{name} does not import ({_one_line(error)}); {PINNED}")
        return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _look_at_torch(torch: ModuleType, found: Diagnosis) -> None:
    build = "CPU build"
    if torch.version.cuda:
        build = f"CUDA {torch.version.cuda} build"
    elif torch.version.hip:
        build = f"ROCm {torch.version.hip} build"
    found.rows.append(("torch", f"{torch.__version__}, {build}"))
    device = "mps" if torch.backends.mps.is_available() else "cpu"
    if torch.cuda.is_available():
        device = f"cuda ({torch.cuda.get_device_name(0)})"
    found.rows.append(("device", device))
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    found.rows.append(("threads", f"{threads}, {torch.backends.cpu.get_cpu_capability()}"))
    if (units := bfloat16_units()) is not None:
        text = "yes" if units else "no: slower than float32, which is what runs here on the CPU"
        found.rows.append(("bfloat16 units", text))
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if release < OLDEST_TORCH:
        found.problems.append(f"torch {torch.__version__} is older than 2.6; {PINNED}")
    if build != "CPU build" and device == "cpu":
        found.warnings.append(
            f"torch is a {build} (about 5 GB) but no such device was found: check the driver, or "
            "reinstall with constraints.txt, which resolves to a CPU build of 0.8 GB"
        )


def bfloat16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool | None:
    """Whether the CPU computes bfloat16 itself; None where the system does not say."""
    try:
        words = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        return None
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def _look_at_ffmpeg(av: ModuleType, found: Diagnosis) -> None:
    libraries = ", ".join(
        f"{name} {'.'.join(map(str, av.library_versions[name]))}"
        for name in ("libavcodec", "libavformat", "libswscale")
        if name in av.library_versions
    )
    found.rows.append(("av", f"{av.__version__}, {libraries}"))
    missing = {name: use for name, use in ENCODERS.items() if not _has_codec(av, name, "w")}
    found.rows.append(("encoders", _present(ENCODERS, missing)))
    unread = [name for name in DECODERS if not _has_codec(av, name, "r")]
    found.rows.append(("decoders", _present(DECODERS, unread)))
    for name, use in missing.items():
        kind = found.problems if name in NEEDED else found.warnings
        kind.append(f"FFmpeg has no encoder {name} ({use}); install the av wheel: {PINNED}")
    for name in unread:
        kind = found.problems if name in NEEDED else found.warnings
        kind.append(f"FFmpeg cannot read {name}; install the av wheel: {PINNED}")
    if "libx264" not in missing:
        found.rows.append(("licence", "this FFmpeg carries x264 (GPL); see NOTICE"))
    if sys.version_info < (3, 12):
        note = "PyAV 19 and later need Python 3.12; av stays below 19 here"
        found.rows.append(("note", note))


def _has_codec(av: ModuleType, name: str, mode: str) -> bool:
    try:
        av.Codec(name, mode)
    except ValueError:
        return False
    return True


def _present(names: dict[str, str] | tuple[str, ...], missing: dict[str, str] | list[str]) -> str:
    return ", ".join(f"{name} MISSING" if name in missing else name for name in names)


def _look_at_torchvision(found: Diagnosis) -> None:
    """torchvision is not needed, but a build for another torch breaks whatever imports it."""
    if find_spec("torchvision") is None or find_spec("torch") is None:
        return
    try:
        importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        found.warnings.append(
            f"torchvision does not fit this torch ({_one_line(error)}); Chromatrack does not use "
            "it, but other packages may try to: uninstall it, or install the build for your torch"
        )


def _look_at_models(found: Diagnosis) -> None:
    from chromatrack.errors import WeightsError
    from chromatrack.model.weights import load_encoder, model_path, shipped_models
    from chromatrack.runs.writer import file_sha256

    names = shipped_models()
    if not names:
        found.problems.append("no trained model is shipped in this installation; reinstall it")
    for name in names:
        path = model_path(name)
        text = f"{path.stat().st_size / 1e6:.1f} MB, sha256 {file_sha256(path)[:12]}"
        try:
            encoder = load_encoder(name)
            count = sum(parameter.numel() for parameter in encoder.parameters())
            text += f", {count / 1e6:.2f} M parameters, loads"
        except WeightsError as error:
            text += ", DOES NOT LOAD"
            found.problems.append(f"model {name}: {_one_line(error)}; reinstall chromatrack")
        found.rows.append((f"model {name}", text))
