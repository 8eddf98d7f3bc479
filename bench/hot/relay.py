"""relay_vs_nginx: a chat completion relayed for a valid session, against nginx `proxy_pass` with a keep-alive pool."""

import rig
import tokens

SCRIPT = """
local sessions = {SESSIONS}
local n = 0
local body = '{"model":"m","messages":[{"role":"user","content":"' .. string.rep("hello ", 40) .. '"}]}'
function request() n = n % #sessions + 1
  return "POST /v1/chat/completions HTTP/1.1\\r\\nHost: ai.example.com\\r\\nAuthorization: Bearer " .. sessions[n] ..
    "\\r\\nUser-Agent: OpenAI/Python 1.99\\r\\nAccept: application/json\\r\\nContent-Type: application/json\\r\\n" ..
    "Content-Length: " .. #body .. "\\r\\n\\r\\n" .. body end
"""
LOCATION = (
    "upstream behind { server 127.0.0.1:BACKEND; keepalive 64; keepalive_requests 100000000; } --- proxy_pass "
    'http://behind; proxy_http_version 1.1; proxy_set_header Connection "";'
)


def measure() -> dict[str, dict[str, object]]:
    """The figure."""
    listed = ", ".join(f'"{session.decode()}"' for session in tokens.sessions())
    what = rig.Comparison("/v1/chat/completions", SCRIPT.replace("SESSIONS", listed), 200, 200)
    return rig.compare("relay_vs_nginx", LOCATION, what, relays=True)


if __name__ == "__main__":
    rig.report(measure())
