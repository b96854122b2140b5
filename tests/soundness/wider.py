"""More of the language for generated programs: rows, sets that extend, overlays of overlays, nested edits, scripts,
pipes, attestations, kinds of one's own."""

from __future__ import annotations

from tests.soundness.generated_types import INT, OUT_FILE, OUT_TREE, STR, TEXT, Made, Of, Param, Record, shown
from tests.soundness.terms import Terms


class Wider(Terms):
    """Declarations that `welltyped.Program` draws beside its own."""

    lines: list[str]

    def wider(self) -> None:
        """One more declaration, or several that belong together."""
        self.pick(
            self._rows, self._extension, self._overlays, self._nested, self._script, self._piped, self._attested,
            self._kind, self._set_whole,
        )()  # fmt: skip

    def _let(self, name: str, t: object, value: str) -> None:
        self.lines.append(f"let {name}: {shown(t)} = {value};")  # type: ignore[arg-type]
        self.lets.append((name, t))  # type: ignore[arg-type]

    def _rows(self) -> None:
        """A function of any record with a field, written or inferred; it gives the record back with all it has."""
        name, label, t = self.new("row_"), self.pick("a", "b"), self.type(1)
        kept, changed = self.new("kept_"), self.term(t, (), 1)
        signature = f"(r: {{ {label}: {shown(t)}, ..rest }}) -> {{ {label}: {shown(t)}, ..rest }}"
        self.lines += [
            f"fn {name}{signature} = r with {{ {label} = {changed} }};",
            f"fn {kept}(r) = {{ it = r.{label}, all = [r, r] }};",
        ]
        extra = self.type(1)
        fields = Record(((label, t), ("extra", extra)))
        made = self.exact(fields, (), 2)
        self._let(self.new("let_"), extra, f"{name}({made}).extra")
        self._let(self.new("let_"), t, f"{kept}({name}({made})).it")
        self._let(self.new("let_"), Of("List", fields), f"{kept}({made}).all")

    def _extension(self) -> None:
        """A set that adds members to another, and stands where that is wanted."""
        if not self.sets:
            return
        parent = self.some(list(self.sets))
        name, label, start, t = self.new("E"), self.new("m"), self.new("p"), self.type(1)
        scope = (*[(f"self.{known}", item) for known, item in self.sets[parent]], (start, INT))
        value = self.term(t, scope, 2)
        self.lines.append(
            f"set {name}({start}: Int) extends {parent}({self.term(INT, ((start, INT),), 1)}) "
            f"{{ {label}: {shown(t)} = {value}; }}"
        )
        self.sets[name] = (*self.sets[parent], (label, t))
        read = self.new("read_")
        known, item = self.some(self.sets[parent])
        self.lines.append(f"fn {read}(s: {parent}) -> {shown(item)} = s.{known};")
        self._let(self.new("let_"), item, f"{read}({name}({self.term(INT, (), 1)}))")

    def _overlays(self) -> None:
        """An overlay of an overlay; the inner names are others, or hide the outer ones."""
        if not self.sets:
            return
        name = self.some(list(self.sets))
        value = f"{name}({self.term(INT, (), 1)})"
        for own, below in (("self", "super"), self.pick(("final", "prev"), ("self", "super"))):
            label, t = self.some(self.sets[name])
            inner = tuple([(f"{below}.{known}", item) for known, item in self.sets[name]])
            value = f"({value} with ({own}, {below}) {{ {label} = {self.term(t, inner, 2)} }})"
        known, item = self.some(self.sets[name])
        self._let(self.new("let_"), item, f"{value}.{known}")

    def _nested(self) -> None:
        """Edits along a path, one of them by `+=`, composed."""
        inner = Record((("x", self.type(1)), ("xs", Of("List", self.type(1)))))
        outer = Record((("in", inner), ("n", INT)))
        (_, t), (_, xs) = inner.fields
        name = self.new("let_")
        self._let(name, outer, self.term(outer, (), 2))
        changed = f"{name} with {{ in.x = {self.term(t, (), 1)}, in.xs += {self.term(xs, (), 1)}, n = 1 }}"
        self._let(
            self.new("let_"), outer, f"({changed}) with {{ in.xs += {name}.in.xs, n = {self.term(INT, (), 1)} }}"
        )
        self._let(self.new("let_"), t, f"({changed}).in.x")

    def _script(self) -> None:
        """Every place in a script where a hole may stand; the values are plain enough for each of them."""
        text, words, word = (
            self.term(TEXT, (), 1),
            self.term(Of("List", TEXT), (), 1),
            self.pick('"a b"', '"é"', '"$x"'),
        )
        name = self.new("let_")
        self.lines += [
            f"let {name}: Text =",
            '  sh"""',
            f"    one %{{({text}: Text)}} %{{({words}: List(Text))}} # %{{{word}}}",
            f"    \"%{{{word}}}/$1\" 'it is %{{{word}}}'",
            f'    two "$(cat %{{{word}}})" ${{KILN_JOBS:-1}} %{{raw("$HOME")}} %%{{x}}',
            "    cat <<EOF",
            f"    %{{{word}}} is $HOME",
            "    EOF",
            "    cat <<'EOF'",
            f"    %{{{word}}} is ${{a.b}}",
            "    EOF",
            '    """;',
        ]
        self.lets.append((name, TEXT))

    def _piped(self) -> None:
        """`x |> f(a)` is `f(x, a)`."""
        t, result, name = self.type(1), self.type(1), self.new("pipe_")
        first, more = self.new("p"), self.new("p")
        scope = ((first, t), (more, INT))
        body = self.term(result, scope, 2)
        self.lines.append(f"fn {name}({first}: {shown(t)}, {more}: Int) -> {shown(result)} = {body};")
        self.functions.append(Made(name, (Param(first, t), Param(more, INT)), result))
        start, count = self.exact(t, (), 1), self.term(INT, (), 1)
        self._let(self.new("let_"), result, f"{start} |> {name}({count})")
        self._let(
            self.new("let_"),
            STR,
            f'[{self.term(STR, (), 1)}] |> map(fn(s: Str) -> Str => s) |> join(separator = "-")',
        )

    def _attested(self) -> None:
        """Attestations of every kind, their files, and what is had by them alone."""
        out, predicate = self.exact(OUT_FILE, (), 1), Record((("a", self.type(1, data=True)), ("of", TEXT)))
        name = self.new("said_")
        self.lines += [
            f'let {name}: Attestation({shown(predicate)}) = attest(subjects = [subject({out})], kind = "x:y", '
            f'predicate = {self.exact(predicate, (), 1)}, signer = key(secret("k")));',
            f"let more_{name} = {name}.with_subject(subject(c.busybox.out));",
        ]
        policy = '{ keys = ["ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"] }'
        self._let(self.new("let_"), OUT_FILE, f"more_{name}.as_file")
        self._let(self.new("let_"), OUT_FILE, "sbom(c.busybox.out).as_file")
        self._let(self.new("let_"), OUT_TREE, f"verify(provenance(c.busybox.out), {policy}, of = c.busybox.out)")

    def _kind(self) -> None:
        name, made, run = self.new("K"), self.new("made_"), self.new("run_")
        self.lines += [
            f"type {name} = | {name}({self.pick('File', 'Tree')});",
            f"let {made}: Drv({{ out: {name}, log: File }}) = derive({{ "
            f'name = "k", outputs = {{ out = {name}, log = File }}, '
            'exec = fn(o) => { program = "/bin/sh", args = [sh"touch %{o.out} %{o.log}"] } });',
            f'fn {run}(out: Out({name})) -> Out(File) = out.file("x");',
        ]
        self._let(self.new("let_"), OUT_FILE, f"{run}({made}.out)")

    def _set_whole(self) -> None:
        """A set handed to a function, which overlays it."""
        if not self.sets:
            return
        name = self.some(list(self.sets))
        made, (label, t) = self.new("set_"), self.some(self.sets[name])
        value = self.term(t, (("super." + label, t),), 1)
        self.lines.append(f"fn {made}(s: {name}) -> {name} = s with (self, super) {{ {label} = {value} }};")
        self._let(self.new("let_"), t, f"{made}({made}({name}({self.term(INT, (), 1)}))).{label}")
