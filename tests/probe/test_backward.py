"""Gradients along given directions, against torch's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from gradcheck_health.probe.backward import slopes


def test_slopes_are_those_of_torch() -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 2)
    x, apart = torch.randn(4, 3, requires_grad=True), torch.randn(2, requires_grad=True)
    y, z = net(x), net(x).tanh()
    directions = [torch.randn(4, 2), torch.randn(4, 2)]
    expected = torch.autograd.grad([y, z], [x], directions, retain_graph=True)[0]
    found, nothing = slopes([y, z], [x, apart], directions)
    assert nothing is None and found is not None and torch.equal(found, expected)


@pytest.mark.slow
def test_the_time_profile_of_a_recurrent_net_does_without_the_library_for_symbols() -> None:
    """`torch.autograd.grad` with directions imports sympy: up to two seconds, once a process."""
    code = (
        "import sys, torch\n"
        "from gradcheck_health import check_gradients\n"
        "report = check_gradients(torch.nn.LSTM(4, 4), torch.randn(9, 8, 4), facts=('time_profile',))\n"
        "assert report.trace.facts['time_profile'], 'not measured'\n"
        "print('sympy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"
