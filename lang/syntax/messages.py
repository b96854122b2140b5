"""What is said about each mistake: the one place where the words of K01xx stand.

A message says what was found, what was wanted, and what to do next, in the words of someone who writes Kiln and
never saw its grammar. Other places of the same file are given as offsets and labels, and become Places here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from kiln.lang.report import Place, Report
from kiln.lang.source import escape
from kiln.lang.syntax import mistakes as m


@dataclass(frozen=True, slots=True)
class _Words:
    code: str
    title: str
    label: str = ""
    help: str | None = None
    notes: tuple[str, ...] = ()
    others: tuple[tuple[int, int, str], ...] = ()


def report(mistake: m.Mistake, path: str, text: str, offset: int, column_0: int | None = None) -> Report:
    """The report of a mistake in the chunk that begins at `offset` of a file.

    `column_0` is the offset in the file of text in column 0 that cut the chunk off, if that is why something was not closed.
    """
    words = _words(mistake)
    size = len(text)

    def place(start: int, end: int) -> Place:
        return Place(path, text, min(start + offset, size), min(max(end, start) + offset, size))

    others = [(place(start, end), label) for start, end, label in words.others]
    help_ = words.help
    if column_0 is not None:
        others = [
            (Place(path, text, column_0, column_0 + 1), "this line begins in column 0, which ends the declaration")
        ]
        help_ = "indent that line: in column 0 stand a declaration's first word, comments and closing brackets"
    return Report(
        words.code, words.title, place(mistake.start, mistake.end), words.label, words.notes, tuple(others), help_
    )


def _words(mistake: m.Mistake) -> _Words:
    match mistake:
        case m.UnclosedString() | m.UnclosedHole() | m.ShellHole() | m.UnknownEscape() | m.SingleQuotes():
            return _string_words(mistake)
        case m.StringAtColumn0() | m.HoleInConstant() | m.TagOnConstant() | m.UnknownTag():
            return _string_words(mistake)
        case m.ForeignComment() | m.ForbiddenCharacter() | m.StrayCharacter() | m.BadNumber() | m.DocBehind():
            return _character_words(mistake)
        case m.NotADeclaration() | m.IndentedDeclaration() | m.SecondDeclaration() | m.DocMisplaced():
            return _declaration_words(mistake)
        case m.MissingSeparator() | m.UnclosedBracket() | m.StrayCloser() | m.WrongSign() | m.SingleEquals():
            return _sign_words(mistake)
        case m.ReservedWord() | m.WrongCase() | m.DefaultWithoutType() | m.OptionalWithDefault():
            return _name_words(mistake)
        case m.VariantsWithoutBar() | m.BadRowRest() | m.SecondSpread() | m.RestNotLast() | m.OverlayEdit():
            return _part_words(mistake)
        case _:
            return _expression_words(mistake)


def _string_words(
    mistake: m.UnclosedString | m.UnclosedHole | m.ShellHole | m.UnknownEscape | m.SingleQuotes | m.StringAtColumn0
    | m.HoleInConstant | m.TagOnConstant | m.UnknownTag,
) -> _Words:  # fmt: skip
    match mistake:
        case m.UnclosedString(quotes=quotes, at_end=at_end):
            where = "before the declaration ends" if at_end else "on its line"
            several = (
                None
                if quotes == '"""'
                else 'write `"` at its end; a text of several lines stands between `"""` and `"""`'
            )
            return _Words(
                "K0104",
                f"this string isn't closed {where}",
                f"opened here with `{quotes}`",
                several or 'write `"""` at its end',
            )
        case m.UnclosedHole(found_at=at):
            return _Words(
                "K0104", "this `%{` isn't closed before its string ends", "opened here", "write `}` behind the expression",
                others=((at, at + 1, "expected `}` before this"),),
            )  # fmt: skip
        case m.ShellHole(inner=inner):
            return _Words(
                "K0105", f"`${{{inner}}}` puts nothing into a string", "this is the shell's sign",
                f"write `%{{{inner}}}` for the value of `{inner}`, or `\\${{{inner}}}` for these characters",
            )  # fmt: skip
        case m.UnknownEscape(text=text, reason=reason):
            advice = reason or 'the escapes are \\n \\t \\r \\" \\\\ \\% \\$ \\u{…}; a backslash itself is \\\\'
            return _Words(
                "K0110", f"`{text}` is no escape", 'in a string in `"…"` a backslash begins an escape', advice
            )
        case m.SingleQuotes(text=text):
            fix = f'write "{text}"' if text and '"' not in text else 'a string stands between `"` and `"`'
            return _Words("K0113", "strings stand in double quotes", "a single quote begins nothing", fix)
        case m.StringAtColumn0(string_at=at):
            return _Words(
                "K0117", "the body of a string has to be indented", "this line begins in column 0",
                "indent it: the indentation that all lines share is taken away",
                others=((at, at + 1, "the string begins here"),),
            )  # fmt: skip
        case m.HoleInConstant(what=what):
            return _Words(
                "K0121",
                f"{what} is a fixed text",
                "so it can't hold a `%{…}`",
                "write the text itself; `%%{` writes `%{`",
            )
        case m.TagOnConstant(tag=tag, what=what):
            return _Words("K0121", f"{what} is a plain text", f"so it has no tag", f"leave `{tag}` out")
        case m.UnknownTag(tag=tag, known=known):
            return _Words(
                "K0121", f"there are no `{tag}` strings", "this name touches the quote, and so is the string's tag",
                f"tags are {', '.join(f'`{name}`' for name in known)}; put a blank or a comma between a name and a string",
            )  # fmt: skip
        case _:
            assert_never(mistake)


def _character_words(
    mistake: m.ForeignComment | m.ForbiddenCharacter | m.StrayCharacter | m.BadNumber | m.DocBehind,
) -> _Words:
    match mistake:
        case m.ForeignComment(sign=sign):
            return _Words(
                "K0114", f"`{sign}` begins no comment", "", "a comment begins with `#` and ends with its line"
            )
        case m.ForbiddenCharacter(char=char):
            return _Words(
                "K0115", f"the character {escape_always(char)} may not stand in a build file", _why_forbidden(char),
                f"take it out; in a string it can be written \\u{{{ord(char):x}}}" if char != "\0" and not "\ud800" <= char <= "\udfff" else "take it out",
            )  # fmt: skip
        case m.StrayCharacter(char=char, advice=advice):
            return _Words("K0127", f"`{char}` means nothing here", "unknown character", advice or None)
        case m.BadNumber(reason=reason, text=text, advice=advice):
            return _Words("K0116", f"`{text}` can't be read as a number", reason, advice or None)
        case m.DocBehind():
            return _Words(
                "K0120", "a `##` comment stands on a line of its own", "this one is behind something",
                "put it on the line before what it describes, or make it a comment with `#`",
            )  # fmt: skip
        case _:
            assert_never(mistake)


def escape_always(char: str) -> str:
    shown = escape(char)
    return shown if shown != char else f"\\u{{{ord(char):x}}}"


def _why_forbidden(char: str) -> str:
    if char == "\0":
        return "NUL: is this a text file?"
    if "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069":
        return "it turns the direction of text, so that a reader sees other code than what runs"
    return "it is invisible"


def _declaration_words(
    mistake: m.NotADeclaration | m.IndentedDeclaration | m.SecondDeclaration | m.DocMisplaced,
) -> _Words:
    match mistake:
        case m.NotADeclaration(word=word, nearest=nearest):
            fix = f"did you mean `{nearest}`?" if nearest else "a value gets its name with `let`: `let name = …;`"
            return _Words(
                "K0117", f"`{word}` begins no declaration", "expected `import`, `type`, `fn`, `let`, `set`, `test` or `pub`", fix,
                ("What goes on with the declaration before is indented: in column 0 each declaration begins anew.",),
            )  # fmt: skip
        case m.IndentedDeclaration(word=word):
            return _Words(
                "K0118",
                "a declaration begins in column 0",
                f"this `{word}` is indented",
                "move it to the line's beginning",
            )
        case m.SecondDeclaration(found=";"):
            return _Words("K0118", "the declaration is complete already", "this `;` ends nothing", "leave it out")
        case m.SecondDeclaration(found=found):
            return _Words(
                "K0118", "the declaration is complete already", f"but `{found[:40]}` follows it",
                "each declaration begins in column 0 of a line of its own",
            )  # fmt: skip
        case m.DocMisplaced():
            return _Words(
                "K0120", "this `##` comment documents nothing", "",
                "`##` stands before a type, a variant, a function, a parameter, a value, a set, a member or a field;\nwrite `#` for any other comment",
            )  # fmt: skip
        case _:
            assert_never(mistake)


def _sign_words(
    mistake: m.MissingSeparator | m.UnclosedBracket | m.StrayCloser | m.WrongSign | m.SingleEquals,
) -> _Words:
    match mistake:
        case m.MissingSeparator(separator=sign, where=where, next_at=at, next_end=to):
            others = ((at, to, "before this"),) if to > at else ()
            ends = sign == ";" and where in ("a declaration", "a `let`", "a set")
            what = f"{where} ends with `;`" if ends and where != "a set" else f"`{sign}` is missing in {where}"
            return _Words("K0102", what, f"expected `{sign}` here", f"write `{sign}` here", others=others)
        case m.UnclosedBracket(opener=opener, closer=closer, found=found, found_at=at, found_end=to):
            label = f"expected `{closer}` before this `{found[:20]}`" if found else f"expected `{closer}` here"
            return _Words(
                "K0103", f"this `{opener}` is never closed", "opened here", f"write `{closer}` where it ends",
                others=((at, to, label),),
            )  # fmt: skip
        case m.StrayCloser(closer=closer):
            return _Words(
                "K0124",
                f"this `{closer}` closes nothing",
                "no bracket is open here",
                "leave it out, or open one before",
            )
        case m.WrongSign(found=found, wanted=wanted, where=where, example=example):
            shown = f": {example}" if example else ""
            return _Words(
                "K0107",
                f"{where} has `{wanted}` here, not `{found}`",
                f"write `{wanted}`",
                f"write `{wanted}`{shown}" if example else f"write `{wanted}` for `{found}`",
            )
        case m.SingleEquals():
            return _Words(
                "K0106",
                "`=` doesn't compare",
                "this gives a name its value, and none can get one here",
                "equality is `==`",
            )
        case _:
            assert_never(mistake)


def _name_words(
    mistake: m.ReservedWord | m.WrongCase | m.DefaultWithoutType | m.OptionalWithDefault,
) -> _Words:
    match mistake:
        case m.ReservedWord(word=word, pun=True):
            return _Words(
                "K0111", f"`{word}` is a reserved word", "so no variable of that name is there to be taken",
                f"a field may have the name if its value is written out: `{word} = …`",
            )  # fmt: skip
        case m.ReservedWord(word=word):
            return _Words(
                "K0111", f"`{word}` is a reserved word", "it can't be a name here", f"choose another, `{word}_` for example",
                ("Fields and labels may be named so: `.from`, `{ type = e }`, `f(in = e)`.",),
            )  # fmt: skip
        case m.WrongCase(name=name, what=what, upper=upper, suggestion=suggestion):
            size = "capital" if upper else "small"
            fix = f"write `{suggestion}`" if suggestion else None
            subject = what if what != "this" else "a name here"
            note = "Types, variants and sets begin with a capital letter, everything else with a small one."
            return _Words("K0112", f"{subject} begins with a {size} letter", f"`{name}` doesn't", fix, (note,))
        case m.DefaultWithoutType(name=name):
            return _Words(
                "K0129",
                "a parameter with a default needs its type",
                "",
                f"write `{name}: Int = …`, with its own type",
            )
        case m.OptionalWithDefault(where=where):
            return _Words(
                "K0129", f"an optional {where} has no default", f"`?:` says that the {where} may be absent",
                "write `:` to have the default, or leave the default out and match on the Option",
            )  # fmt: skip
        case _:
            assert_never(mistake)


def _part_words(
    mistake: m.VariantsWithoutBar | m.BadRowRest | m.SecondSpread | m.RestNotLast | m.OverlayEdit,
) -> _Words:
    match mistake:
        case m.VariantsWithoutBar(first_at=at):
            return _Words(
                "K0107", "each variant has its `|`, the first one too", "", "write `type Tls = | OpenSsl | NoTls;`",
                others=((at, at, "expected `|` here"),),
            )  # fmt: skip
        case m.BadRowRest():
            return _Words(
                "K0122",
                "this can't be the rest of a record type",
                "",
                "the rest is `..r`, `..Outs(o)` or `..Kinds(o)`",
            )
        case m.SecondSpread(first_at=at, first_end=to, where=where):
            return _Words(
                "K0122", f"a {where} has one `..` at most", "the second one", "which fields it has must be plain to see: write them out",
                others=((at, to, "the first one"),),
            )  # fmt: skip
        case m.RestNotLast():
            return _Words(
                "K0122", "the rest of a list stands at the end of its pattern", "", "write `[first, ..rest]`"
            )
        case m.OverlayEdit(member=member, super_name=super_name):
            return _Words(
                "K0123", "an overlay gives a member a new value", "so the left side is a member's name, and the sign is `=`",
                f"write `{member} = {super_name}.{member} with {{ … }}`",
            )  # fmt: skip
        case _:
            assert_never(mistake)


def _expression_words(
    mistake: m.MissingElse | m.MissingThen | m.ForeignSyntax | m.ChainedComparison | m.NeedsParentheses
    | m.ConditionalItem | m.CallWithoutParentheses | m.Unexpected,
) -> _Words:  # fmt: skip
    match mistake:
        case m.MissingElse(if_at=at):
            return _Words(
                "K0108", "this `if` has no `else`", "expected `else` here", "write `if a then b else c`: an `if` has a value in both cases",
                others=((at, at + 2, "this `if`"),),
            )  # fmt: skip
        case m.MissingThen(if_at=at):
            return _Words(
                "K0108", "this `if` has no `then`", "expected `then` before this", "write `if a then b else c`",
                others=((at, at + 2, "this `if`"),),
            )  # fmt: skip
        case m.ForeignSyntax(found=found, instead=instead):
            return _Words("K0119", f"`{found}` isn't written so in Kiln", "", instead)
        case m.ChainedComparison(op=op):
            return _Words(
                "K0125", "comparisons don't chain", f"a second one begins with this `{op}`", "write `a < b && b < c`"
            )
        case m.NeedsParentheses(word=word, before=before):
            return _Words(
                "K0126", f"`{word}` behind `{before}` needs parentheses", f"this `{word}` reaches as far to the right as it can",
                f"write `{before} ({word} …)`",
            )  # fmt: skip
        case m.ConditionalItem():
            return _Words(
                "K0128",
                "an item alone can't have a condition",
                "no `for` stands before this `if`",
                "write `..if c then [x] else []`, or `[x for x in xs if c]`",
            )
        case m.CallWithoutParentheses(fn=fn, arg=arg):
            shown = arg if len(arg) <= 20 else "…"
            return _Words(
                "K0101", f"`{shown}` can't stand right behind `{fn}`", "", f"a call has parentheses: `{fn}({shown})`"
            )
        case m.Unexpected(wanted=wanted, found=found, where=where):
            return _Words(
                "K0101", f"expected {wanted}{' ' + where if where else ''}, found {found}", f"expected {wanted}"
            )
        case _:
            assert_never(mistake)
