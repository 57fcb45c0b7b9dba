"""Cures are measured on the model itself, suggested only where they helped, and undone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gradcheck_health import UnhealthyGradientsError, UsageError, assert_gradients_healthy, check_gradients
from gradcheck_health.check.remedies.catalogue import remedies
from gradcheck_health.check.remedies.edit import NotMeasuredError, edit
from gradcheck_health.check.remedies.operations import activation_name
from gradcheck_health.formats import _remedies, html, markdown, terminal
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.records.remedies import NO_HELP, NOT_MEASURED, SOUND, RemedyTrial
from gradcheck_health.records.report import Report
from tests.zoo.entry import Sick
from tests.zoo.sick import FIRST, SICK

BATCH = torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
FEW = ["he-init", "selu-and-lecun", "reset-parameters"]


def chain(depth: int = 10, activation: type[nn.Module] = nn.Sigmoid) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*(m for _ in range(depth) for m in (nn.Linear(16, 16), activation())), nn.Linear(16, 3))


def tried(model: nn.Module, inputs: Any = BATCH, **settings: Any) -> Report:
    return check_gradients(model, inputs, remedies=True, **settings)


NAMED = {entry.name: entry for entry in SICK}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("rescaled-by-a-millionth", "drop-factor"),
        ("relu-weights-of-one", "lsuv-scale"),
        ("length-of-a-zero-vector", "guard"),
        ("negative-running-variance", "reset-statistics"),
        ("tiny-recurrent-weights", "orthogonal-init"),
        ("loss-averaged-over-everything", "loss-scale"),
        ("parameters-in-a-list", "register"),
        ("layer-in-a-plain-object", "register"),
        ("layer-is-a-global", "register"),
        ("layer-is-a-default-argument", "register"),
        ("detached-and-required-again", "uncut"),
    ],
)
def test_cure_of_a_known_fault_is_among_those_that_help(name: str, remedy: str) -> None:
    entry = NAMED[name]
    report = tried(*entry.build(), only_remedies=[remedy], **entry.settings)
    (trial,) = report.remedies
    assert (trial.rule, trial.remedy, trial.outcome) == (entry.rule, remedy, SOUND)
    assert trial.before is not None


@pytest.mark.slow
def test_loss_scale_that_helps_is_one_that_float16_holds() -> None:
    torch.manual_seed(0)
    model, y = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3)).half(), torch.randint(3, (64,))
    report = tried(
        model,
        BATCH.half(),
        loss=lambda out, y: F.cross_entropy(out.float(), y) * 1e-6,
        targets=y,
        only_remedies=["loss-scale"],
    )
    (trial,) = report.remedies
    assert trial.outcome == SOUND and "GradScaler" in trial.change
    scale = int(trial.change.partition("init_scale=")[2].partition(")")[0])
    gradients = []
    for factor in (1.0, scale):
        model.zero_grad()
        (F.cross_entropy(model(BATCH.half()).float(), y) * 1e-6 * factor).backward()
        gradients.append(torch.cat([p.grad.flatten().float() for p in model.parameters()]))
    flushed, kept = ((one == 0).float().mean() for one in gradients)
    assert flushed > 0.5 > kept and gradients[1].isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["double-softmax", "identical-units", "dead-unit", "saturated-activation"])
def test_first_suggestion_makes_a_model_sound(rule: str) -> None:
    entry = next(entry for entry in SICK if entry.rule == rule)
    first = tried(*entry.build(), **entry.settings).remedies[0]
    assert first.outcome == SOUND


@pytest.mark.slow
def test_measure_under_a_cure_is_that_of_a_model_built_so() -> None:
    """The oracle is the same net with SELU and those weights, checked by itself."""
    model = chain()
    (trial,) = tried(model, only_remedies=["selu-and-lecun"]).remedies
    assert trial.outcome == SOUND and trial.after is not None
    built = chain(activation=nn.SELU)
    torch.manual_seed(0)
    with torch.no_grad():
        for layer in built:
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0, 16**-0.5)
                layer.bias.zero_()
    flow = check_gradients(built, BATCH).trace.flow
    assert trial.after == pytest.approx(flow[0].gradient / flow[-1].gradient, rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch warns of some of them, too
@pytest.mark.parametrize(
    "entry", [*FIRST, *(one for one in SICK if one.name == "relu-of-minus-relu")], ids=lambda one: one.name
)
def test_edit_that_changes_nothing_changes_no_verdict(entry: Sick) -> None:
    """Each on a model of its own: a check frees a graph that was made in a constructor."""
    said = []
    for edited in (False, True):
        model, inputs = entry.build()
        with sandbox(model):
            if edited:
                edit(model, lambda func, args, kwargs, layer: NotImplemented)
            report = check_gradients(model, inputs, **entry.settings)
        said.append([(f.rule, f.severity, f.names) for f in report.findings])
    assert said[0] == said[1]


def relu_for_sigmoid(func: Any, args: Any, kwargs: Any, layer: str) -> Any:
    return F.relu(args[0]) if activation_name(func, args, kwargs) == "sigmoid" else NotImplemented


class Checkpointed(nn.Module):
    def __init__(self, *, bare: bool, reentrant: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.block, self.head = nn.Linear(16, 16), nn.Sequential(nn.Linear(16, 16), nn.Sigmoid()), nn.Linear(16, 3)
        self.bare, self.reentrant = bare, reentrant

    def forward(self, x: Tensor) -> Tensor:
        inner = (lambda h: torch.sigmoid(self.block[0](h))) if self.bare else self.block
        return self.head(checkpoint(inner, self.first(x), use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [True, False])
def test_edit_holds_when_checkpointing_calls_forward_again(reentrant: bool) -> None:
    """The oracle is the same net with a ReLU and without checkpointing."""
    model = Checkpointed(bare=False, reentrant=reentrant)
    with sandbox(model):
        edit(model, relu_for_sigmoid)
        model(BATCH).sum().backward()
        found = model.first.weight.grad.clone()
    plain = model.head(F.relu(model.block[0](model.first(BATCH))))
    expected = torch.autograd.grad(plain.sum(), model.first.weight)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("reentrant", [True, False])
def test_edit_of_a_checkpointed_function_is_refused(reentrant: bool) -> None:
    model = Checkpointed(bare=True, reentrant=reentrant)
    with sandbox(model):
        edit(model, relu_for_sigmoid)
        with pytest.raises(NotMeasuredError, match="checkpointed function"):
            model(BATCH).sum().backward()


class Stubborn(nn.Module):
    """Raises once its weights are others than at first."""

    def __init__(self) -> None:
        super().__init__()
        self.net = chain()
        self.sum = self.net[0].weight.sum().item()

    def forward(self, x: Tensor) -> Tensor:
        if abs(self.net[0].weight.sum().item() - self.sum) > 0.5:
            raise RuntimeError("not these weights")
        return self.net(x)


@pytest.mark.slow
def test_model_that_raises_under_a_cure_loses_nothing() -> None:
    model = Stubborn()
    before = [p.detach().clone() for p in model.parameters()]
    report = tried(model, only_remedies=["he-init", "layer-norm"])
    outcomes = {trial.remedy: (trial.outcome, trial.why) for trial in report.remedies}
    assert outcomes["he-init"][0] == "raised" and "not these weights" in outcomes["he-init"][1]
    assert outcomes["layer-norm"][0] == NO_HELP
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    model(BATCH)


@pytest.mark.slow
def test_unknown_remedy_is_one_line_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"no remedy is called 'he-int' \(did you mean 'he-init'\?\)"):
        tried(chain(), only_remedies=["he-int"])


def test_nothing_is_tried_on_a_sound_model() -> None:
    report = tried(chain(2, nn.ReLU))
    assert report.remedies == ()
    assert list(_remedies.lines(report, 80)) == ["nothing sick: no cure was tried"]


@pytest.mark.slow
def test_message_calls_measured_only_what_was_measured_to_help() -> None:
    report = tried(chain(), only_remedies=FEW)
    text = " ".join(terminal.render(report).split())
    assert "measured selu-and-lecun: " in text and "he-init" not in text.partition("measured")[2].partition("advice")[0]
    assert "advice not tried: use ReLU" in text and " help " not in text
    untried = " ".join(terminal.render(check_gradients(chain(), BATCH)).split())
    assert " help use ReLU" in untried and "measured" not in untried.partition("help")[0].partition("because")[2]


@pytest.mark.slow
def test_message_says_so_where_nothing_helps() -> None:
    text = terminal.render(tried(chain(), only_remedies=["reset-parameters"]))
    assert "none of 1 cure that were tried helps" in text


@pytest.mark.slow
def test_assertion_carries_what_was_tried() -> None:
    with pytest.raises(UnhealthyGradientsError, match="measured   selu-and-lecun") as caught:
        assert_gradients_healthy(chain(), BATCH, remedies=True, only_remedies=FEW)
    assert caught.value.report.remedies[0].remedy == "selu-and-lecun"


@pytest.mark.slow
def test_list_names_what_did_not_help_and_what_was_not_measured() -> None:
    report = tried(chain())
    text = "\n".join(_remedies.lines(report, 100))
    assert "no help:" in text and "reset-parameters" in text
    unmeasured = [trial for trial in report.remedies if trial.outcome == NOT_MEASURED]
    assert unmeasured and all(trial.why for trial in unmeasured) and "not measured:" in text
    assert report.suggestions(report.findings[0]) == tuple(trial for trial in report.remedies if trial.helps)


@pytest.mark.slow
def test_accepted_finding_is_not_treated() -> None:
    assert tried(chain(), ignore={"vanishing-gradient": "known"}).remedies == ()


@pytest.mark.slow
def test_report_comes_back_from_json_with_its_trials() -> None:
    report = tried(chain(), only_remedies=FEW)
    assert Report.from_json(report.to_json()) == dataclasses.replace(report, inputs=None)
    assert all(isinstance(trial, RemedyTrial) for trial in report.remedies)


def test_every_remedy_is_documented() -> None:
    assert all(remedy.__doc__ for remedy in remedies().values())


@pytest.mark.slow
def test_page_and_markdown_show_before_and_after_and_mark_what_was_not_tried() -> None:
    report = tried(chain(), only_remedies=FEW)
    page, text = html.render(report), markdown.render(report)
    assert "Cures that were tried and undone (1 of 3 help)" in page and 'scope="row">selu-and-lecun</th>' in page
    assert "not tried: use ReLU" in page and "<dt>help</dt>" not in page
    assert "- measured: selu-and-lecun" in text and "- advice: not tried: use ReLU" in text
    assert "Cures that were tried" not in html.render(check_gradients(chain(), BATCH))
