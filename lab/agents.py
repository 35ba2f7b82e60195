"""The agents' processes on hosts."""

from lab import wait_until

# The pause between two attempts to reach a host grows up to 10 seconds, and a connection that hangs is given up after 15.
BACK_SECONDS = 60


def agent_pids(node):
    """The agent's process on a host: a program whose first words are `node daemon`."""
    script = "for f in /proc/[0-9]*; do tr '\\0' ' ' <$f/cmdline 2>/dev/null | grep -qE '^[^ ]+ node daemon ' && basename $f; done; :"
    return node.out(["bash", "-c", script]).split()


def agent_kill(node):
    (pid,) = agent_pids(node)
    node.run(["kill", "-9", pid])
    wait_until(BACK_SECONDS, lambda: agent_pids(node) not in ([], [pid]), f"the agent of {node.name} was not started again")
