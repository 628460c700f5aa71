"""Runs a gopolicy command that ends in --json, and looks whether what it prints can be true."""

import json
import subprocess
import sys

done = subprocess.run([sys.executable, "-m", "gopolicy", *sys.argv[1:]], stdout=subprocess.PIPE, text=True, check=True)
answer = json.loads(done.stdout)
print(answer)
if sys.argv[1] == "evaluate":
    # Sixty steps are enough to be better than chance, 1 of 361 points, by far.
    assert answer["positions"] == 500
    assert 0.01 < answer["top1"] < answer["top5"] < 1
    assert 0 < answer["cross_entropy"] < 5.8  # chance: ln 361 = 5.89
else:
    assert answer["move_number"] == 57
    probs = [move["prob"] for move in answer["top"]]
    assert len(probs) == 5
    assert 1 > probs[0] >= probs[-1] > 0
    assert probs == sorted(probs, reverse=True)
