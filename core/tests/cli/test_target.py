"""Naming a pipeline and its parameters."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pypz.cli.given import parse_parameter, unexpected
from pypz.cli.target import load_pipeline
from pypz.core.commons.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _forget(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("shop", "broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("a=localhost:9092", "localhost:9092"),
        ("a=10:30", "10:30"),
        ("a=b=c", "b=c"),
        ("a=3", 3),
        ("a=-3", -3),
        ("a=1.5", 1.5),
        ("a=1e3", 1000.0),
        ("a=true", True),
        ("a=yes", "yes"),
        ("a=null", None),
        ("a=", ""),
        ("a=2026-11-23", "2026-11-23"),
        ("a=${env:HOME}", "${env:HOME}"),
        ("a='3'", "3"),
        ("a=[1, b]", [1, "b"]),
        ("a={x: 1, y: true}", {"x": 1, "y": True}),
    ],
)
def test_values_are_numbers_words_text_or_yaml(given: str, value: Any) -> None:
    name, parsed = parse_parameter(given)
    assert name == "a"
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize("given", ["a", "=3", "a=[1", " =3"])
def test_a_parameter_that_is_none_is_refused_with_what_was_given(given: str) -> None:
    with pytest.raises(ConfigurationError, match=r"-p '"):
        parse_parameter(given)


def test_a_class_is_found_in_the_current_folder_and_named_after_itself() -> None:
    pipeline = load_pipeline("shop:ShopPipeline", parameters=[">>channelLocation=memory:x", ">count=7"])
    assert pipeline.get_simple_name() == "shop_pipeline"
    writer: Any = pipeline.writer
    assert writer.out.get_parameter("channelLocation") == "memory:x"
    assert writer.count == 7
    assert load_pipeline("shop:ShopPipeline", "mine").get_simple_name() == "mine"


def test_an_instance_is_taken_as_it_is() -> None:
    assert load_pipeline("shop:ready").get_simple_name() == "ready"
    with pytest.raises(ConfigurationError, match="already made, so --name has no effect"):
        load_pipeline("shop:ready", "other")


def test_a_yaml_file_comes_back_as_the_pipeline_it_describes(project: Path) -> None:
    original = load_pipeline("shop:ShopPipeline", parameters=[">>channelLocation=memory:x"])
    (project / "shop.yaml").write_text(str(original))
    again = load_pipeline("shop.yaml", parameters=[">count=9"])
    assert again.get_simple_name() == "shop_pipeline"
    assert again.writer.count == 9
    assert load_pipeline("shop.yaml", "other").get_simple_name() == "other"
    assert yaml.safe_load((project / "shop.yaml").read_text())["name"] == "shop_pipeline"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("shop", "expected package.module:Class, or a YAML file; meant shop:ShopPipeline"),
        ("shop.py", "names no pipeline: .*; meant shop:ShopPipeline?"),
        ("shop.ShopPipelin", "names no pipeline: .*; meant shop:ShopPipeline?"),
        ("empty.py", "names no pipeline: .*; name the class in it"),
        ("somewhere", "names no pipeline: expected package.module:Class, or a YAML file$"),
        ("shop:ShopPipelin", "is no pipeline; meant shop:ShopPipeline?"),
        ("shop:Writer", "is no pipeline; meant shop:"),
        ("deep/inner.py", "names no pipeline: .*; meant deep.inner:DeepPipeline[?]"),
        ("src/deep/inner.py", "names no pipeline: .*; meant deep.inner:DeepPipeline[?]"),
        ("deep.inner", "names no pipeline: .*; meant deep.inner:DeepPipeline[?]"),
        (
            "src/deep/inner.py:DeepPipeline",
            "there is no module 'src/deep/inner.*; meant 'deep.inner'[?]; modules are looked",
        ),
        ("shop.py:ShopPipeline", "there is no module 'shop.py'; meant 'shop'[?]"),
        ("nowhere:X", "there is no module 'nowhere'; modules are looked for in .*, in src there, and"),
        ("shop.deep:X", "there is no module 'shop.deep'"),
        ("broken:X", r"module 'broken' cannot be imported: ZeroDivisionError: .*\(broken.py, line 1\)"),
        ("typo:X", r"module 'typo' cannot be imported: ModuleNotFoundError: .*'no_such'.*\(typo.py, line 1\)"),
        ("json:X", "is no pipeline; there is none in json"),
        ("absent.yaml", "absent.yaml: cannot be read: No such file"),
        ("list.yaml", "list.yaml: describes no pipeline"),
        ("bad.yaml", r"bad.yaml:3:1: is no YAML: while parsing a flow node, .*expected"),
        ("doubled.yaml", r"doubled.yaml:2:1: cannot be taken: key 'name' stands here a second time"),
        ("wrong.yaml", r"wrong.yaml: the description of 'a' has no spec.name"),
    ],
)
def test_a_target_that_is_none_tells_the_way_out(project: Path, target: str, words: str) -> None:
    (project / "src" / "deep").mkdir(parents=True)
    (project / "src" / "deep" / "inner.py").write_text("class DeepPipeline(Pipeline): ...")
    (project / "broken.py").write_text("1 / 0")
    (project / "typo.py").write_text("import no_such")
    (project / "list.yaml").write_text("- a")
    (project / "bad.yaml").write_text("a: [\nb:\n")
    (project / "doubled.yaml").write_text("name: a\nname: b")
    (project / "wrong.yaml").write_text("name: a")
    (project / "empty.py").write_text("")
    with pytest.raises(ConfigurationError, match=words):
        load_pipeline(target)


def test_a_number_for_a_text_parameter_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(ConfigurationError, match=r"for text write -p \">>channelLocation='5'\""):
        load_pipeline("shop:ShopPipeline", parameters=[">>channelLocation=5"])


def test_a_misspelt_parameter_is_noticed() -> None:
    given = [">>chanelLocation=x", ">count=3", "#>whatever=1"]
    pipeline = load_pipeline("shop:ShopPipeline", parameters=given)
    assert list(unexpected(pipeline, given)) == [
        "-p '>>chanelLocation=x': nothing in the pipeline expects 'chanelLocation'; meant 'channelLocation'?",
        "-p '#>whatever=1': nothing in the pipeline expects 'whatever'",
    ]
