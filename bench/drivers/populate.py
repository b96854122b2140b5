"""`STORE CACHE FILE [WITHOUT]`: everything that building a generated graph leaves in a store, without a sandbox.

Each derivation's output is written as its builder would write it, then scanned, hashed, signed and committed as a
build's is; only the builder and its sandbox are left out. What comes out is equal to what `kiln realise` makes, but
for times and resources in the statements. Of a node named WITHOUT no resolution is recorded.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field

from kiln.console import Console
from kiln.context import Context
from kiln.interpreter.asking import Request, ask, keep_answers
from kiln.interpreter.derivation import BuildStep, Derivation, DrvOutput, SourceObject, resolve
from kiln.interpreter.evidence import Course, attest, digest_of_made
from kiln.interpreter.ledger import sign_pins
from kiln.interpreter.plan import closure, drv_inputs
from kiln.interpreter.workshop import Workshop
from kiln.store.commit import Staged
from kiln.store.digest import DrvDigest, EnvelopeDigest, ObjectId
from kiln.store.paths import OutputName
from kiln.store.provenance.facts import Mode
from kiln.store.records import Claim, Resolution, Witness
from kiln.store.rewrite import BuiltOutput, StagedOutputs

OUT = OutputName("out")


def main(root: str, cache: str, file: str, without: str = "") -> None:
    context = Context(Console(quiet=True), store=root)
    try:
        asked = ask([Request(file)], context.store())
        populate = Populate(context.workshop(lambda event: None), without)
        items = [target.item for target in asked.wanted]
        for drv in closure(asked.graph, [item.drv for item in items if isinstance(item, DrvOutput)]):
            step = asked.graph[drv]
            assert isinstance(step, BuildStep), "the generated graphs fetch nothing"
            populate.make(step, drv_inputs(asked.graph, drv))
        populate.commit()
        keep_answers([Request(file)], asked, cache)
    finally:
        context.close()


@dataclass(slots=True)
class _Batch:
    """What is ready for the next commit."""

    staged: list[tuple[OutputName, Staged]] = field(default_factory=list)
    witnesses: list[tuple[Claim, Witness]] = field(default_factory=list)
    resolutions: list[Resolution] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    made: set[DrvDigest] = field(default_factory=set)


class Populate:
    """Makes one step after another; `pins` and `evidence` are of those made so far.

    Steps that don't need each other are committed together: a transaction each would take most of the time.
    """

    def __init__(self, workshop: Workshop, without: str) -> None:
        self._workshop = workshop
        self._without = without
        self._folder = workshop.store.new_temp("populate")
        self._pins: dict[DrvOutput, SourceObject] = {}
        self._evidence: dict[ObjectId, EnvelopeDigest] = {}
        self._batch = _Batch()

    def make(self, step: BuildStep, needs: list[DrvOutput]) -> None:
        """Make a step whose inputs were made before."""
        if any(item.drv in self._batch.made for item in needs):
            self.commit()
        store, now = self._workshop.store, time.time()
        drv = resolve(step.derivation, self._pins)
        pins = {item: self._pins[item] for item in needs}
        infos = store.infos(item.id for item in drv.inputs if isinstance(item, SourceObject))
        staged = store.stage_outputs([self._output(drv, pins)], infos.values())
        course = Course(Mode.SANDBOXED, now, now, {})
        evidence = {made.id: self._evidence[made.id] for made in pins.values()}
        places = {name: item.physical for name, item in staged.staged}
        signed = attest(self._workshop, drv, staged.infos, course, step.limits, evidence, places)
        for name, info in staged.infos.items():
            self._pins[DrvOutput(step.digest, name)] = SourceObject(info.id, info.name)
            self._evidence[info.id] = signed.envelope
        batch = self._batch
        batch.staged += staged.staged
        batch.witnesses += signed.witnesses
        if drv.name != self._without:
            batch.resolutions.append(sign_pins(self._workshop.signer, step.digest, digest_of_made(drv), pins))
        batch.envelopes.append(signed.data)
        batch.made.add(step.digest)

    def commit(self) -> None:
        """Register what was made since the last time."""
        batch, self._batch = self._batch, _Batch()
        self._workshop.store.commit(
            StagedOutputs(tuple(batch.staged), ()),
            witnesses=batch.witnesses,
            resolutions=batch.resolutions,
            envelopes=batch.envelopes,
        )

    def _output(self, drv: Derivation, pins: dict[DrvOutput, SourceObject]) -> BuiltOutput:
        """What `echo $name $deps` writes."""
        path = os.path.join(self._folder, drv.name)
        paths = sorted((made.name, str(made.path)) for made in pins.values())
        with open(path, "w", encoding="utf-8") as file:
            file.write(" ".join([drv.name, *(text for _, text in paths)]) + "\n")
        return BuiltOutput(OUT, path, drv.scratch_path(OUT), drv.output_name(OUT), "file")


if __name__ == "__main__":
    main(*sys.argv[1:])
