"""The catalogue of settings: one field each, with all that files, options, messages and the documentation say about it.

From it are made: the checks of values and `settings.schema.json` (`schema`), the options of the command line and of pytest,
the text of the marker, what `gradhealth init` writes, and the table of docs/settings.md. A new setting is a field here, the
place that uses it, and where a call may give it a parameter of `check_gradients`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gradcheck_health.records.severity import Severity
from gradcheck_health.settings.setting import Option, setting

FOLDER = ".gradhealth"
"""Where baselines are kept, one file a target, unless the setting `baseline` says otherwise."""
Word = str
"""Text that is not empty."""
Dtype = Literal["float64", "float32", "bfloat16", "float16", "complex128", "complex64"]
SavedInputs = Mapping[str, Any]
"""A table of `model`, `forward` and `inputs`."""
WeightsIn = Mapping[str, str]
"""A table of `file`, `key` and `prefix`."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a check; `load` reads them from files, `override` puts others over them."""

    seed: int = setting(
        0,
        "a whole number from 0",
        limits={"ge": 0, "lt": 2**63},
        option=Option("model", "Seed of inputs, projections and initialisations"),
    )
    rounds: int = setting(
        5,
        "a whole number from 1 to 1000",
        limits={"ge": 1, "le": 1000},
        option=Option("model", "Measure a model at most this often before a verdict"),
    )
    """How often a model is measured before a verdict, at most."""
    fact_budget: int = setting(64, "a whole number from 1 to 1000000", limits={"ge": 1, "le": 10**6})
    """Forward passes of the whole batch that suspicions may cost, about; what is left then is reported as not confirmed."""
    select: tuple[Word, ...] | None = setting(
        None,
        'a list of rule names, at least one, such as ["vanishing-gradient"]',
        limits={"min_length": 1},
        example=["vanishing-gradient", "missing-gradient"],
        needs_reason=True,
    )
    """Names of the rules to run; None is all."""
    ignore: Mapping[Word, Word] = setting(
        {},
        'a table of "rule" or "rule:name-pattern" = "the reason"',
        example={"missing-gradient:teacher.*": "frozen on purpose"},
        entry="RULE:PATTERN",
    )
    """"rule" or "rule:name-pattern" -> the reason why its findings are accepted."""
    expect: Mapping[Word, Word] = setting(
        {},
        'a table of "rule" or "rule:name-pattern" = "the reason"',
        example={"dead-unit:stem.*": "known, a fix is planned"},
        entry="RULE:PATTERN",
    )
    """"rule" or "rule:name-pattern" -> the reason why such a finding has to be there; a check without it fails."""
    rules: Mapping[str, Mapping[str, Any]] = setting(
        {},
        "a table of options for each rule, such as {min_ratio = 1e-3}",
        example={"vanishing-gradient": {"min_ratio": 1e-3}},
        entry="RULE.OPTION",
        needs_reason=True,
    )
    """Rule -> its options."""
    extra_rules: tuple[Word | Callable[..., Any], ...] = setting(
        (), 'a list such as ["package.module:function"]', example=["package.module:function"], whole_run=True
    )
    """Functions, or "package.module:function"."""
    fail_on: Severity = setting(
        Severity.ERROR,
        "'error', 'warning' or 'note'",
        option=Option("gate", "The least severity that fails", choices=("error", "warning", "note")),
        needs_reason=True,
    )
    batch_size: int | None = setting(
        None,
        "a whole number from 1",
        limits={"ge": 1},
        example=64,
        option=Option("model", "Number of samples in a made-up batch", metavar="N"),
    )
    device: Word | None = setting(
        None,
        "a device, such as 'cpu' or 'cuda:0'",
        example="cpu",
        option=Option("model", "Where to run, such as cpu or cuda:1", metavar="DEVICE", unset="where the model is"),
    )
    dtype: Dtype | None = setting(
        None,
        "one of " + ", ".join(typing.get_args(Dtype)),
        example="float32",
        option=Option("model", "Floating dtype, such as float64", metavar="DTYPE", unset="the model's"),
    )
    autocast: Literal["bfloat16", "float16"] | None = setting(
        None,
        "'bfloat16' or 'float16'",
        example="bfloat16",
        option=Option("model", "Run forward under torch.autocast", metavar="DTYPE", unset="off"),
    )
    """The dtype of `torch.autocast`, under which every forward pass and every loss runs."""
    inputs: Any = setting(None, example={"x": "f32[B,3,32,32]"})
    """What to feed the model, where it is not made up."""
    loss: Word | Callable[..., Any] | None = setting(
        None,
        "a function, or its name: 'CrossEntropyLoss', 'cross_entropy', 'package.module:function', 'train.py:function'",
        example="CrossEntropyLoss",
        option=Option("model", "Loss: cross_entropy, MSELoss, train.py:function", metavar="NAME", unset="the model's own"),
    )
    """A function of the output, or of (output, targets): a name in `torch.nn` or `torch.nn.functional`,
    "package.module:function" or "file.py:function"."""
    targets: Any = setting(None, in_init=False)
    """What a loss of two arguments is handed; made up where None, for losses of torch."""
    causal: bool | None = setting(None, "true or false", example=True)
    """The output at a time step must not depend on later ones; None where the model itself says so or not."""
    edge_inputs: bool = setting(False, "true or false", example=True)
    """Rows of zeros, equal and fully masked rows, and single steps do come: a gradient that is not finite there is an error."""
    batch_axis: int | Literal["auto", "none"] = setting("auto", "a whole number, 'none' or 'auto'")
    """The axis of the inputs along which the samples lie, or "none"."""
    optimizer: Literal["sgd", "adam"] = setting("sgd", "'sgd' or 'adam'")
    """What the model is trained with: limits on shrinking gradients depend on it."""
    steps: int | None = setting(
        None,
        "a whole number from 1 to 10000",
        limits={"ge": 1, "le": 10000},
        example=50,
        option=Option("model", "Train for so many steps on one batch, judge the run and undo it", metavar="N", unset="none"),
    )
    """Steps of a trial run, on one batch, that is judged by the rules of training and undone."""
    saved_inputs: Mapping[Word, SavedInputs] = setting(
        {},
        "what `gradhealth infer TARGET --save FILE` writes: a table of model, forward and inputs for each target",
        in_call=False,
        in_init=False,
        whole_run=True,
    )
    """Target -> what `gradhealth infer --save` wrote: the class, forward's arguments, and the inputs."""
    args: Mapping[Word, Any] = setting(
        {}, "a table of constructor arguments, such as {depth = 3}", example={"depth": 3}, entry="NAME", in_call=False
    )
    """Arguments for a model's constructor."""
    shrink: bool = setting(
        False,
        "true or false",
        option=Option("model", "Check a smaller twin, with few layers and narrow ones, and name it so"),
        in_call=False,
    )
    """On the command line: a cheap first check of a model that is large by the arguments of its factory."""
    preset: Literal["autotrainer", "deepchecker", "sagemaker"] | None = setting(
        None,
        "'autotrainer', 'deepchecker' or 'sagemaker'",
        example="sagemaker",
        option=Option("rules", "Another tool's rules: sagemaker, autotrainer or deepchecker", metavar="NAME"),
        whole_run=True,
    )
    """Another tool's published rules instead of this package's, for teams that move from it."""
    baseline: Word | None = setting(
        None, f"a folder, or a file that ends with .json, such as {FOLDER!r}", example=FOLDER, is_path=True
    )
    """The folder of baselines, or the file of one, that the command line and the fixture hold every model against."""
    remedies: bool = setting(
        False,
        "true or false",
        option=Option("remedies", "Try cures on what is sick, and suggest those that were measured to help"),
    )
    """Cures are tried on a sick model, which comes back as it was, and those that help are in the report."""
    only_remedies: tuple[Word, ...] = setting((), 'a list of names, such as ["layer-norm"]', example=["layer-norm"])
    """Names of the cures that are tried; all where there are none."""
    remedy_steps: int = setting(
        0,
        "a whole number from 0 to 10000",
        limits={"ge": 0, "le": 10000},
        option=Option("remedies", "Train the three best cures of a finding for so many steps, and compare", metavar="N"),
    )
    """Steps of the short run of the three best cures of a finding, and of the model without one; none where it is 0."""
    checkpoint: Word | WeightsIn | None = setting(
        None,
        "a file such as 'weights.safetensors', or a table such as {file = 'last.ckpt', key = 'state_dict'}",
        example="weights.safetensors",
        is_path=True,
    )
    """A file of weights that are loaded before the check, or a table of `file`, `key` and `prefix`."""
    timeout: float = setting(
        300.0,
        "a number of seconds above 0",
        limits={"gt": 0, "allow_inf_nan": False},
        option=Option("run", "Stop a model without a result after this long", metavar="SECONDS"),
        in_call=False,
        whole_run=True,
    )
    """Seconds that the command line, or a check with `isolation="fork"`, waits for one model."""
    memory: str | None = setting(
        None,
        "a size such as '8G' or '512M', or 'none'",
        limits={"pattern": r"^(none|[0-9]+(\.[0-9]+)?\s*[KMGT]i?B?)$"},
        example="8G",
        option=Option(
            "run",
            "The most memory a model may allocate, such as 8G, or none",
            metavar="SIZE",
            unset="0.9 of the machine's",
        ),
        in_call=False,
        whole_run=True,
    )
    """What a worker of the command line may allocate, such as "8G", or "none"; None is nine tenths of what the machine has."""
    models: tuple[Word, ...] = setting(
        (), 'a list of targets, such as ["models/net.py:Net"]', example=["model.py:Net"], in_call=False
    )
    """What `gradhealth check` checks where no target is given, and pytest where it collects the file."""
    overrides: tuple[Mapping[str, Any], ...] = setting(
        (),
        "a list of tables, each with `models` and the settings for them",
        example=[{"models": ["nets/*.py:Generator"], "inputs": "f32[B,100]"}],
        in_call=False,
        whole_run=True,
    )
    """Tables of settings for some models only, each with the patterns `models` that name them."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Dotted key -> where its value was set; what is not in here is a default."""
    validated: bool = field(default=False, repr=False, compare=False)
    """Its values were checked where they were set; one that is put together by hand is checked when it is used."""
