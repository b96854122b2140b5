"""Generated graphs of derivations: packages that depend on each other in every way that the language has."""

from __future__ import annotations

import random


def a_graph(seed: int, size: int = 24) -> str:
    """A build file of `size` packages; each takes some of those before it as dependencies, in texts and in sets."""
    rng = random.Random(f"graph {seed}")
    lines = [
        'import "std/c" as c;',
        'import "std/list" as list;',
        "fn made(name: Str, deps: List(Out(Tree)), flags: Map(Text)) -> Drv({ out: Tree, log: File }) =",
        "  derive({",
        "    name, outputs = { out = Tree, log = File },",
        "    exec = fn(o) => {",
        '      program = "%{c.busybox.out}/bin/sh",',
        '      args = ["-c", sh"echo %{deps} > %{o.log}", join_text(["%{d}" for d in deps], separator = ":")],',
        '      env = flags ++ ["OUT" => "%{o.out}", "A" => "1"],',
        "    },",
        "  });",
    ]
    names: list[str] = []
    for number in range(size):
        used = rng.sample(names, min(len(names), rng.randrange(4)))
        deps = ", ".join(f"{name}.out" for name in used)
        flags = ", ".join(f'"K{key}" => "%{{{name}.log}}/{key}"' for key, name in enumerate(reversed(used)))
        name = f"p{number}"
        lines.append(
            f'pub let {name}: Drv({{ out: Tree, log: File }}) = made("{name}", [{deps}], [{flags or "=>"}]);'
        )
        names.append(name)
    rng.shuffle(names)
    lines += ["pub set All() {", *[f"  m_{name} = {name}.out;" for name in names], "}"]
    first, second = names[:2]
    entries = ", ".join(f'"{name}" => {name}.log' for name in names)
    lines += [
        "pub let all: All = All();",
        f"pub let other: All = All() with (self, super) {{ m_{first} = self.m_{second} }};",
        f"pub let listed: List(Out(Tree)) = [p.out for p in [{', '.join(names)}]];",
        f"pub let mapped: Map(Out(File)) = [{entries}];",
        'pub let text: Out(File) = write_file("text", join_text(["%{o}" for o in listed]));',
        'pub let source_tree: Out(Tree) = source(`./tree`, exclude = ["*.o"]);',
        'pub let unpacked: Out(Tree) = unpack(source_file(`./tree/a`), name = "a", strip = 1);',
    ]
    return "\n".join(lines) + "\n"
