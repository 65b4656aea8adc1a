"""How far a batch is, on stderr: a live view on a terminal, plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from chromatrack.batch.drive import News, Progress, Tell

if TYPE_CHECKING:
    from rich.console import RenderableType

LINE_SECONDS = 15.0
"""Between two plain lines of progress."""

MOST_SHOWN = 16
"""Running jobs, and failures, that the live view names."""


@contextmanager
def batch_view() -> Iterator[Tell]:
    """Shows what it is told: see `drive.News`."""
    if not sys.stderr.isatty():
        yield PlainLines().tell
        return
    from rich.console import Console
    from rich.live import Live

    view = LiveView()
    with Live(console=Console(stderr=True), refresh_per_second=4, transient=True) as live:

        def tell(news: News) -> None:
            if news.record is not None and news.record["state"] == "failed":
                live.console.print(_failed(news), style="red", markup=False, highlight=False)
            if news.again is not None:
                live.console.print(_again(news), style="yellow", markup=False, highlight=False)
            live.update(view.shown(news.progress))

        yield tell


class PlainLines:
    """A line for every failure and every second try, and one now and then."""

    def __init__(self) -> None:
        self._last = -LINE_SECONDS

    def tell(self, news: News) -> None:
        """Print what is news."""
        if news.record is not None and news.record["state"] in ("failed", "damaged"):
            print(_failed(news), file=sys.stderr)
        if news.again is not None:
            print(_again(news), file=sys.stderr)
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            print(counted(news.progress), file=sys.stderr, flush=True)


class LiveView:
    """A bar, what runs and how fast it goes."""

    def shown(self, progress: Progress) -> RenderableType:
        """What to show now."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        now = time.monotonic()
        oldest = sorted(progress.running.items(), key=lambda item: item[1])
        for name, since in oldest[:MOST_SHOWN]:
            table.add_row(Text(f"  {name}"), Text(f"{now - since:.0f} s", justify="right"))
        if len(oldest) > MOST_SHOWN:
            table.add_row(Text(f"  and {len(oldest) - MOST_SHOWN} more"))
        done, total = len(progress.mine) - progress.left, max(1, len(progress.mine))
        bar = ProgressBar(total=total, completed=done, width=40)
        return Group(Text(counted(progress)), bar, table)


def counted(progress: Progress) -> str:
    """`batch: 120 of 1,000 jobs, 3 failed, 16 running, 4.2 frames/s, 1 h 20 min left`."""
    done, total = len(progress.mine) - progress.left, len(progress.mine)
    parts = [f"batch: {done:,} of {total:,} jobs"]
    if progress.failed:
        parts.append(f"{progress.failed:,} failed")
    parts.append(f"{len(progress.running):,} running")
    if progress.elsewhere:
        parts.append(f"{progress.elsewhere:,} done by others")
    seconds = time.monotonic() - progress.began
    if progress.ended and progress.left:
        parts.append(f"{_duration(progress.left * seconds / progress.ended)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _failed(news: News) -> str:
    assert news.job is not None and news.record is not None
    return f"{news.job.name}: {news.record['state']}: {news.record['message']}"


def _again(news: News) -> str:
    assert news.job is not None
    return f"{news.job.name}: tried again: {news.again}"
