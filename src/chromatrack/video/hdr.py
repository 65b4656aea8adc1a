"""HDR pictures (PQ and HLG) brought to what an SDR screen shows.

Read as if they were SDR, such pictures are grey and flat: their code values spread 1,000 to 10,000
nits over the range in which SDR has 100.
"""

from __future__ import annotations

from functools import cache

import numpy as np

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273 that mean HDR."""

NAMES = {PQ: "PQ", HLG: "HLG"}

PEAK_NITS = 1000.0
"""Brightest light that keeps a shade of its own: the usual grading peak, and HLG's nominal one."""

WHITE_NITS = 203.0
"""Light that becomes SDR white: HDR reference white (ITU-R BT.2408)."""

_BT2020 = 9
_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    dtype=np.float32,
)
"""Linear BT.2020 -> linear BT.709 (ITU-R BT.2087)."""
_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
_M1, _M2, _C1, _C2, _C3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128


def to_sdr(pixels: np.ndarray, *, transfer: int, primaries: int) -> np.ndarray:
    """HDR code values -> SDR code values (BT.709 primaries, gamma 2.4).

    Source: the tone curve (EETF) of ITU-R BT.2390 on the largest channel, so that hues stay; HLG's
    system gamma of 1.2 for a screen of 1,000 nits (BT.2100).

    Args:
        pixels: (H, W, 3) uint16 RGB, full range. transfer: PQ or HLG. primaries: of H.273.

    Returns:
        (H, W, 3) uint16 RGB, full range.
    """
    light = _light(transfer)[pixels]
    if transfer == HLG:
        luma = light @ _LUMA
        light *= PEAK_NITS * np.power(luma, 0.2, where=luma > 0, out=np.zeros_like(luma))[..., None]
    nits, gains = _gains()
    light *= np.interp(light.max(axis=2), nits, gains).astype(np.float32)[..., None]
    if primaries == _BT2020:
        light = light @ _TO_BT709.T
    shown = np.power(light.clip(0, 1), 1 / 2.4)
    return (shown * 65535 + 0.5).astype(np.uint16)


def pq_signal(nits: np.ndarray) -> np.ndarray:
    """Light in nits -> PQ signal, [0, 1] (SMPTE ST 2084)."""
    power = (np.asarray(nits, dtype=np.float64) / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def pq_nits(signal: np.ndarray) -> np.ndarray:
    """PQ signal, [0, 1] -> light in nits."""
    power = np.asarray(signal, dtype=np.float64) ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def _hlg_light(signal: np.ndarray) -> np.ndarray:
    """HLG signal, [0, 1] -> light of the scene, [0, 1] (BT.2100)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


@cache
def _light(transfer: int) -> np.ndarray:
    """(65536,) float32: light of every code value; nits for PQ, of the scene for HLG."""
    signal = np.arange(65536) / 65535
    return (pq_nits(signal) if transfer == PQ else _hlg_light(signal)).astype(np.float32)


@cache
def _gains() -> tuple[np.ndarray, np.ndarray]:
    """Nits (ascending) and what light of that many nits is multiplied by; white becomes 1."""
    nits = pq_nits(np.linspace(0, 1, 4096))
    top, white = pq_signal(np.array([PEAK_NITS, WHITE_NITS]))
    signal, most = np.minimum(pq_signal(nits) / top, 1), white / top
    knee = 1.5 * most - 0.5
    t = np.maximum(signal - knee, 0) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * most
    )
    shown = pq_nits(np.where(signal > knee, bent, signal) * top)
    return nits, np.divide(shown, nits, out=np.ones_like(nits), where=nits > 0) / WHITE_NITS
