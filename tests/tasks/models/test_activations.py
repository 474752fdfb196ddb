"""Activation checkpointing is turned on by the name that a module has for it."""

import warnings

from torch import nn
from transformers import GPT2Config, GPT2Model

from tasks.models.activations import checkpoint_blocks


class Old(nn.Module):
    """As a module of transformers before it had the new name."""

    is_on = False

    def gradient_checkpointing_enable(self) -> None:
        self.is_on = True


class Both(Old):
    def activation_checkpointing_enable(self) -> None:
        self.is_on = True

    def gradient_checkpointing_enable(self) -> None:
        raise AssertionError("the old name, which warns")


class Unable(Old):
    supports_gradient_checkpointing = False


def test_the_new_name_goes_before_the_old_one() -> None:
    for module in (Old(), Both()):
        assert checkpoint_blocks(module)
        assert module.is_on


def test_a_module_that_cannot_is_left_alone() -> None:
    unable = Unable()
    assert not checkpoint_blocks(unable)
    assert not unable.is_on
    assert not checkpoint_blocks(nn.Linear(1, 1))


def test_a_model_of_transformers_does_it_without_a_warning() -> None:
    model = GPT2Model(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoint_blocks(model)
    assert model.is_gradient_checkpointing
