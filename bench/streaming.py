"""An AI service that streams: one short server-sent event every few milliseconds, the same to everybody.

`python streaming.py PORT`, until the process is ended.
"""

import asyncio
import sys

import uvloop

TOKENS = 40
GAP_SECONDS = 0.004
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
HEALTHY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    b'{"content":"word "},"finish_reason":null}]}\n\n'
)
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Service(asyncio.Protocol):
    """Begins to stream when a request with a `Content-Length` is whole."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection."""
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        """Some of a request."""
        self.held += data
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.held[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].partition(b"\r")[0]) if at >= 0 else 0
        if len(self.held) >= end + 4 + length:
            is_chat, self.held = self.held.startswith(b"POST"), b""
            if is_chat:
                self.transport.write(HEAD)
                self._next(TOKENS)
            else:
                self.transport.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
                )

    def _next(self, left: int) -> None:
        if left:
            self.transport.write(chunk(EVENT))
            asyncio.get_running_loop().call_later(GAP_SECONDS, self._next, left - 1)
        else:
            self.transport.write(chunk(DONE) + b"0\r\n\r\n")


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
