"""Why a request is not carried out: a rule, in words, with the HTTP status that says so."""

from __future__ import annotations


class Refused(Exception):
    """`rule` is what metrics count and clients show; `path` is the file of the upload that broke it."""

    def __init__(self, rule: str, message: str, *, status: int, path: str = "", code: str = "K0684") -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.status = status
        self.path = path
        self.code = code

    def document(self) -> dict[str, str]:
        """What is sent, as JSON."""
        return {"code": self.code, "rule": self.rule, "message": self.message, "path": self.path}
