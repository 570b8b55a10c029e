"""The id of a new cluster."""

from __future__ import annotations

import uuid

import pytest

from kproducer.testing.cluster import _new_cluster_id


def test_a_cluster_id_does_not_look_like_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [uuid.UUID(bytes=b"\xf8" + bytes(15)), uuid.UUID(bytes=bytes(16))]
    monkeypatch.setattr(uuid, "uuid4", lambda: drawn.pop(0))
    assert _new_cluster_id() == "A" * 22
    assert not drawn
