"""What a command did, step by step, from the events that `--trace` writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from tests.support.home import Done, Home


def traced(home: Home, *words: str, code: int = 0) -> tuple[dict[str, str], Done]:
    """Realise, and the verdict of each step by its name; one that failed has its error's code."""
    path = os.path.join(home.folder, "trace.jsonl")
    done = home.kiln("realise", *words, "--trace", path).expect(code)
    return dict(verdicts(path)), done


def verdicts(path: str) -> Iterator[tuple[str, str]]:
    """Names and verdicts in a file of events; nothing where there is no file, as nothing was to do."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    os.unlink(path)
    for event in events:
        assert event["schema"] == "kiln.event/1"
        if event["event"] == "StepFinished":
            yield event["name"], event["verdict"]
        elif event["event"] == "StepFailed":
            yield event["name"], event["code"]
