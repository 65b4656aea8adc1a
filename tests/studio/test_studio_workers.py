"""What a worker is told, in whatever order it comes."""

from __future__ import annotations

import multiprocessing
import threading

from chromatrack.studio.model_worker import track_noise
from chromatrack.studio.workers import Channel
from chromatrack.tracking.tracker import Tracker


def test_a_stop_counts_for_its_own_request_also_when_it_comes_first():
    here, there = multiprocessing.Pipe()
    channel = Channel(there)

    def long(steps):
        for _ in range(steps):
            channel.serve_waiting()
        return steps

    def serve():
        try:
            channel.serve({"long": long}, lambda: False)
        except EOFError:
            return

    worker = threading.Thread(target=serve)
    worker.start()
    here.send((-1, "stop", {"ticket": 3}))
    answers = []
    for ticket in (2, 3, 4, 5):
        if ticket == 5:
            here.send((-1, "stop", {}))  # it ends: nothing more is to be begun
        here.send((ticket, "long", {"ticket": ticket, "steps": 2}))
        answers.append(here.recv())
    here.close()
    worker.join(10)
    kinds = [kind for kind, _, _ in answers]
    assert kinds == ["answer", "stopped", "answer", "stopped"]


def test_what_loads_the_model_beforehand_works():
    """Its errors are kept from the user, so that here is the only place where they are seen."""
    track_noise(Tracker.from_pretrained("small"))


def test_a_shorter_request_is_answered_in_the_midst_of_another():
    here, there = multiprocessing.Pipe()
    channel = Channel(there)
    begun = threading.Event()

    def long():
        begun.set()
        while not done:
            channel.check()
        return "long"

    done: list[int] = []
    handlers = {"long": long, "short": lambda: "short", "other": lambda: "other"}

    def serve():
        try:
            channel.serve(handlers, lambda: False, short=("short",))
        except EOFError:
            return

    worker = threading.Thread(target=serve)
    worker.start()
    here.send((1, "long", {}))
    assert begun.wait(10)
    here.send((2, "other", {}))
    here.send((3, "short", {}))
    first = here.recv()
    done.append(1)
    assert [first, here.recv(), here.recv()] == [
        ("answer", 3, "short"),
        ("answer", 1, "long"),
        ("answer", 2, "other"),
    ]
    here.send((-1, "stop", {}))
    here.close()
    worker.join(10)
