"""The codes of syntax errors, for `kiln explain`: what each one is about, with a wrong example and a right one.

In an explanation each line that begins with four blanks is Kiln: those behind `Wrong:` give the code, those behind
`Right:` are a declaration without a mistake. A test holds both.
"""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, tuple[str, str]]] = {
    "K0101": (
        "something else was expected here",
        """\
The text can't go on with what was found. The message names the one thing that fits best.

Wrong:
    let x = ;
Right:
    let x = 1;
""",
    ),
    "K0102": (
        "a comma or a semicolon is missing",
        """\
Items in brackets are separated by `,` (one more at the end is welcome); the members of a set, a
`let` before its body, and every declaration but a set end with `;`. The place is where the item
before ends.

Wrong:
    let x = [1 2];
Right:
    let x = [1, 2];
""",
    ),
    "K0103": (
        "a bracket is never closed",
        """\
Brackets come in pairs: `( )`, `[ ]`, `{ }`, and `%{ }` in a string. The place is the one that
was opened and not closed.

Wrong:
    let x = f(1, [2, 3);
Right:
    let x = f(1, [2, 3]);
""",
    ),
    "K0104": (
        "a string is never closed",
        """\
A string in `"` ends on its line; one in three quotes may have any number of lines, all of them
indented.

Wrong:
    let x = "abc;
Right:
    let x = "abc";
""",
    ),
    "K0105": (
        "the shell's sign in a string",
        """\
A value is put into a string with `%{…}`. `${…}` belongs to the shell, and means nothing to
Kiln. In a string in `"…"` a small name in `${…}` is most often meant for Kiln, so it must be
written with a backslash there. In `sh` strings and in those of three quotes it needs none.

Wrong:
    let x = "lib-${version}";
Right:
    let x = "lib-%{version}";
""",
    ),
    "K0106": (
        "`=` where `==` was meant",
        """\
`=` gives a name, a field or a label its value; `==` compares.

Wrong:
    let x = if a = b then 1 else 2;
Right:
    let x = if a == b then 1 else 2;
""",
    ),
    "K0107": (
        "one sign in the place of another",
        """\
A value follows `=`, a type follows `:`, the body of a function or an arm of a match follows
`=>`, the type of a result follows `->`, items end with `,` and members with `;`.

Wrong:
    let x = { name: "lua" };
Right:
    let x = { name = "lua" };
""",
    ),
    "K0108": (
        "an `if` without `then` or `else`",
        """\
`if` is an expression, so it has a value in both cases. For an item that may be left out of a
list, spread a list that may be empty.

Wrong:
    let x = if debug then "-g";
Right:
    let x = [..if debug then ["-g"] else []];
""",
    ),
    "K0110": (
        "an unknown escape",
        """\
In `"…"` a backslash begins one of \\n \\t \\r \\" \\\\ \\% \\$ and \\u{…} (a code point in
hexadecimal). In strings of three quotes and in `sh` strings a backslash is itself.

Wrong:
    let x = "a\\d";
Right:
    let x = "a\\\\d";
""",
    ),
    "K0111": (
        "a reserved word as a name",
        """\
The words of the language can't name a value, a parameter or a variable. As the name of a field
or of a label they can be used, in `.type`, `{ type = e }` and `f(in = e)`.

Wrong:
    let type = 1;
Right:
    let x = { type = 1 };
""",
    ),
    "K0112": (
        "a capital or a small letter at the beginning of a name",
        """\
Types, variants, sets and constraints begin with a capital letter; values, functions, fields,
parameters, modules and the variables of types begin with a small one. The first letter is all
that tells `x` from a constructor in a pattern.

Wrong:
    type tls = | OpenSsl | NoTls;
Right:
    type Tls = | OpenSsl | NoTls;
""",
    ),
    "K0113": (
        "single quotes",
        """\
Strings stand in double quotes. Three of them stand around a text of several lines.

Wrong:
    let x = 'lua';
Right:
    let x = "lua";
""",
    ),
    "K0114": (
        "a comment of another language",
        """\
A comment begins with `#` and ends with its line; `##` documents the declaration, field or
parameter that follows.

Wrong:
    let x = 1; // one
Right:
    let x = 1; # one
""",
    ),
    "K0115": (
        "a character that may not stand in a build file",
        """\
A build file is UTF-8 text without control characters. Marks that turn the direction of text are
refused too, since with them a reader can be shown other code than the one that runs
(CVE-2021-42574). In a string in `"…"` such a character is written by its number, \\u{202e}.
""",
    ),
    "K0116": (
        "a number that can't be read",
        """\
Numbers are whole, decimal, without a sign of their own, and may have single underscores between
digits.

Wrong:
    let x = 1.5;
Right:
    let x = 1_500;
""",
    ),
    "K0117": (
        "something in column 0 that begins no declaration",
        """\
In column 0 stand only the first word of a declaration (`import`, `type`, `fn`, `let`, `set`,
`test`, `pub`), comments and closing brackets. What goes on with a declaration is indented, and
so is the body of a string: so Kiln finds all declarations of a file whatever is wrong with one
of them.

Wrong:
    answer = 42;
Right:
    let answer = 42;
""",
    ),
    "K0118": (
        "a declaration that doesn't begin a line",
        """\
Each declaration begins in column 0 of a line of its own.

Wrong:
    let a = 1; let b = 2;
Right:
    let a = 1;
""",
    ),
    "K0119": (
        "another language's way to say it",
        """\
The message shows how Kiln says it. There is no `null` (what may be absent is an Option), no
`return` (a body is an expression), no `and`, `or`, `not` (they are `&&`, `||`, `!`), and there
are no tuples (a record has named fields).

Wrong:
    let x = let a = 1 in a + 1;
Right:
    let x = let a = 1; a + 1;
""",
    ),
    "K0120": (
        "a documentation comment out of place",
        """\
`##` stands on a line of its own before what it documents: a type, a variant, a function, a
parameter, a value, a set, a member or a field. At the beginning of a file, before a blank line,
it documents the file.

Wrong:
    let x = 1 + ## one more
      1;
Right:
    ## One more than one.
    let x = 1 + 1;
""",
    ),
    "K0121": (
        "a string that has to be a plain text, or an unknown tag",
        """\
The source of an import, the title of a test and a pattern are fixed texts, without holes and
tags. A name that touches a quote is the string's tag; `sh` is the only one.

Wrong:
    test "adds %{a}" = true;
Right:
    test "adds one" = true;
""",
    ),
    "K0122": (
        "`..` out of place",
        """\
A record, and the type of one, has one `..` at most. In a list pattern it stands last. The rest
of a record type is a variable, or the outputs of one: `..r`, `..Outs(o)`, `..Kinds(o)`.

Wrong:
    let x = { ..a, ..b };
Right:
    let x = { ..a, name = b.name };
""",
    ),
    "K0123": (
        "an overlay that does more than replace a member",
        """\
An overlay, `s with (self, super) { … }`, gives members of a set new values. To change something
inside a member, edit the member of the set below.

Wrong:
    let x = pkgs with (self, super) { curl.version = "9" };
Right:
    let x = pkgs with (self, super) { curl = super.curl with { version = "9" } };
""",
    ),
    "K0124": (
        "a closing bracket too many",
        """\
No bracket is open where this one closes.

Wrong:
    let x = f(1));
Right:
    let x = f(1);
""",
    ),
    "K0125": (
        "comparisons in a row",
        """\
`a < b < c` would compare a Bool with c. Join two comparisons with `&&`.

Wrong:
    let x = a < b < c;
Right:
    let x = a < b && b < c;
""",
    ),
    "K0126": (
        "parentheses are needed",
        """\
`if`, `let`, `fn` and `assert` reach as far to the right as they can, so behind an operator they
stand in parentheses.

Wrong:
    let x = 1 + if a then 1 else 2;
Right:
    let x = 1 + (if a then 1 else 2);
""",
    ),
    "K0127": (
        "a character that means nothing",
        """\
Kiln is written with the letters, digits and signs of ASCII. All other characters stand in
strings, paths and comments.

Wrong:
    let x = “lua”;
Right:
    let x = "lua";
""",
    ),
    "K0128": (
        "an item with a condition",
        """\
`if` at the end of a list belongs to a `for`. To have an item only if a condition holds, spread
a list that may be empty.

Wrong:
    let x = ["-g" if debug];
Right:
    let x = [..if debug then ["-g"] else []];
""",
    ),
    "K0129": (
        "a default that can't be",
        """\
A parameter with a default has a type, and an optional one (`name?: T`) has no default: it is an
Option.

Wrong:
    fn f(x = 1) = x;
Right:
    fn f(x: Int = 1) = x;
""",
    ),
    "K0130": (
        "a string indented by tabs and by spaces",
        '''\
From each line of a string in three quotes the indentation of the least indented one is taken away,
so all of them begin with the same characters. The line of the closing quotes counts too.

Wrong:
    let x = """
    \ta
        b
      """;
Right:
    let x = """
      a
        b
      """;
''',
    ),
}
