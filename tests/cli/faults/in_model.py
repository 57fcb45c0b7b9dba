"""Faults of a model: of its constructor, its forward and its backward pass, and of what it says about itself."""

from __future__ import annotations

from tests.cli.faults.fault import SOUND, Fault, backward, model

KILL = "os.kill(os.getpid(), signal.{})"
LITTLE = ("--memory", "1G", "--input", "f32[8,4]")
WAIT = "threading.Event().wait()"

FAULTS = {
    # the constructor
    "exit 0 in __init__": Fault(3, "SystemExit: 0", model(init="sys.exit(0)")),
    "exit at once in __init__": Fault(4, "exited with code 0", model(init="os._exit(0)")),
    "exception in __init__": Fault(3, "RuntimeError: no", model(init="raise RuntimeError('no')")),
    "base exception in __init__": Fault(3, "BaseException: no", model(init="raise BaseException('no')")),
    "null pointer in __init__": Fault(4, "died of SIGSEGV", model(init="import ctypes; ctypes.string_at(0)")),
    "hang in __init__": Fault(4, "no result within", model(init=WAIT), hangs=True),
    "recursion in __init__": Fault(3, "RecursionError", model(init="Net()")),
    "no super().__init__()": Fault(3, "cannot assign module before", model().replace("super().__init__()", "pass")),
    # forward
    "exit 0 in forward": Fault(3, "SystemExit: 0", model("sys.exit(0)")),
    "exit at once in forward": Fault(4, "exited with code 0 while checking it", model("os._exit(0)")),
    "exception in forward": Fault(3, "ZeroDivisionError", model("return 1 / 0")),
    "base exception in forward": Fault(3, "BaseException: no", model("raise BaseException('no')")),
    "interrupt in forward": Fault(3, "KeyboardInterrupt", model("raise KeyboardInterrupt")),
    "unreadable exception in forward": Fault(
        3, "Odd", model("raise Odd", before="class Odd(Exception):\n    def __str__(self): raise Odd")
    ),
    "recursion in forward": Fault(3, "RecursionError", model("return self(x)")),
    "null pointer in forward": Fault(4, "died of SIGSEGV", model("import ctypes; ctypes.string_at(0)")),
    "SIGKILL in forward": Fault(4, "died of SIGKILL", model(KILL.format("SIGKILL"))),
    "SIGABRT in forward": Fault(4, "died of SIGABRT", model("os.abort()")),
    "hang in forward": Fault(4, "no result within", model(WAIT), hangs=True),
    "no output": Fault(3, "NoneType", model("pass")),
    "generator as forward": Fault(3, "generator", model("yield x")),
    "asynchronous forward": Fault(3, "coroutine", model().replace("def forward", "async def forward")),
    "NaN out of forward": Fault(1, text=model("return self.inner(x) * float('nan')")),
    "infinity out of forward": Fault(1, text=model("return self.inner(x) * 1e38 * 1e38")),
    "NaN parameters": Fault(1, text=model(init="nn.init.constant_(self.inner.weight, float('nan'))")),
    "fork in forward, and the child goes on": Fault(0, text=model("os.fork(); return self.inner(x)")),
    "fork in forward, and the child exits": Fault(
        0, text=model("\n        if (pid := os.fork()) == 0: os._exit(0)\n        os.waitpid(pid, 0); return self.inner(x)")
    ),
    "CUDA that is not there": Fault(3, "Net", model("return self.inner(x.to('cuda:77'))")),
    "processes of a loader in forward": Fault(
        0, text=model("next(iter(torch.utils.data.DataLoader(list(range(8)), num_workers=1))); return self.inner(x)")
    ),
    "streams closed in forward": Fault(
        0,
        text=model(
            "[os.close(i) for i in (0, 1, 2) if _open(i)]; return self.inner(x)",
            before="""
def _open(i):
    try: os.fstat(i)
    except OSError: return False
    return True
""",
        ),
    ),
    "working directory of forward is gone": Fault(
        0, text=model("import tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d); return self.inner(x)")
    ),
    # backward
    "exit 0 in backward": Fault(3, "SystemExit", backward("sys.exit(0)")),
    "exit at once in backward": Fault(4, "exited with code 0", backward("os._exit(0)")),
    "null pointer in backward": Fault(4, "died of SIGSEGV", backward("import ctypes; ctypes.string_at(0)")),
    "hang in backward": Fault(4, "no result within", backward(WAIT), hangs=True),
    "exception in backward": Fault(1, text=backward("raise RuntimeError('no')")),
    "base exception in backward": Fault(3, "BaseException", backward("raise BaseException('no')")),
    # what it says about itself
    "__repr__ raises": Fault(0, text=model(methods="    def __repr__(self): raise RuntimeError('no')")),
    "__del__ raises": Fault(0, text=model(methods="    def __del__(self): raise RuntimeError('no')")),
    "__bool__, __len__ and __eq__ raise": Fault(
        0,
        text=model(
            methods="    def no(self, *_): raise RuntimeError('no')\n    __bool__ = __len__ = __eq__ = no\n    __hash__ = nn.Module.__hash__"
        ),
    ),
    "__getattr__ without an end": Fault(
        3, "RecursionError", model(methods="    def __getattr__(self, name): return getattr(self, name + '_')")
    ),
    "parameters() raises": Fault(
        3, "in named_parameters", model(methods="    def named_parameters(self, *_, **__): raise RuntimeError('no')")
    ),
    "train() raises": Fault(0, text=model(methods="    def train(self, mode=True): raise RuntimeError('no')")),
    "name that attacks the reader": Fault(0, text=model() + "Net.__name__ = Net.__qualname__ = '\\x1b[31m</script>\\u202e'\n"),
    "module inside of itself": Fault(0, text=model(init="self.__dict__['me'] = [self]")),
    "class property raises": Fault(
        0, text=model() + "class Meta(type):\n    def __dir__(cls): raise RuntimeError\nclass Other(metaclass=Meta): pass\n"
    ),
    "module attribute raises": Fault(0, text=model() + "def __getattr__(name): raise RuntimeError(name)\n"),
    "object that is of every class": Fault(
        0, text=model() + "class Liar:\n    @property\n    def __class__(self): raise RuntimeError('no')\nliar = Liar()\n"
    ),
    "healthy, crashed and sick in one file": Fault(
        4,
        "died of SIGSEGV",
        SOUND.replace("Net", "A") + model(KILL.format("SIGSEGV")).replace("Net", "B") + SOUND.replace("Net", "C"),
        reports=2,
    ),
    "other names at every import": Fault(
        4,
        "died of SIGSEGV",
        model(KILL.format("SIGSEGV"))
        + "for letter in 'AB':\n    globals()[f'{letter}{os.getpid()}'] = type(letter, (Net,), {})\ndel Net\n",
    ),
    # memory
    "memory of a list without an end": Fault(
        3,
        "allow more with --memory",
        model(init="\n        kept = []\n        while True: kept.append(bytearray(10**8))"),
        options=LITTLE,
    ),
    "tensor of a terabyte": Fault(
        3, "allow more with --memory", model("return self.inner(x) + torch.ones(2**40)"), options=LITTLE
    ),
    "memory in backward": Fault(3, "not judged: out of memory", text=backward("torch.ones(2**40)"), options=LITTLE),
    "memory of the constructor, and the next model is checked": Fault(
        3,
        "allow more with --memory",
        model(init="self.big = bytearray(2**34)") + SOUND.replace("Net", "Other"),
        options=LITTLE,
        reports=1,
    ),
    "recursion without a limit": Fault(
        3,
        "allow more with --memory",
        model(init="sys.setrecursionlimit(10**9); _f([0])", before="def _f(x): return _f(x * 2 if len(x) < 10**6 else x[:])\n"),
        options=LITTLE,
    ),
}
