"""SLSA provenance 0.2 for consumers that know nothing newer: the same facts in an in-toto Statement 0.1.

`completeness` and `reproducible` are promises: the first says what was enforced, the second is never made here
(a verdict's statement is where a rebuild is recorded).
"""

from __future__ import annotations

import binascii

from kiln.store.provenance.facts import BuildFacts, FetchFacts, Provenance
from kiln.store.provenance.fields import format_time
from kiln.store.provenance.plainjson import Json
from kiln.store.provenance.slsa import fetched, output_subjects

STATEMENT_TYPE = "https://in-toto.io/Statement/v0.1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v0.2"


def build_statement_v02(facts: Provenance) -> dict[str, Json]:
    """A statement 0.1 with a predicate 0.2, ready to be signed."""
    subjects: list[Json] = [
        {"name": subject.name, "digest": dict(subject.digest.values)} for subject in output_subjects(facts.outputs)
    ]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": _predicate(facts),
    }


def _predicate(facts: Provenance) -> dict[str, Json]:
    run = facts.run
    return {
        "builder": {"id": run.mode.builder_id},
        "buildType": facts.recipe.form.build_type,
        "invocation": {"parameters": _parameters(facts), "environment": _environment(facts)},
        "metadata": {
            "buildInvocationID": run.invocation_id,
            "buildStartedOn": format_time(run.started),
            "buildFinishedOn": format_time(run.finished),
            "completeness": {"parameters": True, "environment": run.hermetic, "materials": run.hermetic},
            "reproducible": False,
        },
        "materials": _materials(facts),
    }


def _parameters(facts: Provenance) -> dict[str, Json]:
    return {
        "recipe": dict(facts.recipe.data),
        "recipeBytes": binascii.b2a_base64(facts.recipe.encoded, newline=False).decode("ascii"),
        "digest": {"kilnResolved": facts.recipe.digest.hex()},
    }


def _environment(facts: Provenance) -> dict[str, Json]:
    enforced: dict[str, Json] = dict(facts.run.enforced)
    made: dict[str, Json] = {"enforced": enforced, "degraded": list(facts.run.degraded)}
    if isinstance(facts, BuildFacts):
        made["sandbox"] = {"epoch": facts.epoch, "profile": facts.profile}
        made["prefix"] = facts.prefix
    return made


def _materials(facts: Provenance) -> list[Json]:
    """A material must have a URI: a store path's is `kiln:` and the path."""
    if isinstance(facts, FetchFacts):
        came = fetched(facts)
        return [{"uri": came.uri, "digest": dict(came.digest.values)}]
    return [{"uri": f"kiln:{item.path}", "digest": dict(item.digests.values)} for item in facts.dependencies]
