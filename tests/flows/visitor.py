"""A visitor in a test: does over HTTP what a person's browser would do."""

import re
import secrets
from dataclasses import dataclass, field

import requests
from altcha import Challenge, Payload, solve_challenge

PATIENCE_SECONDS = 20


@dataclass
class Visitor:
    """One visitor of one door; `admin_key` opens the mail sink to read its mailbox."""

    url: str
    admin_key: str
    email: str = ""
    device: str = ""
    session: str = ""
    http: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.http.trust_env = False
        self.email = self.email or f"visitor-{secrets.token_hex(5)}@example.org"

    def call(self, method: str, path: str, *, at: str = "", credential: str = "", **named) -> requests.Response:
        """One request; `at` is the X-Forwarded-For that the visitor claims."""
        headers = {"Sec-Fetch-Site": "same-origin"} | named.pop("headers", {})
        if at:
            headers["X-Forwarded-For"] = at
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        return self.http.request(
            method, self.url + path, headers=headers, timeout=PATIENCE_SECONDS, allow_redirects=False, **named
        )

    def offer(self, attempt: str = "signup", **named) -> dict:
        """A ticket and a challenge."""
        answer = self.call("POST", f"/api/v1/{attempt}/offer", json={"email": self.email}, **named)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def paid(self, attempt: str = "signup", **named) -> dict[str, str]:
        """A ticket with its proof, the work done."""
        return solved(self.offer(attempt, **named))

    def begin(self, paid: dict[str, str] | None = None, password: str = "", **named) -> requests.Response:
        """Send the sign-up form."""
        form = {"email": self.email, **(self.paid(**named) if paid is None else paid)}
        if password:
            form["password"] = password
        return self.call("POST", "/api/v1/signup", json=form, **named)

    def letters(self) -> list[dict]:
        """What lies in the visitor's mailbox, oldest first."""
        answer = self.call(
            "GET", "/api/v1/admin/letters", credential=self.admin_key, params={"recipient": self.email, "limit": 50}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["letters"]

    def code(self) -> str:
        """The newest code in the mailbox."""
        found = [
            match[1] for letter in self.letters() if (match := re.search(r"\b(\d{4} ?\d{4}|\d{6,8})\b", letter["text"]))
        ]
        assert found, [letter["subject"] for letter in self.letters()]
        return found[-1].replace(" ", "")

    def confirm(self, pending: str, code: str, **named) -> requests.Response:
        """Send the code from the mail."""
        return self.call("POST", "/api/v1/signup/confirm", json={"pending": pending, "code": code}, **named)

    def sign_up(self, password: str = "", **named) -> dict:
        """The whole sign-up; returns the answer to its confirmation."""
        begun = self.begin(password=password, **named)
        assert begun.status_code == 202, begun.text
        confirmed = self.confirm(begun.json()["pending"], self.code(), **named)
        assert confirmed.status_code == 201, confirmed.text
        answer = confirmed.json()
        self.session, self.device = answer["session"], answer["device"]
        return answer

    def make_key(self, *scopes: str) -> dict:
        """A new API key, shown once."""
        body = {"name": "test", "scopes": list(scopes) or ["chat"]}
        answer = self.call("POST", "/api/v1/keys", json=body, credential=self.session)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def chat(self, credential: str, *, stream: bool = False, **named) -> requests.Response:
        """One chat through the door."""
        body = {"model": "sim-small", "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        return self.call("POST", "/v1/chat/completions", json=body, credential=credential, stream=stream, **named)


def solved(offer: dict) -> dict[str, str]:
    """Do the work of an offer."""
    challenge = Challenge.from_dict(offer["challenge"])
    solution = solve_challenge(challenge)
    assert solution is not None
    return {"ticket": offer["ticket"], "proof": Payload(challenge, solution).to_base64()}
