import pytest

from backburn.memorization import census
from backburn.memorization.census import Census

from .evidence import found, reference, seen

SOUND = Census(kinds={"activations": 3, "normalisations": 2, "products": 4})


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"activations": 3, "normalisations": 2, "products": 4}, None),
        ({"activations": 4, "normalisations": 2}, None),
        ({"activations": 3}, "0 normalisations"),
        ({"activations": 1, "normalisations": 2}, "1 activations"),
    ],
)
def test_a_kind_of_layer_that_is_gone_is_new(kinds, said):
    healthy = reference(census, seen(census=SOUND))
    findings = found(census.CHECKS, seen(census=Census(kinds=kinds), reference=healthy)).get("model-is-as-reviewed", ())
    assert [said in one.message for one in findings] == ([True] if said else [])
    assert found(census.CHECKS, seen(census=Census(kinds=kinds))) == {}
