"""Frozen dataclasses that are made quickly are frozen dataclasses."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from hipgw.values.quick_making import quickly_made


@dataclass(frozen=True, slots=True)
class Plain:
    a: int
    b: bytes = b"b"
    c: list[int] = field(default_factory=list, compare=False)
    d: tuple[int, ...] = field(default=(), repr=False)


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    a: int
    b: bytes = b"b"
    c: list[int] = field(default_factory=list, compare=False)
    d: tuple[int, ...] = field(default=(), repr=False)


@quickly_made
@dataclass(frozen=True, slots=True)
class Checked(Quick):
    e: int = 0

    def __post_init__(self) -> None:
        if self.e < 0:
            raise ValueError("e")


@quickly_made
@dataclass(frozen=True, slots=True)
class Empty:
    pass


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((1,), {}),
        ((1, b"x"), {}),
        ((1,), {"d": (2,)}),
        ((), {"a": 1, "c": [3]}),
        ((1, b"", [4]), {}),
    ],
)
def test_same_as_plain(args: tuple[object, ...], named: dict[str, object]) -> None:
    plain, quick = Plain(*args, **named), Quick(*args, **named)  # type: ignore[arg-type]
    assert repr(quick) == repr(plain).replace("Plain", "Quick")
    assert (quick.a, quick.b, quick.c, quick.d) == (plain.a, plain.b, plain.c, plain.d)
    assert quick == Quick(*args, **named)  # type: ignore[arg-type]
    assert hash(quick) == hash(Quick(*args, **named))  # type: ignore[arg-type]
    assert replace(quick, a=7).a == 7
    assert pickle.loads(pickle.dumps(quick)) == quick  # noqa: S301 - our own octets


def test_frozen() -> None:
    quick = Quick(1)
    with pytest.raises(FrozenInstanceError):
        quick.a = 2  # type: ignore[misc]
    assert not hasattr(quick, "__dict__")


def test_factories_make_one_each() -> None:
    assert Quick(1).c is not Quick(1).c


@pytest.mark.parametrize("args", [(), (1, b"", [], (), 5), (b"", 1, 2, 3, 4, 5, 6)])
def test_wrong_arguments(args: tuple[object, ...]) -> None:
    with pytest.raises(TypeError, match="__init__"):
        Quick(*args)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="__init__"):
        Quick(1, z=3)  # type: ignore[call-arg]


def test_derived_and_checked() -> None:
    assert Checked(1, e=2).e == 2
    assert Checked(1) == Checked(1, b"b", [], (), 0)
    with pytest.raises(ValueError, match="e"):
        Checked(1, e=-1)
    assert Empty() == Empty()


def test_what_is_not_for_it() -> None:
    @dataclass(frozen=True)
    class WithoutSlots:
        a: int = 0

    @dataclass(frozen=True, slots=True)
    class WithMore:
        a: int = field(default=0, init=False)

    class NoDataclass:
        pass

    for kind in (WithoutSlots, WithMore, NoDataclass):
        with pytest.raises(TypeError):
            quickly_made(kind)
