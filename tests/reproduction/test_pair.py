"""What is the same and what is not in one step of two trainings."""

from backburn.reproduction import pair
from backburn.reproduction.pair import Pair
from backburn.reproduction.steps import Step

BASE = Step(step=3, batch="a", gradients={"w": "1", "v": "2"}, rng={"torch": "t", "python": "p"})
HEAD = Step(step=3, batch="b", gradients={"w": "1", "v": "3", "u": "4"}, rng={"torch": "t", "python": "q"})


def test_names_that_changed_and_names_of_one_alone():
    one = Pair(base=BASE, head=HEAD, last=2)
    assert one.changed("gradients") == ("v",)
    assert one.only("gradients") == ((), ("u",))
    assert one.differs("batch") and one.differs("gradients") and one.recorded("batch")


def test_what_one_of_them_did_not_record_is_not_compared():
    one = Pair(base=BASE, head=Step(step=3))
    assert (one.changed("gradients"), one.only("gradients")) == ((), ((), ()))
    assert not one.differs("batch") and not one.recorded("batch")


def test_how_near_a_step_is_to_the_last_that_was_the_same():
    assert Pair(base=BASE, head=HEAD, last=2).near and not Pair(base=BASE, head=HEAD, last=1).near
    assert not Pair(base=BASE, head=HEAD, last=2).fresh and Pair(base=Step(step=1), head=Step(step=1)).fresh


def test_generators_that_nobody_seeded_do_not_count():
    assert pair.idle(Pair(base=BASE, head=HEAD)) == {"python"}
    assert Pair(base=BASE, head=HEAD).generators == ()
    assert Pair(base=BASE, head=HEAD, last=2).generators == ("python",)
    assert Pair(base=BASE, head=HEAD, last=2, aside=frozenset({"python"})).generators == ()


def test_numbers_and_lists_of_names():
    assert (pair.number("0x1.8p+1"), pair.number("0xnone"), pair.number("adam")) == ("3.0", "0xnone", "adam")
    assert pair.either(("a",), ("b", "c")) == "no longer a; only now b, c"
    assert pair.some("abcde") == "a, b, c and 2 more"
    assert pair.common(["encoder.0.weight", "encoder.0.bias"]) == "encoder.0"
