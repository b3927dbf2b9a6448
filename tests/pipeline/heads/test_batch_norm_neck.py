import torch

from pipeline.heads.batch_norm_neck import BatchNormNeck
from tests.head_fixtures import features_a


def test_equals_the_batch_normalisation_of_torch_without_its_bias() -> None:
    neck, reference = BatchNormNeck(4), torch.nn.BatchNorm1d(4)
    features = features_a().float()

    expected = reference(features)
    neck.observe(features)

    torch.testing.assert_close(neck(features), expected)
    torch.testing.assert_close(neck.running_var, reference.running_var)
    torch.testing.assert_close(neck.eval()(features), reference.eval()(features))


def test_one_sample_is_normalised_as_in_prediction_and_teaches_nothing() -> None:
    neck = BatchNormNeck(4)
    neck.observe(features_a().float())
    before = neck.running_var.clone()

    trained = neck(features_a().float()[:1])
    neck.observe(features_a().float()[:1])

    assert trained.equal(neck.eval()(features_a().float()[:1]))
    assert neck.running_var.equal(before)
