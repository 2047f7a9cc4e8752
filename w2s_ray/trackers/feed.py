"""The driver's end of one tracker: a bounded queue, a thread that empties it into a process, and how long the end of a
run waits for that.

Whatever the tracker does, `put` returns at once and nothing is raised; the first trouble is one line for people.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Queue
from typing import Any

from w2s_ray.trackers.contract import Tracker

MOST = 2000  # messages that wait; of more, the end of the run makes up for what was dropped
EXIT_S = 2.0  # for a process that has written all, to end by itself
GOES_ON = "the run goes on"
AGAIN = f"{GOES_ON}; what is missing is written when it is run again"

Message = Mapping[str, Any]


class Feed:
    """One tracker's."""

    def __init__(self, tracker: Tracker, hello: Callable[[], Message], warn: Callable[[str], None]) -> None:
        self.tracker, self._hello, self._warn = tracker, hello, warn
        self._queue: Queue[Message] = Queue()  # `put` bounds it: the last message has room in any case
        self._process: subprocess.Popen[bytes] | None = None
        self._over = threading.Event()  # all is written, or the process has ended
        self._lock, self._troubled, self._done = threading.Lock(), False, False
        self._until = 0.0  # when the tracker has had its time
        threading.Thread(target=self._run, name=f"w2s-tracker-{tracker.name}", daemon=True).start()

    def put(self, message: Message) -> None:
        """Any thread. Dropped where too much waits."""
        if self._queue.qsize() < MOST:
            self._queue.put(message)

    def last(self, message: Message) -> None:
        """The last message; from now on the tracker's time runs."""
        self._until = time.monotonic() + self.tracker.wait
        self._queue.put(message)

    def finish(self) -> None:
        """After `last`; returns when all is written, or when the tracker has had its time."""
        if not self._over.wait(max(0.0, self._until - time.monotonic())):
            self._trouble(f"it was not done {self.tracker.wait:g} s after the end, and is left (`wait:` gives it more)")
        self._end()

    def _run(self) -> None:
        try:
            process = self._process = _started()
            threading.Thread(target=self._listen, args=[process], daemon=True).start()
            self._send(process, self._hello())
            while not self._over.is_set():
                self._send(process, self._queue.get())
        except Exception as error:  # noqa: BLE001  (nothing of a tracker may end the run)
            self._trouble(f"its process cannot be told anything ({type(error).__name__}: {error})")
            self._over.set()

    def _send(self, process: subprocess.Popen[bytes], message: Message) -> None:
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            said = json.loads(line)
            if "trouble" in said:
                self._trouble(said["trouble"])
            if said.get("done"):
                self._done = True
                break
        if not self._done:
            self._trouble("its process has ended early")
        self._over.set()

    def _trouble(self, what: str) -> None:
        """Said once."""
        with self._lock:
            said, self._troubled = self._troubled, True
        if not said:
            self._warn(f"tracker {self.tracker.name}: {what}; {GOES_ON if self.tracker.sentences else AGAIN}")

    def _end(self) -> None:
        """With all that its library has started."""
        with self._lock:
            self._troubled = True  # whatever comes of being killed
        process = self._process
        if process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(EXIT_S if self._done else 0.0)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close() if pipe is not None else None


def _started() -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C is the driver's matter, and all of it can be ended at once."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "w2s_ray.trackers.process"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
