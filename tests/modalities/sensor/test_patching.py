import math

import torch

from modalities.sensor.layers import Normalize
from modalities.sensor.patching import TimePatching
from modalities.spec import Signal
from tests.modalities.sensor.sensor_batches import CHANNELS, LENGTHS, STATISTICS, batch

PATCHING = TimePatching(Normalize(len(CHANNELS), STATISTICS, ()), steps=7)


def test_a_patch_holds_the_standard_scores_of_its_steps_channel_after_channel() -> None:
    signal = batch(gaps=True)
    assert signal.mask is not None
    patches = PATCHING.patches(signal)
    seen = 0

    assert patches.values.shape == patches.known.shape == (len(LENGTHS), math.ceil(48 / 7), PATCHING.width)
    for row in range(len(LENGTHS)):
        for channel in range(len(CHANNELS)):
            for step in range(48):
                place = row, step // 7, channel * 7 + step % 7
                known = bool(signal.mask[row, channel, step])
                score = (signal.values[row, channel, step] - STATISTICS["mean"][channel]) / STATISTICS["std"][channel]
                torch.testing.assert_close(patches.values[place], score if known else torch.tensor(0.0))
                assert patches.known[place] == known
                seen += known
    assert patches.known.sum() == seen  # the last patch is filled up with unknown steps


def test_nothing_is_known_of_who_lacks_the_stream() -> None:
    signal = batch()
    lacking = Signal(torch.zeros_like(signal.values), None, torch.tensor([True, False, True, False, True]))

    assert PATCHING.patches(lacking).known.flatten(1).any(dim=1).tolist() == lacking.present.tolist()


def test_all_steps_of_a_hidden_position_are_there_without_a_value() -> None:
    signal = batch(gaps=True)
    assert signal.mask is not None
    positions = torch.zeros(len(LENGTHS), 7, dtype=torch.bool)
    positions[0, 0] = positions[1, 6] = True

    view = PATCHING.hide(signal, positions)

    assert view.hidden is not None
    assert view.mask is not None
    assert view.hidden[0].tolist() == [True] * 7 + [False] * 41
    assert view.hidden[1].tolist() == [False] * 42 + [True] * 6
    assert view.mask.equal(signal.mask & ~view.hidden[:, None])
    assert view.values.equal(signal.values * view.mask)
    assert view.select(torch.tensor([1])).hidden is not None
