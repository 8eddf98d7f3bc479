"""Which addresses are accepted, how they are written, and which of them are one mailbox."""

import pytest

from doorward.accounts.addresses import parse, rules
from doorward.accounts.errors import BadAddressError


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("ada@example.com", "ada@example.com"),
        ("  Ada.Lovelace@Example.COM \n", "Ada.Lovelace@example.com"),
        ("a+b!#$%&'*/=?^_`{|}~-@x.example", "a+b!#$%&'*/=?^_`{|}~-@x.example"),
        ("x@例子.公司", "x@xn--fsqu00a.xn--55qx5d"),
        ("x@BÜCHER.example", "x@xn--bcher-kva.example"),
        ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example"),
        ("x@faß.example", "x@xn--fa-hia.example"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_accepted(typed, text):
    assert parse(typed).text == text


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "ada@@example.com",
        "a@b@example.com",
        ".ada@example.com",
        "ada.@example.com",
        "a..b@example.com",
        "a b@example.com",
        '"ada"@example.com',
        "(comment)ada@example.com",
        "ada@[192.0.2.1]",
        "ada@192.0.2.1",
        "ada@localhost",
        "ada@example..com",
        "ada@-example.com",
        "ada@exam_ple.com",
        "ada@example.com.",
        "a" * 65 + "@example.com",
        "a" * 60 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 63 + ".example",
        "ada@" + "b" * 64 + ".example",
        "ädä@example.com",
        "ada\r\nBcc: x@example.com",
        "ada@exa\x00mple.com",
        "ada@xn--999999999.example",
        "ada@example.com>",
        "x" * 100_000,
    ],
)
def test_refused_with_the_field_named(typed):
    with pytest.raises(BadAddressError) as caught:
        parse(typed)
    assert caught.value.field == "email"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Example.com", "ada@example.COM"),
        ("ada+news@example.com", "ada@example.com"),
        ("a.d.a+x@googlemail.com", "ada@gmail.com"),
        ("a-d_a.x@pm.me", "adax@proton.me"),
        ("ada@me.com", "ada@icloud.com"),
        ("ada@ya.ru", "ada@yandex.com"),
        ("shop@ada.fastmail.com", "ada@fastmail.com"),
        ("x@例子.公司", "X@xn--fsqu00a.xn--55qx5d"),
    ],
)
def test_one_mailbox(one, other):
    assert parse(one).mailbox == parse(other).mailbox


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.da@example.com", "ada@example.com"),
        ("ada@outlook.com", "ada@hotmail.com"),
        ("ada@fastmail.com", "ada@fastmail.fm"),
        ("+ada@example.com", "+eve@example.com"),
        ("ada-x@yahoo.com", "ada@yahoo.com"),
    ],
)
def test_two_mailboxes(one, other):
    assert parse(one).mailbox != parse(other).mailbox


def test_mail_goes_where_the_person_said():
    address = parse("Ada.L+news@googlemail.com")
    assert (address.text, address.mailbox) == ("Ada.L+news@googlemail.com", "adal@gmail.com")
    assert address.domain == "googlemail.com"


def test_a_local_domain_only_where_it_is_asked_for():
    assert parse("admin@localhost", local=True).text == "admin@localhost"


def test_every_provider_has_a_source_and_no_domain_twice():
    domains = [domain for provider in rules().provider for domain in provider.domains]
    assert len(domains) == len(set(domains))
    assert all(provider.source.startswith("https://") for provider in rules().provider)
