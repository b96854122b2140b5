"""A build file with graphs that overlap, for processes that build, collect, verify and are killed at once.

Each variant has three bases that all variants share, four nodes above them that a third of the variants share, a
source tree that half of them share, and a top of its own. Each output holds a file of 120,000 bytes, of which there
are only three, so that the pool has them, and names its dependencies.
"""

from __future__ import annotations

import os
import shutil

from tests.support.home import Home

VARIANTS = 12
_HEAD = """\
let busybox = source_file(`./busybox`, name = "busybox");
fn node(name: Str, key: Str, deps: List(Out(Tree)), more: Str = "") -> Out(Tree) = derive({
  name, outputs = { out = Tree },
  exec = fn(o) => {
    program = "/bin/sh", links = ["/bin/sh" => "%{busybox}"],
    args = ["-c", "mkdir $out && yes $key | head -c 120000 > $out/big && echo $name $more > $out/name && echo $deps > $out/deps"],
    env = [
      "PATH" => "/bin", "out" => "%{o.out}", "name" => name, "key" => key, "more" => more,
      "deps" => join_text(["%{d}" for d in deps], separator = " "),
    ],
  },
}).out;
"""  # noqa: E501


def lay(home: Home, busybox: str) -> None:
    """Write the build file and what it reads. `busybox` is a static one whose shell runs its own applets."""
    shutil.copy(busybox, f"{home.work}/busybox")
    lines = [_HEAD]
    for number in range(2):
        os.mkdir(f"{home.work}/data-{number}")
        home.write(f"data-{number}/f", f"{number}" * 90_000)
        lines.append(f'let data{number}: Out(Tree) = source(`./data-{number}`, name = "data");')
    for number in range(3):
        lines.append(f'let base{number} = node("base-{number}", "k{number}", []);')
        for j in range(4):
            deps = f"[base{j % 3}, base{(j + 1) % 3}]"
            lines.append(f'let mid{number}{j} = node("mid-{j}", "k{j % 3}", {deps}, more = "{number}");')
    for number in range(VARIANTS):
        deps = ", ".join([*(f"mid{number % 3}{j}" for j in range(4)), f"data{number % 2}"])
        lines.append(f'pub let top{number}: Out(Tree) = node("top", "k{number % 3}", [{deps}], more = "{number}");')
    home.write("load.kiln", "\n".join(lines) + "\n")


def target(variant: int) -> str:
    return f"load.kiln#top{variant}"


def missing(home: Home, link: str) -> list[str]:
    """What a result link that is there leads to, by the names of dependencies in files, and is not there."""
    seen: set[str] = set()
    lost, waiting = [], [os.path.basename(os.readlink(link))]
    while waiting:
        base = waiting.pop()
        if base in seen:
            continue
        seen.add(base)
        try:
            entries = os.listdir(f"{home.objects}/{base}")
            if "deps" in entries:
                with open(f"{home.objects}/{base}/deps", encoding="utf-8") as file:
                    waiting += [os.path.basename(path) for path in file.read().split()]
        except OSError as error:
            lost.append(f"{os.path.basename(link)} → {base}: {error.strerror}")
    return lost
