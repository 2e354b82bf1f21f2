from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from missrec.data.sources.demo import DemoDomain
from missrec.data.sources.demo_pictures import style_picture


def test_the_items_with_image_features_have_a_picture_and_no_others() -> None:
    prepared = DemoDomain(
        name="tiny",
        seed=4,
        world_seed=0,
        num_users=5,
        num_items=30,
        image_prob=0.6,
        feature_dim=8,
        num_styles=24,
        mean_length=6,
        follow_prob=0.85,
        wander_prob=0.05,
        power_law=0.5,
        feature_noise=0.5,
    ).read()
    has_image = prepared.features["image"].any(axis=1)
    with_image = [key for key, has in zip(prepared.item_keys, has_image, strict=True) if has]
    assert 0 < len(with_image) < 30
    assert list(prepared.pictures) == with_image


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.mark.parametrize("style", range(24))
def test_a_picture_is_a_small_png_of_two_colours_of_its_style(style: int) -> None:
    content = style_picture(style, turn=0.3)
    assert content == style_picture(style, turn=0.3)
    assert len(content) < 3000
    pixels = decoded(content).reshape(-1, 3)
    assert len(pixels) > 100
    assert len(np.unique(pixels, axis=0)) == 2


def test_items_of_a_style_are_told_apart_and_styles_too() -> None:
    grounds = {style_picture(style, turn=0.5) for style in range(24)}
    assert len(grounds) == 24
    of_one = [style_picture(7, turn=turn) for turn in (0.0, 0.25, 0.5, 0.99)]
    assert all(one != other for one, other in pairwise(of_one))
