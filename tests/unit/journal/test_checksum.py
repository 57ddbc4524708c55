"""The checksum of frames is CRC-32C, and costs the start of a program nothing but the function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record._crc32c import crc

from otel_feedback.journal import checksum
from tests.support import run_python


@given(st.binary(max_size=300))
def test_it_is_the_sum_that_kafka_has(data: bytes) -> None:
    assert checksum.crc32c(data) == crc(data)


def test_it_is_the_one_of_the_standard() -> None:
    """RFC 3720, B.4: 32 zeros, and the bytes 0 to 31."""
    assert checksum.crc32c(bytes(32)) == 0x8A9136AA
    assert checksum.crc32c(bytes(range(32))) == 0x46DD794E


def test_the_package_is_not_imported_for_it_and_may_be_later() -> None:
    ran = run_python("""
        import sys
        from otel_feedback.journal.checksum import crc32c
        assert "crc32c" not in sys.modules, "which asks for its version"
        import crc32c as package
        assert package.crc32c(b"frame") == crc32c(b"frame")
    """)
    assert ran.returncode == 0, ran.stderr


def test_a_package_that_is_laid_out_otherwise_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum.PathFinder, "find_spec", lambda *_: None)
    monkeypatch.delitem(checksum.sys.modules, "crc32c._crc32c", raising=False)
    assert checksum._c_module().crc32c(b"123456789") == 0xE3069283  # pyright: ignore[reportPrivateUsage]
