"""Passwords and keys are masked, and nothing else is."""

from __future__ import annotations

import pytest

from searchspace.masking import without_secrets

KEYS = {
    "WANDB_API_KEY": "0123456789abcdef",
    "TOKENIZERS_PARALLELISM": "disabled",
    "PGPASSWORD": "x",
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pass@host:5432/db?password=p", "postgresql://***@host:5432/db?password=***"),
        ("S3://key:secret@bucket/runs and s3://bucket/x", "S3://***@bucket/runs and s3://bucket/x"),
        ("'https://a.example/x?token=abc&b=c'", "'https://a.example/x?token=***&b=***'"),
        ("key 0123456789abcdef refused", "key *** refused"),
        ("https://host/path: refused", "https://host/path: refused"),
        ("disabled; x; me@host; a?b=c; f(a=b&c=d)", "disabled; x; me@host; a?b=c; f(a=b&c=d)"),
    ],
)  # fmt: skip
def test_logins_arguments_of_addresses_and_keys_are_masked(text: str, shown: str) -> None:
    assert without_secrets(text, KEYS) == shown
