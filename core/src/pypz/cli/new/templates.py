"""The files of a new project, by their paths; ``$name``, ``$title`` and ``$version`` are filled in."""

from __future__ import annotations

from typing import Final

PYPROJECT: Final = """\
[project]
name = "$dist"
version = "0.1.0"
description = "A data pipeline: $title"
requires-python = ">=3.11"
dependencies = ["pypz>=$version,<1"]

[dependency-groups]
dev = ["pytest>=8"]

[build-system]
requires = ["uv_build>=0.13,<0.14"]
build-backend = "uv_build"

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
"""

SETTINGS: Final = """\
# Defaults of the command `pypz` in this folder.
pipeline = "$name.pipeline:$title"

[parameters]
# Channels in this process's memory. For several processes: local:DIR (pypz-local), or kafka://HOST:PORT (pypz-kafka).
">>channelLocation" = "memory:$name"
"""

PACKAGE: Final = '''\
"""$title: a data pipeline."""
'''

PIPELINE: Final = '''\
"""The pipeline $title: a source sends numbers, a sink adds them up."""

from __future__ import annotations

from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline


class Source(Operator):
    """Sends the numbers from 1 to ``count``."""

    count = OptionalParameter(int, description="How many numbers are sent")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.count = 10
        self.numbers = ChannelOutputPort()
        self.sent = 0

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool:
        self.sent += 1
        self.numbers.send([{"number": self.sent}])
        return self.sent >= self.count  # True ends the operator, False calls this again

    def _on_shutdown(self) -> bool:
        return True


class Sink(Operator):
    """Adds up what it gets."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelInputPort()
        self.total = 0

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> None:
        # None: called again as long as records may come.
        self.total += sum(record["number"] for record in self.numbers.retrieve())

    def _on_shutdown(self) -> bool:
        print("total:", self.total)
        return True


class $title(Pipeline):
    """Source and sink, connected."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.sink.numbers.connect(self.source.numbers)
'''

TEST: Final = '''\
"""The pipeline runs, here in memory, and every number arrives."""

from $name.pipeline import $title
from pypz.executors.pipeline.executor import PipelineExecutor


def test_all_numbers_arrive():
    pipeline = $title("test_$name")
    pipeline.set_parameter(">>channelLocation", "memory:test_$name")
    pipeline.source.count = 100
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
    assert pipeline.sink.total == 5050
'''

README: Final = """\
# $dist

A data pipeline, made with `pypz new`. The pipeline is in `src/$name/pipeline.py`, its defaults are in `pypz.toml`.

```
pypz run                    run it here
pypz run -p '>count=1000'   with another parameter
pypz plan                   what would run, and everything that is wrong
pypz graph                  who sends to whom
python -m pytest            its tests
```
"""

IGNORED: Final = """\
__pycache__/
*.egg-info/
.venv/
dist/
"""

FILES: Final = {
    "pyproject.toml": PYPROJECT,
    "pypz.toml": SETTINGS,
    "README.md": README,
    ".gitignore": IGNORED,
    "src/$name/__init__.py": PACKAGE,
    "src/$name/pipeline.py": PIPELINE,
    "tests/test_pipeline.py": TEST,
}
