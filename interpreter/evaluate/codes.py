"""What `kiln explain` says about errors of loading and evaluation."""

from __future__ import annotations

CODES: dict[str, tuple[str, str]] = {
    "K0204": (
        "modules import each other in a circle",
        "A module is checked after what it imports, so imports cannot lead back to where they began. Move what both\n"
        "modules need into one that neither of them has to import the other for.",
    ),
    "K0205": (
        "the library has no such module",
        "`std/…` names a module of Kiln's own library. The message lists those that there are.",
    ),
    "K0206": (
        "a remote module that nothing pins",
        "A name that is neither `std/…` nor a relative file is that of a remote module. kiln.lock says what it "
        "is: an\n"
        "address and the digest of a tree. `kiln pin add NAME ADDRESS` writes that; the message lists the names "
        "that\n"
        "the lock has. The lock is the one nearest above the importing file; in a remote module, the one nearest "
        "above\n"
        "the program's file, and then that module's own.",
    ),
    "K0207": (
        "this is not the name of a module",
        'An import names a module of the library, `"std/c"`, or a build file relative to the one that it stands in,\n'
        '`"./lib.kiln"` or `"../common/flags.kiln"`, with its extension.',
    ),
    "K0208": (
        "a build file cannot be read",
        "The file is not there, is a folder, may not be read, or is larger than 64 MiB.",
    ),
    "K0220": (
        "kiln.lock can't be read",
        "A line is not as `kiln pin` writes it, a name has two entries, a copied file is not what its digest "
        "says, or a\n"
        "merge left its marks. Merges are safe line by line: keep the entries of both sides, once each. What is "
        "broken\n"
        "beyond that is taken out, and pinned or copied again. docs/spec/kiln-lock.md describes the file.",
    ),
    "K0221": (
        "a pin that an import can't have",
        'An import of a remote module may carry its pin: `import "x" @ "ADDRESS tree=blake3:…" as x;`, with '
        "the words\n"
        "that kiln.lock has behind the name. `kiln pin add --inline NAME ADDRESS` prints such an import. The "
        "library's\n"
        "modules and your own files have none, and one file imports a name with one pin.",
    ),
    "K0222": (
        "a remote tree without this module",
        'The tree was fetched, and has no such file: `"toolbox"` is its main.kiln, `"toolbox/sub"` its '
        "sub.kiln. The\n"
        "message lists the build files that it has.",
    ),
    "K0223": (
        "a remote module reaches out of its tree",
        "The files of a remote module import each other, and name their sources, within their tree alone: "
        "neither `..`\n"
        "nor a symlink leads out of it, and no path is absolute. What a module needs of its user's files comes "
        "in by\n"
        "an argument.",
    ),
    "K0401": (
        "the recursion is too deep",
        "Calls are nested deeper than the evaluator allows. Most often a function calls itself without ever\n"
        "reaching the case that ends it. Check that every call comes closer to that case; where a list is walked\n"
        "item by item, `map`, `filter`, `fold` or a comprehension does it without recursion.",
    ),
    "K0402": (
        "division by zero",
        "The right side of `/` or `%` was 0. Test it before the division: `if n == 0 then … else a / n`.",
    ),
    "K0403": (
        "a key occurs twice in a map",
        "Each key of a map literal or map comprehension may occur once, because the second value would silently\n"
        "replace the first. To let one map override another, join them: `defaults ++ changes`.",
    ),
    "K0404": (
        "an assertion failed",
        "The condition of an `assert` was false, or `fail` was called. The message is the author's.",
    ),
    "K0405": (
        "a value needs itself",
        "Top-level values, members of a set and packages are computed when they are needed. This one is needed\n"
        "while it is being computed, so it could never be finished. The chain shows who asks for whom: one of\n"
        "these needs must go. In an overlay, `super.x` is the member below, and `self.x` the final one.",
    ),
    "K0406": (
        "not the hash of a file",
        'A pinned file is given as `"blake3:<64 hexadecimal digits>"` or `"sha256:<64 hexadecimal digits>"`.\n'
        "`b3sum FILE` and `sha256sum FILE` print the digits.",
    ),
    "K0407": (
        "not a name that the store can carry",
        "The name of a package, a file or an output becomes part of a path in the store: 1 to 200 of the characters\n"
        "A-Z a-z 0-9 + - . _ ? =, not beginning with a dot. An output's name is a lower-case letter and then\n"
        "lower-case letters, digits and underscores, at most 32.",
    ),
    "K0408": (
        "a path that leaves its output",
        '`out.file("…")` and `out.dir("…")` take a relative path inside the output, without `..`.',
    ),
    "K0409": (
        "something that a build cannot be given",
        "A program, argument or environment variable is passed to a process: none may hold a NUL character, a\n"
        "variable's name is letters, digits and underscores, a link is made at an absolute path, and limits are\n"
        "positive numbers.",
    ),
    "K0410": (
        "a source could not be read",
        "`source(…)` and `source_file(…)` read a folder or file beside the build file when the derivation that uses\n"
        "it is made. It was missing, of another kind than expected, could not be read, or changed meanwhile.\n"
        "`found` names the file. One that cannot be read is never passed over: `exclude` leaves it out.",
    ),
    "K0411": (
        "this is nothing that can be built",
        "Packages, derivations and outputs can be built, and lists, records and sets that hold them. Name one:\n"
        "`kiln realise FILE#name`.",
    ),
    "K0412": (
        "the build file has no such value",
        "The part after `#` is the name of a top-level `let`, then members, fields or outputs behind dots:\n"
        "`FILE#pkgs.curl.log`.",
    ),
    "K0413": (
        "the evaluation ran out of memory",
        "A value grew larger than this machine's memory, or than any may be (a product of 1,048,576 bits, 300,000\n"
        "digits as text, a range of 100,000,000). Look at the functions in the trace: a list, string or number that\n"
        "doubles on every step reaches any limit soon.",
    ),
    "K0414": (
        "a test failed",
        "The body of a `test` was false. Where it compares two values, both are shown.",
    ),
    "K0415": (
        "a function of a recipe hides something from outside",
        "The functions of a recipe are called again when the package is overridden, so everything that they use\n"
        "must come from the recipe. This one was made elsewhere, and captured a package, an output or a text with\n"
        "outputs, or a local of a function in which the package is made: no override could reach that. Put it into\n"
        "`deps` or `opts`, and read it from the function's argument: `fn(b) => … b.opts.level …`.",
    ),
    "K0416": (
        "a hole in a shell script where no quoting is safe",
        "Right behind a backslash, or in a here-document whose delimiter the value contains as a line, no way of\n"
        "writing the value would give the shell exactly its bytes. Move the hole, or put the value into `env`.",
    ),
    "K0417": (
        "an argument that this function cannot take",
        "A function of the prelude was called with a value outside its domain; the message says which.",
    ),
    "K0418": (
        "the budget of an evaluation is spent",
        "`--budget SECONDS[,MB]` bounds what an evaluation may take; a test has a budget of its own. The message\n"
        "shows the line that was running when it was spent, and the trace who called it. Look there for a loop that\n"
        "never ends, or give more.",
    ),
}
