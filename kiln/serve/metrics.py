"""What a server counted, in Prometheus' text format (version 0.0.4)."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_HELP: Final = {
    "kiln_cache_requests_total": ("counter", "Requests answered, by method and status."),
    "kiln_cache_sent_bytes_total": ("counter", "Bytes of bodies sent to readers."),
    "kiln_cache_received_bytes_total": ("counter", "Bytes of bodies taken into quarantine."),
    "kiln_cache_uploads_total": ("counter", "Uploads that were committed, by outcome (admitted, refused)."),
    "kiln_cache_refused_total": ("counter", "Uploads refused, by rule."),
    "kiln_cache_verifying_seconds_total": ("counter", "Seconds spent verifying uploads."),
    "kiln_cache_requests_running": ("gauge", "Requests being answered."),
    "kiln_cache_quarantine_bytes": ("gauge", "Bytes that lie in quarantine."),
    "kiln_cache_started_seconds": ("gauge", "When the server started, in seconds since 1970."),
}


class Metrics:
    """Counters and gauges; of any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._values: dict[str, dict[str, float]] = defaultdict(dict)  # guarded by _guard
        self.set("kiln_cache_started_seconds", time.time())
        for name in ("kiln_cache_sent_bytes_total", "kiln_cache_received_bytes_total", "kiln_cache_requests_running"):
            self.add(name, 0)

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        key = _labels(labels)
        with self._guard:
            row = self._values[name]
            row[key] = row.get(key, 0) + amount

    def set(self, name: str, value: float) -> None:
        with self._guard:
            self._values[name][""] = value

    def text(self) -> str:
        lines: list[str] = []
        with self._guard:
            for name, (kind, words) in _HELP.items():
                lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
                lines += [f"{name}{labels} {_number(value)}" for labels, value in sorted(self._values[name].items())]
        return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))
    return f"{{{pairs}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
