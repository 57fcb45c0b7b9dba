"""What may be handed over to train a model with, that everything comes back, and that memory decides nothing."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from gradcheck_health import (
    ModelError,
    Report,
    Trace,
    Training,
    UnhealthyGradientsError,
    UsageError,
    assert_step_healthy,
    check_gradients,
    check_step,
)
from gradcheck_health.check.prepare import prepared
from gradcheck_health.probe import probe
from gradcheck_health.settings.resolution import load


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))


def rules(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity.value != "note"}


def state(model: nn.Module, *others: Any) -> list[Any]:
    """Everything that a step changes, down to the bits."""
    found: list[Any] = [torch.get_rng_state().tolist(), random.getstate()]
    for name, tensor in model.state_dict().items():
        found.append((name, tensor.data_ptr(), tensor.flatten().tolist()))
    found += [(name, None if p.grad is None else p.grad.tolist(), p._version >= 0) for name, p in model.named_parameters()]
    for other in others:
        found.append(repr(other.state_dict()))
        found.append({key: repr(value) for key, value in vars(other).items() if not key.startswith("_optimizer_step")})
    return found


class Raising(TorchFunctionMode):
    """Raises at the n-th operation that torch is asked for."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("the planted one")
        return func(*args, **(kwargs or {}))


def trained() -> tuple[nn.Module, torch.optim.Optimizer, Any, Any]:
    """A model in the middle of a run: momenta, a scheduler and a scaler that have a history, gradients that are there."""
    torch.manual_seed(3)
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(model(torch.randn(16, 8)).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    return model, optimizer, scheduler, scaler


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, *range(1, 150, 7)])
def test_a_given_step_leaves_no_trace_wherever_it_raises(at: int) -> None:
    model, optimizer, scheduler, scaler = trained()
    losses: list[float] = []

    def step(x: torch.Tensor) -> None:
        with Raising(at):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
            losses.append(loss.item())

    before = state(model, optimizer, scheduler, scaler)
    batches = [torch.randn(16, 8)]
    after = state(model, optimizer, scheduler, scaler)
    before[0] = after[0]  # the batch was drawn in between
    with contextlib.suppress(ModelError):
        check_step(step, model, optimizer, batches=batches, scheduler=scheduler, scaler=scaler)
    assert state(model, optimizer, scheduler, scaler) == before
    assert losses == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adafactor", "LBFGS", "RMSprop", "Adagrad", "NAdam", "Rprop"])
def test_a_step_of_the_checks_own_leaves_no_trace(name: str) -> None:
    torch.manual_seed(0)
    model, x, y = net(), torch.randn(32, 8), torch.randn(32, 1)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-3)
    before = state(model, optimizer)
    report = check_gradients(model, x, loss=nn.MSELoss(), targets=y, optimizer=optimizer)
    assert state(model, optimizer) == before
    assert rules(report) == set()
    (step,) = report.trace.steps
    assert all(row.update > 0 for row in step.parameters if row.role == "weight")
    assert Trace.from_json(report.trace.to_json()) == report.trace


def test_the_update_is_that_of_plain_gradient_descent() -> None:
    """An independent sum: |dw| is lr |g|, and the gradient is that of the loss."""
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 1), torch.randn(10, 4), torch.randn(10, 1)
    (step,) = check_gradients(model, x, loss=nn.MSELoss(), targets=y, optimizer=partial(torch.optim.SGD, lr=0.1)).trace.steps
    expected = (2 / 10) * (x.T @ (model(x) - y).detach())
    weight = step.parameters[0]
    assert weight.gradient == pytest.approx(float(expected.norm()), rel=1e-5)
    assert weight.update == pytest.approx(0.1 * float(expected.norm()), rel=1e-5)
    assert (weight.pushed, weight.moved) == (4, 4)
    assert step.loss == pytest.approx((model(x) - y).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda m: {"optimizer": 5}, "optimizer= got a int"),
        (lambda m: {"optimizer": torch.optim.SGD(nn.Linear(3, 3).parameters(), lr=0.1)}, "built over another model"),
        (lambda m: {"optimizer": lambda parameters: None}, "returned a NoneType"),
        (lambda m: {"optimizer": partial(torch.optim.SGD, lr=-1.0)}, "SGD raised"),
        (
            lambda m: {"scheduler": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(m.parameters(), lr=0.1), 3)},
            "without optimizer=",
        ),
        (lambda m: {"scaler": torch.amp.GradScaler("cpu")}, "scaler= without optimizer="),
        (lambda m: {"optimizer": partial(torch.optim.SGD, lr=0.1), "scaler": "auto"}, "scaler= got a str"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(make: Callable[[nn.Module], dict[str, Any]], says: str) -> None:
    model = net()
    with pytest.raises(UsageError, match=says):
        check_gradients(Training(model, torch.randn(16, 8), **make(model)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the scaler's device")
@pytest.mark.filterwarnings("ignore")
def test_a_scaler_without_its_device_is_an_error() -> None:
    model = net()
    training = Training(model, optimizer=partial(torch.optim.SGD, lr=0.1), scaler=torch.amp.GradScaler("cuda"))
    with pytest.raises(UsageError, match="machine without CUDA"):
        check_gradients(training)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda model, batch: None, "takes model, batch"),
        (lambda batch: None, "takes batch, and there is none"),
        (lambda: None, "neither a backward pass nor a step"),
        ("train", "step= got a str"),
    ],
)
def test_a_step_that_cannot_be_taken_is_one_clear_error(step: Any, says: str) -> None:
    model = net()
    with pytest.raises(UsageError, match=says):
        check_step(step, model, torch.optim.SGD(model.parameters(), lr=0.1))


def test_a_sick_step_raises_with_its_report() -> None:
    model, x = nn.Linear(4, 1), torch.randn(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        model(x).square().mean().backward()
        optimizer.step()

    with pytest.raises(UnhealthyGradientsError, match="uncleared-gradient") as caught:
        assert_step_healthy(step, model, optimizer)
    assert caught.value.report.trace.steps[-1].by == "the given step"


def test_a_gan_that_clears_its_own_gradients_is_sound() -> None:
    """The generator's pass leaves gradients in the discriminator, which clears them before it uses them."""
    make, judge = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    model = nn.ModuleDict({"make": make, "judge": judge})
    of_make, of_judge = (torch.optim.Adam(part.parameters(), lr=2e-4) for part in (make, judge))
    x = torch.randn(16, 8)

    def step() -> None:
        z = torch.randn(16, 4)
        of_judge.zero_grad()
        nn.functional.softplus(-judge(x)).mean().backward()
        nn.functional.softplus(judge(make(z).detach())).mean().backward()
        of_judge.step()
        of_make.zero_grad()
        nn.functional.softplus(-judge(make(z))).mean().backward()
        of_make.step()

    assert rules(check_step(step, model, [of_make, of_judge])) == set()


class Lit(nn.Module):
    """A LightningModule in its form."""

    def __init__(self, forgetful: bool = False) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 1)
        self.forgetful = forgetful

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.head(self.body(x).relu()), y)

    def configure_optimizers(self) -> dict[str, Any]:
        part = self.head if self.forgetful else self
        return {"optimizer": torch.optim.AdamW(part.parameters(), lr=1e-3), "lr_scheduler": None}


def test_a_module_configures_its_own_optimizers() -> None:
    batch = ((torch.randn(16, 8), torch.randn(16, 1)),)
    report = check_gradients(Lit(), batch)
    assert rules(report) == set()
    assert [group.optimizer for group in report.trace.steps[0].groups] == ["AdamW"]
    assert rules(check_gradients(Lit(forgetful=True), batch)) == {"unoptimized-parameter"}


class Unwritten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(8, 64), nn.Linear(64, 1)
        self.scale = nn.Parameter(torch.empty(64, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.first(x) @ self.scale))


class Memory(TorchDispatchMode):
    """What is reserved holds a number, as memory that was used before does; torch's own filling goes over it."""

    def __init__(self, held: float) -> None:
        super().__init__()
        self.held = held

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        reserves = func.overloadpacket.__name__ == "empty" and out.is_floating_point()
        if reserves and not torch.are_deterministic_algorithms_enabled():
            out.fill_(self.held)
        return out


@pytest.mark.parametrize("held", [0.0, 1e30, float("nan"), 1e-30, -7.0])
def test_verdict_does_not_hang_on_what_the_memory_held(held: float) -> None:
    x = torch.randn(32, 8)
    with Memory(held):
        report = check_gradients(Unwritten, x)
    loud = [(f.rule, f.names) for f in report.findings if f.severity.value != "note"]
    assert loud == [("uninitialized-parameter", ("scale",))]


def test_nan_that_an_author_wrote_is_no_unwritten_memory() -> None:
    class Marked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(8, 1)
            self.register_buffer("best", torch.full((1,), float("nan")))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.body(x)

    assert "uninitialized-parameter" not in rules(check_gradients(Marked, torch.randn(16, 8)))


def test_a_step_runs_under_autocast() -> None:
    """The loss sees half precision, the weights and the optimizer stay in float32."""
    model, x, y = net(), torch.randn(16, 8), torch.randn(16, 1)
    optimizer = partial(torch.optim.AdamW, lr=3e-4)
    report = check_gradients(model, x, loss=nn.MSELoss(), targets=y, optimizer=optimizer, autocast="bfloat16")
    assert report.trace.outputs[0].dtype == "bfloat16"
    assert {row.dtype for row in report.trace.steps[0].parameters} == {"float32"}
    assert rules(report) == set()
    assert not torch.is_autocast_enabled("cpu")


def test_a_step_is_placed_at_the_line_that_takes_it() -> None:
    model, x = nn.Linear(4, 1), torch.randn(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step() -> None:
        model(x).square().mean().backward()
        optimizer.step()

    (finding,) = check_step(step, model, optimizer).findings
    assert str(finding.places[0].source).endswith(f"test_training.py:{step.__code__.co_firstlineno + 2}")


def test_a_loss_inside_a_transform_is_not_looked_at() -> None:
    """Under vmap no value may be compared."""

    class PerSample(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def one(row: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
                return nn.functional.cross_entropy(row[None], target[None])

            losses: torch.Tensor = torch.func.vmap(one)(self.body(x), torch.arange(len(x)) % 3)
            return losses.mean()

    assert rules(check_gradients(PerSample(), torch.randn(12, 4))) == set()


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.LBFGS])
def test_a_step_on_the_gradients_of_the_probe_is_a_step_of_its_own(optimizer: Any) -> None:
    """Dropout and batch norm draw and move: the same draws, and statistics that the step does not read."""
    training = Training(net(), torch.randn(16, 8), nn.MSELoss(), torch.randn(16, 1), optimizer=partial(optimizer, lr=0.1))
    with prepared(training, load(isolated=True)) as (subject, _):
        assert subject.take_steps is not None
        (alone,) = subject.take_steps(subject, 1, None)
        (reused,) = subject.take_steps(subject, 1, probe(subject))
        assert all(p.grad is not None for p in subject.model.parameters())
    assert reused == alone
