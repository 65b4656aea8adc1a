"""A run's log: what is written is read, half-written lines hurt nobody, nothing is doubled."""

from __future__ import annotations

import csv
import json
import math
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chromatrack.errors import InputError, OutputError
from chromatrack.training.monitor.log import (
    StepReport,
    Validation,
    append_log,
    append_validation,
    curves,
    plot_losses,
    read_log,
    read_validations,
    scalars_of,
    smoothed,
    tensorboard,
    truncate_log,
    write_csv,
)

TERMS = {"copy": 0.5, "known": 0.25}


def report(step: int, **changes) -> StepReport:
    plain = StepReport(
        step=step,
        progress=step / 100,
        loss=1.0 / step,
        terms=TERMS,
        learning_rate=1e-3,
        seconds=2.0 * step,
        examples_seen=8 * step,
        frames_seen=16 * step,
        waiting=0.01,
    )
    return replace(plain, **changes)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.jsonl"
    for step in (10, 20, 30):
        append_log(path, report(step))
    return path


def test_what_was_written_is_read(log):
    assert read_log(log) == [report(10), report(20), report(30)]
    row = json.loads(log.read_text().splitlines()[0])
    assert row["loss_copy"] == 0.5 and row["loss_known"] == 0.25 and "terms" not in row
    assert read_log(log.with_name("none.jsonl")) == []


def test_a_half_written_line_is_left_out_wherever_it_was_cut(log):
    whole = log.read_text()
    last = whole.splitlines()[-1]
    for cut in range(len(last)):
        log.write_text(whole[: len(whole) - 1 - len(last)] + last[:cut])
        assert read_log(log) == [report(10), report(20)]


def test_rows_of_another_kind_and_unknown_columns_are_no_obstacle(log):
    with log.open("a") as file:
        file.write('{"step": 40, "loss": 1}\n[1, 2]\n7\n')
        new = {"step": 50, "temperature": 3} | json.loads(log.read_text().splitlines()[0])
        file.write(json.dumps(new | {"step": 50}) + "\n")
    assert [r.step for r in read_log(log)] == [10, 20, 30, 50]


def test_numbers_that_are_not_finite_survive_as_nan(tmp_path):
    path = tmp_path / "log.jsonl"
    append_log(path, report(10, loss=math.inf, terms={"copy": math.nan}))
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    (read,) = read_log(path)
    assert math.isnan(read.loss) and math.isnan(read.terms["copy"])


@given(step=st.integers(0, 60), cut=st.integers(0, 40))
def test_truncating_keeps_exactly_the_rows_up_to_a_step(tmp_path_factory, step, cut):
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    for number in (10, 20, 30, 40, 50):
        append_log(path, report(number))
    path.write_text(path.read_text() + path.read_text()[:cut])  # killed while writing
    truncate_log(path, step)
    append_log(path, report(step + 1))
    expected = [n for n in (10, 20, 30, 40, 50) if n <= step]
    assert [r.step for r in read_log(path)] == [*expected, step + 1]
    assert not list(path.parent.glob(".*"))


def test_truncating_works_on_validations_and_on_nothing(tmp_path):
    path = tmp_path / "validation.jsonl"
    truncate_log(path, 5)
    assert not path.exists()
    rows = [Validation(step, 2.0 * step, {"color_error": 0.1 / step}) for step in (10, 20)]
    for row in rows:
        append_validation(path, row)
    assert read_validations(path) == rows
    truncate_log(path, 10)
    assert read_validations(path) == rows[:1]


def test_validations_of_nothing_finite(tmp_path):
    path = tmp_path / "validation.jsonl"
    append_validation(path, Validation(1, 1.0, {"color_ratio": math.nan}))
    path.write_text(path.read_text() + '{"step": 2, "sec')
    (read,) = read_validations(path)
    assert math.isnan(read.values["color_ratio"])


def test_the_table_has_a_column_for_every_name_and_is_written_anew(log):
    append_log(log, report(40, terms={"cycle": 0.125}, skipped=2))
    table = log.with_name("log.csv")
    for _ in range(2):
        write_csv(log, table)
    rows = list(csv.DictReader(table.open(newline="")))
    assert [row["step"] for row in rows] == ["10", "20", "30", "40"]
    assert rows[3]["loss_cycle"] == "0.125" and rows[3]["loss_copy"] == ""
    assert rows[0]["loss_copy"] == "0.5" and rows[3]["skipped"] == "2"
    assert sorted(p.name for p in log.parent.iterdir()) == ["log.csv", "log.jsonl"]


def test_a_row_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        append_log(tmp_path / "none" / "log.jsonl", report(1))


def test_smoothing_has_no_pull_of_the_first_value_and_skips_nan():
    assert smoothed([2.0, 2.0, 2.0]) == pytest.approx([2.0] * 3)
    assert smoothed([0.0, 1.0])[1] == pytest.approx(0.05 / (1 - 0.95**2))
    values = smoothed([math.nan, 1.0, math.nan, 1.0])
    assert math.isnan(values[0]) and values[1:] == pytest.approx([1.0, 1.0, 1.0])


def test_curves_show_every_term_and_put_together_what_belongs_together():
    values = {"color_error": 0.1, "color_error_still": 0.2, "color_ratio": 0.5}
    scores = {"J&F-Mean": 0.6, "J-Mean": 0.7, "F-Mean": 0.5}
    reports = [report(10), report(20, terms=TERMS | {"cycle": 0.1})]
    found = curves(reports, [Validation(20, 40.0, values | scores)])
    lines = {curve.title: list(curve.lines) for curve in found}
    assert lines == {
        "loss": ["loss"],
        "loss: copy": ["copy"],
        "loss: known": ["known"],
        "loss: cycle": ["cycle"],
        "learning rate": ["learning rate"],
        "held out: color_error": ["color_error", "color_error_still"],
        "held out: color_ratio": ["color_ratio"],
        "held out: tracking": ["J&F-Mean", "J-Mean", "F-Mean"],
    }
    assert found[3].lines["cycle"] == ([20], [0.1])
    assert curves([]) == []


def test_losses_are_drawn(tmp_path):
    reports = [report(step, loss=math.nan if step == 3 else 1.0) for step in range(1, 1000)]
    path = tmp_path / "loss.png"
    plot_losses(reports, path, validations=[Validation(9, 1.0, {"odd $name": 1.0})])
    with Image.open(path) as image:
        assert image.width > 1000 and image.height > 500
    plot_losses(reports[:1], path)
    assert [p.name for p in tmp_path.iterdir()] == ["loss.png"]
    with pytest.raises(InputError, match="at least one report"):
        plot_losses([], path)


def test_without_tensorboard_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(InputError, match=r"pip install 'chromatrack\[tensorboard\]'"),
        tensorboard(tmp_path),
    ):
        pass


class Writer:
    """Stands for TensorBoard's, which takes seconds to import and may not be there."""

    made: Writer

    def __init__(self, folder, purge_step):
        self.start, self.rows, self.is_closed = purge_step, [], False
        Writer.made = self

    def add_scalar(self, name, value, step):
        self.rows.append((step, name, value))

    def flush(self):
        pass

    def close(self):
        self.is_closed = True


def test_tensorboard_gets_every_number_and_is_closed(tmp_path, monkeypatch):
    monkeypatch.setitem(
        sys.modules, "torch.utils.tensorboard", type("Module", (), {"SummaryWriter": Writer})
    )
    with pytest.raises(KeyboardInterrupt), tensorboard(tmp_path, start=11) as add:
        add(20, scalars_of(report(20)))
        raise KeyboardInterrupt
    assert Writer.made.start == 11 and Writer.made.is_closed
    assert (20, "loss/copy", 0.5) in Writer.made.rows
    assert {name for _, name, _ in Writer.made.rows} == {
        "loss/total",
        "loss/copy",
        "loss/known",
        "schedule/learning_rate",
        "data/waiting",
    }
