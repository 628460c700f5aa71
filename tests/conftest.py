"""What all tests need of their process."""

import signal

import gopolicy  # noqa: F401 - before torch: how its threads wait

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit that: the tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
