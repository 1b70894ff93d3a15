"""Where targets lie on their own pictures, on pictures that are made here."""

import pytest
import torch

from backburn.probes.memorize import places

ROLES = {"batch[0]": {"input"}, "batch[1]": {"target"}}
DRAWN = torch.Generator().manual_seed(0)
CORNERS = torch.randint(2, 18, (64, 2), generator=DRAWN)
SIZES = torch.randint(8, 14, (64, 2), generator=DRAWN)
BOXES = torch.cat([CORNERS, CORNERS + SIZES], 1).float()


def pictures():
    """A box on noise, and its mask."""
    noise, masks = torch.rand(64, 3, 32, 32, generator=DRAWN) * 0.2, torch.zeros(64, 32, 32, dtype=torch.long)
    for mask, (left, top, right, bottom) in zip(masks, BOXES.int().tolist()):
        mask[top:bottom, left:right] = 1
    return noise + masks[:, None], masks


X, MASKS = pictures()


def ranks(target, picture=X, known=ROLES):
    chunks = [(32, {"batch[0]": picture[at : at + 32], "batch[1]": target[at : at + 32]}) for at in (0, 32)]
    return places.told(chunks, known).get("ranks", {})


@pytest.mark.parametrize(
    ("target", "low", "high"),
    [
        (MASKS, 0.95, 1),
        (MASKS[:, None].float(), 0.95, 1),
        (MASKS[:, ::2, ::2].clone(), 0.95, 1),  # of half the size
        (MASKS.roll(1, 0), 0.3, 0.7),  # of another picture
        (MASKS.mT, 0.2, 0.8),
    ],
)
def test_a_map(target, low, high):
    assert low <= ranks(target)["batch[0] ~ batch[1] as a map"] <= high


def test_pictures_of_which_half_are_mirrored():
    half = X.where(torch.arange(64)[:, None, None, None] % 2 == 0, X.flip(-1))
    assert ranks(MASKS, half)["batch[0] ~ batch[1] as a map"] < 0.9


def listed(boxes, picture=X):
    """Lists with one for each sample, as a detector gets them."""
    samples = [
        {f"batch[0][{i}]": picture[at + i] for i in range(32)}
        | {f"batch[1][{i}]['boxes']": boxes[at + i][None] for i in range(32)}
        for at in (0, 32)
    ]
    found = places.told([(32, one) for one in samples], {})["ranks"]
    return {name.rpartition(" as ")[2]: rank for name, rank in found.items()}


def test_boxes_are_told_from_other_formats():
    sizes = torch.cat([CORNERS, SIZES], 1).float()
    middles = torch.cat([CORNERS + SIZES / 2, SIZES], 1)
    for boxes, name in ((BOXES, "xyxy"), (BOXES / 32, "xyxy"), (sizes, "xywh"), (middles, "cxcywh")):
        found = listed(boxes)
        assert max(found, key=found.get) == name and found[name] > 0.95
    assert listed(sizes)["xyxy"] < 0.9 and listed(torch.cat([CORNERS + 18, SIZES / 3], 1).float())["xyxy"] < 0.7
    assert listed(BOXES[:, [1, 0, 3, 2]])["xyxy"] < 0.7
    assert listed(BOXES, X.flip(0))["xyxy"] < 0.7


def test_points():
    points = torch.stack([BOXES[:, :2], BOXES[:, 2:]], 1)
    assert ranks(points)["batch[0] ~ batch[1] as points"] > 0.9
    assert ranks(points.flip(-1))["batch[0] ~ batch[1] as points"] < 0.75


def test_pictures_are_told_from_noise():
    wide = torch.nn.functional.avg_pool2d(torch.rand(8, 3, 32, 32, generator=DRAWN), 5, 1)
    assert places.is_smooth(wide) and places.is_smooth(wide.permute(0, 2, 3, 1))
    assert not places.is_smooth(wide + 9 * wide.std() * torch.randn(wide.shape, generator=DRAWN))
    assert not places.is_smooth(torch.rand(8, 3, 1, 1)) and not places.is_smooth(torch.rand(8, 64))


def test_a_volume_is_looked_at_through_its_depth():
    depth = torch.arange(8)[:, None, None] // 4
    volumes, masks = X[:, :1, None] * depth, MASKS[:, None, None] * depth
    assert ranks(masks, volumes)["batch[0] ~ batch[1] as a map"] > 0.95
    assert ranks(masks.flip(-1), volumes)["batch[0] ~ batch[1] as a map"] < 0.8


def test_what_lies_nowhere_is_not_asked():
    assert ranks(torch.arange(64)) == {}
    assert ranks(MASKS, torch.rand(64, 8)) == {}
    assert ranks(torch.zeros(64, 32, 32, dtype=torch.long)) == {}
