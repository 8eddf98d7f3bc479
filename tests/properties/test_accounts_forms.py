"""Addresses, passwords and tokens under any input: never a crash, always one normal form."""

from hypothesis import example, given
from hypothesis import strategies as st

from doorward.accounts import tokens
from doorward.accounts.addresses import LONGEST, Address, parse
from doorward.accounts.errors import BadAddressError, WeakPasswordError
from doorward.accounts.passwords import LONGEST as LONGEST_PASSWORD
from doorward.accounts.passwords import check, normalise

names = st.text("abcXYZ019.+-_!", min_size=1, max_size=20)
domains = st.sampled_from(
    ["example.com", "GMAIL.com", "googlemail.com", "pm.me", "me.com", "ada.fastmail.com", "例子.公司", "bücher.example"]
)
plausible = st.builds("{}@{}".format, names, domains)


def parsed(text: str) -> Address | None:
    try:
        return parse(text)
    except BadAddressError:
        return None


@given(st.text(max_size=400) | plausible | st.builds("{}@{}".format, st.text(max_size=20), st.text(max_size=40)))
def test_any_text_is_an_address_or_a_clear_refusal(text):
    address = parsed(text)
    if address is not None:
        assert address.text.isascii()
        assert len(address.text) <= LONGEST
        assert address.text.count("@") == 1
        assert address.domain == address.domain.lower()


@given(plausible)
@example("0.+0@example.com")
def test_normalising_twice_is_normalising_once(text):
    address = parsed(text)
    if address is not None:
        assert parse(address.text) == address
        mailbox = parse(address.mailbox)
        assert mailbox.mailbox == mailbox.text == address.mailbox


@given(names, domains, st.text("abc09", min_size=1, max_size=8))
def test_a_tag_or_another_case_is_the_same_mailbox(name, domain, tag):
    address = parsed(f"{name}@{domain}")
    if address is not None and "+" not in name:
        assert parse(f"{name}+{tag}@{domain}").mailbox == address.mailbox
        assert parse(f"{name.swapcase()}@{domain}").mailbox == address.mailbox


@given(st.text(max_size=300), st.text(max_size=30))
def test_any_text_is_a_password_or_a_clear_refusal(password, context):
    try:
        accepted = check(password, minimum=15, context=(context,))
    except WeakPasswordError:
        return
    assert accepted == normalise(accepted)
    assert 15 <= len(accepted) <= LONGEST_PASSWORD
    assert check(accepted, minimum=15, context=(context,)) == accepted


@given(st.binary(min_size=20, max_size=20))
def test_every_key_is_told_by_its_form(random):
    key = tokens.key_from(random)
    assert tokens.kind_of(key.encode()) is tokens.Credential.KEY
    assert len(key) == 46


@given(st.binary(min_size=20, max_size=20), st.integers(8, 45), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_wrong_letter_is_always_noticed(random, index, letter):
    key = tokens.key_from(random)
    changed = key[:index] + letter + key[index + 1 :]
    assert (tokens.kind_of(changed.encode()) is None) == (changed != key)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_credential_or_not(data):
    kind = tokens.kind_of(data)
    assert kind is None or data.startswith((b"dws_", b"dw_live_"))


@given(st.binary(max_size=64))
def test_text_of_bytes_comes_back(data):
    assert tokens.bytes_of(tokens.text_of(data)) == data


@given(st.text(max_size=64))
def test_bytes_have_one_spelling(text):
    data = tokens.bytes_of(text)
    assert data == b"" or tokens.text_of(data) == text
