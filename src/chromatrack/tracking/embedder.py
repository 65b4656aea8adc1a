"""Frames -> feature maps at the working size: what tracking, colouring and sessions take."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
from torch import Tensor

from chromatrack.errors import InputError
from chromatrack.model.batchnorm import adapt, fold_batch_norm
from chromatrack.model.encoder import (
    Encoder,
    MirroredEncoder,
    PlainEncoder,
    ResNetEncoder,
    normalize_lab,
)
from chromatrack.model.int8_encoder import int8_encoder
from chromatrack.model.mask_decoder import load_decoder
from chromatrack.model.placement import placed
from chromatrack.model.weights import decoder_path
from chromatrack.ops.color import rgb_to_lab
from chromatrack.ops.coords import FeatureSpec
from chromatrack.ops.resample import planes, resize
from chromatrack.propagation.mask_decoding import Decode
from chromatrack.tracking.config import Device, TrackConfig, choose_device


class FrameEmbedder:
    """An encoder at its stride and on its device, with the settings it is used with.

    spec: where the cells are. config: every setting, windows filled in for that stride. encoder,
    grey_encoder: to track and to colour with, not yet fitted to a clip (see `for_clip`). decode:
    what makes masks of copied labels; None: they are filtered along the image.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        grey_encoder: Encoder | None = None,
        device: Device = "auto",
        config: TrackConfig | None = None,
    ) -> None:
        """`grey_encoder`: the one to colour with, if it is not the one to track with.

        Raises:
            InputError: the device is not there, or the encoder cannot have the stride asked for.
            WeightsError: the decoder asked for cannot be read.
        """
        if not isinstance(getattr(encoder, "spec", None), FeatureSpec):
            raise InputError(
                "encoder: expected one of chromatrack.load_encoder, or a module with a FeatureSpec "
                f"as spec, got {type(encoder).__name__}; for other networks see "
                "evaluation.features.callables.CallableEncoder"
            )
        if config is not None and not isinstance(config, TrackConfig):
            raise InputError(f"config: expected a TrackConfig, got {type(config).__name__}")
        self.config = config or TrackConfig()
        self.device = choose_device(device)
        encoder = self._at_stride(encoder)
        self.spec: FeatureSpec = encoder.spec
        self.config = replace(
            self.config,
            propagate=self.config.propagate.at_stride(self.spec.stride),
            color=self.config.color.at_stride(self.spec.stride),
        )
        self.encoder = encoder.to(self.device).eval()
        self.decode = self._decoder()
        self.grey_encoder = self.encoder
        if grey_encoder is not None:
            self.grey_encoder = self._at_stride(grey_encoder).to(self.device).eval()

    def _at_stride(self, encoder: Encoder) -> Encoder:
        """The encoder at the stride asked for; by default the one that it is best used at."""
        own, stride = encoder.spec.stride, self.config.stride
        if isinstance(encoder, ResNetEncoder):
            stride = encoder.config.track_stride if stride is None else stride
            return encoder if stride == own else encoder.at_stride(stride)
        if stride not in (None, own):
            raise InputError(f"stride: this encoder has stride {own} only, got {stride}")
        return encoder

    def room(self, size: tuple[int, int]) -> dict[str, int]:
        """What a frame of (height, width) pixels takes: `pixels` as embedded, and the `stride`."""
        height, width = self.config.working_size(size)
        return {"pixels": height * width, "stride": self.spec.stride}

    def image(self, rgb: np.ndarray) -> Tensor:
        """`(H, W, 3)` uint8 -> `(3, H', W')` float32 in [0, 1] at the working size."""
        size = self.config.working_size((rgb.shape[0], rgb.shape[1]))
        if self.device.type != "cpu":
            return resize(planes(rgb).to(self.device).float().div_(255), size)
        return resize(planes(rgb), size).contiguous().float().div_(255)  # bytes take a third

    def lab(self, rgb: np.ndarray) -> Tensor:
        """`(H, W, 3)` uint8 -> Lab `(3, H', W')` at the working size."""
        return rgb_to_lab(self.image(rgb))

    def _decoder(self) -> Decode | None:
        """What makes masks of labels that were copied by our networks, if it is wanted."""
        if not isinstance(self.encoder, ResNetEncoder):
            return None
        wanted = self.config.decoder
        path = self.encoder.decoder if wanted == "auto" else decoder_path(wanted, "")
        return None if path is None else load_decoder(path).folded().to(self.device).decode

    def undecoded(self) -> FrameEmbedder:
        """The same without a mask decoder: for parts of surfaces, which end where no edge is."""
        twin = copy.copy(self)
        twin.decode, twin.config = None, replace(self.config, decoder="none")
        return twin

    def for_clip(self, lab: Tensor, *, grey: bool = False) -> Encoder:
        """The encoder as used for one clip: adapted to its first frame, made fast.

        Args:
            lab: `(3, H', W')` Lab of the clip's first frame at the working size.
            grey: the encoder to colour with, that sees L alone.
        """
        encoder = self.grey_encoder if grey else self.encoder
        image = normalize_lab(lab)
        if self.config.adapt > 0 and isinstance(encoder, ResNetEncoder):
            encoder = adapt(encoder, image, share=self.config.adapt, grey=grey)
        config = self.config.color if grey else self.config.propagate
        fast = placed(fold_batch_norm(encoder), self.device)
        if self.config.int8:
            seen = image.new_tensor([1.0, float(not grey), float(not grey)]).reshape(3, 1, 1)
            fast = int8_encoder(fast, (image * seen)[None])
        if config.similarity != "cosine":
            fast = PlainEncoder(fast)
        return MirroredEncoder(fast) if self.config.mirror and not grey else fast
