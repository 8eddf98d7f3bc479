"""Asking the AI service a question and reading the answer as it streams."""

import time

from doorward.siege.client import Actor, Answer, Call, TransportError
from doorward.siege.ground import Ground
from doorward.siege.model import ChatRecord

_QUESTIONS = (
    "Why is the sky blue?",
    "Write a haiku about doors.",
    "用一句话解释什么是工作量证明。",
    "Translate 'good morning' into German.",
)
_TIMEOUT_SECONDS = 20.0


async def chat(ground: Ground, actor: Actor, number: int) -> ChatRecord:
    """One streamed chat; its latency is to the first byte of the answer's body."""
    at_s = ground.now_s()
    began = time.perf_counter()
    tail = b""

    def take(piece: bytes) -> None:
        nonlocal tail
        tail = (tail + piece)[-64:]

    value = {
        "model": ground.model,
        "stream": True,
        "max_tokens": 16,
        "messages": [{"role": "user", "content": _QUESTIONS[number % len(_QUESTIONS)]}],
    }
    call = Call.json("/v1/chat/completions", value, _TIMEOUT_SECONDS)
    try:
        answer = await ground.target.client.send(actor, call, take)
    except TransportError as error:
        why = type(error).__name__.removesuffix("Error").lower()
        return ChatRecord(at_s, False, False, (time.perf_counter() - began) * 1000, why)
    is_whole = answer.status == 200 and b"[DONE]" in tail
    why = "" if is_whole else "cut-short" if answer.status == 200 else f"http-{answer.status}"
    return ChatRecord(at_s, is_whole, is_challenge(answer), answer.first_byte_seconds * 1000, why)


def is_challenge(answer: Answer) -> bool:
    """Whether the answer asks somebody who belongs to prove it again: pay, log in, or be somebody else."""
    return answer.status in {302, 303, 401, 403, 428}
