"""The process that pushes what is built into the folder that is served, while the own store is served.

It is a process of its own, so that the one that answers strangers never opens the builder's key. One that ends is
noticed, told, and started again, after a pause that doubles while it goes on ending; it ends with the server, also
where that is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

_CHILD = """
import os, signal, sys
from kiln.interpreter.sandbox import syscalls
syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit(0)
from kiln.__main__ import main
sys.exit(main())
"""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_PATIENCE = 10.0


class Publisher:
    """Keeps `kiln WORDS…` running. `tell` hears what is wrong, and nothing ("") when all is well again."""

    def __init__(self, words: Sequence[str], tell: Callable[[str], None]) -> None:
        self._words = words
        self._tell = tell
        self._stopping = threading.Event()
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None  # guarded by _guard
        # The kernel ends the child with the thread that began it: this one, which lasts as long as the server.
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._stopping.set()
        with self._guard:
            process = self._process
        if process is not None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(_PATIENCE)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        with self._guard:
            return None if self._process is None else self._process.pid

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            with self._guard:
                if self._stopping.is_set():
                    return
                command = [sys.executable, "-c", _CHILD, str(os.getpid()), *self._words]
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            began = time.monotonic()
            self._tell("")
            code = self._process.wait()
            if self._stopping.is_set():
                return
            self._tell(f"what is built is not published: the publisher ended ({code}), and is started again")
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            self._stopping.wait(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
