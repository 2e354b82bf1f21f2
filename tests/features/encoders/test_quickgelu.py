"""Each of open_clip's weights that were trained with QuickGELU is used with it, and no other.

open_clip takes the activation from the name of the model: weights from a file go through GELU where
their tag means QuickGELU, and what comes out is near enough to go unnoticed.
"""

from __future__ import annotations

import open_clip
import pytest

from missrec.features.encoders import clip

TAGS = open_clip.list_pretrained()


def has_quickgelu(model: str) -> bool:
    config = open_clip.get_model_config(model)
    return config is not None and bool(config.get("quick_gelu"))


def trained_so(model: str, tag: str) -> bool:
    return bool(open_clip.get_pretrained_cfg(model, tag).get("quick_gelu"))


def accepted(model: str, tag: str) -> bool:
    try:
        clip._tag_settings(model, tag)
    except ValueError:
        return False
    return True


def test_the_installed_version_has_tags_of_both_kinds() -> None:
    kinds = [trained_so(model, tag) for model, tag in TAGS]
    assert sum(kinds) > 20
    assert len(kinds) - sum(kinds) > 50


def test_a_tag_goes_with_the_activation_that_it_was_trained_with_alone() -> None:
    known = [(model, tag) for model, tag in TAGS if open_clip.get_model_config(model)]
    wrong = [
        (model, tag)
        for model, tag in known
        if accepted(model, tag) != (trained_so(model, tag) == has_quickgelu(model))
    ]
    assert not wrong
    assert {accepted(model, tag) for model, tag in known} == {True, False}


def test_what_a_refusal_names_is_there_and_is_accepted() -> None:
    for model, tag in TAGS:
        if open_clip.get_model_config(model) is None or accepted(model, tag):
            continue
        with pytest.raises(ValueError, match="QuickGELU") as caught:
            clip._tag_settings(model, tag)
        named = f"{model}-quickgelu" if "take the model with -" in str(caught.value) else None
        assert named is None or accepted(named, tag), (model, tag, str(caught.value))
