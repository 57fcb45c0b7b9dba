"""`gradhealth.yaml` and `*.gradhealth.yaml` as test files: an item for each target of their list `models`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gradcheck_health.pytest_plugin.baseline import check_beside
from gradcheck_health.pytest_plugin.outcome import at, conclude
from gradcheck_health.pytest_plugin.settings import from_options

if TYPE_CHECKING:
    from gradcheck_health.settings.source import Source

NAME = "gradhealth.yaml"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name == NAME or file_path.name.endswith(f".{NAME}"):
        return SettingsFile.from_parent(parent, path=file_path)
    return None


class SettingsFile(pytest.File):
    """The models that a settings file names; none where it holds settings only."""

    def collect(self) -> Iterator[pytest.Item]:
        from gradcheck_health.records.errors import UsageError
        from gradcheck_health.settings.config import resolve

        try:
            sources = self._sources()
            models = resolve(sources, known_rules=None).models if "models" in sources[-1].table else ()
        except UsageError as error:
            raise self.CollectError(f"gradhealth: {error}") from None
        sources += from_options(self.config)
        for i, model in enumerate(models):
            line = sources[0].lines.get(("models", i), 0)
            yield ModelItem.from_parent(self, name=model, sources=sources, line=line)

    def _sources(self) -> list[Source]:
        """The settings that hold in its folder, and its own over them."""
        from gradcheck_health.settings.config_files import from_file, nearest

        own = from_file(self.path)
        around = nearest(self.path.parent) if self.path.name != NAME else None
        return [own] if around is None else [around, own]


class ModelItem(pytest.Item):
    """A target, checked as `gradhealth check` would, in this process."""

    def __init__(self, *, sources: list[Source], line: int, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.sources = sources
        self.line = line

    def runtest(self) -> None:
        """Every model that the target stands for, each under the settings for it."""
        from gradcheck_health.settings.config import resolve
        from gradcheck_health.targets.expand import seen_from
        from gradcheck_health.targets.importing import make_importable
        from gradcheck_health.targets.load import load

        make_importable(self.path.parent)  # where a person's own rules stand
        target = seen_from(self.path.parent, self.name)
        for one in load(target, resolve(self.sources, names=[target]).args):
            config = resolve(self.sources, names=[one.target])
            report = check_beside(self, one.target, one.model, None, config, {"target": one.target})
            conclude(report, self, at(str(self.path), self.line or 1))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong with the settings, the file or the model is a message, not a traceback."""
        from gradcheck_health.records.errors import GradhealthError

        if isinstance(excinfo.value, GradhealthError):
            return f"gradhealth: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, self.line - 1 if self.line else None, self.name
