"""What is said about each mistake: the one place where the words of K01xx stand.

A message says what was found, what was wanted, and what to do next, in the words of someone who writes Kiln and
never saw its grammar. Other places of the same file are given as offsets and labels, and become Places here.
"""

from __future__ import annotations

from typing import assert_never

from kiln.lang.report import Place, Report
from kiln.lang.syntax import mistakes as m
from kiln.lang.syntax import words
from kiln.lang.syntax.words import Words


def report(mistake: m.Mistake, path: str, text: str, offset: int, column_0: int | None = None) -> Report:
    """The report of a mistake in the chunk that begins at `offset` of a file.

    `column_0` is the offset in the file of text in column 0 that cut the chunk off, if that is why something was
    not closed.
    """
    said = _words(mistake)
    size = len(text)

    def place(start: int, end: int) -> Place:
        return Place(path, text, min(start + offset, size), min(max(end, start) + offset, size))

    others = [(place(start, end), label) for start, end, label in said.others]
    help_ = said.help
    if column_0 is not None:
        others = [
            (Place(path, text, column_0, column_0 + 1), "this line begins in column 0, which ends the declaration")
        ]
        help_ = "indent that line: in column 0 stand a declaration's first word, comments and closing brackets"
    return Report(
        said.code,
        _short(said.title),
        place(mistake.start, mistake.end),
        _short(said.label),
        said.notes,
        tuple(others),
        None if help_ is None else _short(help_),
    )


def _short(text: str) -> str:
    """A name in a message may be as long as the file."""
    return text if len(text) <= 240 else text[:239] + "…"


def _words(mistake: m.Mistake) -> Words:
    match mistake:
        case m.UnclosedString() | m.UnclosedHole() | m.ShellHole() | m.UnknownEscape() | m.SingleQuotes():
            return words.string_words(mistake)
        case m.StringAtColumn0() | m.HoleInConstant() | m.TagOnConstant() | m.UnknownTag() | m.MixedIndentation():
            return words.string_words(mistake)
        case (
            m.ForeignComment()
            | m.ForbiddenCharacter()
            | m.NotUtf8()
            | m.StrayCharacter()
            | m.BadNumber()
            | m.DocBehind()
        ):
            return words.character_words(mistake)
        case m.NotADeclaration() | m.IndentedDeclaration() | m.SecondDeclaration() | m.DocMisplaced():
            return words.declaration_words(mistake)
        case m.MissingSeparator() | m.UnclosedBracket() | m.StrayCloser() | m.WrongSign() | m.SingleEquals():
            return _sign_words(mistake)
        case m.ReservedWord() | m.WrongCase() | m.DefaultWithoutType() | m.OptionalWithDefault():
            return _name_words(mistake)
        case m.VariantsWithoutBar() | m.BadRowRest() | m.SecondSpread() | m.RestNotLast() | m.OverlayEdit():
            return _part_words(mistake)
        case _:
            return _expression_words(mistake)


def _sign_words(
    mistake: m.MissingSeparator | m.UnclosedBracket | m.StrayCloser | m.WrongSign | m.SingleEquals,
) -> Words:
    match mistake:
        case m.MissingSeparator(separator=sign, where=where, next_at=at, next_end=to):
            others = ((at, to, "before this"),) if to > at else ()
            ends = sign == ";" and where in ("a declaration", "a `let`", "a set")
            what = f"{where} ends with `;`" if ends and where != "a set" else f"`{sign}` is missing in {where}"
            return Words("K0102", what, f"expected `{sign}` here", others=others)
        case m.UnclosedBracket(opener=opener, closer=closer, found=found, found_at=at, found_end=to):
            label = f"expected `{closer}` before this `{found[:20]}`" if found else f"expected `{closer}` here"
            return Words(
                "K0103",
                f"this `{opener}` is never closed",
                "opened here",
                f"write `{closer}` where it ends",
                others=((at, to, label),),
            )
        case m.StrayCloser(closer=closer):
            return Words(
                "K0124",
                f"this `{closer}` closes nothing",
                "no bracket is open here",
                "leave it out, or open one before",
            )
        case m.WrongSign(found=found, wanted=wanted, where=where, example=example):
            return Words(
                "K0107",
                f"{where} has `{wanted}` here, not `{found}`",
                f"write `{wanted}`",
                f"for example `{example}`" if example else None,
            )
        case m.SingleEquals():
            return Words(
                "K0106",
                "`=` doesn't compare",
                "`=` binds a name, and nothing is bound here",
                "equality is `==`",
            )
        case _:
            assert_never(mistake)


def _name_words(
    mistake: m.ReservedWord | m.WrongCase | m.DefaultWithoutType | m.OptionalWithDefault,
) -> Words:
    match mistake:
        case m.ReservedWord(word=word, pun=True):
            return Words(
                "K0111",
                f"`{word}` is a reserved word",
                "so no variable of that name is there to be taken",
                f"a field may have the name if its value is written out: `{word} = …`",
            )
        case m.ReservedWord(word=word):
            return Words(
                "K0111",
                f"`{word}` is a reserved word",
                "it can't be a name here",
                f"choose another, `{word}_` for example",
                ("Fields and labels may be named so: `.from`, `{ type = e }`, `f(in = e)`.",),
            )
        case m.WrongCase(name=name, what=what, upper=upper, suggestion=suggestion):
            size = "capital" if upper else "small"
            fix = f"write `{suggestion}`" if suggestion else None
            subject = what if what != "this" else "a name here"
            note = "Types, variants and sets begin with a capital letter, everything else with a small one."
            return Words("K0112", f"{subject} begins with a {size} letter", f"`{name}` doesn't", fix, (note,))
        case m.DefaultWithoutType(name=name):
            return Words(
                "K0129",
                "a parameter with a default needs its type",
                "",
                f"write `{name}: Int = …`, with its own type",
            )
        case m.OptionalWithDefault(where=where):
            return Words(
                "K0129",
                f"an optional {where} has no default",
                f"`?:` says that the {where} may be absent",
                "write `:` to have the default, or leave the default out and match on the Option",
            )
        case _:
            assert_never(mistake)


def _part_words(
    mistake: m.VariantsWithoutBar | m.BadRowRest | m.SecondSpread | m.RestNotLast | m.OverlayEdit,
) -> Words:
    match mistake:
        case m.VariantsWithoutBar(first_at=at):
            return Words(
                "K0107",
                "each variant has its `|`, the first one too",
                "",
                "write `type Tls = | OpenSsl | NoTls;`",
                others=((at, at, "expected `|` here"),),
            )
        case m.BadRowRest():
            return Words(
                "K0122",
                "this can't be the rest of a record type",
                "",
                "the rest is `..r`, `..Outs(o)` or `..Kinds(o)`",
            )
        case m.SecondSpread(first_at=at, first_end=to, where=where):
            return Words(
                "K0122",
                f"a {where} has one `..` at most",
                "the second one",
                "which fields it has must be plain to see: write them out",
                others=((at, to, "the first one"),),
            )
        case m.RestNotLast():
            return Words(
                "K0122", "the rest of a list stands at the end of its pattern", "", "write `[first, ..rest]`"
            )
        case m.OverlayEdit(member=member, super_name=super_name):
            return Words(
                "K0123",
                "an overlay gives a member a new value",
                "so the left side is a member's name, and the sign is `=`",
                f"write `{member} = {super_name}.{member} with {{ … }}`",
            )
        case _:
            assert_never(mistake)


def _expression_words(
    mistake: m.MissingElse
    | m.MissingThen
    | m.ForeignSyntax
    | m.ChainedComparison
    | m.NeedsParentheses
    | m.ConditionalItem
    | m.CallWithoutParentheses
    | m.Unexpected,
) -> Words:
    match mistake:
        case m.MissingElse(if_at=at):
            return Words(
                "K0108",
                "this `if` has no `else`",
                "expected `else` here",
                "write `if a then b else c`: an `if` has a value in both cases",
                others=((at, at + 2, "this `if`"),),
            )
        case m.MissingThen(if_at=at):
            return Words(
                "K0108",
                "this `if` has no `then`",
                "expected `then` before this",
                "write `if a then b else c`",
                others=((at, at + 2, "this `if`"),),
            )
        case m.ForeignSyntax(found=found, instead=instead):
            return Words("K0119", f"`{found}` can't be used here", "", instead)
        case m.ChainedComparison(op=op):
            return Words(
                "K0125",
                "comparisons don't chain",
                f"a second one begins with this `{op}`",
                f"write `a {op} b && b {op} c`",
            )
        case m.NeedsParentheses(word=word, before=before):
            return Words(
                "K0126",
                f"`{word}` after `{before}` needs parentheses",
                f"this `{word}` reaches as far to the right as it can",
                f"write `{before} ({word} …)`",
            )
        case m.ConditionalItem():
            return Words(
                "K0128",
                "an item alone can't have a condition",
                "no `for` stands before this `if`",
                "write `..if c then [x] else []`, or `[x for x in xs if c]`",
            )
        case m.CallWithoutParentheses(fn=fn, arg=arg):
            shown = arg if len(arg) <= 20 else "…"
            return Words(
                "K0101", f"`{shown}` can't come right after `{fn}`", "", f"a call has parentheses: `{fn}({shown})`"
            )
        case m.Unexpected(wanted=wanted, found=found, where=where, advice=advice):
            title = f"expected {wanted}{' ' + where if where else ''}, found {found}"
            return Words("K0101", title, f"expected {wanted}", advice or None)
        case _:
            assert_never(mistake)
