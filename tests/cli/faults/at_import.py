"""Faults of a file that is imported."""

from __future__ import annotations

from tests.cli.faults.fault import SOUND, Fault, sound

STOP = "import signal, os; os.kill(os.getpid(), signal.{})\n"
UNREADABLE = """
class Odd(Exception):
    def __str__(self): {}
raise Odd
"""

FAULTS = {
    # what Python cannot read
    "syntax error": Fault(3, "SyntaxError", "def f(:\n"),
    "NUL byte": Fault(3, "null bytes", b"x = 1\0\n"),
    "latin-1 without saying so": Fault(3, "SyntaxError", "name = 'caf\xe9'\n".encode("latin-1")),
    "latin-1 that says so": Fault(0, text=b"# -*- coding: latin-1 -*-\nname = 'caf\xe9'\n" + SOUND.encode()),
    "byte order mark": Fault(0, text=b"\xef\xbb\xbf" + SOUND.encode()),
    "UTF-16": Fault(3, "fault.py", SOUND.encode("utf-16")),
    "unknown encoding": Fault(3, "unknown encoding", b"# coding: nope-8\n"),
    "binary junk": Fault(3, "fault.py", bytes(range(256)) * 20),
    "parentheses a thousand deep": Fault(3, "fault.py", "(" * 1000 + ")" * 1000),
    "sums a hundred thousand long": Fault(3, "fault.py", "x = " + "+".join("1" * 100_000) + "\n"),
    "tabs and blanks": Fault(3, "TabError", "if 1:\n        x = 1\n\ty = 2\n"),
    "empty file": Fault(2, "no model in it", ""),
    "functions alone": Fault(2, "fault.py:helper", "def helper(): pass\n"),
    "constructor of unknown arguments": Fault(
        2,
        "--arg frobnicator=...",
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, frobnicator): frobnicator.go()\n    def forward(self, x): return x\n",
    ),
    # what it raises
    "missing import": Fault(3, "No module named 'surely_not_installed'", "import surely_not_installed\n"),
    "missing name": Fault(3, "cannot import name 'Surely'", "from os import Surely\n"),
    "import of itself": Fault(3, "fault.py", "from fault import Net\n"),
    "relative import without a package": Fault(3, "relative import", "from . import helper\n"),
    "exception": Fault(3, "ValueError: any", "raise ValueError('any')\n"),
    "base exception": Fault(3, "BaseException: any", "raise BaseException('any')\n"),
    "exception group": Fault(3, "ExceptionGroup", "raise ExceptionGroup('many', [ValueError('a'), KeyError('b')])\n"),
    "interrupt that nobody sent": Fault(3, "KeyboardInterrupt", "raise KeyboardInterrupt\n"),
    "generator exit": Fault(3, "GeneratorExit", "raise GeneratorExit\n"),
    "exception whose text raises": Fault(3, "could not be read", UNREADABLE.format("raise RuntimeError")),
    "exception whose text exits": Fault(3, "could not be read", UNREADABLE.format("import sys; sys.exit(0)")),
    "exception whose text is a number": Fault(3, "could not be read", UNREADABLE.format("return 3")),
    "exception of a lone surrogate": Fault(3, "ValueError", "raise ValueError('\\ud800')\n"),
    "exception of control characters": Fault(3, "ValueError", "raise ValueError('\\x1b[31m\\0\\u202e')\n"),
    "exception of a megabyte": Fault(3, "ValueError", "raise ValueError('x' * 1_000_000)\n"),
    "causes in a circle": Fault(
        3, "ValueError: b", "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise b\n"
    ),
    "recursion": Fault(3, "RecursionError", "def f(): f()\nf()\n"),
    "warnings as errors": Fault(0, text=sound("import warnings; warnings.simplefilter('error')")),
    "input": Fault(3, "EOFError", "input('your name: ')\n"),
    "command line arguments": Fault(
        3, "SystemExit: 2", "import argparse\np = argparse.ArgumentParser(); p.add_argument('data'); p.parse_args()\n"
    ),
    # how it leaves
    "exit 0": Fault(3, "SystemExit: 0", "import sys; sys.exit(0)\n"),
    "exit with text": Fault(3, "SystemExit: good bye", "import sys; sys.exit('good bye')\n"),
    "exit of the builtins": Fault(3, "SystemExit", "exit()\n"),
    "exit at once with 0": Fault(4, "exited with code 0 while importing it", "import os; os._exit(0)\n"),
    "exit at once with 7": Fault(4, "exited with code 7", "import os; os._exit(7)\n"),
    "exit of a thread at once": Fault(
        4,
        "exited with code 0",
        "import os, threading, time\nthreading.Thread(target=lambda: os._exit(0)).start()\ntime.sleep(60)\n",
    ),
    "abort": Fault(4, "died of SIGABRT", "import os; os.abort()\n"),
    "null pointer": Fault(4, "died of SIGSEGV", "import ctypes; ctypes.string_at(0)\n"),
    "SIGKILL": Fault(4, "perhaps the memory ran out", STOP.format("SIGKILL")),
    "SIGTERM": Fault(4, "died of SIGTERM", STOP.format("SIGTERM")),
    "SIGINT": Fault(3, "KeyboardInterrupt", STOP.format("SIGINT") + "import time; time.sleep(1)\n"),
    "SIGPIPE": Fault(
        4, "died of SIGPIPE", "import signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n" + STOP.format("SIGPIPE")
    ),
    "alarm": Fault(4, "died of SIGALRM", "import signal, time; signal.alarm(1); time.sleep(60)\n"),
    "real-time signal": Fault(4, "died of signal 40", "import os, time; os.kill(os.getpid(), 40); time.sleep(60)\n"),
    "processor time is up": Fault(
        4, "died of SIGXCPU", "import resource; resource.setrlimit(resource.RLIMIT_CPU, (0, 9))\nwhile True: pass\n"
    ),
    "end of the process above": Fault(
        4, "its process died", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)\nwhile True: pass\n"
    ),
    # how it hangs
    "endless loop that ignores signals": Fault(
        4,
        "no result within",
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except OSError: pass\nwhile True: pass\n",
        hangs=True,
    ),
    "signals blocked": Fault(
        4,
        "no result within",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(600)\n",
        hangs=True,
    ),
    "stopped": Fault(4, "no result within", STOP.format("SIGSTOP"), hangs=True),
    "lock that nobody opens": Fault(
        4, "no result within", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n", hangs=True
    ),
    "interrupt that is swallowed": Fault(
        4,
        "no result within",
        "import time\nwhile True:\n    try: time.sleep(600)\n    except BaseException: pass\n",
        hangs=True,
    ),
}
