"""What all tests need of their process, and what many need of data/."""

import signal
from pathlib import Path

import pytest

import gopolicy  # noqa: F401 - before torch: how its threads wait

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit that: the tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def packed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The games of data/, packed."""
    from gopolicy.games import pack  # here: most tests need no kernels

    path = tmp_path_factory.mktemp("data") / "games.gpk"
    pack([Path(__file__).parents[1] / "data" / "gnugo-selfplay.tar.gz"], path)
    return path
