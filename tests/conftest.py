"""What all tests need of their process."""

import os
import signal

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit that: the tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Beside other work, threads that turn while they wait make some tests ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
