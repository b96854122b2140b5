"""The codes of names, modules and types, for `kiln explain`: what each one is about, with a wrong example and a
right one.

As in `lang/syntax/codes.py`: lines that begin with four blanks are Kiln. Those behind `Wrong:` give the code, those
behind `Right:` are without a mistake; a test holds both. Codes without examples belong to the loading of
modules, or need more than a few lines.
"""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, tuple[str, str]]] = {
    "K0200": (
        "an unknown name",
        """\
A name is looked for among the locals, this file's own declarations, what it imports by name, and the prelude, which
every file sees. What another module exports is reached through the import's alias: `fetch.tarball`.

Wrong:
    let n = lenght([1, 2]);
Right:
    let n = length([1, 2]);
""",
    ),
    "K0201": (
        "one name declared twice",
        """\
Functions, bindings, sets and imports share one space of names, types another, constructors a third. In each a
name can be declared once.

Wrong:
    let size = 1;
    let size = 2;
Right:
    let size = 1;
    let width = 2;
""",
    ),
    "K0202": (
        "a module does not export this",
        """\
Only declarations with `pub` in front can be used by other modules. The message says whether the module has the
name at all, and shows the nearest one.
""",
    ),
    "K0203": (
        "a module that can't be imported",
        """\
The module that an import names was not found, or could not be read; there is a message of its own about that. A
library's module is `std/…`, a file is named relative to the importing one: `./name.kiln`.
""",
    ),
    "K0209": (
        "a type that needs itself",
        """\
The types of declarations that don't say theirs are found from their bodies, in the order of their needs. A set and a
function that need each other have no such order: write the type of one of them.

Wrong:
    set S() { a = f(1); }
    fn f(n) = if n == 0 then S().a else n;
Right:
    set S() { a = f(1); }
    fn f(n: Int) -> Int = if n == 0 then S().a else n;
""",
    ),
    "K0210": (
        "an unknown type",
        """\
The types that are always there are Int, Bool, Str, Text, Path, List, Map, Option, Out, Drv, Pkg, Kinds, Outs, Secret,
Signer, Subject, Attestation, and the kinds Tree and File. A lower-case name is a type variable, which a signature
brings in.

Wrong:
    let name: String = "lua";
Right:
    let name: Str = "lua";
""",
    ),
    "K0211": (
        "an unknown constructor",
        """\
A name with a capital is a constructor of a variant, a set, or a kind. One of another module is written with the
import's alias, `cc.Thin`, or imported by name.

Wrong:
    let x = Just(1);
Right:
    let x = Some(1);
""",
    ),
    "K0212": (
        "a module or a type used as a value",
        """\
An import's alias and a type's name are no values. A value of a record type is written in braces, one of a variant by
its constructor.

Wrong:
    pub type Opts = { level: Int = 1 };
    let o = Opts;
Right:
    pub type Opts = { level: Int = 1 };
    let o: Opts = {};
""",
    ),
    "K0213": (
        "a label or a name that comes twice",
        """\
Fields of a record, parameters of a function, members of an overlay, and names in one pattern must differ.

Wrong:
    let r = { a = 1, a = 2 };
Right:
    let r = { a = 1, b = 2 };
""",
    ),
    "K0301": (
        "a value of another type than is wanted",
        """\
The message says what the value is for, what it is, and what is wanted; where types are large, it shows the part that
differs. Some types give way to others by themselves: a Str where a Text is wanted, a package where a Drv with some of
its outputs is.

Wrong:
    fn flags(level: Int) -> List(Str) = "-O%{level}";
Right:
    fn flags(level: Int) -> List(Str) = ["-O%{level}"];
""",
    ),
    "K0302": (
        "no such field",
        """\
The record, package or set has no field of that name; the nearest one is shown. In a function for any row (`..o`), a
field that the body uses must be named in the signature: `Kinds({out: Tree, ..o})`.

Wrong:
    fn width(r: { width: Int }) -> Int = r.widht;
Right:
    fn width(r: { width: Int }) -> Int = r.width;
""",
    ),
    "K0303": (
        "a package without the wanted output",
        """\
Where `Drv({out: Tree, dev: Tree})` is wanted, a package must have both outputs; more are welcome.

Wrong:
    fn headers(p: Drv({ out: Tree })) -> Drv({ dev: Tree }) = p;
Right:
    fn headers(p: Drv({ out: Tree, dev: Tree })) -> Drv({ dev: Tree }) = p;
""",
    ),
    "K0304": (
        "a package that has forgotten its recipe",
        """\
A package of type Pkg(R, O) knows the recipe that it was made from, so that `with` can edit it. Where a Drv(O)
is wanted it may be passed too, but the way back does not exist. Keep the type Pkg where a package is to be
overridden.

Wrong:
    fn newer(p: Drv({ out: Tree })) = p with { version = "2" };
Right:
    fn newer(p: Pkg({ version: Str }, { out: Tree })) = p with { version = "2" };
""",
    ),
    "K0305": (
        "a function with other parameters than it is called with",
        """\
Where a function is wanted as a value, it must take what it will be given: parameters by place in their order,
labels by name. It may take more, if that can be left out.

Wrong:
    let f: fn(Int) -> Int = fn(a, b) => a + b;
Right:
    let f: fn(Int) -> Int = fn(a) => a + 1;
""",
    ),
    "K0306": (
        "no such member of a set",
        """\
An overlay changes members and adds none. A set that `extends` another adds new ones.

Wrong:
    set Pkgs() { zlib = 1; }
    let more = Pkgs() with (self, super) { zlb = 2 };
Right:
    set Pkgs() { zlib = 1; }
    let more = Pkgs() with (self, super) { zlib = 2 };
""",
    ),
    "K0307": (
        "a spread of a record that isn't known",
        """\
`{..r, a = 1}` needs to know every field of `r`, or a field could come twice. Write the type of `r` where it
comes from.

Wrong:
    fn named(r) = { ..r, name = "x" };
Right:
    fn named(r: { size: Int }) = { ..r, name = "x" };
""",
    ),
    "K0308": (
        "a missing field",
        """\
A record literal gives every field that has no default. Defaults belong to a declared type, and are filled in
only where the literal is checked against that type's name.

Wrong:
    pub type P = { name: Str, size: Int = 0 };
    let p: P = { size = 1 };
Right:
    pub type P = { name: Str, size: Int = 0 };
    let p: P = { name = "x" };
""",
    ),
    "K0309": (
        "arguments that don't fit the parameters",
        """\
An argument is passed by place, or by the parameter's name. Those without a default have to be there.

Wrong:
    fn area(width: Int, height: Int) -> Int = width * height;
    let a = area(2, heigth = 3);
Right:
    fn area(width: Int, height: Int) -> Int = width * height;
    let a = area(2, height = 3);
""",
    ),
    "K0310": (
        "`with` on something that it can't edit",
        """\
`p with { a = e }` edits a record or a package, `s with (self, super) { m = e }` a set. It has to be known what
is edited: write the type of the parameter.

Wrong:
    fn newer(p) = p with { version = "2" };
Right:
    fn newer(p: { version: Str }) = p with { version = "2" };
""",
    ),
    "K0311": (
        "a variable of a signature that isn't any type",
        """\
A lower-case name in a signature stands for any type that the caller chooses, so the body can't choose one.

Wrong:
    fn first(x: a) -> a = 1;
Right:
    fn first(x: Int) -> Int = 1;
""",
    ),
    "K0312": (
        "a type that contains itself",
        """\
A value would have to be a part of its own type, as in a function that is given itself. Recursive data is a
variant or a declared record.

Wrong:
    fn f(g) = g(g);
Right:
    fn f(g) = g(1);
""",
    ),
    "K0313": (
        "an override inside another package",
        """\
`with` edits one recipe. A package among its dependencies has a recipe of its own: override that package and
assign it, `curl with { deps.tls = openssl with { version = "3" } }`.
""",
    ),
    "K0314": (
        "`+=` on something that has no parts",
        """\
`+=` adds to a list, a map or a string. Anything else is replaced with `=`.

Wrong:
    fn more(r: { level: Int }) = r with { level += 1 };
Right:
    fn more(r: { level: Int }) = r with { level = r.level + 1 };
""",
    ),
    "K0315": (
        "members that need each other's types",
        """\
A set's members may leave their types out; each is found from its own text, in the order of `self.x`. Around a
circle there is no order: write the type of one member in it.

Wrong:
    set S() { a = self.b; b = self.a; }
Right:
    set S() { a = self.b; b: Int = self.a; }
""",
    ),
    "K0316": (
        "a type that nothing says",
        """\
A top-level binding or a set's member has one type, and nothing says which. Write it.

Wrong:
    let names = [];
Right:
    let names: List(Str) = [];
""",
    ),
    "K0317": (
        "a member that the set already has",
        """\
A set that extends another adds members. One that is there is changed by an overlay.

Wrong:
    set Base() { a = 1; }
    set More() extends Base() { a = 2; }
Right:
    set Base() { a = 1; }
    set More() extends Base() { b = 2; }
""",
    ),
    "K0318": (
        "a recipe's function that uses something from outside",
        """\
An override edits the recipe and computes it again. A function in the recipe that used a local from outside, or
a package at the top level, would not see the change. So it may use its own parameter, top-level functions and
constants, and local functions; everything else is put into the recipe, for example into `deps` or `opts`, and
read from the parameter: `fn(b) => sh"… %{b.deps.zlib.out}"`. What a local function uses counts as its caller's, and
what a function is made of as its own: instead of `script = script_of(v)` write
`script = fn(b) => script_of(b.version)(b)`.
""",
    ),
    "K0319": (
        "a pub declaration without its whole type",
        """\
What other modules use says its type: it is the documentation, and errors stop there. The message has the type
that was found, to be pasted.

Wrong:
    pub fn twice(x) = x + x;
Right:
    pub fn twice(x: Int) -> Int = x + x;
""",
    ),
    "K0320": (
        "a variable of a signature without its constraint",
        """\
`Data` is what can be compared, shown and stored; `Emit` is Data, Text and outputs. A function that needs it of
a variable says so.

Wrong:
    fn same(x: a, y: a) -> Bool = x == y;
Right:
    fn same(x: a, y: a) -> Bool where a: Data = x == y;
""",
    ),
    "K0321": (
        "a type that isn't Data, or isn't Emit",
        """\
Only Data can be compared: Int, Bool, Str, Path, and lists, maps, options, records and variants of these. A Text
carries outputs whose paths are not known before they are built, so it can't.

Wrong:
    let same = map == map;
Right:
    let same = "map" == "map";
""",
    ),
    "K0322": (
        "an operator on the wrong type",
        """\
`+ - * / %` are for Int, `< <= > >=` for Int and Str, `++` joins lists, maps and strings.

Wrong:
    let name = "lib" + "z";
Right:
    let name = "lib" ++ "z";
""",
    ),
    "K0323": (
        "`++` on two unknown things",
        """\
`++` joins lists, maps or strings, and here nothing says which.

Wrong:
    fn both(x, y) = x ++ y;
Right:
    fn both(x: List(Str), y) = x ++ y;
""",
    ),
    "K0324": (
        "the wrong number of types in parentheses",
        """\
A List is of one type: `List(Str)`. A declared type takes as many as it has parameters.

Wrong:
    fn f(x: List) -> Int = 1;
Right:
    fn f(x: List(Int)) -> Int = 1;
""",
    ),
    "K0325": (
        "a row and a type confused",
        """\
`Drv`, `Pkg`, `Kinds` and `Outs` take a row of outputs: `{out: Tree, dev: Tree}`, or a variable. A variable is
either a row or a type in one signature.

Wrong:
    fn f(p: Drv(Int)) -> Int = 1;
Right:
    fn f(p: Drv({ out: Tree })) -> Int = 1;
""",
    ),
    "K0326": (
        "a row's variable behind different fields",
        """\
`..o` stands for outputs that are not named. Were it to follow `out` in one place and nothing in another, a
caller's `o` could hold an `out` too, and there would be two.

Wrong:
    fn f(k: Kinds(o)) -> Kinds({ out: Tree, ..o }) = fail("x");
Right:
    fn f(k: Kinds({ out: Tree, ..o })) -> Kinds({ out: Tree, ..o }) = k;
""",
    ),
    "K0327": (
        "a default in a type that has no name",
        """\
Defaults and optional fields belong to declared types, since only a literal that is checked against a type's name is
filled in.

Wrong:
    fn f(o: { level: Int = 1 }) -> Int = o.level;
Right:
    pub type Opts = { level: Int = 1 };
    fn f(o: Opts) -> Int = o.level;
""",
    ),
    "K0328": (
        "a constraint that isn't one",
        """\
Behind `where` stands a variable of the signature and Data or Emit.

Wrong:
    fn f(x: a) -> a where a: Show = x;
Right:
    fn f(x: a) -> a where a: Data = x;
""",
    ),
    "K0329": (
        "a type that stands for itself",
        """\
An alias needs something to stand for. A type may contain itself in a record's field or in a variant.

Wrong:
    pub type Tree1 = List(Tree1);
Right:
    pub type Tree1 = { below: List(Tree1) };
""",
    ),
    "K0330": (
        "an output with the name of a field",
        """\
What a build is given holds the recipe's fields and its outputs in one record. An output can't be called
`version` or `deps` then: rename it.

Wrong:
    pub type B(o) = { name: Str, ..Outs(o) };
    fn f(b: B({ name: Tree })) -> Int = 1;
Right:
    pub type B(o) = { name: Str, ..Outs(o) };
    fn f(b: B({ out: Tree })) -> Int = 1;
""",
    ),
    "K0331": (
        "an extern function outside of the library",
        """\
What `extern fn` declares is written in the interpreter. Only the standard library has such functions.

Wrong:
    extern fn f(x: Int) -> Int;
Right:
    fn f(x: Int) -> Int = x;
""",
    ),
    "K0333": (
        "an Option for what isn't optional",
        """\
`l? = e` hands an Option on to an optional field or parameter. What is not optional takes a value.

Wrong:
    fn f(x: Int) -> Int = x;
    let y = f(x? = Some(1));
Right:
    fn f(x: Int) -> Int = x;
    let y = f(x = 1);
""",
    ),
    "K0340": (
        "a value that can't stand in a string",
        """\
`%{…}` takes a Str, a Text, an Int or an output; in `sh` also a list of these, and `raw(…)`. A path becomes an
output through `source`, of a package one output is named.

Wrong:
    let x = "debug: %{true}";
Right:
    let x = "debug: %{to_str(true)}";
""",
    ),
    "K0341": (
        "a list inside quotes",
        """\
In a shell script a list becomes several words, each quoted by itself. Inside quotes, in a here-document or in a
comment there are no words.

Wrong:
    let flags = ["-O2", "-g"];
    let script = sh"cc '%{flags}' x.c";
Right:
    let flags = ["-O2", "-g"];
    let script = sh"cc %{flags} x.c";
""",
    ),
    "K0342": (
        "quotes that don't close in a shell script",
        """\
Each `sh` string is read as a script of its own, so that every hole is quoted for its place. A quote, a `$(` or a
here-document that is opened in it is closed in it.

Wrong:
    let script = sh"echo 'hello";
Right:
    let script = sh"echo 'hello'";
""",
    ),
    "K0343": (
        "an unknown kind of string",
        """\
A word that touches a string's quotes says what kind of string it is. The one that exists is `sh`, a shell script.
""",
    ),
    "K0350": (
        "a pattern with other fields than the constructor",
        """\
A pattern names all fields of a constructor by place, or some by label.

Wrong:
    pub type Shape = | Rect(w: Int, h: Int);
    fn area(s: Shape) -> Int = match s { Rect(w) => w };
Right:
    pub type Shape = | Rect(w: Int, h: Int);
    fn area(s: Shape) -> Int = match s { Rect(w, h) => w * h };
""",
    ),
    "K0351": (
        "a match that forgets a case",
        """\
A `match` takes every value. The message shows one that no arm takes. An arm with a guard counts for nothing,
since the guard may fail.

Wrong:
    fn f(o: Option(Int)) -> Int = match o { Some(n) => n };
Right:
    fn f(o: Option(Int)) -> Int = match o { Some(n) => n, None => 0 };
""",
    ),
    "K0352": (
        "an arm that is never reached",
        """\
The arms are tried in their order, and those above take every value that this one would.

Wrong:
    fn f(n: Int) -> Int = match n { _ => 0, 1 => 1 };
Right:
    fn f(n: Int) -> Int = match n { 1 => 1, _ => 0 };
""",
    ),
    "K0353": (
        "a `let` that may not match",
        """\
The pattern of a `let` must take every value. Use `match` where there are cases.

Wrong:
    fn f(o: Option(Int)) -> Int = let Some(n) = o; n;
Right:
    fn f(o: Option(Int)) -> Int = match o { Some(n) => n, None => 0 };
""",
    ),
    "K0354": (
        "sides of `|` that bind different names",
        """\
Whichever side of `|` matches, the same names are bound.

Wrong:
    pub type E = | L(x: Int) | R(y: Int);
    fn f(e: E) -> Int = match e { L(a) | R(b) => 1 };
Right:
    pub type E = | L(x: Int) | R(y: Int);
    fn f(e: E) -> Int = match e { L(a) | R(a) => a };
""",
    ),
    "K0360": (
        "a call of something that isn't a function",
        """\
Parentheses behind a value call it, and this one is no function.

Wrong:
    let n = 1;
    let m = n(2);
Right:
    let n = 1;
    let m = n + 2;
""",
    ),
    "K0361": (
        "a method that isn't called",
        """\
`file` and `dir` of an output take the path inside it, `with_subject` of an attestation the subject to add.

Wrong:
    fn f(o: Out(Tree)) = o.file;
Right:
    fn f(o: Out(Tree)) = o.file("bin/lua");
""",
    ),
    "K0390": (
        "something nested too deeply",
        """\
Expressions and types can be nested 300 levels deep; chains of `let`, of operators and of `else if` count as one
level, and may be of any length. Give inner parts names of their own.

A type that is found, and not written, may be no larger than that either: declare types for parts of it.
""",
    ),
}
