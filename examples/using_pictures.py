"""The pictures of docs/using.md: a shaken clip held still, and what happened in it.

    python examples/using_pictures.py docs

Renders the demo scene through a shaking camera, tracks both objects from the first mask and holds
the camera on the background and on the kite; then finds the events of the same scene, seen with a
steady hand, from its known masks. Writes stabilize.png and events.png into the folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from chromatrack import Tracker
from chromatrack.evaluation.synthetic.render import render_demo_clip
from chromatrack.formats.masks import write_mask
from chromatrack.runs.reader import Result, SavedFrame, read_result
from chromatrack.runs.writer import track_to_folder
from chromatrack.tracking.marks import Marks
from chromatrack.uses.events import Event, EventRules, find_events, speed
from chromatrack.uses.stabilize import stabilize_video
from chromatrack.uses.trajectories import read_traces
from chromatrack.video.reader import open_writer, read_frames
from chromatrack.viz.overlays import contact_sheet, object_colors, overlay_masks

SIZE, SHAKE, FRAMES = (270, 480), 12, 60
NAMES = {1: "ball", 2: "kite"}
SHOWN = (0, 25, 50)


def render_shaken(folder: Path) -> tuple[Path, Path]:
    """Write the clip and the mask of its first frame; the view jumps up to SHAKE px each way."""
    rng = np.random.default_rng(2)
    full = SIZE[0] + 2 * SHAKE, SIZE[1] + 2 * SHAKE
    clip, mask = folder / "clip.mp4", folder / "first.png"
    with open_writer(clip, fps=25) as writer:
        for frame in render_demo_clip(frames=FRAMES, size=full):
            top, left = rng.integers(0, 2 * SHAKE + 1, 2)
            view = slice(top, top + SIZE[0]), slice(left, left + SIZE[1])
            writer.write(np.ascontiguousarray(frame.rgb[view]))
            if frame.index == 0:
                write_mask(mask, frame.mask[view])
    return clip, mask


def draw_stabilized(clip: Path, result: Result, folder: Path) -> Image.Image:
    """Rows: source, background held, kite held. Columns: some frames, and the mean of all."""
    rows = {"clip": clip}
    for title, lock in (("--lock background", "background"), ("--lock 2 (kite)", "2")):
        rows[title] = folder / f"{lock}.mp4"
        stabilize_video(clip, result, output=rows[title], lock=lock, fill="blur")
    cells = []
    for path in rows.values():
        frames = [frame.rgb for frame in read_frames(path)]
        mean = np.mean(frames, axis=0).round().astype(np.uint8)
        cells.append([frames[n] for n in SHOWN] + [mean])
    titles = [f"frame {n}" for n in SHOWN] + ["mean of all frames"]
    sheet = contact_sheet(cells, row_titles=list(rows), column_titles=titles, cell_height=112)
    return Image.fromarray(sheet)


def known_result() -> tuple[list[np.ndarray], Result]:
    """The demo scene with a steady hand and its true masks, as frames and a result in memory."""
    scene = list(render_demo_clip(frames=FRAMES, size=SIZE))
    frames = []
    for n, frame in enumerate(scene):
        areas = {k: int(np.count_nonzero(frame.mask == k)) for k in NAMES}
        present = {k: area > 0 for k, area in areas.items()}
        frames.append(SavedFrame(n, n / 25, areas, present, dict.fromkeys(NAMES)))
    pictures = [overlay_masks(frame.rgb, frame.mask) for frame in scene]
    result = Result(
        folder=Path("known"),
        video_path="clip.mp4",
        size=SIZE,
        frames=tuple(frames),
        objects=tuple(NAMES),
        load_mask=lambda index: scene[index].mask,
    )
    return pictures, result


def draw_events(picture: Path) -> None:
    """Some frames, speeds over time, and the spans of the events below."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rules = EventRules(near=5)
    pictures, result = known_result()
    traces = read_traces(result)
    events = find_events(result, rules=rules)
    figure = plt.figure(figsize=(8, 4.2), layout="constrained")
    grid = figure.add_gridspec(3, 5, height_ratios=(1.2, 1.5, 0.9))
    for column, n in enumerate(np.linspace(0, FRAMES - 1, 5).round().astype(int)):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(pictures[n])
        axes.set_title(f"{n / 25:.2f} s", fontsize=9)
        axes.set_axis_off()
    above = figure.add_subplot(grid[1, :])
    below = figure.add_subplot(grid[2, :], sharex=above)
    bars: list[tuple[str, list[Event], np.ndarray]] = []
    for thing in traces.things:
        name, color = NAMES[thing.id], object_colors(np.array(thing.id)) / 255
        rates = speed(thing.xy, traces)
        above.plot(traces.times, rates, color=color, label=name)
        there = [e for e in events if e.id == thing.id and e.event == "path_length"]
        bars.append((f"{name} there", there, color))
    bars.append(("contact", [e for e in events if e.event == "contact"], np.full(3, 0.4)))
    for row, (_, found, color) in enumerate(bars):
        spans = [(e.start_seconds, e.duration_seconds) for e in found]
        below.broken_barh(spans, (row - 0.3, 0.6), color=color)
    below.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    below.invert_yaxis()
    below.set_xlabel("time, s")
    above.set_ylabel("speed, px/s")
    above.legend(frameon=False, loc="upper left", ncols=2)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=100)
    plt.close(figure)
    Image.open(picture).convert("RGB").quantize(255).save(picture, optimize=True)


def main(target: Path) -> None:
    """Make both pictures in `target`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, mask = render_shaken(folder)
        tracker = Tracker.from_pretrained("small")
        track_to_folder(tracker, clip, Marks.of(masks=mask), output=folder / "out")
        result = read_result(folder / "out")
        sheet = draw_stabilized(clip, result, folder)
        colors = sheet.quantize(255, kmeans=2)
        colors.save(target / "stabilize.png", optimize=True)
    draw_events(target / "events.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
