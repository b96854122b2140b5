"""What is measured, in both languages: small programs, a layered graph of derivations, a long file, files and trees.

The graph of `n` derivations has layers of `WIDTH`. A node at column c needs the columns c, c+1 and c+7 of the layer
before it, so that every node is needed, and "root", the last, needs the whole last layer. A node writes one small
file. Where it *mentions* its inputs in that file, the outputs refer to each other, and a closure grows with its
depth; where it only takes them, each closure is of one member, and what a build costs is seen alone.
"""

from __future__ import annotations

import os
from typing import NamedTuple

WIDTH = 50
_STEPS = (0, 1, 7)
_FILES_A_FOLDER = 100
_BLOCK = 1 << 20


class Program(NamedTuple):
    """The same computation twice. `kiln` is a module whose `x` is the value; `goal` as in `results.Measure`."""

    name: str
    kiln: str
    nix: str
    value: str
    goal: float | None = None


START = Program("start: the number 1", "pub let x: Int = 1;", "1", "1")

PROGRAMS = (
    Program(
        "fib 27",
        "fn fib(n: Int) -> Int = if n < 2 then n else fib(n - 1) + fib(n - 2);\npub let x: Int = fib(27);",
        "let fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2); in fib 27",
        "196418",
        2.5,
    ),
    Program(
        "map and fold, 1,000,000",
        "pub let x: Int = fold(map(range(1000000), fn(i) => i + 1), 0, fn(a, b) => a + b);",
        "builtins.foldl' (a: b: a + b) 0 (builtins.map (i: i + 1) (builtins.genList (i: i) 1000000))",
        "500000500000",
        2,
    ),
    Program(
        "map, filter and fold, 1,000,000",
        "pub let x: Int =\n"
        "  fold(filter(map(range(1000000), fn(i) => i + 1), fn(i) => i > 10), 0, fn(a, b) => a + b);",
        "builtins.foldl' (a: b: a + b) 0 (builtins.filter (i: i > 10) "
        "(builtins.map (i: i + 1) (builtins.genList (i: i) 1000000)))",
        "500000499945",
        2,
    ),
    Program(
        "300,000 record updates, 10 fields",
        "let ten = { a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, i = 9, x = 0 };\n"
        "pub let x: Int = fold(range(300000), ten, fn(s, i) => s with { x = i }).x;",
        "(builtins.foldl' (s: i: s // { x = i; }) "
        "{ a = 1; b = 2; c = 3; d = 4; e = 5; f = 6; g = 7; h = 8; i = 9; x = 0; } "
        "(builtins.genList (i: i) 300000)).x",
        "299999",
        1,
    ),
    Program(
        "join of 100,000 strings",
        'pub let x: Int = size(join(map(range(100000), fn(i) => to_str(i)), separator = ","));',
        'builtins.stringLength (builtins.concatStringsSep "," (builtins.genList toString 100000))',
        "588889",
        1,
    ),
    Program(
        "100,000 interpolations",
        'pub let x: Int = fold(range(100000), 0, fn(n, i) => n + size("a%{i}-b%{i}"));',
        'builtins.foldl\' (n: i: n + builtins.stringLength "a${toString i}-b${toString i}") 0 '
        "(builtins.genList (i: i) 100000)",
        "1277780",
        1,
    ),
)


class Node(NamedTuple):
    """A derivation of a graph, and the names of what it needs."""

    name: str
    needs: tuple[str, ...]


def graph_nodes(count: int) -> list[Node]:
    """The graph: inputs before what needs them, "root" last."""
    nodes: list[Node] = []
    before: list[str] = []
    layer: list[str] = []
    for number in range(count - 1):
        column = number % WIDTH
        if column == 0:
            before, layer = layer, []
        chosen = {before[(column + step) % len(before)] for step in _STEPS} if before else set()
        nodes.append(Node(f"n{number}", tuple(sorted(chosen))))
        layer.append(f"n{number}")
    needed = {name for node in nodes for name in node.needs}
    loose = tuple(node.name for node in nodes if node.name not in needed)
    return [*nodes, Node("root", loose)]


def kiln_graph(count: int, busybox: str, *, mention: bool = True) -> str:
    """A build file whose only pub let is the root. `busybox` is the absolute path of a static one."""
    script = "echo $name $deps > %{o.out}" if mention else "echo $name > %{o.out}"
    lines = [
        f'let busybox = source_file(`{busybox}`, name = "busybox");',
        "fn mk(name: Str, deps: List(Out(File))) -> Out(File) = derive({",
        "  name, outputs = { out = File },",
        "  exec = fn(o) => {",
        f'    program = "/bin/sh", args = ["-c", "{script}"], links = ["/bin/sh" => "%{{busybox}}"],',
        '    env = ["name" => name, "deps" => join_text(["%{d}" for d in deps], separator = " ")],',
        "  },",
        "}).out;",
    ]
    *nodes, root = graph_nodes(count)
    lines += [f'let {node.name} = mk("{node.name}", [{", ".join(node.needs)}]);' for node in nodes]
    lines.append(f'pub let default: Out(File) = mk("root", [{", ".join(root.needs)}]);')
    return "\n".join(lines) + "\n"


def nix_graph(count: int, busybox: str, *, mention: bool = True) -> str:
    """The same as a Nix expression. `busybox` is a store path with `bin/sh` in it."""
    script = "echo $name $deps > $out" if mention else "echo $name > $out"
    lines = [
        "let",
        f"  busybox = builtins.storePath {busybox};",
        "  mk = name: deps: derivation {",
        '    inherit name deps; system = "x86_64-linux"; builder = "${busybox}/bin/sh";',
        f'    args = [ "-c" "{script}" ];',
        "  };",
    ]
    *nodes, root = graph_nodes(count)
    lines += [f'  {node.name} = mk "{node.name}" [ {" ".join(node.needs)} ];' for node in nodes]
    lines.append(f'in mk "root" [ {" ".join(root.needs)} ]')
    return "\n".join(lines) + "\n"


def kiln_big(size: int, busybox: str) -> str:
    """A module whose `old` is a file of random bytes, and whose `new` differs from it in one byte."""
    return (
        f'let busybox = source_file(`{busybox}`, name = "busybox");\n'
        "fn sh(name: Str, script: fn(Text) -> Text) -> Out(File) = derive({\n"
        "  name, outputs = { out = File },\n"
        "  exec = fn(o) => {\n"
        '    program = "/bin/sh", args = ["-c", script("%{o.out}")], links = ["/bin/sh" => "%{busybox}"],\n'
        '    env = ["PATH" => "/bin"],\n'
        "  },\n"
        "}).out;\n"
        f'pub let old: Out(File) = sh("big", fn(out) => "head -c {size} /dev/urandom > %{{out}}");\n'
        'pub let new: Out(File) = sh("big", fn(out) => "cat %{old} > %{out} && '
        f'printf x | dd of=%{{out}} bs=1 seek={size // 2} conv=notrunc 2>/dev/null");\n'
    )


def nix_big(size: int, busybox: str) -> str:
    """The same in Nix: a set of the two."""
    return (
        f"let busybox = builtins.storePath {busybox};\n"
        "  sh = script: derivation {\n"
        '    name = "big"; system = "x86_64-linux"; builder = "${busybox}/bin/sh"; args = [ "-c" script ];\n'
        "  };\n"
        "in rec {\n"
        f'  old = sh "${{busybox}}/bin/busybox head -c {size} /dev/urandom > $out";\n'
        '  new = sh "${busybox}/bin/busybox cat ${old} > $out; printf x | '
        f'${{busybox}}/bin/busybox dd of=$out bs=1 seek={size // 2} conv=notrunc";\n'
        "}\n"
    )


def kiln_long(size: int) -> str:
    """About `size` bytes of ordinary declarations: records, functions, lists, strings with holes, arithmetic."""
    head = (
        "pub type Source = { url: Str, hash: Str };\n"
        "pub type Item =\n"
        "  { name: Str, version: Str, source: Source, inputs: List(Int), flags: List(Str), ok: Bool };\n"
    )
    parts, written, number = [head], len(head), 0
    while written < size:
        part = (
            f'fn version{number}(minor: Int) -> Str = "1.{number}.%{{minor}}";  # a comment\n'
            f"let item{number}: Item = {{\n"
            f'  name = "item{number}-%{{version{number}(3)}}", version = version{number}(7),\n'
            f'  source = {{ url = "https://example.org/p{number}-%{{version{number}(7)}}.tar.gz", '
            f'hash = "sha256-{number:044d}" }},\n'
            f"  inputs = [1, {number}, {number} + 2 * 3],\n"
            f'  flags = if {number} < 1000 then ["--x", "--y={number}"] else [],\n'
            f'  ok = !(size("{number}") > 3) && version{number}(1) != "0",\n}};\n'
        )
        parts.append(part)
        written += len(part)
        number += 1
    return "".join(parts) + f"pub let default: Str = item{number - 1}.name;\npub let x: Int = 1;\n"


def nix_long(size: int) -> str:
    """The same in Nix: one attribute set."""
    parts, written, number = ["rec {\n"], 6, 0
    while written < size:
        part = (
            f'  version{number} = minor: "1.{number}.${{toString minor}}";  # a comment\n'
            f"  item{number} = {{\n"
            f'    name = "item{number}-${{version{number} 3}}"; version = version{number} 7;\n'
            f'    source = {{ url = "https://example.org/p{number}-${{version{number} 7}}.tar.gz"; '
            f'hash = "sha256-{number:044d}"; }};\n'
            f"    inputs = [ 1 {number} ({number} + 2 * 3) ];\n"
            f'    flags = if {number} < 1000 then [ "--x" "--y={number}" ] else [ ];\n'
            f'    ok = !(builtins.stringLength "{number}" > 3) && version{number} 1 != "0";\n  }};\n'
        )
        parts.append(part)
        written += len(part)
        number += 1
    return "".join(parts) + "  x = 1;\n}\n"


def random_file(path: str, size: int) -> None:
    """A file of `size` random bytes."""
    with open(path, "wb") as file:
        while size > 0:
            size -= file.write(os.urandom(min(size, _BLOCK)))


def random_tree(path: str, count: int, size: int) -> None:
    """`count` files of `size` random bytes each, a hundred to a folder."""
    for number in range(count):
        folder = os.path.join(path, f"d{number // _FILES_A_FOLDER}")
        if number % _FILES_A_FOLDER == 0:
            os.makedirs(folder)
        with open(os.path.join(folder, f"f{number}"), "wb") as file:
            file.write(os.urandom(size))
