"""Pages about the configuration say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kproducer import KafkaError, KafkaProducer
from kproducer.config import PROFILES
from kproducer.config.reference import render
from tests.house.tree import ROOT

DOCS = ROOT / "docs"
_FENCED = re.compile(r"^```([\w ]+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def fenced(page: str, language: str) -> list[str]:
    """The code of a page in one language, fragments too: here they have the files and variables that they need."""
    found = _FENCED.findall((DOCS / page).read_text("utf-8"))
    return [code for name, code in found if name.removesuffix(" fragment") == language]


def test_the_page_of_keys_is_that_of_the_table() -> None:
    assert (DOCS / "config.md").read_text("utf-8") == render(), "make docs-config writes it anew"


@pytest.mark.parametrize("name", PROFILES)
def test_the_page_of_profiles_tells_what_each_sets(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}` \|.*$", (DOCS / "profiles.md").read_text("utf-8"), re.MULTILINE)
    told = dict(re.findall(r"`([a-z.]+)=([^`]+)`", row))
    settings = PROFILES[name].settings
    if "those of `safe`" in row:
        assert settings.items() >= PROFILES["safe"].settings.items() - {("delivery.timeout.ms", 120_000)}
        settings = dict(settings.items() - PROFILES["safe"].settings.items())
    told.pop("isolation.level", None)  # the readers'
    assert told == {key: _text(key, value) for key, value in settings.items()}


def _text(key: str, value: object) -> str:
    if key == "acks" and value == -1:
        return "all"
    return str(value).lower()


@pytest.mark.parametrize("page", ["config.md", "profiles.md"])
def test_the_code_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KPRODUCER_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    Path("producer.properties").write_text("bootstrap.servers=127.0.0.1:1\n")
    for code in fenced("profiles.md", "toml"):
        Path("payments.toml").write_text(code)
    made: list[KafkaProducer] = []
    start = KafkaProducer.__init__

    def noted(self: KafkaProducer, *args: object, **overrides: object) -> None:
        start(self, *args, **overrides)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(KafkaProducer, "__init__", noted)
    try:
        for code in fenced(page, "python"):
            exec(compile(code.replace("localhost:9092", "127.0.0.1:1"), page, "exec"), {})
    finally:
        for producer in made:
            try:
                producer.close(0)
            except KafkaError:
                pass  # no broker is there
    assert made
