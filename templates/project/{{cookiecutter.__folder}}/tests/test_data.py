"""What the model is fed."""

import torch

from {{ cookiecutter.package_name }}.data import Digits, read, split


def test_the_parts_are_disjoint_and_complete() -> None:
    parts = split(len(read()), seed=0)
    assert sorted(torch.cat(parts).tolist()) == list(range(1797))


def test_the_split_has_a_seed_of_its_own() -> None:
    torch.manual_seed(1)
    first = split(100, seed=0)
    torch.manual_seed(2)
    assert all(torch.equal(one, two) for one, two in zip(first, split(100, seed=0), strict=True))
    assert not torch.equal(first[0], split(100, seed=1)[0])


def test_every_digit_is_in_every_part() -> None:
    data = Digits()
    data.setup("fit")
    for part in (data.train, data.val, data.test):
        assert {int(digit) for _, digit in part} == set(range(10))


def test_a_batch() -> None:
    data = Digits(batch_size=32)
    data.setup("fit")
    images, digits = next(iter(data.train_dataloader()))
    assert images.shape == (32, 1, 8, 8) and images.dtype == torch.float32
    assert digits.shape == (32,) and digits.dtype == torch.int64
