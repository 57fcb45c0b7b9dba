"""The callbacks in the loops of the real libraries; each skips where its library is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import UsageError
from tests.check.watch.loops import batch
from tests.zoo.torchvision_ops import declare_torchvision_ops

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.zoo, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def importable() -> None:
    """Lightning and transformers import torchvision, whose compiled part may not fit."""
    declare_torchvision_ops()


def fitted(kind: str, tmp_path: Path, *, lr: float = 0.01, steps: int = 30, watched: bool = True, **settings: Any) -> Any:
    """A LightningModule after some steps, and the callback that watched it."""
    pl = pytest.importorskip("lightning.pytorch")
    from gradcheck_health.lightning import GradientHealth

    class Lit(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))

        def forward(self, x: torch.Tensor) -> Any:
            return self.net(x)

        def training_step(self, data: Any, _: int) -> Any:
            return nn.functional.mse_loss(self(data[0]), data[1])

        def configure_optimizers(self) -> Any:
            if kind == "lbfgs":
                return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=4)
            return torch.optim.SGD(self.parameters(), lr=lr)

    torch.manual_seed(0)
    model = Lit()
    callback = GradientHealth(every_n_steps=5, dense=10, **settings)
    plain = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "logger": False}
    if kind == "accumulated":
        plain["accumulate_grad_batches"] = 3
    if kind == "clipped":
        plain["gradient_clip_val"] = 0.01
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=99,
        accelerator="cpu",
        default_root_dir=tmp_path,
        callbacks=[callback] if watched else [],
        **plain,
    )
    data = [(batch(k)[0], batch(k)[1]) for k in range(steps)]
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=None))  # type: ignore[arg-type]
    return model, callback


@pytest.mark.parametrize("kind", ["plain", "accumulated", "clipped", "lbfgs"])
def test_lightning_loop_is_watched_and_computes_the_same(kind: str, tmp_path: Path) -> None:
    model, callback = fitted(kind, tmp_path)
    other, _ = fitted(kind, tmp_path, watched=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    (track,) = callback.health.history.tracks
    assert track.steps == 30
    assert {one.rule for one in callback.report.findings} == set()
    assert len(track.losses) == 30
    assert all(0.01 < loss < 20 for _, loss in track.losses)  # undivided where passes are gathered
    shares = [one.clipped for one in track.moments if one.clipped is not None]
    assert kind == "lbfgs" or (max(shares) < 0.9) is (kind == "clipped")


def test_lightning_stops_where_it_is_asked_to(tmp_path: Path) -> None:
    _, callback = fitted("plain", tmp_path, lr=1e6, on_sick="stop")
    assert callback.health.history.steps < 10
    assert not callback.report.ok


def trained(tmp_path: Path, *, lr: float = 0.05, accumulate: int = 1, watched: bool = True, **settings: Any) -> Any:
    """A model of the Trainer of transformers after some steps, and the callback."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from gradcheck_health.transformers import GradientHealthCallback

    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=2
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    rows = torch.randint(0, 50, (64, 6), generator=torch.Generator().manual_seed(1))
    data = [{"input_ids": row, "labels": (row.sum() % 2)} for row in rows]
    callback = GradientHealthCallback(every_n_steps=5, dense=10, **settings)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=20,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=accumulate,
        learning_rate=lr,
        logging_steps=5,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=[callback] if watched else [])
    trainer.train()
    return model, callback


@pytest.mark.parametrize("accumulate", [1, 2])
def test_hugging_face_loop_is_watched_and_computes_the_same(accumulate: int, tmp_path: Path) -> None:
    logged: list[tuple[Any, int]] = []
    model, callback = trained(tmp_path, lr=1e-3, accumulate=accumulate, log=lambda *row: logged.append(row))
    other, _ = trained(tmp_path, lr=1e-3, accumulate=accumulate, watched=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    (track,) = callback.health.history.tracks
    assert (track.steps, track.backwards, len(track.losses)) == (20, 20 * accumulate, 20)
    assert callback.report.findings == ()
    assert [step for _, step in logged] == [5, 10, 15, 20]


def test_hugging_face_stops_where_it_is_asked_to(tmp_path: Path) -> None:
    _, callback = trained(tmp_path, lr=1e12, on_sick="stop")
    assert callback.health.history.steps < 20


def _need_keras() -> None:
    import importlib.util

    if importlib.util.find_spec("keras") is None:  # importing it here would choose the backend
        pytest.skip("keras is not installed")


KERAS = """
import os, sys, json
os.environ["KERAS_BACKEND"] = "torch"
sys.path.insert(0, sys.argv[1])
import keras, numpy, torch
from gradcheck_health.keras import GradientHealth
from tests.check.watch.loops import batch
from tests.zoo.torchvision_ops import declare_torchvision_ops
def run(lr, watched, **settings):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(lr), loss="mse")
    x, y = batch(0, 256)
    callback = GradientHealth(every=5, dense=10, **settings)
    model.build((None, 8))
    model.fit(x.numpy(), y.numpy(), batch_size=32, epochs=4, verbose=0, shuffle=False, callbacks=[callback] if watched else [])
    return [v.numpy() for v in model.trainable_variables], callback
weights, callback = run(0.01, True)
same, _ = run(0.01, False)
(track,) = callback.health.history.tracks
_, stopped = run(1e6, True, on_sick="stop")
print(json.dumps({
    "same": all((a == b).all() for a, b in zip(weights, same)),
    "steps": track.steps, "losses": [loss for _, loss in track.losses], "names": [one.name for one in track.parameters],
    "rules": [one.rule for one in callback.report.findings], "moved": track.last.median,
    "stopped": stopped.health.history.steps, "optimizer": track.optimizer, "lr": track.last.lr,
}))
"""


def test_keras_loop_is_watched_and_computes_the_same() -> None:
    import json

    _need_keras()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KERAS), str(ROOT)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "KERAS_BACKEND": "torch"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["same"]
    assert (seen["steps"], len(seen["losses"]), seen["rules"], seen["optimizer"]) == (32, 32, [], "SGD")
    assert seen["losses"][-1] < seen["losses"][0]
    assert seen["moved"] > 0
    assert seen["names"][0].endswith("kernel")
    assert seen["stopped"] < 32
    assert seen["lr"] == pytest.approx([0.01])


def test_keras_on_another_backend_is_refused() -> None:
    _need_keras()
    program = """
    import keras
    keras.backend.backend = lambda: "numpy"
    from gradcheck_health.keras import GradientHealth
    try:
        GradientHealth()
    except Exception as error:
        print(type(error).__name__, error)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "KERAS_BACKEND": "torch"},
    )  # fmt: skip
    assert "UsageError Keras runs on numpy" in done.stdout, done.stderr[-2000:]


def test_no_framework_is_imported_unless_it_is_used() -> None:
    program = """
    import sys, torch, gradcheck_health
    from gradcheck_health import watch
    from torch import nn
    model = nn.Linear(2, 1)
    watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    heavy = {"lightning", "pytorch_lightning", "transformers", "accelerate", "keras", "tensorboard", "wandb", "mlflow"}
    print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_sinks_get_numbers_and_the_worst_layer(tmp_path: Path) -> None:
    from gradcheck_health.check.watch.sinks import sink
    from tests.check.watch.loops import net, plain, watched

    seen: list[Any] = []
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched(
        model, optimizer, lambda tell: plain(model, optimizer, 20, tell), log=lambda metrics, step: seen.append((metrics, step))
    )
    assert [step for _, step in seen] == [10, 20]
    assert seen[0][0]["gradhealth/fastest_layer"] in {"0.weight", "2.weight", "0.bias", "2.bias"}
    with pytest.raises(UsageError, match="a SummaryWriter"):
        sink(3)


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_sink_of_a_real_logger(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.check.watch.loops import net, plain, watched

    pytest.importorskip(name)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def run(target: Any) -> None:
        watched(model, optimizer, lambda tell: plain(model, optimizer, 20, tell), log=target)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "tensorboard":
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
            from torch.utils.tensorboard import SummaryWriter

            with SummaryWriter(str(tmp_path)) as writer:  # type: ignore[no-untyped-call]
                run(writer)
            events = EventAccumulator(str(tmp_path))
            events.Reload()
            assert [one.step for one in events.Scalars("gradhealth/grad_norm")] == [10, 20]
        elif name == "wandb":
            import wandb

            monkeypatch.setenv("WANDB_MODE", "offline")
            with wandb.init(dir=str(tmp_path), project="gradhealth") as logged:
                run(logged)
                assert logged.summary["gradhealth/grad_norm"] > 0
        else:
            import mlflow

            monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
            mlflow.set_tracking_uri(f"file:{tmp_path}/runs")
            with mlflow.start_run() as active:
                run(mlflow)
            kept = mlflow.MlflowClient().get_metric_history(active.info.run_id, "gradhealth/grad_norm")
            assert [one.step for one in kept] == [10, 20]
