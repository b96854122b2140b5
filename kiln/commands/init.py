"""`kiln init [DIR]`: a project that builds offline in seconds."""

from __future__ import annotations

import argparse
import os

from kiln.console import Stop, escape
from kiln.context import Context

_MAIN = '''\
## A project in Kiln.
##
##     kiln realise main.kiln           builds `default`, with nothing from outside
##     kiln realise main.kiln#hello     builds the C program; the first time, 4.6 MB of tools are fetched
##     kiln run main.kiln#hello         runs it

import "std/c" as c;

## What the greeting is made of.
pub type Greeting = {
  who: Str = "world",
  loud: Bool = false,
};

fn words(g: Greeting) -> Str =
  let text = "Hello, %{g.who}";
  if g.loud then "%{upper(text)}!" else "%{text}.";

## A file made of text alone.
pub let default: Out(File) = write_file("greeting.txt", words({ who = "Kiln" }));

pub type Hello = c.Package({}, {}, { out: Tree });

## A C program from this project's own folder.
pub let hello: Hello = c.package({
  name = "hello", version = "1.0", tc = c.tiny, deps = {}, opts = {}, outputs = { out = Tree },
  src = fn(b) => source(`./src`),
  script = fn(b) => sh"""
    mkdir -p %{b.out}/bin
    cc -DVERSION='"%{b.version}"' -o %{b.out}/bin/hello hello.c
    """,
});

test "greets quietly" = words({}) == "Hello, world.";
'''

_HELLO = """\
#include <stdio.h>

int main(void)
{
    printf("Hello from version %s\\n", VERSION);
    return 0;
}
"""

_FILES = {"main.kiln": _MAIN, "src/hello.c": _HELLO, ".gitignore": "/result\n/result-*\n"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default=".", metavar="DIR", help="where; made if it isn't there")


def run(args: argparse.Namespace, context: Context) -> int:
    places = {name: os.path.join(args.folder, name) for name in _FILES}
    taken = [place for name, place in places.items() if os.path.lexists(place) and name != ".gitignore"]
    if taken:
        raise Stop("K0904", f"{taken[0]} is there already", help="name another folder: kiln init DIR")
    made: list[str] = []
    for name, place in places.items():
        if os.path.lexists(place):
            continue
        os.makedirs(os.path.dirname(place) or ".", exist_ok=True)
        with open(place, "x", encoding="utf-8") as file:
            file.write(_FILES[name])
        made.append(place)
        context.console.result(escape(place))
    context.console.document("init", {"made": made})
    context.console.say(f"next: kiln realise {escape(places['main.kiln'])}")
    return 0
