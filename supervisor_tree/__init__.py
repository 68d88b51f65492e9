"""An Erlang/OTP supervision tree of operating-system processes, run by one command: `supervisor-tree start`."""

__version__ = "0.1.0"
