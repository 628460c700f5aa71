"""From games to moves in a few minutes: sets everything up, packs games, trains a small network, shows moves.

    python scripts/demo.py                  # all of it; the second time without the set-up
    python scripts/demo.py --minutes 5      # a longer training
    .gopolicy-venv/bin/gopolicy --help      # afterwards: what else there is (Windows: .gopolicy-venv\\Scripts\\gopolicy)

Needs Python 3.11 or newer with pip, and the network the first time. Writes .gopolicy-venv/ and runs/demo/ in the checkout.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file is kept simple enough for old ones to come this far
    sys.exit("gopolicy needs Python 3.11 or newer, and this is Python " + sys.version.split()[0] + ": try `python3.11 scripts/demo.py`.")

import argparse
import shutil
import tarfile

from environment import ROOT, gopolicy, prepare, say

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--minutes", type=float, default=1.0, help="how long to train (default: 1)")
minutes = parser.parse_args().minutes
if not 0 < minutes < float("inf"):
    parser.error(f"--minutes is {minutes}, expected a number above 0")

prepare()

archive = "data/gnugo-selfplay.tar.gz"
folder = ROOT / "runs" / "demo"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir(parents=True)

say("\n1. An archive of games becomes packed games. These are of the program GNU Go against itself.")
gopolicy("pack", archive, "--out", "runs/demo/games.gpk")

say("\n2. A small network learns to predict their moves. Watch the accuracy (top-1) in the validation lines: games it never saw.")
size = "--filters 32 --layers 6 --batch-size 128 --validate-every 50 --max-minutes " + str(minutes)
gopolicy("train", "runs/demo/games.gpk", "--out", "runs/demo/run", *size.split())

say("\n3. The network that comes with the package was trained for longer, on games of strong players.")
say("   Its likeliest moves in a position of one of these games, and the move that was played:")
with tarfile.open(ROOT / archive) as games:
    member = games.extractfile("gnugo-selfplay/0034.sgf")
    assert member is not None
    (folder / "game.sgf").write_bytes(member.read())
gopolicy("top", "runs/demo/game.sgf", "--move", "57", "-k", "5")

command = ".gopolicy-venv\\Scripts\\gopolicy" if sys.platform == "win32" else ".gopolicy-venv/bin/gopolicy"
say("\nThat was the whole way. What to try next:")
say("  your own network's moves    " + command + " top runs/demo/game.sgf --move 57 --weights runs/demo/run/weights.safetensors")
say("  its curves                  runs/demo/run/curves.png")
say("  train on your own archive   python scripts/train.py ARCHIVE --out runs/mine --max-minutes 60     (data/README.md)")
say("  play against it             in Sabaki and other programs, step by step: docs/sabaki.md")
say("  ask it from Python          README.md")
