"""authorize_vs_nginx: `/authorize` with a valid session, against nginx `return 204` (which checks nothing)."""

import rig
import tokens

SCRIPT = """
local sessions = {SESSIONS}
local n = 0
function request() n = n % #sessions + 1
  return "GET /authorize HTTP/1.1\\r\\nHost: ai.example.com\\r\\n" ..
    "Authorization: Bearer " .. sessions[n] .. "\\r\\n\\r\\n" end
"""


def measure() -> dict[str, dict[str, object]]:
    """The figure."""
    listed = ", ".join(f'"{session.decode()}"' for session in tokens.sessions())
    what = rig.Comparison("/authorize", SCRIPT.replace("SESSIONS", listed), 200, 204)
    return rig.compare("authorize_vs_nginx", "return 204;", what)


if __name__ == "__main__":
    rig.report(measure())
