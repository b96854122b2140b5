"""What is said about mistakes in characters, in strings, and in how a file is laid out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from kiln.lang.source import escape
from kiln.lang.syntax import mistakes as m


@dataclass(frozen=True, slots=True)
class Words:
    """A report before its places are worked out: `others` are (start, end, label) in the chunk."""

    code: str
    title: str
    label: str = ""
    help: str | None = None
    notes: tuple[str, ...] = ()
    others: tuple[tuple[int, int, str], ...] = ()


def string_words(
    mistake: m.UnclosedString
    | m.UnclosedHole
    | m.ShellHole
    | m.UnknownEscape
    | m.SingleQuotes
    | m.StringAtColumn0
    | m.HoleInConstant
    | m.TagOnConstant
    | m.UnknownTag
    | m.MixedIndentation,
) -> Words:
    match mistake:
        case m.MixedIndentation():
            return Words(
                "K0130",
                "the lines of this string are indented by different characters",
                "some lines begin with tabs and some with spaces",
                "indent all of them alike: the least indented line says how much is taken away",
            )
        case m.UnclosedString(quotes=quotes):
            where = "on its line" if quotes == '"' else "before the declaration ends"
            several = (
                None
                if quotes == '"""'
                else 'write `"` at its end; a text of several lines stands between `"""` and `"""`'
            )
            return Words(
                "K0104",
                f"this string isn't closed {where}",
                f"opened here with `{quotes}`",
                several or 'write `"""` at its end',
            )
        case m.UnclosedHole(found_at=at):
            return Words(
                "K0104",
                "this `%{` isn't closed before its string ends",
                "opened here",
                "write `}` after the expression",
                others=((at, at + 1, "expected `}` before this"),),
            )
        case m.ShellHole(inner=inner):
            return Words(
                "K0105",
                f"`${{{inner}}}` puts nothing into a string",
                "this is the shell's sign",
                f"write `%{{{inner}}}` for the value of `{inner}`, or `\\${{{inner}}}` for these characters",
            )
        case m.UnknownEscape(text=text, reason=reason):
            advice = reason or 'the escapes are \\n \\t \\r \\" \\\\ \\% \\$ \\u{…}; a backslash itself is \\\\'
            return Words(
                "K0110", f"`{text}` is no escape", 'in a string in `"…"` a backslash begins an escape', advice
            )
        case m.SingleQuotes(text=text):
            plain = 'a string stands between `"` and `"`, one of several lines between `"""` and `"""`'
            fix = f'write "{text}"' if text and '"' not in text else plain
            return Words("K0113", "strings stand in double quotes", "a single quote begins nothing", fix)
        case m.StringAtColumn0(string_at=at):
            return Words(
                "K0117",
                "the body of a string has to be indented",
                "this line begins in column 0",
                "indent it: the indentation that all lines share is taken away",
                others=((at, at + 1, "the string begins here"),),
            )
        case m.HoleInConstant(what=what):
            return Words(
                "K0121",
                f"{what} is a fixed text",
                "so it can't hold a `%{…}`",
                "write the text itself; `%%{` writes `%{`",
            )
        case m.TagOnConstant(tag=tag, what=what):
            return Words("K0121", f"{what} is a plain text", "so it has no tag", f"leave `{tag}` out")
        case m.UnknownTag(tag=tag, known=known):
            return Words(
                "K0121",
                f"there are no `{tag}` strings",
                "this name touches the quote, and so is the string's tag",
                f"the tags are {', '.join(f'`{name}`' for name in known)}; "
                "leave at least a space between a name and a string",
            )
        case _:
            assert_never(mistake)


def character_words(
    mistake: m.ForeignComment | m.ForbiddenCharacter | m.NotUtf8 | m.StrayCharacter | m.BadNumber | m.DocBehind,
) -> Words:
    match mistake:
        case m.ForeignComment(sign=sign):
            return Words(
                "K0114", f"`{sign}` begins no comment", "", "a comment begins with `#` and ends with its line"
            )
        case m.ForbiddenCharacter(char=char):
            return Words(
                "K0115",
                f"the character {_written_out(char)} may not stand in a build file",
                _why_forbidden(char),
                f"take it out; in a string it can be written \\u{{{ord(char):x}}}"
                if char != "\0" and not "\ud800" <= char <= "\udfff"
                else "take it out",
            )
        case m.NotUtf8(found=found):
            return Words("K0115", "a build file is UTF-8 text", f"bytes {found} are not", "save it as UTF-8")
        case m.StrayCharacter(char=char, advice=advice):
            shown = "a backtick alone" if char == "`" else f"`{char if char.isprintable() else _written_out(char)}`"
            return Words("K0127", f"{shown} means nothing here", "unknown character", advice or None)
        case m.BadNumber(reason=reason, text=text, advice=advice):
            return Words("K0116", f"`{text}` can't be read as a number", reason, advice or None)
        case m.DocBehind():
            return Words(
                "K0120",
                "a `##` comment stands on a line of its own",
                "this one comes after something",
                "put it on the line before what it describes, or make it a comment with `#`",
            )
        case _:
            assert_never(mistake)


def _written_out(char: str) -> str:
    shown = escape(char)
    return shown if shown != char else f"\\u{{{ord(char):x}}}"


def _why_forbidden(char: str) -> str:
    if char == "\0":
        return "NUL: is this a text file?"
    if "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069":
        return "it turns the direction of text, so that a reader sees other code than what runs"
    return "it is invisible"


_FORMS = {
    "fn": "fn double(n: Int) -> Int = n * 2;",
    "let": "let name = 1;",
    "type": "type Opts = { level: Int = 1 };",
    "import": 'import "./lib.kiln" as lib;',
}


def declaration_words(
    mistake: m.NotADeclaration | m.IndentedDeclaration | m.SecondDeclaration | m.DocMisplaced,
) -> Words:
    match mistake:
        case m.NotADeclaration(word=word, nearest=nearest):
            name = "a value gets its name with `let`: `let name = …;`" if word.isidentifier() else None
            if word == "-":
                name = 'a list is `let names = ["a", "b"];`, a record `{ name = "a" }`'
            fix = f"did you mean `{nearest}`?" if nearest else name
            if nearest in _FORMS and word != nearest:
                fix = f"did you mean `{nearest}`? For example `{_FORMS[nearest]}`"
            return Words(
                "K0117",
                f"`{word}` begins no declaration",
                "expected `import`, `type`, `fn`, `let`, `set`, `test` or `pub`",
                fix,
                ()
                if nearest
                else ("What goes on with the declaration before is indented: column 0 begins a new one.",),
            )
        case m.IndentedDeclaration(word=word):
            return Words(
                "K0118",
                "a declaration begins in column 0",
                f"this `{word}` is indented",
                "move it to the line's beginning",
            )
        case m.SecondDeclaration(found=";"):
            return Words("K0118", "the declaration is complete already", "this `;` ends nothing", "leave it out")
        case m.SecondDeclaration(found=found):
            return Words(
                "K0118",
                "the declaration is complete already",
                f"but `{found[:40]}` follows it",
                "each declaration begins in column 0 of a line of its own",
            )
        case m.DocMisplaced():
            return Words(
                "K0120",
                "this `##` comment documents nothing",
                "",
                "`##` stands before a type, a variant, a function, a parameter, a value, a set, a member\n"
                "or a field; any other comment begins with `#`",
            )
        case _:
            assert_never(mistake)
