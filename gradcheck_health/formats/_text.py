"""Text that is safe to print: ASCII only, no control characters, nothing that a terminal or a CI log takes for a command."""

from __future__ import annotations

import re
import shlex
import textwrap


def escape(text: str) -> str:
    """Printable ASCII as it is, everything else visibly: `\\x1b`, `\\u202e`, `\\udc80`, `\\n`."""
    return "".join(char if " " <= char <= "~" else char.encode("unicode_escape").decode("ascii") for char in str(text))


def printable(text: str) -> str:
    """For documents that hold Unicode: what can be printed stays, control characters and the like become visible."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(text))


def quoted(text: str) -> str:
    """A word of a command line: ASCII only, and yet the same text for the shell that it is pasted into."""
    if all(" " <= char <= "~" for char in text):
        return shlex.quote(text)
    try:
        coded = text.encode("utf-8", "surrogateescape")  # a file's name may be no text
    except UnicodeEncodeError:
        coded = text.encode("utf-8", "surrogatepass")
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in coded)
    # a digit behind a coded byte would be taken for a part of it
    return "$'" + re.sub(r"(\\x[0-9a-f]{2})(?=[0-9a-fA-F])", r"\1''$'", plain).replace("''$'", "'$'") + "'"


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, with the middle left out: both ends of a parameter's name tell something."""
    if len(text) <= limit:
        return text
    tail = (limit - 3) // 2
    return f"{text[: limit - 3 - tail]}...{text[len(text) - tail :]}"


def wrap(text: str, width: int, first: str = "", hang: int | None = None) -> list[str]:
    """Lines of at most `width` columns: `first` before the first, `hang` spaces (the length of `first`) before the others."""
    if "::" in text or "##" in text:
        width -= 3  # room to defuse a line
    rest = " " * (len(first) if hang is None else hang)
    lines = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return lines or [first.rstrip()]


def safe_lines(text: str) -> str:
    """Text of several lines, each of them safe."""
    return "\n".join(defuse(escape(line)) for line in text.split("\n"))


def defuse(line: str) -> str:
    """A line that a CI runner would read as a command (`::error::`, `##[group]`, also behind spaces), made harmless."""
    bare = line.lstrip()
    if not bare.startswith(("::", "##")):
        return line
    return f"{line[: len(line) - len(bare)]}\\x{ord(bare[0]):02x}{bare[1:]}"
