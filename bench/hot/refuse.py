"""refuse_vs_nginx: turning away a sign-up whose ticket is forged, against nginx `return 503` (which reads no body)."""

import rig
import tokens

SCRIPT = """
local head = "POST /api/v1/signup HTTP/1.1\\r\\nHost: ai.example.com\\r\\nContent-Type: application/json\\r\\n"
local n = 0
local ticket = "TICKET"
function request() n = n + 1
  local forged = string.sub(ticket, 1, #ticket - 9) .. string.format("%09d", n)
  local body = '{"ticket":"' .. forged .. '","proof":"","email":"bot' .. n .. '@example.com"}'
  return head .. "Content-Length: " .. #body .. "\\r\\n\\r\\n" .. body end
"""


def measure() -> dict[str, dict[str, object]]:
    """The figure."""
    what = rig.Comparison("/api/v1/signup", SCRIPT.replace("TICKET", tokens.Doorkeeper().ticket()), 403, 503)
    return rig.compare("refuse_vs_nginx", "return 503;", what)


if __name__ == "__main__":
    rig.report(measure())
