import pytest

from backburn.memorization import census
from backburn.memorization.census import Census
from backburn.memorization.parameters import Parameters

from .evidence import found, reference, seen

SOUND = Census(kinds={"activations": 3, "normalisations": 2, "products": 4})


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"activations": 3, "normalisations": 2, "products": 4}, None),
        ({"activations": 4, "normalisations": 2, "products": 5}, None),
        ({"activations": 1, "normalisations": 1, "products": 2}, None),  # one forward where there were two
        ({"activations": 3, "products": 4}, "0 normalisations"),
        ({"activations": 1, "normalisations": 2, "products": 4}, "1 activations"),
    ],
)
def test_a_kind_of_layer_that_is_gone_is_new(kinds, said):
    healthy = reference(census, seen(census=SOUND))
    findings = found(census.CHECKS, seen(census=Census(kinds=kinds), reference=healthy)).get("model-is-as-reviewed", ())
    assert [said in one.message for one in findings] == ([True] if said else [])
    assert found(census.CHECKS, seen(census=Census(kinds=kinds))) == {}


@pytest.mark.parametrize(("activations", "expected"), [(1, []), (0, ["model-is-as-reviewed"])])
def test_layers_that_a_batch_is_not_sent_through_are_not_gone(activations, expected):
    healthy = reference(census, seen(census=SOUND))
    now = Census(kinds={"activations": activations, "normalisations": 2})
    routed = Parameters(trainable=4, disconnected=("experts.2.weight",))
    assert list(found(census.CHECKS, seen(census=now, parameters=routed, reference=healthy))) == expected


def test_layers_before_the_first_that_trains_are_not_gone():
    healthy = reference(census, seen(census=SOUND))
    frozen = Parameters(trainable=4, frozen=("backbone.weight",))
    now = seen(census=Census(kinds={"products": 1}), parameters=frozen, reference=healthy)
    assert found(census.CHECKS, now) == {}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"products": 8, "activations": 21}, []),  # a GRU for an LSTM
        ({"products": 1}, ["model-is-as-reviewed"]),  # no recurrence at all
    ],
)
def test_a_recurrence_that_is_written_out_is_not_gone(kinds, expected):
    lstm = Census(kinds={"recurrences": 1, "products": 1})
    now = seen(census=Census(kinds=kinds), reference=reference(census, seen(census=lstm)))
    assert list(found(census.CHECKS, now)) == expected
    gru = reference(census, seen(census=Census(kinds={"products": 8, "activations": 21})))
    assert found(census.CHECKS, seen(census=lstm, reference=gru)) == {}


@pytest.mark.parametrize(("softmaxes", "expected"), [(5, []), (1, ["model-is-as-reviewed"])])
def test_attention_with_dropout_is_written_out(softmaxes, expected):
    """On the CPU scaled_dot_product_attention has a node of its own without dropout alone."""
    healthy = reference(census, seen(census=Census(kinds={"attentions": 4, "products": 8, "softmaxes": 1})))
    now = Census(kinds={"products": 16, "softmaxes": softmaxes})
    assert list(found(census.CHECKS, seen(census=now, reference=healthy))) == expected


BEGUN = {"gain": 0.58, "matrices": 9, "zeroed": 2}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, None),
        ({"gain": 1.41}, None),  # another initialisation
        ({"gain": 17.0}, "the weights begin 29 times as large as when they were reviewed"),
        ({"gain": 0.01}, "the weights begin 0.017 times as large"),
        ({"zeroed": 1}, None),
        ({"zeroed": 0}, "2 of 9 matrices began at 0 when they were reviewed, and none does"),
        ({"gain": 17.0, "matrices": 8}, None),  # another model
    ],
)
def test_weights_begin_as_they_did(now, said):
    healthy = reference(census, seen(census=SOUND, parameters=Parameters(trainable=9, **BEGUN)))
    told = seen(census=SOUND, parameters=Parameters(trainable=9, **BEGUN | now), reference=healthy)
    findings = found(census.CHECKS, told).get("model-is-as-reviewed", ())
    assert [said in one.message for one in findings] == ([True] if said else [])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"ties": 1, "products": 4}, None),
        ({"products": 4}, "0 tied weights in layers that had 1"),
        ({"products": 3}, None),  # a layer less
    ],
)
def test_a_tie_that_is_gone_is_new(now, said):
    healthy = reference(census, seen(census=Census(kinds={"ties": 1, "products": 4})))
    findings = found(census.CHECKS, seen(census=Census(kinds=now), reference=healthy)).get("model-is-as-reviewed", ())
    assert [said in one.message for one in findings] == ([True] if said else [])
