"""The committed print of Java's ProducerConfig, against the jar of the Kafka that the tests start."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

from kproducer.testing.jars import install_kafka

COMMITTED = Path(__file__).parents[1] / "unit" / "config" / "java_producer_config.json"
_ROW = re.compile(
    r'<a id="(?P<name>[a-z0-9.]+)"></a>.*?Type:</th><td>(?P<type>\w+)</td>.*?'
    r"Default:</th><td>(?P<default>.*?)</td>.*?Valid Values:</th><td>(?P<valid>.*?)</td>",
    re.DOTALL,
)


def test_the_committed_table_is_that_of_the_jar() -> None:
    command = install_kafka().command("org.apache.kafka.clients.producer.ProducerConfig")
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    of_the_jar = {
        row["name"]: (row["type"], _default(row["default"]), html.unescape(row["valid"]))
        for row in _ROW.finditer(printed)
    }
    committed = {
        row["name"]: (
            row["type"],
            "" if row["default"] in (None, "NO_DEFAULT") else row["default"],
            row["valid"],
        )
        for row in json.loads(COMMITTED.read_text())
        if not row["internal"]  # the page leaves those out
    }
    assert of_the_jar == committed


def _default(cell: str) -> str:
    """The value without what is added for people: "60000 (1 minute)"."""
    text = html.unescape(cell)
    return "" if text in ("null", '""') else re.sub(r" \(.*\)$", "", text)
