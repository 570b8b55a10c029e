"""The committed CRC tables are what their generator writes."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_generated_tables_are_up_to_date() -> None:
    generator = runpy.run_path(str(ROOT / "tests/csrc/gen_crc_tables.py"))
    assert generator["crc32c_header"]() == (ROOT / "csrc/kp_crc32c_tables.h").read_text()
    assert generator["crc32_header"]() == (ROOT / "csrc/kp_crc32_table.h").read_text()
