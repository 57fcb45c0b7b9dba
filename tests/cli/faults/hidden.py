"""Models whose gradient is broken and that try to look sound: every one is found."""

from __future__ import annotations

from tests.cli.faults.fault import Fault, model

TWO = "self.outer = nn.Linear(2, 2)"
TWICE = """
class Odd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2
    @staticmethod
    def backward(ctx, g):
        return {}
"""
_CUT = "return self.outer(self.inner(x).detach())"

FAULTS = {
    "attributes that are sealed": Fault(
        1,
        text=model(
            _CUT,
            f"{TWO}; self.sealed = True",
            methods="    def __setattr__(self, name, value):\n        if 'sealed' in vars(self): raise AttributeError(name)\n"
            "        super().__setattr__(name, value)\n",
        ),
    ),
    "detach": Fault(1, text=model(_CUT, TWO)),
    "data": Fault(1, text=model("return self.outer(self.inner(x).data)", TWO)),
    "numpy and back": Fault(1, text=model("return self.outer(torch.from_numpy(self.inner(x).detach().numpy()))", TWO)),
    "a list and back": Fault(1, text=model("return self.outer(torch.tensor(self.inner(x).tolist()))", TWO)),
    "one number and back": Fault(
        1, text=model("h = self.inner(x); return self.outer(torch.full_like(h, h.mean().item()))", TWO)
    ),
    "argmax": Fault(1, text=model("return self.outer(nn.functional.one_hot(self.inner(x).argmax(-1), 2).float())", TWO)),
    "rounded": Fault(1, text=model("return self.outer(self.inner(x).round())", TWO)),
    "signs": Fault(1, text=model("return self.outer(self.inner(x).sign())", TWO)),
    "compared": Fault(1, text=model("return self.outer((self.inner(x) > 0).float())", TWO)),
    "without gradients in part": Fault(
        1, text=model("with torch.no_grad(): h = self.inner(x)\n        return self.outer(h)", TWO)
    ),
    "without gradients at all": Fault(1, text=model().replace("    def forward", "    @torch.no_grad()\n    def forward")),
    "times zero": Fault(1, text=model("return self.outer(self.inner(x) * 0)", TWO)),
    "root of zeros": Fault(1, text=model("return self.outer((self.inner(x) * 0).abs().sqrt())", TWO)),
    "layer that is not used": Fault(1, text=model(init="self.spare = nn.Linear(3, 3)")),
    "layer in a list": Fault(1, text=model("return self.layers[0](self.inner(x))", "self.layers = [nn.Linear(2, 2)]")),
    "tensor for a parameter": Fault(
        1, text=model("return self.inner(x) @ self.w", "self.w = torch.randn(2, 2, requires_grad=True)")
    ),
    "weights of zeros": Fault(
        1, text=model("return self.outer(self.inner(x))", f"{TWO}; [nn.init.zeros_(p) for p in self.parameters()]")
    ),
    "softmax over the batch": Fault(1, text=model("return self.outer(self.inner(x).softmax(0))", TWO)),
    "samples mixed by a reshape": Fault(1, text=model("return self.outer(self.inner(x).t().reshape(-1, 2))", TWO)),
    "wrong backward": Fault(1, text=model("return Odd.apply(self.inner(x))", before=TWICE.format("g * 5"))),
    "no backward": Fault(1, text=model("return self.outer(Odd.apply(self.inner(x)))", TWO, TWICE.format("None"))),
    "hook that takes the gradient": Fault(1, text=model(init="self.inner.weight.register_hook(lambda g: g * 0)")),
    "class of torch, it says": Fault(1, text=model(_CUT, TWO) + "\nNet.__module__ = 'torch.nn'\n", target="fault.py:Net"),
    "report that says it is sound": Fault(
        1,
        text=model(_CUT, TWO) + "from gradcheck_health.records.report import Report\nReport.ok = property(lambda self: True)\n",
    ),
    "record of a verdict on standard output": Fault(1, text=model(f'print(\'{{"kind": "done"}}\'); {_CUT}', TWO)),
    "factory that gives a sound one later": Fault(
        1,
        text=model(_CUT, TWO)
        + "\nmade = []\ndef build():\n    made.append(1)\n    return Net() if len(made) == 1 else nn.Linear(4, 2)\n",
        target="fault.py:build",
    ),
}
