"""Project Wycheproof's vectors for every primitive that the vault stands on, run against the library that we call.

The files are not in the repository: without `../shared/data/vectors/wycheproof` the tests are skipped by name.
"""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

FOLDER = Path(__file__).parents[2].parent / "shared/data/vectors/wycheproof"
Check = Callable[[dict[str, Any], dict[str, Any]], bool]
"""Whether the library takes what a vector says and gives what it promises; False: it refuses, or gives another."""


def raw(vector: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(vector[name])


def aead(cipher: Any) -> Check:
    def check(group: dict[str, Any], vector: dict[str, Any]) -> bool:
        key, nonce, aad, message = (raw(vector, name) for name in ("key", "iv", "aad", "msg"))
        sealed = raw(vector, "ct") + raw(vector, "tag")
        try:
            opened = cipher(key).decrypt(nonce, sealed, aad)
        except (InvalidTag, ValueError):
            return False
        return opened == message and cipher(key).encrypt(nonce, message, aad) == sealed

    return check


def hkdf(_group: dict[str, Any], vector: dict[str, Any]) -> bool:
    try:
        derived = HKDF(SHA256(), vector["size"], salt=raw(vector, "salt"), info=raw(vector, "info"))
        return derived.derive(raw(vector, "ikm")) == raw(vector, "okm")
    except ValueError:
        return False


def hmac_sha256(group: dict[str, Any], vector: dict[str, Any]) -> bool:
    tag = hmac.digest(raw(vector, "key"), raw(vector, "msg"), "sha256")[: group["tagSize"] // 8]
    return hmac.compare_digest(tag, raw(vector, "tag"))


def ed25519(group: dict[str, Any], vector: dict[str, Any]) -> bool:
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
    try:
        key.verify(raw(vector, "sig"), raw(vector, "msg"))
    except InvalidSignature:
        return False
    return True


def x25519(_group: dict[str, Any], vector: dict[str, Any]) -> bool:
    try:
        public = X25519PublicKey.from_public_bytes(raw(vector, "public"))
        shared = X25519PrivateKey.from_private_bytes(raw(vector, "private")).exchange(public)
    except ValueError:  # a point of small order: the shared secret would be zero
        return False
    return shared == raw(vector, "shared")


def key_wrap(_group: dict[str, Any], vector: dict[str, Any]) -> bool:
    key, message, wrapped = (raw(vector, name) for name in ("key", "msg", "ct"))
    try:
        return aes_key_unwrap_with_padding(key, wrapped) == message and (
            aes_key_wrap_with_padding(key, message) == wrapped
        )
    except (InvalidUnwrap, ValueError):
        return False


@pytest.mark.parametrize(
    ("name", "check", "fewest"),
    [
        pytest.param("aes_gcm_siv_test", aead(AESGCMSIV), 200, id="aes-gcm-siv"),
        pytest.param("aes_gcm_test", aead(AESGCM), 300, id="aes-gcm"),
        pytest.param("chacha20_poly1305_test", aead(ChaCha20Poly1305), 300, id="chacha20-poly1305"),
        pytest.param("aes_kwp_test", key_wrap, 250, id="aes-kwp"),
        pytest.param("hkdf_sha256_test", hkdf, 80, id="hkdf-sha256"),
        pytest.param("hmac_sha256_test", hmac_sha256, 170, id="hmac-sha256"),
        pytest.param("ed25519_test", ed25519, 150, id="ed25519"),
        pytest.param("x25519_test", x25519, 500, id="x25519"),
    ],
)
def test_wycheproof(name: str, check: Check, fewest: int) -> None:
    path = FOLDER / f"{name}.json"
    if not path.exists():
        pytest.skip(f"Wycheproof: {path} is not there")
    groups = json.loads(path.read_text())["testGroups"]
    wrong, count = [], 0
    for group in groups:
        for vector in group["tests"]:
            count += 1
            good = check(group, vector)
            # "acceptable" vectors may be taken or refused, and so may nonces of other lengths than our 96 bits (the
            # library has bounds for them); what is taken must be right, as `check` has seen.
            must_take = vector["result"] == "valid" and group.get("ivSize", 96) == 96
            if (must_take and not good) or (vector["result"] == "invalid" and good):
                wrong.append((vector["tcId"], vector["comment"], vector["flags"]))
    assert wrong == []
    assert count >= fewest
