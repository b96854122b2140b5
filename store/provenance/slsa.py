"""SLSA provenance, version 1: how a build's or a fetch's outputs came to be. docs/spec/provenance.md is normative.

    buildDefinition   buildType, externalParameters {recipe, recipeBytes, digest [, sources]},
                      internalParameters {sandbox, prefix, limits}, resolvedDependencies
    runDetails        builder {id, version}, metadata {invocationId, startedOn, finishedOn}, byproducts

The recipe stands there twice: as canonical bytes, from which its digest follows, and as data for people. Direct
inputs alone are dependencies; each carries the digest of its own envelope, so that the rest follows by digest.

What a user could have asked for without getting it (a sandbox, no network) is said only as it was enforced.
"""

from __future__ import annotations

import binascii
from typing import assert_never

from kiln.store.errors import BadEnvelope
from kiln.store.provenance.facts import (
    BuildFacts,
    Dependency,
    FetchFacts,
    Output,
    Provenance,
    Run,
    public_uri,
)
from kiln.store.provenance.fields import format_time
from kiln.store.provenance.plainjson import Json
from kiln.store.provenance.statement import Descriptor, DigestSet, make_statement

PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
SANDBOX_BYPRODUCT = "https://kiln.example/byproducts/sandbox/v1"
USAGE_BYPRODUCT = "https://kiln.example/byproducts/usage/v1"


def build_statement(facts: Provenance) -> dict[str, Json]:
    """The statement about a build or a fetch, ready to be signed. Raises BadEnvelope where it could not be read."""
    if isinstance(facts, FetchFacts) and not facts.location:
        raise BadEnvelope("a fetch must say where the file came from", expected="a URI", found="none")
    return make_statement(output_subjects(facts.outputs), PREDICATE_TYPE, build_predicate(facts))


def build_predicate(facts: Provenance) -> dict[str, Json]:
    return {"buildDefinition": _definition(facts), "runDetails": _run_details(facts.run)}


def _definition(facts: Provenance) -> dict[str, Json]:
    external: dict[str, Json] = {
        "recipe": dict(facts.recipe.data),
        "recipeBytes": binascii.b2a_base64(facts.recipe.encoded, newline=False).decode("ascii"),
        "digest": {"kilnResolved": facts.recipe.digest.hex()},
    }
    match facts:
        case BuildFacts():
            internal: dict[str, Json] = {
                "sandbox": {"epoch": facts.epoch, "profile": facts.profile},
                "prefix": facts.prefix,
                "limits": dict(facts.limits),
            }
            dependencies = [_dependency(item).to_json() for item in facts.dependencies]
        case FetchFacts():
            external["sources"] = [public_uri(source) for source in facts.sources]
            internal = {}
            dependencies = [fetched(facts).to_json()]
        case _:
            assert_never(facts)
    return {
        "buildType": facts.recipe.form.build_type,
        "externalParameters": external,
        "internalParameters": internal,
        "resolvedDependencies": [*dependencies],
    }


def output_subjects(outputs: tuple[Output, ...]) -> list[Descriptor]:
    """One subject an output, each followed by those of its files."""
    subjects: list[Descriptor] = []
    for output in outputs:
        said: dict[str, Json] = {"output": str(output.name), "kind": output.kind, "size": output.size}
        subjects.append(Descriptor(name=str(output.path), digest=output.digests, annotations=said))
        subjects.extend(
            Descriptor(name=f"{output.path}/{file.path}", digest=DigestSet.of(file.content)) for file in output.files
        )
    return subjects


def _dependency(item: Dependency) -> Descriptor:
    said: dict[str, Json] = {} if item.envelope is None else {"envelope": str(item.envelope)}
    place = None if item.location is None else public_uri(item.location)
    return Descriptor(name=str(item.path), digest=item.digests, download_location=place, annotations=said)


def fetched(facts: FetchFacts) -> Descriptor:
    """The file as it came. A place that was not declared (a mirror) loses its query, which may hold a token."""
    place = public_uri(facts.location)
    if facts.location not in facts.sources and place not in facts.sources:
        place = place.partition("?")[0]
    return Descriptor(uri=place, digest=DigestSet.of(facts.output.content))


def _run_details(run: Run) -> dict[str, Json]:
    return {
        "builder": {"id": run.mode.builder_id, "version": {"kiln": run.version}},
        "metadata": {
            "invocationId": run.invocation_id,
            "startedOn": format_time(run.started),
            "finishedOn": format_time(run.finished),
        },
        "byproducts": [item.to_json() for item in _byproducts(run)],
    }


def _byproducts(run: Run) -> list[Descriptor]:
    enforced: dict[str, Json] = dict(run.enforced)
    sandbox: dict[str, Json] = {
        "enforced": enforced,
        "degraded": list(run.degraded),
        "hermetic": run.hermetic,
    }
    made = [Descriptor(name="sandbox", uri=SANDBOX_BYPRODUCT, annotations=sandbox)]
    if run.usage is not None:
        used: dict[str, Json] = {
            "cpuMicroseconds": run.usage.cpu_us,
            "wallMicroseconds": run.usage.wall_us,
            "maxRssBytes": run.usage.max_rss,
        }
        made.append(Descriptor(name="usage", uri=USAGE_BYPRODUCT, annotations=used))
    if run.log is not None:
        digest, size = DigestSet.of(run.log.content), run.log.size
        made.append(Descriptor(name="log", digest=digest, media_type="text/plain", annotations={"size": size}))
    return made
