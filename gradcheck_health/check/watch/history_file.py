"""A history that is written while the loop runs: one JSON document a line, so that kill -9 costs at most the last line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import IO, Any

from gradcheck_health.probe.training.watching.tracker import Tracker
from gradcheck_health.probe.training.watching.watcher import Watcher
from gradcheck_health.records.codec import encode
from gradcheck_health.records.history import History, Moment, Noticed


class HistoryFile:
    """Each line is handed to the system at once; a run that begins writes the file anew."""

    def __init__(self, path: Path, rules: tuple[str, ...]) -> None:
        """Args: rules: names of those that judge the run."""
        self._rules = rules
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._layouts: dict[int, tuple[Any, ...]] = {}

    def write(self, watcher: Watcher, tracker: Tracker, moment: Moment) -> None:
        """A measured step, after the parameters that it is about where those are new."""
        number = watcher.trackers.index(tracker)
        if self._layouts.get(number) != tracker.layout.parameters:
            self._layouts[number] = tracker.layout.parameters
            self._about(watcher.history())
        self._line({"track": number, "moment": encode(moment)})

    def notice(self, one: Noticed) -> None:
        self._line({"noticed": encode(one)})

    def close(self, history: History) -> None:
        """The end of the loop: the counters as they are then."""
        self._about(history)
        self._file.close()

    def _about(self, history: History) -> None:
        """All but the moments, which have lines of their own."""
        tracks = tuple(dataclasses.replace(track, moments=()) for track in history.tracks)
        self._line({"history": dataclasses.replace(history, tracks=tracks, noticed=(), rules=self._rules).to_dict()})

    def _line(self, document: Any) -> None:
        self._file.write(json.dumps(document, allow_nan=False) + "\n")
        self._file.flush()
