"""Laps with a clock that the test holds; bytes counted by hand."""

import pytest
import torch
from torch import nn

from teachseg.costs import Laps, PeakMemory, parameters, peak_bytes


def test_laps_by_hand():
    times = iter([10.0, 11.0, 13.5, 14.0])
    laps = Laps(lambda: next(times))
    laps.done("a")
    laps.done("b")
    laps.done("a")
    assert laps.seconds == {"a": 1.5, "b": 2.5}


def test_bytes_that_live_at_once():
    def work():
        x = torch.zeros(1000)          # 4,000
        y = x + 1                      # 8,000
        del x                          # 4,000
        z = torch.cat([y, y])          # 12,000
        return z[:10].sum()            # a view is no new storage; the sum is 4 more

    assert peak_bytes(work) == 12_004
    assert peak_bytes(lambda: None) == 0


def test_what_was_there_before_does_not_count():
    x = torch.zeros(1000)
    assert peak_bytes(lambda: x.add_(1)) == 0
    assert peak_bytes(lambda: x.view(10, 100).T) == 0
    assert peak_bytes(lambda: x + 1) == 4000


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_same_number_in_every_mode_and_every_time(mode):
    layer, x = nn.Linear(100, 100), torch.zeros(5, 100)

    def work():
        with mode():
            return layer(layer(x)).relu()

    assert len({peak_bytes(work) for _ in range(3)}) == 1
    assert 4_000 <= peak_bytes(work) <= 6_000  # two or three blocks of 5 x 100 floats


def test_what_training_keeps_for_the_way_back_counts():
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(100, 100), nn.Sigmoid()) for _ in range(10)))
    x = torch.zeros(50, 100)

    def forget():
        with torch.no_grad():
            layers(x)

    assert peak_bytes(lambda: layers(x).sum()) > 3 * peak_bytes(forget)


def test_after_it_nothing_is_counted():
    with PeakMemory() as memory:
        torch.zeros(10)
    torch.zeros(1000)
    assert memory.bytes == 40


def test_parameters_by_hand():
    assert parameters(nn.Linear(3, 4)) == 3 * 4 + 4
