"""`kproducer info`."""

from __future__ import annotations

import pytest

import kproducer
from kproducer.cli import main


def test_info_names_the_version_and_the_source_of_every_codec(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"kproducer {kproducer.__version__},")
    for codec, source in kproducer.codec_sources().items():
        assert f"compression.type={codec:<7} {source}" in out
    assert set(kproducer.codec_sources()) == {"none", "gzip", "snappy", "lz4", "zstd"}
