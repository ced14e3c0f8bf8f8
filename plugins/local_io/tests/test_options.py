"""Location and options of the transport: refused before anything is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypz.core.commons.errors import ConfigurationError
from pypz.plugins.local_io.options import read_options


def test_a_location_is_a_folder_with_or_without_slashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert {
        read_options(text, {}).folder for text in ("local:a/b", "local:./a/b", f"LOCAL://{tmp_path}/a/b", "local:~/a/b")
    } == {tmp_path / "a" / "b"}


@pytest.mark.parametrize("location", ["local:", "local://", "local: "])
def test_a_location_without_a_folder_is_refused(location: str) -> None:
    with pytest.raises(ConfigurationError, match="names no folder, expected local:DIR"):
        read_options(location, {})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"synch": "full"}, "did you mean 'sync'"),
        ({"max_bytes": "1"}, r"did you mean 'max\.bytes'"),
        ({"acks": "all"}, r"no option 'acks'; it takes 'sync'.* and 'max\.bytes'"),
        ({"sync": "off"}, "'sync' is 'off', expected normal"),
        ({"max.bytes": "0"}, r"'max\.bytes' is '0', expected a whole number of bytes, 1 or more"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_what_is_accepted(options: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_options("local:x", options)
