"""The errors that end a check before a verdict, worded for the user who can fix them.

Every message says what failed, where, what was found, what would be right, and what to do. A sick gradient is no error of this
kind: that is a `Finding`, raised as `UnhealthyGradientsError` by assertions only.
"""

from __future__ import annotations

import contextlib
import enum
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import traceback

MAX_TEXT, MAX_LINE = 2000, 160
"""Characters of an exception's text, and of a line of source, that a message shows."""


class ExitCode(enum.IntEnum):
    """What the command line returns: of everything that happened the worst, which is the largest of the first five."""

    HEALTHY = 0
    FINDINGS = 1
    """Sick at or above `fail_on`, or worse than before."""
    USAGE = 2
    """A wrong option, setting or target, or nothing to check."""
    FAILED = 3
    """A file or a model raised."""
    STOPPED = 4
    """A process died, ran too long, or sent no result."""
    INTERRUPTED = 130
    """Ctrl-C; as shells count, 128 and the number of SIGINT."""
    READER_GONE = 141
    """What a shell reports for a program that wrote into a pipe that nobody reads: 128 and the number of SIGPIPE."""

    def __str__(self) -> str:
        return str(self.value)  # before Python 3.11 this was the name


OWN = ""
"""Instead of a text: a tensor of the user's own, whose shape nobody else knows."""


class Remedy(NamedTuple):
    """Inputs to give instead, which a message shows as a call in Python or as options of the command line."""

    what: str
    """What they are: "this runs", "give them"."""
    specs: Mapping[str, str]
    """Argument -> text, or `OWN`."""
    after: str = ""
    """Further lines of the message."""


class GradhealthError(Exception):
    """Base of every error that this package raises on purpose."""

    __module__ = "gradcheck_health"  # where people import it from, and what a traceback shows

    exit_code = ExitCode.FAILED
    """What the command line returns for it."""

    def __init__(self, text: str = "", where: str = "", remedy: Remedy | None = None) -> None:
        """A message in its parts.

        Args:
            text: the message without its place and remedy.
            where: the argument that it is about, as Python has it: "inputs", "inputs['x']".
            remedy: inputs to give instead.
        """
        super().__init__(text)
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return self._rendered(self.where, in_python)

    def on_command_line(self) -> str:
        """The message with its place and its remedy as options of the command line instead of Python."""
        found = re.fullmatch(r"inputs(?:\['(\w+)'\])?", self.where)
        where = self.where if found is None else f"--input {found[1]}" if found[1] else "--input"
        return self._rendered(where, as_options)

    def _rendered(self, where: str, write: Callable[[Mapping[str, str]], str]) -> str:
        head = f"{where}: " if where else ""
        tail = f"\n  {self.remedy.what}: {write(self.remedy.specs)}{self.remedy.after}" if self.remedy else ""
        return f"{head}{self.text}{tail}"

    @property
    def text(self) -> str:
        """The message without its place and remedy."""
        return super().__str__()

    @property
    def specs(self) -> Mapping[str, str]:
        """Inputs to give, argument -> text, where the message proposes some."""
        return self.remedy.specs if self.remedy else {}


class UsageError(GradhealthError):
    """A wrong option, config value or target: nothing was run."""

    __module__ = "gradcheck_health"

    exit_code = ExitCode.USAGE


class NothingToCheckError(UsageError):
    """The file defines no model, or the model nothing that could be trained: there is no gradient to check."""

    __module__ = "gradcheck_health"


class InputsError(UsageError):
    """The inputs that were given cannot be used."""

    __module__ = "gradcheck_health"


class ModelError(GradhealthError):
    """A file or a model failed: the import, the constructor, or forward."""

    __module__ = "gradcheck_health"


class InputInferenceError(ModelError):
    """No inputs could be made up for the model; the message says how to give them."""

    __module__ = "gradcheck_health"

    likely: Sequence[str] = ()
    """What the failing operation wanted of its operands, in words."""


class RankError(GradhealthError):
    """Another rank of the process group failed, ended or stalled: the ranks check together or not at all."""

    __module__ = "gradcheck_health"

    exit_code = ExitCode.STOPPED

    def __init__(self, text: str = "", where: str = "", remedy: Remedy | None = None, *, code: int = ExitCode.STOPPED) -> None:
        """Args: code: the exit code of what the other rank ended with."""
        super().__init__(text, where, remedy)
        self.exit_code = ExitCode(code)


class GradientHealthWarning(UserWarning):
    """A finding of severity "warning" in a test that passed."""

    __module__ = "gradcheck_health"


def in_python(specs: Mapping[str, str]) -> str:
    """`assert_gradients_healthy(model, inputs={"x": "f32[B,3,32,32]"})`."""
    table = ", ".join(
        f'"{name}": {name}' if text == OWN else f'"{name}": {text!r}' if '"' in text else f'"{name}": "{text}"'
        for name, text in specs.items()
    )
    return f"assert_gradients_healthy(model, inputs={{{table}}})"


def as_options(specs: Mapping[str, str]) -> str:
    """`--input 'x=f32[B,3,32,32]'`; a file for a tensor of the user's own."""
    return " ".join("--input " + shlex.quote(f"{name}={text or f'{name}.pt'}") for name, text in specs.items())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing where no known name is near."""
    # difflib costs 5 ms to import, and only a user who mistyped pays for it
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def describe_error(error: BaseException) -> str:
    """`Type: message` of any exception, and where the user's own code raised it, a frame a line."""
    text = message_of(error)
    head = f"{type(error).__name__}: {_clipped(text, MAX_TEXT)}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{head}\n  {error.filename}:{error.lineno}: {_clipped((error.text or '').strip(), MAX_LINE)}"
    import traceback

    from gradcheck_health.records.frames import user_frames

    return "\n".join([head, *map(format_frame, user_frames(traceback.extract_tb(error.__traceback__)))])


def _clipped(text: str, room: int) -> str:
    """An exception may carry a megabyte, and a reader has a screen."""
    return text if len(text) <= room else f"{text[:room]} ... ({len(text) - room} more characters)"


def format_frame(frame: traceback.FrameSummary) -> str:
    """A frame as a line of a message."""
    line = f": {_clipped(frame.line, MAX_LINE)}" if frame.line else ""
    return f"  {frame.filename}:{frame.lineno} in {frame.name}{line}"


def ran_out_of_memory(error: BaseException) -> bool:
    """An error says that there was no memory to be had, itself or one that it was raised from."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        with contextlib.suppress(BaseException):  # its text may raise, or exit
            if isinstance(one, MemoryError) or _NO_MEMORY.search(str(one)):
                return True
        one = one.__cause__ or one.__context__
    return False


_NO_MEMORY = re.compile(
    r"bad_alloc|can't allocate memory|not enough memory|cannot allocate memory|out of memory|failed to allocate"
    r"|could not create a primitive\b",  # oneDNN has no other word for it
    re.I,
)


def out_of_memory(doing: str, error: BaseException) -> ModelError:
    """What is raised instead of a finding: how much memory there is says nothing about the model."""
    return ModelError(
        f"not judged: out of memory {doing} ({one_line(error)})\n"
        "  help    give a smaller batch (batch_size=, inputs=) or a smaller configuration of the model, or more memory"
    )


def message_of(error: BaseException) -> str:
    """The text of any exception, also of one whose `__str__` raises."""
    try:
        return str(error)
    except BaseException as broken:  # noqa: BLE001 - user code may raise anything, SystemExit included
        return f"(its message could not be read: {type(broken).__name__})"


def one_line(error: BaseException, limit: int = 200) -> str:
    """`Type: message` of any exception on one line, cut after `limit` characters."""
    text = " ".join(message_of(error).split())
    whole = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return whole if len(whole) <= limit else whole[: limit - 3] + "..."
