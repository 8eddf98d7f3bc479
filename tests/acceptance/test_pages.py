"""The pages in Debian's Chromium: readable by everybody, on a phone and a desk, in both languages and appearances."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from acceptance.running import program, running, shell

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]
PUBLIC = ["/", "/signup", "/login", "/docs/api", "/problems", "/problems/rate.limited", "/no/such/page"]
PERSONAL = [
    "/account",
    "/account/sessions",
    "/account/keys",
    "/console/door",
    "/console/accounts",
    "/console/mail",
    "/console/vault",
]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
SCREENSHOTS = os.environ.get("DOORWARD_SCREENSHOTS", "")
LOOKS = {
    "desk-light-en": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light", "locale": "en-GB"},
    "phone-dark-zh": {"viewport": {"width": 320, "height": 640}, "color_scheme": "dark", "locale": "zh-CN"},
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def url(directory: Path) -> Iterator[str]:
    with running(directory, "serve") as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = program("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def admin(browser: Browser, url: str, directory: Path) -> list[dict[str, object]]:
    """The cookies of an administrator, by the operator's one-time link."""
    link = json.loads(shell("doorward admin link --email admin@example.org --json", directory))["link"]
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(url + urlsplit(link).path)
        page.locator("main form button").click()
        expect(page).to_have_url(re.compile(r"/console"))
        return context.cookies()


@pytest.fixture(scope="module", params=list(LOOKS))
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stranger(look: str, browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(**LOOKS[look]) as context:
        yield context


@pytest.fixture(scope="module")
def member(look: str, browser: Browser, admin: list[dict[str, object]]) -> Iterator[BrowserContext]:
    with browser.new_context(**LOOKS[look]) as context:
        context.add_cookies(admin)
        yield context


def judged(page: Page, name: str) -> None:
    """No complaint of axe's, of the content policy or of the console; nothing wider than the screen."""
    results = Axe().run(page, options=RULES)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def seen(context: BrowserContext, url: str, path: str, look: str) -> int:
    """Open a page and judge it; its status."""
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    answer = page.goto(url + path)
    assert answer is not None
    assert page.locator("html").get_attribute("lang") == ("zh-Hans" if look.endswith("zh") else "en")
    judged(page, f"{path.strip('/').replace('/', '_') or 'start'}-{look}")
    assert [text for text in complaints if "404" not in text] == []
    page.close()
    return answer.status


@pytest.mark.parametrize("path", PUBLIC)
def test_public_pages_are_for_everybody(stranger: BrowserContext, url: str, path: str, look: str) -> None:
    assert seen(stranger, url, path, look) == (404 if path == "/no/such/page" else 200)


@pytest.mark.parametrize("path", PERSONAL)
def test_personal_pages_are_for_everybody(member: BrowserContext, url: str, path: str, look: str) -> None:
    assert seen(member, url, path, look) == 200


def test_language_and_appearance_are_chosen_by_hand(browser: Browser, url: str) -> None:
    with browser.new_context(java_script_enabled=False, color_scheme="light", locale="en-GB") as context:
        page = context.new_page()
        page.goto(f"{url}/docs/api")
        page.get_by_role("button", name="简体中文").click()
        expect(page).to_have_url(f"{url}/docs/api")
        expect(page.locator("h1")).to_have_text("API 文档")
        page.get_by_role("button", name="深色").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 22, 20)"


def test_the_door_is_live(browser: Browser, url: str, admin: list[dict[str, object]]) -> None:
    with browser.new_context(locale="en-GB") as context:
        context.add_cookies(admin)
        page = context.new_page()
        page.goto(f"{url}/console/door")
        expect(page.get_by_text("Live: renewed every second.")).to_be_visible()
        page.locator("[data-live=tightened]").evaluate("element => { element.textContent = 'stale'; }")
        expect(page.locator("[data-live=tightened]")).to_have_text(re.compile(r"^\d+$"))
        page.locator("#door-posture").evaluate("element => { element.textContent = 'stale'; }")
        expect(page.locator("#door-posture")).not_to_have_text("stale", timeout=30_000)


def test_the_lever_is_pulled_and_undone(browser: Browser, url: str, admin: list[dict[str, object]]) -> None:
    with browser.new_context(java_script_enabled=False, locale="en-GB") as context:
        context.add_cookies(admin)
        page = context.new_page()
        page.goto(f"{url}/console/door")
        page.get_by_label("Cohort", exact=True).fill("mail=example.net")
        page.get_by_label("Level", exact=True).select_option("probation")
        page.get_by_label("Reason", exact=True).fill("A test of the lever")
        page.get_by_role("button", name="Set").click()
        row = page.locator("#door-posture tr", has_text="mail=example.net")
        expect(row.locator(".badge")).to_have_text("Probation")
        expect(row).to_contain_text("A test of the lever")
        row.get_by_role("button").click()
        expect(row.locator(".badge")).to_have_text("Open")
        expect(page.locator("#door-history")).to_contain_text("mail=example.net")


def test_keys_are_replaced_by_a_button(browser: Browser, url: str, admin: list[dict[str, object]]) -> None:
    with browser.new_context(java_script_enabled=False, locale="en-GB") as context:
        context.add_cookies(admin)
        page = context.new_page()
        page.goto(f"{url}/console/vault")
        before = page.locator("#vault-keys .stat dd").first.inner_text()
        page.get_by_role("button", name="Rotate now").click()
        expect(page).to_have_url(f"{url}/console/vault?rotation=begun")
        done = page.get_by_text("The last rotation of this process is done.")
        for _ in range(60):
            if done.is_visible():
                break
            page.wait_for_timeout(500)
            page.goto(f"{url}/console/vault")
        expect(done).to_contain_text(str(int(before) + 1))
        expect(page.locator("#vault-keys .stat dd").first).to_have_text(str(int(before) + 1))


def test_the_wait_list_tells_the_place(browser: Browser, url: str, admin: list[dict[str, object]], look: str) -> None:
    with browser.new_context(**LOOKS[look]) as person, browser.new_context() as operator:
        operator.add_cookies(admin)
        lever = {"cohort": "mail=example.com", "level": "waitlist", "reason": "A test", "expires_in_seconds": 600}
        pulled = operator.request.post(f"{url}/api/v1/admin/posture", headers={"Origin": url}, data=lever)
        assert pulled.status == 201, pulled.text()
        page = person.new_page()
        page.goto(f"{url}/signup")
        page.locator("[name=email]").fill(f"{look}@example.com")
        page.locator("main form button").click()
        expect(page.get_by_role("alert")).to_be_visible()  # the cohort's price is known only now
        page.locator("main form button").click()
        expect(page).to_have_url(re.compile(r"/waitlist/"), timeout=20_000)
        expect(page.locator(".position")).to_have_text(re.compile(r"^\d+$"))
        judged(page, f"waitlist-{look}")


def test_keyboard_reaches_the_content_first(browser: Browser, url: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(url)
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        expect(focused).to_have_attribute("href", "#main")
        expect(focused).to_be_in_viewport()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def newest_letter(context: BrowserContext, url: str, recipient: str) -> str:
    """The text of the last letter to somebody, from the console's mail sink."""
    answer = context.request.get(f"{url}/api/v1/admin/letters?recipient={recipient.replace('@', '%40')}")
    assert answer.ok, answer.text()
    return str(answer.json()["letters"][-1]["text"])


def enter_code(page: Page, letter: str) -> None:
    """Type the code of a letter, and come in."""
    code = re.search(r"^\d{4}[ -]?\d{4}$", letter, re.MULTILINE)
    assert code is not None
    page.get_by_label("Code").fill(code[0])
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your account")


def test_a_person_signs_up_makes_a_key_chats_and_logs_in_again(
    browser: Browser, url: str, admin: list[dict[str, object]]
) -> None:
    with browser.new_context() as person, browser.new_context() as operator:
        operator.add_cookies(admin)
        page = person.new_page()
        page.goto(url)
        page.get_by_role("main").get_by_role("link", name="Sign up").click()
        page.get_by_label("E-mail address").fill("ada@example.org")
        page.get_by_role("main").get_by_role("button", name="Sign up").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Look into your mail")
        enter_code(page, newest_letter(operator, url, "ada@example.org"))
        page.get_by_role("link", name="API keys").click()
        page.get_by_label("Name").fill("laptop")
        page.get_by_role("button", name="Make a key").click()
        key = page.locator(".secret code").inner_text()
        assert key.startswith("dw_live_")
        headers = {"Authorization": f"Bearer {key}"}
        model = person.request.get(f"{url}/v1/models", headers=headers).json()["data"][0]["id"]
        words = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        answer = person.request.post(f"{url}/v1/chat/completions", headers=headers, data=words)
        assert answer.ok, answer.text()
        assert answer.json()["choices"]
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("link", name="Log in").first.click()
        page.get_by_label("E-mail address").fill("ada@example.org")
        page.get_by_role("main").get_by_role("button", name="Log in").click()
        expect(page.get_by_label("Code")).to_be_visible()
        enter_code(page, newest_letter(operator, url, "ada@example.org"))


def test_without_javascript_a_mailed_link_is_enough(browser: Browser, url: str, admin: list[dict[str, object]]) -> None:
    with browser.new_context(java_script_enabled=False) as person, browser.new_context() as operator:
        operator.add_cookies(admin)
        page = person.new_page()
        page.goto(f"{url}/signup")
        page.get_by_label("E-mail address").fill("grace@example.org")
        page.get_by_role("main").get_by_role("button", name="Sign up").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Look into your mail")
        link = re.search(r"https?://\S+", newest_letter(operator, url, "grace@example.org"))
        assert link is not None
        page.goto(url + link[0][link[0].index("/", 8) :])
        page.get_by_role("button", name="Come in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Your account")
