"""An AI service that thinks nothing: one fixed answer to each request, as cheaply as an asyncio protocol can."""

import asyncio
import sys

import uvloop

TEXT = b"word " * 150
BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":'
    b'"assistant","content":"' + TEXT + b'"},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,'
    b'"completion_tokens":150,"total_tokens":190}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Backend(asyncio.Protocol):
    """Answers when a request with a `Content-Length` is whole."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        end = self.held.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.held[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].partition(b"\r")[0]) if at >= 0 else 0
        if len(self.held) >= end + 4 + length:
            self.held = b""
            self.transport.write(ANSWER)


async def main(port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
