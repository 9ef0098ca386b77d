"""Secrets: three forms of hash, each verified, none that shows the secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput
from fleet.operations.broker_access import hash_broker_password
from fleet.operations.secrets import generate_secret, hash_broker_secret, hash_secret, verify_secret


def hashes(secret: str) -> list[str]:
    return [hash_secret(secret, generated=True), hash_secret(secret), hash_broker_secret(secret)]


def test_each_form_verifies_its_secret_and_no_other() -> None:
    for stored in hashes("correct horse"):
        assert verify_secret("correct horse", stored)
        assert not verify_secret("correct horsE", stored) and not verify_secret("", stored)
        assert "correct" not in stored and len(stored) <= 200, "the column holds 200 characters"


def test_the_same_secret_is_never_hashed_alike() -> None:
    assert len({*hashes("secret"), *hashes("secret")}) == 6


def test_mosquittos_form_is_its_own() -> None:
    # salt and digest of PBKDF2-SHA512 with 2,000 rounds, computed apart with hashlib
    stored = hash_broker_password("password", salt=b"123456789012")
    assert stored.startswith("$7$2000$MTIzNDU2Nzg5MDEy$") and verify_secret("password", stored)


@given(stored=st.text(max_size=120))
def test_what_is_no_hash_verifies_nothing(stored: str) -> None:
    assert not verify_secret("secret", stored)


@pytest.mark.parametrize(
    "stored",
    ["$7$x$y$z", "sha256$$", "scrypt$16384$8$1$AAAA", "scrypt$3$8$1$AAAA$AAAA", "sha256$AA$A", "$7$0$AA==$AA=="],
)
def test_a_broken_hash_verifies_nothing(stored: str) -> None:
    assert not verify_secret("secret", stored)


def test_an_empty_secret_is_none() -> None:
    for make in (hash_secret, hash_broker_secret):
        with pytest.raises(InvalidInput) as caught:
            make("")
        assert caught.value.field == "password"


def test_generated_secrets_differ_and_need_no_quoting() -> None:
    made = {generate_secret() for _ in range(200)}
    assert len(made) == 200 and all(
        len(secret) == 32 and secret.replace("_", "").replace("-", "").isalnum() for secret in made
    )
