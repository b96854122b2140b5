"""Records of which few are made behave as named tuples do, but are no tuples."""

from __future__ import annotations

import pytest

from kiln.lang.rare import Rare


class Spot(Rare):
    """Where."""

    line: int
    column: int = 1


class Nothing(Rare):
    pass


def test_by_place_by_name_and_by_default() -> None:
    assert Spot(3) == Spot(line=3, column=1) == Spot(3, column=1)
    assert Spot(3) != Spot(4) and Spot(3) != (3, 1)
    assert hash(Spot(3)) == hash(Spot(3, 1)) and len({Spot(3), Spot(3, 1), Nothing(), Nothing()}) == 2
    assert repr(Spot(3)) == "Spot(3, 1)"


def test_matched_by_place() -> None:
    match Spot(3, 9):
        case Spot(line, column):
            assert (line, column) == (3, 9)


def test_never_changed() -> None:
    spot = Spot(3)
    with pytest.raises(AttributeError):
        spot.line = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"line": 2}), ((1,), {"row": 2}), ((), {"column": 2})]
)
def test_other_fields_are_refused(values: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Spot(*values, **named)
    with pytest.raises(TypeError):
        Nothing(1)  # type: ignore[call-arg]
