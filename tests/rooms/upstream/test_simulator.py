"""The simulated service over real HTTP: its shapes, its seed, its pace, its slots and its faults."""

import asyncio
import base64
import struct
import zlib

import pytest
from wire import ask, asking, chat

from doorward.upstream.simulator import Simulator, parse_fault

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


class TestChat:
    async def test_a_plain_answer_counts_its_tokens(self, simulate):
        answer = await ask((await simulate()).url, "/chat/completions", chat())
        body = answer.json()
        content = body["choices"][0]["message"]["content"]
        assert (answer.status, body["object"], body["model"]) == (200, "chat.completion", "sim-chat")
        assert body["usage"]["completion_tokens"] == len(content.split())
        assert 24 <= len(content.split()) <= 87
        assert body["usage"]["total_tokens"] == sum(body["usage"][k] for k in ("prompt_tokens", "completion_tokens"))

    async def test_a_stream_says_the_same_in_events(self, simulate):
        url = (await simulate()).url
        plain = (await ask(url, "/chat/completions", chat())).json()
        answer = await ask(url, "/chat/completions", chat(**STREAMED))
        *chunks, usage, done = answer.events()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert done == "[DONE]"
        assert (usage["choices"], usage["usage"]) == ([], plain["usage"])
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        assert text == plain["choices"][0]["message"]["content"]
        assert all(chunk["usage"] is None for chunk in chunks)

    async def test_usage_is_not_sent_unasked(self, simulate):
        answer = await ask((await simulate()).url, "/chat/completions", chat(stream=True))
        assert all("usage" not in event for event in answer.events()[:-1])

    async def test_the_seed_decides_what_is_said(self, simulate):
        first, again, other = await simulate(seed=7), await simulate(seed=7), await simulate(seed=8)
        said = [(await ask(s.url, "/chat/completions", chat(n=2))).json()["choices"] for s in (first, again, other)]
        assert said[0] == said[1] != said[2]
        assert said[0][0]["message"] != said[0][1]["message"]

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    async def test_the_asker_limits_the_answer(self, simulate, name):
        answer = await ask((await simulate()).url, "/chat/completions", chat(**{name: 3}))
        assert answer.json()["usage"]["completion_tokens"] == 3
        assert answer.json()["choices"][0]["finish_reason"] == "length"

    async def test_content_may_come_in_parts_and_unknown_fields_are_ignored(self, simulate):
        parts = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": "x"}}]
        body = {"model": "sim-chat", "messages": [{"role": "user", "content": parts, "name": "x"}], "temperature": 1}
        url = (await simulate()).url
        assert (await ask(url, "/chat/completions", body)).json()["choices"] == (
            await ask(url, "/chat/completions", chat())
        ).json()["choices"]

    async def test_several_choices_are_streamed_in_turn(self, simulate):
        url = (await simulate()).url
        plain = (await ask(url, "/chat/completions", chat(n=3))).json()
        said = ["", "", ""]
        for event in (await ask(url, "/chat/completions", chat(n=3, stream=True))).events()[:-1]:
            (choice,) = event["choices"]
            said[choice["index"]] += choice["delta"].get("content", "")
        assert said == [choice["message"]["content"] for choice in plain["choices"]]


class TestOtherAbilities:
    async def test_models_are_listed_and_shown(self, simulate):
        url = (await simulate()).url
        models = (await ask(url, "/models")).json()["data"]
        assert {"sim-chat", "sim-embed", "sim-image"} <= {model["id"] for model in models}
        assert (await ask(url, "/models/sim-chat")).json() == models[0]
        assert (await ask(url, "/models/none")).json()["error"]["code"] == "model_not_found"

    async def test_embeddings_are_unit_vectors_of_the_text(self, simulate):
        body = {"model": "sim-embed", "input": ["one", "two", "one"], "dimensions": 64}
        answer = (await ask((await simulate()).url, "/embeddings", body)).json()
        first, second, third = (entry["embedding"] for entry in answer["data"])
        assert first == third != second
        assert sum(value * value for value in first) == pytest.approx(1)
        assert (len(first), answer["usage"]["total_tokens"]) == (64, 3)

    @pytest.mark.parametrize("size", [(16, 16), (100, 60), (1024, 1024)])
    async def test_pictures_are_png_of_the_size_asked_for(self, simulate, size):
        body = {"prompt": "a door", "n": 2, "size": f"{size[0]}x{size[1]}"}
        data = (await ask((await simulate()).url, "/images/generations", body)).json()["data"]
        pictures = [base64.b64decode(entry["b64_json"]) for entry in data]
        assert pictures[0] != pictures[1]
        for picture in pictures:
            assert picture[:8] == b"\x89PNG\r\n\x1a\n"
            assert struct.unpack(">II", picture[16:24]) == size
            length = struct.unpack(">I", picture[33:37])[0]
            pixels = zlib.decompress(picture[41 : 41 + length])
            assert len(pixels) == size[1] * (1 + 3 * size[0])
            assert struct.unpack(">I", picture[41 + length : 45 + length])[0] == zlib.crc32(picture[37 : 41 + length])


class TestBadInput:
    @pytest.mark.parametrize(
        ("body", "status", "param", "code"),
        [
            (b"{", 400, None, None),
            (b"\xff", 400, None, None),
            (b"[" * 100_000, 400, None, None),
            ({"messages": [{"role": "user", "content": "x"}]}, 400, None, None),
            (chat(model=3), 400, "model", None),
            (chat(model="gpt-9"), 404, "model", "model_not_found"),
            (chat(model="sim-embed"), 404, "model", "model_not_found"),
            ({"model": "sim-chat", "messages": []}, 400, "messages", None),
            ({"model": "sim-chat", "messages": [{"role": "user", "content": 3}]}, 400, "messages[0].content", None),
            (chat(n=9), 400, "n", None),
            (chat(max_tokens=0), 400, "max_tokens", None),
            (chat(max_tokens=-1), 400, "max_tokens", None),
            (b'"' + b"x" * 16_777_216, 413, None, None),
        ],
    )  # fmt: skip
    async def test_is_told_in_openais_shape(self, simulate, body, status, param, code):
        answer = await ask((await simulate()).url, "/chat/completions", body)
        error = answer.json()["error"]
        assert (answer.status, error["param"], error["code"]) == (status, param, code)
        assert error["type"] == "invalid_request_error"
        assert error["message"]

    async def test_unknown_addresses_and_methods(self, simulate):
        url = (await simulate()).url
        assert (await ask(url, "/nothing")).status == 404
        assert (await ask(url, "/chat/completions")).status == 405
        assert (await ask(url, "/nothing", {})).json()["error"]["code"] == "unknown_url"

    async def test_sizes_of_pictures_are_limited(self, simulate):
        body = {"prompt": "x", "size": "2048x2048"}
        assert (await ask((await simulate()).url, "/images/generations", body)).json()["error"]["param"] == "size"

    async def test_a_key_is_asked_for_where_one_is_set(self, simulate):
        url = (await simulate(api_key="sk-sim")).url
        assert (await ask(url, "/models")).json()["error"]["code"] == "invalid_api_key"
        assert (await ask(url, "/models", authorization="Bearer sk-simx")).status == 401
        assert (await ask(url, "/models", authorization="Bearer sk-sim")).status == 200


class TestPaceAndSlots:
    async def test_tokens_come_one_after_the_other(self, simulate):
        simulator = await simulate(tokens_per_second=100, answer_tokens=(20, 20))
        async with asking(simulator.url, "/chat/completions", chat(stream=True)) as asked:
            await asked.reader.readuntil(b'"delta":{"content":')
            assert simulator.counts.completed == 0  # the first token is here before the answer is complete
            assert (await asked.reader.read()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert simulator.counts.completed == 1

    async def test_no_more_work_at_once_than_slots(self, simulate):
        simulator = await simulate(slots=2, tokens_per_second=2_000)
        answers = await asyncio.gather(*(ask(simulator.url, "/chat/completions", chat(str(i))) for i in range(9)))
        assert [answer.status for answer in answers] == [200] * 9
        assert simulator.counts.most_working == 2
        assert (simulator.counts.working, simulator.counts.waiting) == (0, 0)

    @pytest.mark.parametrize(("status", "code"), [(429, "rate_limit_exceeded"), (503, "overloaded")])
    async def test_beyond_the_queue_one_is_turned_away(self, simulate, until, status, code):
        simulator = await simulate(slots=1, queue=1, full_status=status, tokens_per_second=1)
        async with (
            asking(simulator.url, "/chat/completions", chat(stream=True)),
            asking(simulator.url, "/chat/completions", chat(stream=True)),
        ):
            await until(lambda: simulator.counts.waiting == 1)
            answer = await ask(simulator.url, "/chat/completions", chat())
            assert (answer.status, answer.json()["error"]["code"]) == (status, code)
            assert answer.headers["retry-after"] == "1"
        assert simulator.counts.turned_away == 1

    async def test_one_who_leaves_gives_the_slot_to_the_next(self, simulate, until):
        simulator = await simulate(slots=1, tokens_per_second=1)
        async with (
            asking(simulator.url, "/chat/completions", chat(stream=True)) as first,
            asking(simulator.url, "/chat/completions", chat(stream=True)) as second,
            asking(simulator.url, "/chat/completions", chat(stream=True)) as third,
        ):
            await until(lambda: simulator.counts.waiting == 2)
            second.hang_up()
            await until(lambda: simulator.counts.waiting == 1)
            first.hang_up()
            await third.reader.readuntil(b'"role":"assistant"')
            assert (simulator.counts.abandoned, simulator.counts.waiting, simulator.counts.working) == (2, 0, 1)

    async def test_many_streams_at_once_are_all_whole(self, simulate):
        simulator = await simulate(tokens_per_second=400)
        answers = await asyncio.gather(
            *(ask(simulator.url, "/chat/completions", chat(str(i), stream=True)) for i in range(40))
        )
        assert {answer.events()[-1] for answer in answers} == {"[DONE]"}
        assert simulator.counts.completed == 40


class TestFaults:
    async def test_an_error(self, simulate):
        answer = await ask((await simulate(faults=(parse_fault("error"),))).url, "/chat/completions", chat())
        assert (answer.status, answer.json()["error"]["type"]) == (500, "server_error")

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_blank_answer(self, simulate, stream):
        url = (await simulate(faults=(parse_fault("blank"),))).url
        answer = await ask(url, "/chat/completions", chat(stream=stream))
        assert answer.is_whole
        if stream:
            assert "".join(c["choices"][0]["delta"].get("content", "") for c in answer.events()[:-1]) == ""
        else:
            assert answer.json()["choices"][0]["message"]["content"] == ""

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_cut(self, simulate, stream):
        url = (await simulate(faults=(parse_fault("cut"),))).url
        answer = await ask(url, "/chat/completions", chat(stream=stream))
        assert (answer.status, answer.is_whole) == (200, False)
        assert answer.body

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_stall_holds_the_slot_until_the_asker_goes(self, simulate, until, stream):
        simulator = await simulate(faults=(parse_fault("stall"),))
        async with asking(simulator.url, "/chat/completions", chat(stream=stream)) as asked:
            await until(lambda: simulator.counts.working == 1)
            asked.hang_up()
            await until(lambda: simulator.counts.abandoned == 1)
        assert simulator.counts.working == 0

    async def test_a_share_of_requests_the_same_for_a_seed(self, simulate):
        async def statuses(seed: int) -> list[int]:
            url = (await simulate(faults=(parse_fault("error:0.5"),), seed=seed)).url
            return [(await ask(url, "/embeddings", {"model": "sim-embed", "input": "x"})).status for _ in range(30)]

        first = await statuses(1)
        assert first == await statuses(1) != await statuses(2)
        assert {200, 500} == set(first)

    async def test_a_fault_whose_time_is_over(self, simulate):
        url = (await simulate(faults=(parse_fault("error@1000-"),))).url
        assert (await ask(url, "/chat/completions", chat())).status == 200

    async def test_a_cut_on_purpose_is_no_error_in_the_log(self, simulate, caplog):
        url = (await simulate(faults=(parse_fault("cut"),))).url
        await ask(url, "/chat/completions", chat())
        assert caplog.records == []


class TestLife:
    async def test_health_counts(self, simulate):
        simulator = await simulate()
        await ask(simulator.url, "/chat/completions", chat())
        health = (await ask(simulator.url.removesuffix("/v1"), "/health")).json()
        assert (health["status"], health["requests"], health["completed"]) == ("ok", 1, 1)

    async def test_stopping_ends_running_streams(self, until):
        simulator = Simulator()
        await simulator.start()
        async with asking(simulator.url, "/chat/completions", chat(stream=True)) as asked:
            await until(lambda: simulator.counts.working == 1)
            await simulator.stop()
            await asked.reader.read()
            assert asked.reader.at_eof()

    async def test_a_taken_port_is_told(self, simulate):
        port = int((await simulate()).url.split(":")[2].removesuffix("/v1"))
        with pytest.raises(OSError, match=r"[Aa]ddress"):
            await Simulator(port=port).start()
