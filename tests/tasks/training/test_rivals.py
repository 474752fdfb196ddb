"""Rivals of the pruned model: what is frozen stays frozen, and each has a rate that suits it."""

from tasks.sections.healing import Healing
from tasks.training.healing import Healer
from tasks.training.rivals import trained_anew, tuned_on
from tests.tasks.models.zoo.test_timellm import tiny
from tests.tiny import tiny_data, tiny_recipe


def test_a_rival_with_random_weights_trains_its_language_model():
    model = tiny().with_random_weights(seed=1)
    assert all(parameter.requires_grad for parameter in model.parameters())
    healer = Healer(
        full=tiny(),
        teacher=tiny(),
        data=tiny_data(),
        recipe=tiny_recipe(),
        healing=Healing(scratch=["plain", "plain@4"]),
        rate=1e-4,
        scratch_rate=1e-3,
        scores=None,
    )
    scratch = trained_anew(healer, model, 3)
    assert [one.learning_rate for one in scratch] == [1e-3, 4e-3]
    for one in scratch:
        assert all(parameter.requires_grad for parameter in one.model.parameters())
    for one in tuned_on(healer, 3):
        assert not any(parameter.requires_grad for parameter in one.model.backbone.parameters())
        assert one.learning_rate in (1e-4, 4e-4)
