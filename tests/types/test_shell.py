"""Where in a shell script a hole stands (POSIX quoting)."""

from __future__ import annotations

import pytest

from kiln.lang.check.shell import Scanner

HOLE = "@"

# A script with a hole at each @, and the context of each.
CONTEXTS = [
    ("echo @", "bare"),
    ('echo "@"', "double"),
    ("echo '@'", "single"),
    ('echo "it\'s @"', "double"),
    ("echo 'a \"b @'", "single"),
    ('echo "a" @ "b"', "bare"),
    ('echo "a\\"@"', "double"),
    ('echo \\"@', "bare"),
    ("echo \\'@", "bare"),
    ("echo 'a\\' @", "bare"),
    ("# say @\necho @", "comment bare"),
    ("echo a#@", "bare"),
    ("echo a # @", "comment"),
    ("echo @#@", "bare bare"),
    ("true;# it's @\necho @", "comment bare"),
    ('echo "# @"', "double"),
    ('echo "$(cat @)"', "bare"),
    ('echo "$(cat "@") @"', "double double"),
    ("echo \"$(cat '@') @\"", "single double"),
    ("echo $(echo (@) @) @", "bare bare bare"),
    ("echo `cat @` @", "bare bare"),
    ('echo "`cat @` @"', "bare double"),
    ('echo "${x:-@}"', "double"),
    ("echo ${x:-@}", "bare"),
    ('echo ${x:-"@"}', "double"),
    ("echo \"${x:-'@'}\"", "double"),
    ("echo ${#x} @", "bare"),
    ("echo $# @ # @", "bare comment"),
    ("echo $((1 + @))", "bare"),
    ("cat <<EOF\n@\nEOF\necho @", "heredoc bare"),
    ("cat <<EOF\nit's @ \"\nEOF\necho @", "heredoc bare"),
    ("cat <<'EOF'\n@\nEOF\necho @", "verbatim bare"),
    ('cat <<"END OF"\n@\nEND OF\necho @', "verbatim bare"),
    ("cat <<\\EOF\n@\nEOF", "verbatim"),
    ("cat <<-EOF\n\t@\n\tEOF\necho @", "heredoc bare"),
    ("cat <<EOF\n\tEOF\n@\nEOF\necho @", "heredoc bare"),
    ("cat <<EOF > @\n@\nEOF", "bare heredoc"),
    ("cat <<A <<'B'\n@\nA\n@\nB\n@", "heredoc verbatim bare"),
    ("cat <<EOF\n@EOF\nEOF\n@", "heredoc bare"),
    ("cat <<EOF\nEOF @\nEOF\n@", "heredoc bare"),
    ("cat <<< @", "bare"),
    ("echo $((1 << 2)) @", "bare"),
    ("if [ @ ]; then # @\n  echo '@'\nfi", "bare comment single"),
    ("case @ in a) echo @ ;; esac", "bare bare"),
    ("f() { echo @; }", "bare"),
]


def contexts(script: str) -> tuple[str, bool]:
    scanner = Scanner()
    found: list[str] = []
    first, *rest = script.split(HOLE)
    scanner.feed(first)
    for part in rest:
        found.append(scanner.context)
        scanner.hole()
        scanner.feed(part)
    return " ".join(found), scanner.closed


@pytest.mark.parametrize(("script", "expected"), CONTEXTS)
def test_context(script: str, expected: str) -> None:
    assert contexts(script) == (expected, True)


@pytest.mark.parametrize(
    "script",
    ["echo '", 'echo "', "echo $(", "echo `", "echo ${x", "cat <<EOF\nx", "cat <<EOF", 'echo "$(echo ")', "it's"],
)
def test_what_does_not_close(script: str) -> None:
    assert contexts(script)[1] is False


@pytest.mark.parametrize("script", ["", "# it's", "echo it\\'s", "cat <<EOF\nEOF", "cat <<EOF\nEOF\n", "a)"])
def test_what_closes(script: str) -> None:
    assert contexts(script)[1] is True
