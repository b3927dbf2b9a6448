import torch
from torch.nn import functional

from pipeline.heads.linear import Linear
from pipeline.heads.spec import Target
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised


def test_is_the_linear_layer_and_the_class_loss_to_the_last_bit() -> None:
    torch.manual_seed(3)
    head = Linear().build(Target(4, 3), class_loss)
    torch.manual_seed(3)
    layer = torch.nn.Linear(4, 3)
    features = features_a().float()

    logits = head.classifier(features)
    terms = head.loss(supervised(logits, labels=labels_a())).terms

    assert logits.equal(layer(features))
    assert list(head.classifier.state_dict()) == ["weight", "bias"]
    expected = functional.cross_entropy(layer(features), labels_a(), label_smoothing=0.1)
    assert terms["cross_entropy"].equal(expected)


def test_label_smoothed_cross_entropy_equals_published_value() -> None:
    head = Linear().build(Target(4, 3), class_loss)

    loss = head.loss(supervised(cosines_a(), labels=labels_a())).terms["cross_entropy"]

    assert abs(float(loss) - 0.75913062) < 1e-6
