"""`gradhealth.yaml` and `*.gradhealth.yaml` as test files: an item for each target of their list `models`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from gradcheck_health.pytest_plugin.baseline import check_beside
from gradcheck_health.pytest_plugin.outcome import at, conclude, not_checked
from gradcheck_health.pytest_plugin.settings import from_options

if TYPE_CHECKING:
    from gradcheck_health.settings.source import Source
    from gradcheck_health.targets.target import Target

NAME = "gradhealth.yaml"


@contextlib.contextmanager
def _exit_raises() -> Iterator[None]:
    """A target that leaves by `os._exit(0)` would take pytest with it, and nothing checked would look like success."""
    leave, process = os._exit, os.getpid()

    def refuse(code: int) -> NoReturn:
        if os.getpid() != process:  # a fork that it made may end so
            leave(code)
        raise SystemExit(f"os._exit({code})")

    os._exit = refuse  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = leave


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name == NAME or file_path.name.endswith(f".{NAME}"):
        return SettingsFile.from_parent(parent, path=file_path)
    return None


class SettingsFile(pytest.File):
    """The models that a settings file names; none where it holds settings only."""

    def collect(self) -> Iterator[pytest.Item]:
        from gradcheck_health.records.errors import UsageError
        from gradcheck_health.settings.resolution import resolve

        try:
            sources = self._sources()
            models = resolve(sources, known_rules=None).models if "models" in sources[-1].table else ()
        except UsageError as error:
            raise self.CollectError(f"gradhealth: {error}") from None
        sources += from_options(self.config)
        for i, model in enumerate(models):
            line = sources[0].lines.get(("models", i), 0)
            folder = self.path.parent / model
            for name in self._files(folder) if folder.is_dir() else [model]:
                yield ModelItem.from_parent(self, name=name, sources=sources, line=line, from_folder=name != model)

    def _files(self, folder: Path) -> list[str]:
        """The files of a folder that may hold a model, as the settings file would name them."""
        from gradcheck_health.records.errors import UsageError
        from gradcheck_health.targets.expand import expand

        try:
            return [os.path.relpath(file, self.path.parent) for file, _ in expand([str(folder)])]
        except UsageError as error:
            raise self.CollectError(f"gradhealth: {error}") from None

    def _sources(self) -> list[Source]:
        """The settings that hold in its folder, and its own over them."""
        from gradcheck_health.settings.config_files import from_file, nearest

        own = from_file(self.path)
        around = nearest(self.path.parent) if self.path.name != NAME else None
        return [own] if around is None else [around, own]


class ModelItem(pytest.Item):
    """A target, checked as `gradhealth check` would, in this process."""

    def __init__(self, *, sources: list[Source], line: int, from_folder: bool, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.sources = sources
        self.line = line
        self.from_folder = from_folder

    def runtest(self) -> None:
        """Every model that the target stands for, each under the settings for it."""
        from gradcheck_health.model.distributed.launch_group import in_group
        from gradcheck_health.settings.resolution import validated
        from gradcheck_health.targets.expand import seen_from
        from gradcheck_health.targets.importing import make_importable, own_imports
        from gradcheck_health.targets.target import Target

        make_importable(self.path.parent)  # for rules of the user
        target = Target.parse(seen_from(self.path.parent, self.name))
        purpose = f"pytest/{self.nodeid}"
        own = own_imports(Path(target.where)) if target.is_file else contextlib.nullcontext()
        with own, _exit_raises(), in_group(purpose, validated(self.sources).for_model(str(target)).timeout):
            self._check(target)

    def _check(self, target: Target) -> None:
        from gradcheck_health.model.distributed.ranks import in_step
        from gradcheck_health.records.errors import GradhealthError, NothingToCheckError
        from gradcheck_health.settings.resolution import validated
        from gradcheck_health.targets.load import load

        settings = validated(self.sources)
        failed: list[BaseException] = []
        nothing: list[GradhealthError] = []
        checked = 0
        try:
            with in_step(settings.for_model(str(target)).timeout):
                loaded = load(str(target), settings.for_model(str(target)).args)
        except NothingToCheckError as error:
            loaded, nothing = [], [error]
        except GradhealthError as error:
            not_checked(self, str(target), error)
            raise
        for model in loaded:
            config = settings.for_model(model.target)
            try:
                with in_step(config.timeout):
                    report = check_beside(self, model.target, model.model, None, config, {"target": model.target})
                checked += 1
                conclude(report, self, at(str(self.path), self.line or 1))
            except NothingToCheckError as error:
                nothing.append(error)
            except GradhealthError as error:
                not_checked(self, model.target, error)
                failed.append(error)
            except pytest.fail.Exception as error:
                failed.append(error)
        if nothing and (target.name or not (checked or failed)):
            if self.from_folder:
                pytest.skip("; ".join(map(str, nothing)))
            for one in nothing:
                not_checked(self, str(target), one)
            failed += nothing
        if len(failed) == 1:
            raise failed[0]
        if failed:
            pytest.fail("\n\n".join(map(str, failed)), pytrace=False)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """What is wrong with the settings, the file or the model is a message, not a traceback."""
        from gradcheck_health.records.errors import GradhealthError

        if isinstance(excinfo.value, GradhealthError):
            return f"gradhealth: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, self.line - 1 if self.line else None, self.name
