"""report.html: whole, offline, escaped, and of bounded size."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from chromatrack.errors import InputError
from chromatrack.training.monitor.log import StepReport, Validation, append_log, append_validation
from chromatrack.training.monitor.report import chosen_pictures, duration, write_report

EVIL = "<script>alert(1)</script>&\"'.mp4"


def log_steps(folder, count=4, name="copy"):
    for number in range(1, count + 1):
        report = StepReport(
            step=10 * number,
            progress=number / count,
            loss=1 / number,
            terms={name: 1 / number, "known": 0.5},
            learning_rate=1e-3,
            seconds=60.0 * number,
            examples_seen=8000 * number,
            frames_seen=24000 * number,
            waiting=0.9 if number == 1 else 0.02,
        )
        append_log(folder / "log.jsonl", report)


def draw(folder, step, *, size=(40, 60), noise=False):
    path = folder / "pictures" / f"step-{step:06d}.png"
    path.parent.mkdir(exist_ok=True)
    rgb = np.full((*size, 3), step % 256, np.uint8)
    if noise:
        rgb = np.random.default_rng(step).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(path, compress_level=0)


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run <b>&1"
    run.mkdir()
    log_steps(run)
    for step in (10, 40):
        values = {"color_error": 0.02, "color_ratio": 0.4375, "J&F-Mean": 0.7125}
        append_validation(run / "validation.jsonl", Validation(step, 6.0 * step, values))
    config = {"model": "small", "sampler": {"crop": 208, "gap_seconds": [0.1, 0.7]}, "x": EVIL}
    (run / "config.json").write_text(json.dumps(config))
    problems = [f"{EVIL}: holds no frames", "b.mov: cut off"]
    data = {"videos": 1455, "hours": 0.85, "device": "cuda:0 <H200>", "problems": problems}
    (run / "data.json").write_text(json.dumps(data))
    for step in (0, 10, 20, 30, 40):
        draw(run, step)
    return run


class Page(HTMLParser):
    """Collects tags, their attributes, and all text; fails on tags that do not match."""

    VOID = frozenset({"meta", "img", "br", "path", "use"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(folder) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_it_says_what_was_trained_on_what_and_how_it_went(folder):
    text = page_of(folder).text()
    for part in (
        "Training report, complete",
        "40 steps",
        "32,000 examples seen",
        "96,000 frames seen",
        "4 min 0 s wall time",
        "400 frames a second",
        "2.0% waiting for data",
        "0.25 loss",
        "cuda:0 <H200> device",
        "0.4375 colour error / still",
        "0.7125 tracking J&F",
        "videos 1,455",
        "2 problems with the data",
        "b.mov: cut off",
        "sampler.crop 208",
        "sampler.gap_seconds 0.1, 0.7",
        "held out: color_error",
    ):
        assert part in text, part
    assert not list(folder.glob(".*"))


def test_it_needs_nothing_from_anywhere(folder):
    page = page_of(folder)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                assert (value or "").startswith(("data:image/", "#")), f"{tag} {name}={value}"
    styles = " ".join(page.words) + " ".join(a.get("style") or "" for _, a in page.tags)
    assert "@import" not in styles
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", styles))
    (viewport,) = [a for t, a in page.tags if t == "meta" and a.get("name") == "viewport"]
    assert viewport["content"] == "width=device-width, initial-scale=1"


def test_whatever_is_in_names_is_shown_as_text(folder):
    log_steps(folder, name=f"{EVIL} $1")
    append_validation(folder / "validation.jsonl", Validation(50, 9.0, {EVIL: 1.0}))
    page = page_of(folder)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text().count("<script>alert(1)</script>") >= 5
    assert "run <b>&1" in page.text()


def test_pictures_are_the_last_few_and_the_first(folder):
    page = page_of(folder)
    shown = [a["alt"] for tag, a in page.tags if tag == "img"]
    assert shown == [f"What the network sees at step {step}" for step in (40, 30, 20, 0)]


def test_steps_beyond_six_digits_come_last(tmp_path):
    names = ["step-999999.png", "step-1000000.png", "step-000001.png"]
    chosen = chosen_pictures([tmp_path / name for name in names])
    assert [p.name for p in chosen] == ["step-1000000.png", "step-999999.png", "step-000001.png"]
    assert chosen_pictures([]) == []


def test_the_page_stays_below_ten_megabytes(folder):
    for step in (100, 200, 300):
        draw(folder, step, size=(1500, 1900), noise=True)
    path = write_report(folder)
    assert path.stat().st_size < 10_000_000
    page = Page(path.read_text())
    assert 1 <= len([1 for tag, _ in page.tags if tag == "img"]) < 4
    assert "Not shown: step-000" in page.text()


def test_a_long_run_is_thinned_out_and_its_end_stays(folder):
    log_steps(folder, count=5000)
    for step in range(100, 400):
        append_validation(folder / "validation.jsonl", Validation(step, 1.0, {"a": step + 0.5}))
    data = {"problems": [f"{number}.mp4: {'x' * 5000}" for number in range(2000)]}
    (folder / "data.json").write_text(json.dumps(data))
    path = write_report(folder)
    text = Page(path.read_text()).text()
    assert path.stat().st_size < 2_000_000
    assert "And 1,700 more." in text and "2,000 problems" in text
    assert "Every 8th of 302 rows." in text and "399.5" in text


def test_whatever_is_missing_is_left_out(tmp_path):
    with pytest.raises(InputError, match=r"expected a run folder with log.jsonl"):
        write_report(tmp_path)
    (tmp_path / "config.json").write_text('{"model": "small"}')
    assert "nothing logged yet" in page_of(tmp_path).text()
    log_steps(tmp_path, count=1)
    (tmp_path / "data.json").write_text("{ half")
    text = page_of(tmp_path).text()
    assert "10 steps" in text and "Held-out" not in text and "What the network sees" not in text


def test_a_damaged_picture_is_named(folder):
    (folder / "pictures" / "step-000050.png").write_bytes(b"\x89PNG\r\n")
    (folder / "pictures" / "step-last.png").write_bytes(b"")
    page = page_of(folder)
    assert "step-000050.png" in page.text()
    assert len([1 for tag, _ in page.tags if tag == "img"]) >= 2


def test_data_without_problems_says_so(folder):
    (folder / "data.json").write_text('{"videos": 3, "problems": []}')
    assert "Every file could be read." in page_of(folder).text()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (12000, "3 h 20 min")],
)
def test_durations_are_words(seconds, words):
    assert duration(seconds) == words
