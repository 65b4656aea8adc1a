"""What a worker is told, in whatever order it comes."""

from __future__ import annotations

import multiprocessing
import threading

from chromatrack.studio.workers import Channel


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
    for ticket in (2, 3, 4):
        here.send((ticket, "long", {"ticket": ticket, "steps": 2}))
    answers = [here.recv() for _ in range(3)]
    here.send((-1, "stop", {}))
    here.send((5, "long", {"ticket": 5, "steps": 1}))
    answers.append(here.recv())
    here.close()
    worker.join(10)
    assert sorted(told[:2] for told in answers) == [
        ("answer", 2),
        ("answer", 4),
        ("stopped", 3),
        ("stopped", 5),
    ]
