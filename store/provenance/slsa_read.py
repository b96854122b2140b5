"""Reading SLSA provenance back into facts: strictly, from verified bytes alone.

Fields that this version does not know are refused everywhere but among the byproducts, where later versions may
add some; an unknown external parameter has an error of its own (SLSA v1, "externalParameters").
"""

from __future__ import annotations

import binascii
from dataclasses import replace

from kiln.store.digest import EnvelopeDigest, ObjectId, RootDigest
from kiln.store.errors import BadEnvelope
from kiln.store.paths import STORE_DIR, OutputName, StorePath
from kiln.store.provenance.errors import RecipeMismatch, UnknownParameter, WrongType
from kiln.store.provenance.facts import (
    BuildFacts,
    Dependency,
    FetchFacts,
    FileFact,
    LogFact,
    Mode,
    Output,
    Provenance,
    Recipe,
    RecipeForm,
    Run,
    Usage,
)
from kiln.store.provenance.fields import Fields, read_as, read_count, read_flag, read_text
from kiln.store.provenance.plainjson import Json
from kiln.store.provenance.slsa import PREDICATE_TYPE, SANDBOX_BYPRODUCT, USAGE_BYPRODUCT, fetched
from kiln.store.provenance.statement import Content, Descriptor, Statement, read_digests


def read_provenance(statement: Statement) -> Provenance:
    """The facts of a verified statement.

    Raises WrongType for another predicate or build type, UnknownParameter, RecipeMismatch where the recipe's
    bytes do not have the digest beside them, BadEnvelope for whatever has not its form.
    """
    if statement.predicate_type != PREDICATE_TYPE:
        raise WrongType("not a build's provenance", expected=PREDICATE_TYPE, found=statement.predicate_type[:200])
    predicate = Fields(statement.predicate, "predicate")
    definition, details = predicate.inner("buildDefinition"), predicate.inner("runDetails")
    predicate.done()
    form = _form(definition.text("buildType"))
    run = _read_run(details)
    outputs = read_outputs(statement)
    if form is RecipeForm.DERIVATION:
        return _read_build(definition, outputs, run)
    return _read_fetch(definition, outputs, run)


def _form(build_type: str) -> RecipeForm:
    for form in RecipeForm:
        if form.build_type == build_type:
            return form
    known = " or ".join(form.build_type for form in RecipeForm)
    raise WrongType("a build type that this version does not know", expected=known, found=build_type[:200])


def _read_build(definition: Fields, outputs: tuple[Output, ...], run: Run) -> BuildFacts:
    external = definition.inner("externalParameters")
    recipe = _read_recipe(external, RecipeForm.DERIVATION)
    internal = definition.inner("internalParameters")
    sandbox = internal.inner("sandbox")
    facts = BuildFacts(
        recipe=recipe,
        outputs=outputs,
        dependencies=definition.items("resolvedDependencies", _read_dependency),
        run=run,
        epoch=sandbox.count("epoch"),
        profile=sandbox.text("profile"),
        limits=internal.mapping("limits", read_count),
        prefix=internal.text("prefix"),
    )
    _known_only(external)
    for fields in (sandbox, internal, definition):
        fields.done()
    return facts


def _read_fetch(definition: Fields, outputs: tuple[Output, ...], run: Run) -> FetchFacts:
    external = definition.inner("externalParameters")
    recipe = _read_recipe(external, RecipeForm.FIXED)
    sources = external.items("sources", read_text)
    definition.inner("internalParameters").done()
    came = definition.items("resolvedDependencies", Descriptor.read)
    _known_only(external)
    definition.done()
    if len(outputs) != 1 or len(came) != 1 or came[0].uri is None:
        raise BadEnvelope("a fetch has one output, and one place that it came from")
    facts = FetchFacts(recipe, outputs[0], sources, came[0].uri, run)
    if fetched(facts) != came[0]:
        raise BadEnvelope("what was fetched is not what the subject says", expected="equal digests")
    return facts


def _read_recipe(external: Fields, form: RecipeForm) -> Recipe:
    text = external.long_text("recipeBytes")
    try:
        encoded = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        external.refuse("base64", text, "recipeBytes")
    recipe = Recipe(form, encoded, external.mapping("recipe", lambda value, _: value))
    said = read_digests(external.take("digest"), f"{external.where}.digest").raw("kilnResolved")
    if said != recipe.digest:
        raise RecipeMismatch(
            "the recipe's bytes do not have the digest that stands beside them",
            expected=f"blake3:{said.hex()}" if said else "a digest kilnResolved",
            found=str(recipe.digest),
        )
    return recipe


def _known_only(external: Fields) -> None:
    """SLSA v1, "externalParameters": what a verifier does not know, it must not accept."""
    if external.left:
        raise UnknownParameter(
            "the build had an external parameter that this version does not know",
            expected="recipe, recipeBytes, digest (and sources for a fetch)",
            found=", ".join(repr(name[:80]) for name in external.left[:8]),
            help="verify it with the version of Kiln that made it",
        )


def read_outputs(statement: Statement) -> tuple[Output, ...]:
    """The outputs that the subjects speak of, each with its files. Raises BadEnvelope."""
    outputs: list[Output] = []
    files: dict[str, list[FileFact]] = {}
    for subject in statement.subjects:
        name, content = str(subject.name), subject.digest.content
        assert content is not None
        if subject.annotations:
            outputs.append(_read_output(subject, content))
            files[name] = []
            continue
        owner, _, path = name.removeprefix(f"{STORE_DIR}/").partition("/")
        if (place := files.get(f"{STORE_DIR}/{owner}")) is None or not path:
            raise BadEnvelope("a subject that is no output, and no file of one before it", found=repr(name[:200]))
        place.append(FileFact(path, content))
    made = tuple(replace(output, files=tuple(files[str(output.path)])) for output in outputs)
    if len({output.name for output in made}) != len(made):
        raise BadEnvelope("a statement names an output twice", expected="each output once")
    return made


def _read_output(subject: Descriptor, content: Content) -> Output:
    where = f"subject {str(subject.name)[:120]}"
    said = Fields(dict(subject.annotations), where)
    kind = said.text("kind")
    object_id, root = subject.digest.raw("kilnObject"), subject.digest.raw("kilnRoot")
    if object_id is None or root is None or kind not in ("tree", "file"):
        raise BadEnvelope(f"{where} is not an output", expected="kilnObject, kilnRoot, and a kind tree or file")
    output = Output(
        name=said.parsed("output", OutputName.parse),
        path=read_path(subject.name, where, ObjectId(object_id)),
        kind="tree" if kind == "tree" else "file",
        object_id=ObjectId(object_id),
        root=RootDigest(root),
        content=content,
        size=said.count("size"),
    )
    said.done()
    return output


def read_path(name: str | None, where: str, object_id: ObjectId) -> StorePath:
    """A store path that shows the object's own id. Raises BadEnvelope."""
    path = read_as(name or "", where, StorePath.parse)
    if str(path) != name or path != StorePath.of(object_id, path.name):
        raise BadEnvelope(
            f"{where}: the path does not belong to the object",
            expected=str(StorePath.of(object_id, path.name)),
            found=repr(name),
        )
    return path


def _read_dependency(value: Json, where: str) -> Dependency:
    item = Descriptor.read(value, where)
    said = Fields(dict(item.annotations), f"{where}.annotations")
    object_id, root = item.digest.raw("kilnObject"), item.digest.raw("kilnRoot")
    if object_id is None or root is None:
        raise BadEnvelope(f"{where} lacks a digest", expected="kilnObject and kilnRoot")
    envelope = said.parsed("envelope", EnvelopeDigest.parse) if said.has("envelope") else None
    said.done()
    return Dependency(
        path=read_path(item.name, where, ObjectId(object_id)),
        object_id=ObjectId(object_id),
        root=RootDigest(root),
        content=item.digest.content,
        envelope=envelope,
        location=item.download_location,
    )


def _read_run(details: Fields) -> Run:
    builder, metadata = details.inner("builder"), details.inner("metadata")
    mode, version = read_mode(builder.text("id")), builder.inner("version")
    listed = details.items("byproducts", Descriptor.read, limit=64)
    products = {item.name: item for item in listed}
    if len(products) != len(listed):
        raise BadEnvelope("a byproduct is there twice", expected="each name once")
    sandbox = _said(products, "sandbox", SANDBOX_BYPRODUCT)
    run = Run(
        mode=mode,
        version=version.text("kiln"),
        invocation_id=metadata.text("invocationId"),
        started=metadata.time("startedOn"),
        finished=metadata.time("finishedOn"),
        enforced=sandbox.mapping("enforced", read_flag),
        degraded=sandbox.items("degraded", read_text, limit=64),
        log=_read_log(products.get("log")),
        usage=_read_usage(products),
    )
    if sandbox.flag("hermetic") != run.hermetic:
        sandbox.refuse("what follows from the flags that were enforced", not run.hermetic, "hermetic")
    for fields in (sandbox, builder, version, metadata, details):
        fields.done()
    return run


def read_mode(builder_id: str) -> Mode:
    """The mode that a builder id names. Raises WrongType."""
    for mode in Mode:
        if mode.builder_id == builder_id:
            return mode
    known = ", ".join(mode.value for mode in Mode)
    raise WrongType(
        "a builder that this version does not know",
        expected=f"https://kiln.example/builders/…/v1, one of {known}",
        found=builder_id[:200],
    )


def _said(products: dict[str | None, Descriptor], name: str, uri: str) -> Fields:
    item = products.get(name)
    if item is None or item.uri != uri:
        raise BadEnvelope(f"the byproduct {name} is not there", expected=uri, found=str(item and item.uri))
    return Fields(dict(item.annotations), f"byproduct {name}")


def _read_log(item: Descriptor | None) -> LogFact | None:
    if item is None:
        return None
    content, said = item.digest.content, Fields(dict(item.annotations), "byproduct log")
    if content is None:
        raise BadEnvelope("the byproduct log lacks a digest", expected="sha256 and blake3")
    log = LogFact(content, said.count("size"))
    said.done()
    return log


def _read_usage(products: dict[str | None, Descriptor]) -> Usage | None:
    if "usage" not in products:
        return None
    said = _said(products, "usage", USAGE_BYPRODUCT)
    usage = Usage(said.count("cpuMicroseconds"), said.count("wallMicroseconds"), said.count("maxRssBytes"))
    said.done()
    return usage
