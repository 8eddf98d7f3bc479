"""A backup's file: what goes in comes out; one changed bit, or one missing byte, anywhere in it is found."""

import io

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.vault.backups.container import BODY, MANIFEST, Fingerprint, Head, Manifest, Reader, Writer
from doorward.vault.backups.errors import BackupDamagedError, BackupError, BackupForeignError, BackupTooNewError
from doorward.vault.backups.recipients import AgeIdentity, AgeRecipients, RingRecipient
from doorward.vault.ring import Ring

RING = Ring.fresh()
KEY = RingRecipient(RING)
HEAD = Head(database="sqlite", revision="0007", ring=RING.ring_id, made_at=1.8e9, program="0.1", opened_by="ring")
SMALL = 64  # bytes of a chunk here: then a little file has many


def written(*pieces: bytes, key=KEY, head=HEAD, chunk_bytes=SMALL) -> bytes:
    file = io.BytesIO()
    writer = Writer(file, head, key, chunk_bytes)
    for piece in pieces:
        writer.write(BODY, piece)
    writer.finish(Manifest(body_bytes=sum(map(len, pieces)), tables={"t": Fingerprint(2, "ab")}))
    return file.getvalue()


def read(data: bytes, key=KEY, chunk_bytes=SMALL) -> list[tuple[bytes, bytes]]:
    return list(Reader(io.BytesIO(data), key, chunk_bytes).pieces())


FILE = written(b"the rows", b"", b"x" * 200)


def payload_of(data: bytes) -> int:
    """Where the payload begins."""
    file = io.BytesIO(data)
    Reader(file, KEY, SMALL)
    return file.tell()


def test_what_goes_in_comes_out():
    *pieces, (kind, manifest) = read(FILE)
    assert pieces == [(BODY, b"the rows"), (BODY, b""), (BODY, b"x" * 200)]
    assert kind == MANIFEST
    assert msgspec.json.decode(manifest, type=Manifest).tables == {"t": Fingerprint(2, "ab")}
    assert Reader(io.BytesIO(FILE), None).head == HEAD


@given(st.lists(st.binary(max_size=300), max_size=12), st.integers(1, 100))
def test_pieces_of_any_size_cross_chunks_of_any_size(pieces, chunk_bytes):
    data = written(*pieces, chunk_bytes=chunk_bytes)
    assert [piece for kind, piece in read(data, chunk_bytes=chunk_bytes) if kind == BODY] == pieces


@pytest.mark.parametrize("size", [SMALL - 5, SMALL - 4, SMALL, SMALL + 1, 2 * SMALL - 10, 2 * SMALL - 5, 2 * SMALL])
def test_pieces_that_end_where_a_chunk_does(size):
    assert read(written(b"a" * size))[0] == (BODY, b"a" * size)


@pytest.mark.slow
def test_every_flipped_bit_is_found():
    for place in range(len(FILE)):
        for bit in range(8):
            changed = bytearray(FILE)
            changed[place] ^= 1 << bit
            with pytest.raises(BackupError):
                read(bytes(changed))


def test_every_missing_end_is_found():
    for length in range(len(FILE)):
        with pytest.raises(BackupError):
            read(FILE[:length])


@given(st.binary(min_size=1, max_size=200))
def test_every_added_end_is_found(more):
    with pytest.raises(BackupDamagedError):
        read(FILE + more)


@given(st.data())
def test_chunks_in_another_order_or_number_are_found(data):
    start, size = payload_of(FILE), SMALL + 16
    chunks = [FILE[at : at + size] for at in range(start, len(FILE), size)]
    assert len(chunks) > 4
    moved = data.draw(st.lists(st.sampled_from(chunks), max_size=8))
    if moved != chunks:
        with pytest.raises(BackupDamagedError):
            read(FILE[:start] + b"".join(moved))


def test_two_files_have_no_chunk_in_common():
    start, other = payload_of(FILE), written(b"the rows", b"", b"x" * 200)
    with pytest.raises(BackupDamagedError):
        read(FILE[:start] + other[start:])
    assert other[payload_of(other) :] != FILE[start:]


@given(st.binary(max_size=3_000))
@settings(max_examples=300)
def test_any_bytes_are_a_backup_or_a_clear_error(data):
    with pytest.raises(BackupError):
        read(data)
    with pytest.raises(BackupError):
        read(b"doorward-backup\n" + data)


def test_another_ring_does_not_open_it():
    with pytest.raises(BackupForeignError):
        read(FILE, RingRecipient(Ring.fresh()))


def test_a_newer_format_is_named():
    with pytest.raises(BackupTooNewError):
        read(written(b"x", head=msgspec.structs.replace(HEAD, format=2)))


def test_a_head_that_was_exchanged_is_found():
    """Another moment, with all lengths right: the wrapped key is bound to the head."""
    with pytest.raises(BackupDamagedError):
        read(FILE.replace(b"1800000000.0", b"1900000000.0"))


# --- age ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def age():
    return pytest.importorskip("pyrage").x25519


def test_holders_of_age_identities_open_it_and_nobody_else(age):
    ours, theirs, stranger = (age.Identity.generate() for _ in range(3))
    key = AgeRecipients([str(ours.to_public()), str(theirs.to_public())])
    data = written(b"the rows", key=key, head=msgspec.structs.replace(HEAD, opened_by="age"))
    for one in (ours, theirs):
        text = f"# created: today\n# public key: {one.to_public()}\n{one}\n"
        assert read(data, AgeIdentity(text))[0] == (BODY, b"the rows")
    with pytest.raises(BackupForeignError):
        read(data, AgeIdentity(str(stranger)))
    with pytest.raises(BackupForeignError, match="age"):
        read(data)
    with pytest.raises(BackupForeignError, match="ring"):
        read(FILE, AgeIdentity(str(ours)))


def test_every_flipped_bit_of_a_file_for_age_is_found(age):
    identity = age.Identity.generate()
    head = msgspec.structs.replace(HEAD, opened_by="age")
    data = written(b"the rows", key=AgeRecipients([str(identity.to_public())]), head=head)
    opens = AgeIdentity(str(identity))
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(BackupError):
            read(bytes(changed), opens)


@pytest.mark.parametrize("text", ["", "nonsense", "AGE-SECRET-KEY-1QQQ", "# only a comment"])
def test_what_is_no_identity_or_recipient_is_named(age, text):
    with pytest.raises(BackupError):
        read(FILE, AgeIdentity(text))
    with pytest.raises(BackupError, match="recipients"):
        AgeRecipients([text])
