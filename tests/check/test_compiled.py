"""`torch.compile`: quiet, as quick as eager, the same verdict, and compared with eager code where it was compiled before."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients

X = torch.randn(16, 12, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 48), nn.Linear(48, 48), nn.Linear(48, 4)
        self.drop = nn.Dropout(share)

    def forward(self, x: torch.Tensor) -> Any:
        return self.c(self.drop(torch.relu(self.b(torch.relu(self.a(x))))))


def wrong(graph: Any, inputs: Any) -> Any:
    """A backend that computes something else."""
    return lambda *args: tuple(one * 1.01 for one in graph(*args))


def called(backend: Any, model: nn.Module | None = None) -> Any:
    torch._dynamo.reset()
    made = torch.compile(Net() if model is None else model, backend=backend)
    made(X).sum().backward()
    return made


def findings(model: Any, x: Any = X) -> list[str]:
    return [one.rule for one in check_gradients(model, x, select=["compiled-differs"]).findings]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_same_results_are_quiet(backend: str) -> None:
    report = check_gradients(called(backend), X, select=["compiled-differs"])
    (seen,) = report.trace.facts["compiled"]
    assert report.findings == () and report.trace.gaps == ()
    assert (
        seen.compiled is not None
        and seen.compiled.difference < 1e-5
        and seen.compiled.rounding == pytest.approx(3.45e-4, rel=0.01)
    )


@pytest.mark.slow
def test_other_results_are_an_error_with_their_size() -> None:
    (finding,) = check_gradients(called(wrong), X, select=["compiled-differs"]).findings
    assert finding.got == pytest.approx(0.01, rel=0.2) and "compiled code gives another" in finding.message
    assert check_gradients(called(wrong), X, rules={"compiled-differs": {"max_difference": 0.1}}).findings == ()


@pytest.mark.slow
def test_module_that_compiles_itself_is_compared_too() -> None:
    torch._dynamo.reset()
    model = Net()
    model.compile(backend=wrong)
    model(X)
    assert findings(model) == ["compiled-differs"]


@pytest.mark.slow
@pytest.mark.parametrize("x", [X[:5], None], ids=["another batch", "made-up inputs"])
def test_nothing_is_compiled_for_the_check(x: Any) -> None:
    report = check_gradients(called(wrong), x, select=["compiled-differs"])
    assert report.findings == ()
    assert x is None or any("what compiled code gives beside eager code" in gap for gap in report.trace.gaps)


def test_before_the_first_call_it_says_that_it_was_not_run() -> None:
    torch._dynamo.reset()
    report = check_gradients(torch.compile(Net(), backend=wrong), X, select=["compiled-differs"])
    assert report.findings == () and any("(compiled)" in gap for gap in report.trace.gaps)


@pytest.mark.slow
def test_random_draws_are_not_compared() -> None:
    model = called("aot_eager", Net(0.5))
    report = check_gradients(model, X, select=["compiled-differs"])
    assert report.findings == () and report.trace.facts["compiled"][0].compiled.random


@pytest.mark.slow
def test_check_leaves_the_compiled_code_as_it_was() -> None:
    model = called("aot_eager")
    before = model(X)
    check_gradients(model, X)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert torch.equal(model(X), before)


@pytest.mark.slow
def test_costs_no_more_than_half_as_much_again() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(12, 256), *(m for _ in range(8) for m in (nn.Linear(256, 256), nn.ReLU())))

    def spent(model: Any) -> float:
        check_gradients(model, X)
        took = []
        for _ in range(6):
            start = time.process_time()
            check_gradients(model, X)
            took.append(time.process_time() - start)
        return min(took)

    compiled = called("aot_eager", net())
    assert spent(compiled) < 1.5 * spent(net())


@pytest.mark.slow
def test_prints_nothing() -> None:
    code = (
        "import torch; from torch import nn; from gradcheck_health import check_gradients\n"
        "m = torch.compile(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), backend='aot_eager')\n"
        "assert check_gradients(m).ok; m(torch.randn(4, 8)).sum().backward(); assert check_gradients(m).ok"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
