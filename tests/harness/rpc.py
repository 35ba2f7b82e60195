"""Calls without pyone: the answer as it is on the wire, and bodies that no client would send."""

import http.client
import xmlrpc.client

TIMEOUT_S = 60


class Answer:
    """What one call gave: `outcome` is ok, error or fault."""

    def __init__(self, outcome, members=(), fault=None):
        self.outcome = outcome
        self.members = list(members)
        self.fault = fault

    @property
    def value(self):
        """The second member: body, id or error text; of a fault its text."""
        return self.fault.faultString if self.fault else self.members[1]

    @property
    def code(self):
        """Error code; of a fault the fault's code."""
        return self.fault.faultCode if self.fault else self.members[2]

    @property
    def types(self):
        """Type names of the members, in order."""
        return [type(member).__name__ for member in self.members]

    def __repr__(self):
        return f"{self.outcome} {self.code}: {str(self.value)[:300]}"


def answer_read(body):
    """An Answer from the bytes of a methodResponse."""
    try:
        (members,), _ = xmlrpc.client.loads(body, use_builtin_types=True)
    except xmlrpc.client.Fault as fault:
        return Answer("fault", fault=fault)
    return Answer("ok" if members[0] is True else "error", members)


def post(server, body, headers=None, path="/RPC2", timeout=TIMEOUT_S):
    """POSTs bytes; gives (HTTP status, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", path, body, {"Content-Type": "text/xml", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class Session:
    """Calls as one user."""

    def __init__(self, server, credentials=None, timeout=TIMEOUT_S):
        self.server = server
        self.timeout = timeout
        self.credentials = credentials or server.admin

    def call(self, method, *params):
        """Calls `one.<method>` with the session in front."""
        body = xmlrpc.client.dumps((self.credentials, *params), f"one.{method}", allow_none=False)
        status, answer = post(self.server, body.encode(), timeout=self.timeout)
        assert status == 200, f"one.{method}: HTTP {status}: {answer[:300]!r}"
        return answer_read(answer)

    def ok(self, method, *params):
        """The value of a call that must go well."""
        answer = self.call(method, *params)
        assert answer.outcome == "ok", f"one.{method}{params!r:.300}: {answer}"
        return answer.value
