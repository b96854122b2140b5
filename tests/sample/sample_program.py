"""The sample as the tests here run it: its remote module from a lock, its sources in no store, its texts readable."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kiln.interpreter.derivation import BuildStep, DrvOutput, InputRef, OutputRef, Program, SourceObject, Template
from kiln.interpreter.evaluate.evaluator import Evaluator
from kiln.interpreter.lock import Lock, Pin, render
from kiln.interpreter.modules import Loader
from kiln.interpreter.trees import tree_digest
from kiln.store.digest import DrvDigest
from tests.evaluate.evaluate_cases import RecordingHost

HERE = Path(__file__).parent
TOOLBOX = HERE / "toolbox"


class Trees:
    """Opens the one tree that the lock pins."""

    def open(self, name: str, pin: Pin, keeper: str) -> str:
        assert (name, pin.tree) == ("toolbox", tree_digest(str(TOOLBOX)))
        return str(TOOLBOX)


class Built(NamedTuple):
    """What a derivation runs, with each input as `<name output>` of its owner and each output as `<output>`."""

    name: str
    script: str
    env: dict[str, str]
    program: str
    inputs: dict[str, DrvDigest]
    """Of the packages that it uses, by their names with versions."""
    digest: DrvDigest
    time: int


class Sample:
    """The sample with more declarations behind it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        for name in ("oci.kiln", "cve-2026-1.patch"):
            (folder / name).write_bytes((HERE / name).read_bytes())
        pin = Pin("git+https://toolbox.example/toolbox.git?rev=" + "0" * 40, tree_digest(str(TOOLBOX)), ref="main")
        (folder / "kiln.lock").write_text(render(Lock({"toolbox": pin})))
        path = folder / "curl.kiln"
        path.write_text((HERE / "curl.kiln").read_text() + more)
        program = Loader(trees=Trees()).load(str(path), "curl.kiln")
        self.root = program.root
        self.program = program
        self.evaluator = Evaluator(program, RecordingHost())

    def show(self, name: str) -> str:
        return self.evaluator.show(self.evaluator.value(self.root, name))

    def built(self, attribute: str) -> Built:
        """What the package at `attribute`, such as `hardened.curl`, comes to."""
        target = self.evaluator.targets(self.evaluator.select(self.root, attribute.split(".")))[0]
        assert isinstance(target.item, DrvOutput)
        step = self.evaluator.graph[target.item.drv]
        assert isinstance(step, BuildStep)
        drv = step.derivation
        assert isinstance(drv.builder, Program)

        def read(template: Template) -> str:
            parts = []
            for part in template:
                match part:
                    case InputRef(place):
                        parts.append(f"<{self._name(drv.inputs[place])}>")
                    case OutputRef(place):
                        parts.append(f"<{drv.outputs[place].name}>")
                    case _:
                        parts.append(part)
            return "".join(parts)

        env = {name: read(value) for name, value in drv.env}
        inputs = {self._owner(item.drv): item.drv for item in drv.inputs if isinstance(item, DrvOutput)}
        script = read(drv.builder.args[-1])
        return Built(drv.name, script, env, read(drv.builder.program), inputs, step.digest, step.limits.time)

    def _owner(self, digest: DrvDigest) -> str:
        step = self.evaluator.graph[digest]
        return step.derivation.name if isinstance(step, BuildStep) else step.fixed.name

    def _name(self, item: DrvOutput | SourceObject) -> str:
        if isinstance(item, SourceObject):
            return item.name
        return f"{self._owner(item.drv)} {item.output}"
