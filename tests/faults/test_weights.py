"""Weights by somebody else: nothing in them runs, nothing is taken that does not fit, and memory does not grow."""

from itertools import product

import pytest

from tests.faults.conftest import Outcomes, check
from tests.faults.weight_attempts import CONTENTS, FORMS


def test_honest_weights_pass(outcomes: Outcomes) -> None:
    honest = [outcomes[f"{way}-honest"] for way in ("resume", "probe", "encoder")]

    assert [(found.code, found.exit_code, found.events) for found in honest] == [("", 0, [])] * 3


@pytest.mark.fault("S07")
@pytest.mark.parametrize("form", ["distributed", "mlflow", "folder", "pt", "pth", "bin", "ckpt", "pkl", "pt2", "zip"])
def test_pickles_named_as_pretrained_are_refused_unopened(outcomes: Outcomes, form: str) -> None:
    check(outcomes, [f"pretrained-{form}"], code="SEC_UNSAFE_CHECKPOINT", exit_code=77)
    assert "convert it" in outcomes[f"pretrained-{form}"].message


@pytest.mark.fault("S07")
def test_pickles_in_place_of_weights_are_never_loaded(outcomes: Outcomes) -> None:
    check(outcomes, ["resume-pickle", "probe-pickle"], code="CKPT_NONE_VALID", exit_code=66)
    check(outcomes, ["encoder-pickle", "encoder-code"], code="CONFIG_VALUE", exit_code=64)


@pytest.mark.fault("S08")
@pytest.mark.parametrize("form", FORMS)
def test_a_header_that_lies_is_refused(outcomes: Outcomes, form: str) -> None:
    check(outcomes, [f"resume-{form}", f"probe-{form}"], code="CKPT_NONE_VALID", exit_code=66)
    check(outcomes, [f"encoder-{form}"], code="CONFIG_VALUE", exit_code=64)


@pytest.mark.fault("S08")
@pytest.mark.parametrize(("part", "content"), [*product(("model", "optimizer", "average"), CONTENTS)])
def test_a_signed_checkpoint_whose_tensors_do_not_fit_is_not_resumed(
    outcomes: Outcomes, part: str, content: str
) -> None:
    code = "CKPT_NONFINITE" if content == "nan" else "CKPT_INCOMPATIBLE"

    check(outcomes, [f"resume-{part}-{content}"], code=code, exit_code=66)


@pytest.mark.fault("S08")
def test_weights_that_do_not_fit_are_not_probed(outcomes: Outcomes) -> None:
    check(outcomes, ["probe-nan"], code="CKPT_NONFINITE", exit_code=66)
    check(outcomes, ["probe-half", "probe-shape"], code="CKPT_INCOMPATIBLE", exit_code=66)
    check(outcomes, ["encoder-nan", "encoder-shape"], code="CONFIG_VALUE", exit_code=64)


@pytest.mark.fault("S08")
def test_a_file_of_holes_is_not_read(outcomes: Outcomes) -> None:
    check(outcomes, ["resume-holes"], code="CKPT_NONE_VALID", exit_code=66)


def test_a_position_that_is_none_is_refused(outcomes: Outcomes) -> None:
    check(outcomes, ["resume-position"], code="CKPT_MISSING", exit_code=66)
