"""Writing: exact times, sound, odd sizes, colours, and what is left behind when it goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_clips import pictures, sound_packets, write_clip

from chromatrack.errors import DamagedVideoError, InputError, OutputError
from chromatrack.video.reader import (
    ImageSequenceWriter,
    VideoWriter,
    open_writer,
    probe,
    read_frames,
)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def smooth(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 colour gradients."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    parts = [rng.uniform(0, 1) * x + rng.uniform(0, 1) * y for _ in range(3)]
    return (np.stack(parts, -1) * 127 + 20).round().astype(np.uint8)


def write(path: Path, frames: list[np.ndarray], *, times: list[float] | None = None, **options):
    with VideoWriter(path, **options) as writer:
        for i, rgb in enumerate(frames):
            writer.write(rgb, pts_seconds=None if times is None else times[i])
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.m4v", "a.mov"])
def test_colors_come_back_within_two_levels(tmp_path, name):
    rgb = smooth((90, 160))
    (frame,) = read_frames(write(tmp_path / name, [rgb], crf=1))
    assert np.abs(frame.rgb.astype(int) - rgb).max() <= 3
    assert np.abs(frame.rgb.astype(int) - rgb).mean() <= 1


def test_written_files_name_their_matrix(tmp_path):
    import av

    with av.open(str(write(tmp_path / "a.mp4", [smooth((32, 32))]))) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == 1
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
@pytest.mark.parametrize("size", [(48, 64), (33, 47), (1, 1)])
def test_ffv1_is_lossless(tmp_path, name, size):
    frames = pictures(5, size=size)
    read = [f.rgb for f in read_frames(write(tmp_path / name, frames))]
    assert len(read) == 5
    assert all(np.array_equal(a, b) for a, b in zip(read, frames, strict=True))


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("a.mp4", None, "h264"),
        ("a.mkv", None, "ffv1"),
        ("a.mov", None, "prores"),
        ("a.mkv", "h264", "h264"),
        ("a.MOV", "h264", "h264"),
    ],
)
def test_codec_follows_the_suffix_unless_asked(tmp_path, name, codec, expected):
    assert probe(write(tmp_path / name, pictures(3), codec=codec)).codec == expected


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("size", [(33, 47), (32, 47), (33, 48), (1, 1)])
def test_odd_sizes_are_padded_by_the_edge(tmp_path, name, size):
    height, width = size
    rgb = smooth(size)
    writer = VideoWriter(tmp_path / name, crf=1)
    writer.write(rgb)
    writer.close()
    assert writer.padding == (height % 2, width % 2)
    (frame,) = read_frames(tmp_path / name)
    assert frame.rgb.shape[:2] == (height + height % 2, width + width % 2)
    padded = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    assert np.abs(frame.rgb.astype(int) - padded).max() <= 4


VFR = [0.0, 0.04, 0.05, 0.3, 0.7007, 0.7017, 2.5, 2.5 + 1001 / 30000]


@pytest.mark.parametrize(
    ("name", "codec", "error"),
    [("a.mp4", None, 1e-6), ("a.mov", None, 1e-6), ("a.mkv", None, 6e-4)],
)
def test_variable_times_are_kept(tmp_path, name, codec, error):
    write(tmp_path / name, pictures(8), times=VFR, codec=codec)
    assert [f.pts_seconds for f in read_frames(tmp_path / name)] == pytest.approx(VFR, abs=error)


@pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1001, 24000), Fraction(1, 12800)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_a_copy_has_the_times_of_its_source(tmp_path, base, name):
    ticks = [0, 3, 5, 70, 71, 90, 200, 333, 334, 335, 336]
    source = write_clip(tmp_path / "s.mp4", pictures(11), ticks=ticks, time_base=base)
    with VideoWriter(tmp_path / name) as writer:
        for frame in read_frames(source):
            writer.write(frame.rgb, pts_seconds=frame.pts_seconds)
    copied = [f.pts_seconds for f in read_frames(tmp_path / name)]
    assert copied == pytest.approx([float(t * base) for t in ticks], abs=1e-9)


@settings(deadline=None, max_examples=10, suppress_health_check=list(HealthCheck))
@given(st.lists(st.integers(1, 90000), min_size=1, max_size=40))
def test_any_increasing_times_survive(tmp_path, steps):
    times = [float(t) / 90000 for t in np.cumsum([0, *steps])]
    write(tmp_path / "t.mp4", pictures(len(times), size=(16, 16)), times=times)
    read = [f.pts_seconds for f in read_frames(tmp_path / "t.mp4")]
    assert read == pytest.approx(times, abs=1e-6)


def test_the_first_frame_is_at_zero_and_times_never_repeat(tmp_path):
    write(tmp_path / "z.mp4", pictures(4), times=[7.0, 7.5, 7.5, 7.4])
    times = [f.pts_seconds for f in read_frames(tmp_path / "z.mp4")]
    assert times[:2] == [0.0, 0.5] and len(times) == 4
    assert min(np.diff(times)) > 0


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_the_last_duration_is_kept(tmp_path, name):
    with VideoWriter(tmp_path / name) as writer:
        for i, rgb in enumerate(pictures(5)):
            writer.write(rgb, pts_seconds=i / 10, duration_seconds=0.7 if i == 4 else 0.1)
    assert probe(tmp_path / name).duration_seconds == pytest.approx(0.4 + 0.7, abs=0.002)
    write(tmp_path / name, pictures(5), times=[0, 0.1, 0.2, 0.3, 0.55])
    assert probe(tmp_path / name).duration_seconds == pytest.approx(0.55 + 0.25, abs=0.002)


def test_fps_without_times(tmp_path):
    write(tmp_path / "f.mp4", pictures(6), fps=30000 / 1001)
    times = [f.pts_seconds for f in read_frames(tmp_path / "f.mp4")]
    assert times == pytest.approx([i * 1001 / 30000 for i in range(6)], abs=1e-6)


# -- sound ---------------------------------------------------------------------------------


def copy(source: Path, target: Path, *, start: int = 0, end: int | None = None) -> Path:
    with VideoWriter(target, audio_from=source) as writer:
        for frame in read_frames(source, start=start, end=end):
            writer.write(
                frame.rgb, pts_seconds=frame.pts_seconds, duration_seconds=frame.duration_seconds
            )
    return target


@pytest.mark.parametrize(("tone", "suffix"), [("aac", ".mp4"), ("aac", ".mkv"), ("flac", ".mkv")])
def test_sound_is_copied_bit_by_bit(tmp_path, tone, suffix):
    source = write_clip(tmp_path / f"s{suffix}", pictures(48), tone=tone, tone_seconds=2)
    target = copy(source, tmp_path / f"t{suffix}")
    before, after = sound_packets(source), sound_packets(target)
    before = [p for p in before if p[0] >= 0 or suffix == ".mp4"]
    assert [content for _, content in after] == [content for _, content in before]
    assert [t for t, _ in after] == pytest.approx([t for t, _ in before], abs=1e-3)
    assert [f.pts_seconds for f in read_frames(target)] == pytest.approx(
        [f.pts_seconds for f in read_frames(source)], abs=1e-3
    )


def test_sound_of_a_part_is_shifted_with_it(tmp_path):
    source = write_clip(tmp_path / "s.mp4", pictures(72), tone="aac", tone_seconds=3)
    target = copy(source, tmp_path / "t.mp4", start=24, end=48)
    before, after = dict(map(reversed, sound_packets(source))), sound_packets(target)
    assert len(after) == pytest.approx(44100 / 1024, abs=2)
    assert all(
        seconds == pytest.approx(before[content] - 1, abs=1e-3) for seconds, content in after
    )
    assert next(read_frames(target)).pts_seconds == 0


def test_times_that_a_container_rounded_are_those_of_the_rate_again(tmp_path):
    step = Fraction(1001, 24000)
    rounded = [round(1.0 + float(i * step), 3) for i in range(48)]
    with VideoWriter(tmp_path / "t.mov", fps=24000 / 1001) as writer:
        for rgb, seconds in zip(pictures(48), rounded, strict=True):
            writer.write(rgb, pts_seconds=seconds, duration_seconds=round(float(step), 3))
    with av.open(str(tmp_path / "t.mov")) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        times = [p.pts * stream.time_base for p in container.demux(stream) if p.pts is not None]
        assert times == [i * step for i in range(48)]
        assert stream.average_rate == 1 / step


@pytest.mark.parametrize("fps", [None, 27.3])
def test_other_times_stay_as_they_are(tmp_path, fps):
    shown = [0.0, 0.033, 0.1, 0.133, 0.2]  # some are left out: no rate has these
    with VideoWriter(tmp_path / "t.mov", fps=fps) as writer:
        for rgb, seconds in zip(pictures(5), shown, strict=True):
            writer.write(rgb, pts_seconds=seconds)
    assert [f.pts_seconds for f in read_frames(tmp_path / "t.mov")] == pytest.approx(shown)


@pytest.mark.parametrize(
    ("tone", "kept"), [("flac", "pcm_s16le"), ("pcm_s16be", "pcm_s16be"), ("wavpack", "pcm_s16le")]
)
def test_sound_without_loss_stays_so_in_mov(tmp_path, tone, kept):
    source = write_clip(tmp_path / "s.mkv", pictures(48), tone=tone, tone_seconds=2)
    target = copy(source, tmp_path / "t.mov")
    sounds = []
    for path in (source, target):
        with av.open(str(path)) as container:
            name = container.streams.audio[0].codec_context.name
            raw = [f.to_ndarray().ravel() for f in container.decode(audio=0)]
            sounds.append(np.concatenate(raw).astype(np.int64))
    assert name == kept
    before, after = sounds
    np.testing.assert_array_equal(after, before[: len(after)])
    assert len(after) == pytest.approx(2 * 44100, abs=3000)


def test_of_several_sound_tracks_it_is_said_that_one_goes_along(tmp_path):
    source = write_clip(tmp_path / "s.mkv", pictures(8), tone="flac")
    with av.open(str(source)) as given, av.open(str(tmp_path / "two.mkv"), "w") as out:
        tracks = [given.streams.video[0], *given.streams.audio * 2]
        targets = [out.add_stream_from_template(track) for track in tracks]
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = targets[0]
                out.mux(packet)
        for target in targets[1:]:
            given.seek(0)
            for packet in given.demux(audio=0):
                if packet.size:
                    packet.stream = target
                    out.mux(packet)
    with pytest.warns(UserWarning, match="two.mkv: has 2 sound tracks; the first goes along"):
        copy(tmp_path / "two.mkv", tmp_path / "t.mov")


@pytest.mark.parametrize(("tone", "suffix"), [("pcm_s16le", ".mp4"), ("mp2", ".mov")])
def test_sound_that_does_not_fit_becomes_aac(tmp_path, tone, suffix):
    import av

    source = write_clip(tmp_path / "s.mkv", pictures(48), tone=tone, tone_seconds=2)
    target = copy(source, tmp_path / f"t{suffix}")
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    assert len(sound) == pytest.approx(2 * 44100, abs=3000)
    assert np.abs(sound[20000:60000]).mean() == pytest.approx(2 / np.pi * 8000 / 32768, rel=0.05)


def test_sound_from_a_transport_stream(tmp_path):
    source = write_clip(tmp_path / "s.ts", pictures(48), tone="aac", tone_seconds=2)
    target = copy(source, tmp_path / "t.mp4")
    assert len(sound_packets(target)) == pytest.approx(len(sound_packets(source)), abs=6)
    assert next(read_frames(target)).pts_seconds == 0


def test_sources_without_sound_are_fine(tmp_path):
    silent = write_clip(tmp_path / "s.mp4", pictures(4))
    for source in (silent, tmp_path, tmp_path / "absent.mp4"):
        write(tmp_path / "t.mp4", pictures(4), audio_from=source)
        assert not probe(tmp_path / "t.mp4").has_audio


# -- when it goes wrong --------------------------------------------------------------------


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit, DamagedVideoError])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_stopping_leaves_a_valid_file_of_the_frames_so_far(tmp_path, stop, name):
    error = stop("x", frame_index=7) if stop is DamagedVideoError else stop()
    with pytest.raises(stop), VideoWriter(tmp_path / name) as writer:
        for i, rgb in enumerate(pictures(20)):
            if i == 7:
                raise error
            writer.write(rgb)
    assert len(list(read_frames(tmp_path / name))) == 7
    assert names(tmp_path) == [name]


def test_stopping_before_the_first_frame_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


@pytest.mark.parametrize("written", [0, 3])
def test_a_failure_leaves_the_older_file(tmp_path, written):
    (tmp_path / "a.mp4").write_text("precious")
    with pytest.raises(ZeroDivisionError), VideoWriter(tmp_path / "a.mp4") as writer:
        for rgb in pictures(5)[:written]:
            writer.write(rgb)
        raise ZeroDivisionError
    assert (tmp_path / "a.mp4").read_text() == "precious"
    assert names(tmp_path) == ["a.mp4"]


def test_the_target_appears_only_when_complete(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4")
    writer.write(pictures(1)[0])
    assert not (tmp_path / "a.mp4").exists()
    writer.close()
    writer.close()
    assert names(tmp_path) == ["a.mp4"]
    with pytest.raises(OutputError, match="already closed"):
        writer.write(pictures(1)[0])


def test_no_frames_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="no frames"):
        VideoWriter(tmp_path / "a.mp4").close()
    with pytest.raises(OutputError, match="no frames"):
        ImageSequenceWriter(tmp_path / "images").close()
    assert names(tmp_path) == ["images"]


def test_parents_are_made_and_bad_targets_get_one_line(tmp_path):
    write(tmp_path / "new" / "deep" / "a.mp4", pictures(2))
    assert len(list(read_frames(tmp_path / "new" / "deep" / "a.mp4"))) == 2
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir.mp4").mkdir()
    for path in (tmp_path / "file" / "a.mp4", tmp_path / "dir.mp4"):
        with pytest.raises(OutputError) as caught:
            VideoWriter(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="cannot be written"):
        ImageSequenceWriter(tmp_path / "file" / "images")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_folder_without_write_access(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        VideoWriter(tmp_path / "a.mp4")


def test_bad_arguments(tmp_path):
    with pytest.raises(InputError, match=r"cannot write \.xyz"):
        VideoWriter(tmp_path / "a.xyz")
    with pytest.raises(InputError, match=r"takes h264, not 'ffv1'"):
        VideoWriter(tmp_path / "a.mp4", codec="ffv1")
    with pytest.raises(InputError, match="crf=99"):
        VideoWriter(tmp_path / "a.mp4", crf=99)
    with pytest.raises(InputError, match="uint8"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(np.zeros((4, 4, 3)))
    with pytest.raises(InputError, match="frame 1"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(np.zeros((4, 4, 3), np.uint8))
        writer.write(np.zeros((4, 6, 3), np.uint8))
    assert names(tmp_path) == []


# -- images --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "first"),
    [("out", "00000.png"), ("out/*.png", "00000.png"), ("out/f_%03d.png", "f_000.png")],
)
def test_image_sequences(tmp_path, target, first):
    frames = pictures(3, size=(5, 7))
    with open_writer(tmp_path / target, codec=None, audio_from=None) as writer:
        for rgb in frames:
            writer.write(rgb, pts_seconds=0.5)
    assert names(tmp_path / "out")[0] == first
    read = [f.rgb for f in read_frames(tmp_path / "out")]
    assert all(np.array_equal(a, b) for a, b in zip(read, frames, strict=True))


def test_images_finished_before_a_failure_stay(tmp_path):
    with pytest.raises(ZeroDivisionError), open_writer(tmp_path / "out") as writer:
        writer.write(pictures(1)[0])
        raise ZeroDivisionError
    assert names(tmp_path / "out") == ["00000.png"]


def test_open_writer_chooses_by_name(tmp_path):
    assert isinstance(open_writer(tmp_path / "a.mp4", crf=20), VideoWriter)
    with pytest.raises(InputError, match=r"expected \.mp4"):
        open_writer(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="number field"):
        open_writer(tmp_path / "a%s.png")


def test_an_mkv_written_at_once_plays_before_it_is_finished(tmp_path):
    writer = VideoWriter(tmp_path / "a.mkv", codec="h264", preset="ultrafast", at_once=True)
    frames = pictures(5)
    for number in range(150):
        writer.write(frames[number % 5], pts_seconds=number / 10)
    (partial,) = tmp_path.glob(".a.*.partial.mkv")
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(partial.read_bytes())
    assert 100 <= sum(1 for _ in read_frames(copy)) <= 150
    writer.close()
    assert sum(1 for _ in read_frames(tmp_path / "a.mkv")) == 150


_ENCODE_AGAIN = """
import io
import av
from synthetic import moving_clip
from chromatrack.video.display import Display
from chromatrack.video.encoding import USUAL, Encoding

film = moving_clip(frames=12, size=(64, 96), objects=2, radius=11, velocity=(1.0, 0.6))
pictures = [av.VideoFrame.from_ndarray(frame.rgb, format="rgb24") for frame in film]
frames = [picture.reformat(format="yuv420p") for picture in pictures]
found = set()
for _ in range(150):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        options = Encoding("h264", Display(), (64, 96), is_deep=False).options(USUAL)
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number, frame in enumerate(frames):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found.add(file.getvalue())
print(len(found))
"""


def test_the_same_pictures_always_become_the_same_bytes():
    """In a process of its own: what else was in memory before decides where x264 goes astray."""
    paths = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", _ENCODE_AGAIN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "1", done.stderr
