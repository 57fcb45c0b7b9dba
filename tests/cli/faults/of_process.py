"""Faults that a target leaves in its process: streams, descriptors, threads, children, limits, and what it replaces."""

from __future__ import annotations

from tests.cli.faults.fault import HEADER, Fault, model, sound

EVERY = "for i in range({}, 300):\n    try: {}\n    except OSError: pass\n"

FAULTS = {
    # streams and descriptors
    "junk on standard output": Fault(0, text=sound("os.write(1, bytes(range(256)))", "print('{\"reports\": []}')")),
    "200 MB on standard output": Fault(0, text=sound("for _ in range(200): os.write(1, b'x' * 1_000_000)")),
    "half a line on every descriptor": Fault(0, text=sound(EVERY.format(1, "os.write(i, b'junk')"))),
    "lies on every descriptor": Fault(
        0, text=sound(EVERY.format(1, 'os.write(i, b\'{"kind": "nonsense"}\\n[1]\\n3\\nnull\\n{"kind": "start"}\\n\')'))
    ),
    "streams closed": Fault(0, text=sound("os.closerange(0, 3)")),
    "stream objects closed": Fault(0, text=sound("sys.stdout.close(); sys.stderr.close(); sys.stdin.close()")),
    "streams taken away": Fault(0, text=sound("sys.stdout = sys.stderr = sys.stdin = None")),
    "streams that raise": Fault(
        0, text=sound("class Odd:\n    def __getattr__(self, name): raise RuntimeError(name)\nsys.stdout = sys.stderr = Odd()")
    ),
    "every descriptor closed": Fault(4, "its process", HEADER + "os.closerange(3, 500)\n"),
    "every descriptor and the streams closed": Fault(4, "its process", HEADER + "os.closerange(0, 500); os._exit(0)\n"),
    "every descriptor is the null device": Fault(
        4, "its process", sound("null = os.open(os.devnull, os.O_RDWR)\n" + EVERY.format(3, "os.dup2(null, i)"))
    ),
    "the null device over descriptors in forward": Fault(
        4,
        "its process",
        model(
            "\n        for i in range(3, 300):\n            try: os.dup2(null, i)\n            except OSError: pass\n        return self.inner(x)",
            before="null = os.open(os.devnull, os.O_RDWR)",
        ),
    ),
    "no more descriptors": Fault(
        3, "Too many open files", sound(after="import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))")
    ),
    # threads and children
    "thread that never ends": Fault(0, text=sound("threading.Thread(target=time.sleep, args=(600,)).start()")),
    "thread that raises": Fault(0, text=sound("threading.Thread(target=lambda: 1 / 0).start()")),
    "thread that prints for ever": Fault(
        0, text=sound("def flood():\n    while True: os.write(2, b'x' * 1000)\nthreading.Thread(target=flood).start()")
    ),
    "atexit handler that raises": Fault(0, text=sound("import atexit; atexit.register(lambda: 1 / 0)")),
    "atexit handler that hangs": Fault(0, text=sound("import atexit; atexit.register(time.sleep, 600)")),
    "grandchild that holds the pipes": Fault(
        0, text=sound("import subprocess; subprocess.Popen(['sleep', '600'], close_fds=False)")
    ),
    "fork at import, and both go on": Fault(0, text=sound("os.fork()")),
    "fork at import, and the first exits": Fault(4, "exited with code", sound("if os.fork(): os._exit(0)")),
    "session of its own": Fault(0, text=sound("try: os.setsid()\nexcept OSError: pass")),
    # what it changes
    "working directory": Fault(0, text=sound("os.chdir('/')")),
    "working directory that is gone": Fault(0, text=sound("import tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)")),
    "umask": Fault(0, text=sound("os.umask(0o777)")),
    "locale": Fault(0, text=sound("import locale; locale.setlocale(locale.LC_ALL, 'C')")),
    "file size limit": Fault(0, text=sound("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))")),
    "environment": Fault(0, text=sound("os.environ.clear()")),
    "signal handlers": Fault(
        0, text=sound("for s in (1, 2, 10, 12, 13, 14, 15, 17): signal.signal(s, lambda *_: sys.exit(0))")
    ),
    "low recursion limit": Fault(0, text=sound(after="sys.setrecursionlimit(40)")),
    "path and arguments": Fault(0, text=sound("sys.path.clear(); sys.argv.clear()")),
    "modules thrown out": Fault(
        0,
        text=sound(
            after="for name in list(sys.modules):\n    if not name.startswith(('torch', 'builtins', 'sys', 'fault', 'gradcheck')): del sys.modules[name]"
        ),
    ),
    "no finders": Fault(
        3, "ModuleNotFoundError", "import sys\nsys.meta_path.clear()\nsys.modules.pop('numbers', None)\nimport numbers\n"
    ),
    "tracing": Fault(0, text=sound("sys.settrace(lambda *_: None); sys.setprofile(lambda *_: None)")),
    "hook for exceptions": Fault(
        0, text=sound("sys.excepthook = None; threading.excepthook = None; sys.unraisablehook = None")
    ),
    "no collection of garbage": Fault(0, text=sound("import gc; gc.disable(); gc.freeze()")),
    "default device meta": Fault(2, "on the meta device", sound("torch.set_default_device('meta')")),
    "default dtype": Fault(0, text=sound("torch.set_default_dtype(torch.float64)")),
    "gradients off": Fault(0, text=sound("torch.set_grad_enabled(False)")),
    "inference mode": Fault(3, "Inference tensors", sound(after="guard = torch.inference_mode(); guard.__enter__()")),
    "anomaly mode and determinism": Fault(
        0, text=sound("torch.autograd.set_detect_anomaly(True); torch.use_deterministic_algorithms(True)")
    ),
    "many threads": Fault(0, text=sound("torch.set_num_threads(64)")),
    # what it replaces
    "json replaced": Fault(0, text=sound(after="import json; json.dumps = lambda *_, **__: 'x'; json.loads = None")),
    "json taken away": Fault(0, text=sound(after="import json; del json.dumps, json.JSONEncoder; sys.modules['json'] = None")),
    "print, open and len replaced": Fault(0, text=sound(after="import builtins; builtins.print = builtins.open = None")),
    "clock replaced": Fault(0, text=sound(after="time.time = time.monotonic = time.perf_counter = lambda: 'late'")),
    "os replaced": Fault(0, text=sound(after="os.write = os.getpid = os._exit = None")),
    "torch without backward": Fault(
        1, text=sound(after="torch.autograd.grad = torch.autograd.backward = torch.Tensor.backward = None")
    ),
    "torch without modules": Fault(3, "could not make up inputs", sound(after="nn.Module.__call__ = None")),
}
