"""Reading SGF: each awkward trait of real files as a small file of our own, and properties that no file may break."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import lzma
import math
import random
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import py7zr
import pytest
from sgfmill import sgf as sgfmill_sgf
from sgfmill import sgf_moves as sgfmill_moves

from gopolicy import sgf
from gopolicy.board import Board
from gopolicy.coords import BLACK, PASS, WHITE, point_to_gtp, point_to_sgf
from gopolicy.errors import GoPolicyError, SgfError, UsageError
from gopolicy.sgf import GameRecord, read_collection, read_sgf, read_until, write_sgf


def shown(record: GameRecord) -> str:
    """The moves in one line: ``B:C3 W:pass``."""
    return " ".join(f"{'B' if colour == BLACK else 'W'}:{point_to_gtp(point, record.size)}" for colour, point in record.moves)


def stones(record: GameRecord) -> str:
    return " ".join(f"{'B' if colour == BLACK else 'W'}:{point_to_gtp(point, record.size)}" for colour, point in record.setup)


def refusal(data: bytes | str, **how: str) -> str:
    with pytest.raises(SgfError) as caught:
        read_sgf(data, name="x.sgf", **how)
    assert str(caught.value).startswith("x.sgf")
    return caught.value.kind


# name, file, moves
MOVES = [
    ("a root in a comment", b"(;GM[1]SZ[9];B[cg]C[see (;GM[1] and more];W[gc];B[ee])", "B:C3 W:G7 B:E5"),
    ("plain", b"(;GM[1]FF[4]SZ[9];B[cg];W[gc])", "B:C3 W:G7"),
    ("no SZ, FF, CA or GM", b"(;B[dd];W[pp])", "B:D16 W:Q4"),
    ("the corners", b"(;SZ[19];B[aa];W[sa];B[as];W[ss])", "B:A19 W:T19 B:A1 W:T1"),
    ("25x25", b"(;SZ[25];B[tt];W[yy])", "B:U6 W:Z1"),
    ("2x2", b"(;SZ[2];B[aa];W[bb])", "B:A2 W:B1"),
    ("SZ with two numbers", b"(;SZ[9:9];B[cg])", "B:C3"),
    ("SZ with a cross", b"(;SZ[9x9];B[cg])", "B:C3"),
    ("GM in words", b"(;GM[Go]SZ[9];B[cg])", "B:C3"),
    ("GM empty", b"(;GM[]SZ[9];B[cg])", "B:C3"),
    ("passes", b"(;SZ[9];B[];W[tt];B[cg];W[ ])", "B:pass W:pass B:C3 W:pass"),
    ("a move without a value", b"(;SZ[9];B[cg];W;B[gc])", "B:C3 W:pass B:G7"),
    ("tt is a point on 21x21", b"(;SZ[21];B[tt])", "B:U2"),
    ("white first", b"(;SZ[9];W[cg];B[gc])", "W:C3 B:G7"),
    ("the same colour twice", b"(;SZ[9];B[cg];B[gc];W[ee])", "B:C3 B:G7 W:E5"),
    ("move in the root", b"(;SZ[9]B[cg];W[gc])", "B:C3 W:G7"),
    ("two moves in a node", b"(;SZ[9];B[cg]W[gc];B[ee])", "B:C3 W:G7 B:E5"),
    ("no semicolons", b"(;GM[1]SZ[9]B[cg]W[gc]B[ee])", "B:C3 W:G7 B:E5"),
    ("a move twice in a node", b"(;SZ[9];B[cg]B[cg];W[gc])", "B:C3 W:G7"),
    ("variations", b"(;SZ[9];B[cg](;W[gc];B[ee](;W[ef])(;W[fe]))(;W[aa];B[bb]))", "B:C3 W:G7 B:E5 W:E4"),
    ("a child in parentheses at every move", b"(;SZ[9];B[cg]  (;W[gc]  (;B[ee])  (;B[dd])))", "B:C3 W:G7 B:E5"),
    ("node opened without a semicolon", b"(;SZ[9];B[cg](W[gc];B[ee])(;W[aa]))", "B:C3 W:G7 B:E5"),
    ("small letters in names", b"(;\nFileFormat[1]GaMe[1]\nSiZe[9]\nPlayerBlack[hi]Black[cg]\n;\nWhite[gc]\n)", "B:C3 W:G7"),
    ("names in small letters", b"(;gm[1]sz[9];b[cg];w[gc])", "B:C3 W:G7"),
    ("blanks everywhere", b" ( ; SZ [9]\r\n\t; B [cg] ; W\n[gc] ) ", "B:C3 W:G7"),
    ("a point broken by a line end", b"(;SZ[9];B[c\ng];W[gc])", "B:C3 W:G7"),
    ("text before the game", b"From: a@b.c\nHello ;-) (here it is)\n\n(;SZ[9];B[cg];W[gc])\nbye ;)\n", "B:C3 W:G7"),
    ("a smiley before the game", b"Look (;-) at that\n(;SZ[9];B[cg];W[gc])", "B:C3 W:G7"),
    ("UTF-8 mark", b"\xef\xbb\xbf(;SZ[9];B[cg];W[gc])", "B:C3 W:G7"),
    ("Ctrl-Z at the end", b"(;SZ[9];B[cg];W[gc])\r\n\x1a", "B:C3 W:G7"),
    ("NULs at the end", b"(;SZ[9];B[cg];W[gc])" + bytes(300), "B:C3 W:G7"),
    ("one ')' missing", b"(;SZ[9];B[cg];W[gc]", "B:C3 W:G7"),
    ("two ')' missing at the end", b"(;SZ[9];B[cg](;W[gc];B[ee](;W[ef])(;W[fe]))(;W[aa](;B[bb])(;B[dd])", "B:C3 W:G7 B:E5 W:E4"),
    ("a ')' too many", b"(;SZ[9];B[cg];W[gc]))", "B:C3 W:G7"),
    ("cut off in a move", b"(;SZ[9];B[cg];W[gc];B[e", "B:C3 W:G7"),
    ("cut off in a name", b"(;SZ[9];B[cg];W[gc];B", "B:C3 W:G7"),
    ("cut off in a comment", b"(;SZ[9];B[cg];W[gc]C[what a mo", "B:C3 W:G7"),
    ("'(' lost", b";GM[1]SZ[9]PB[x];B[cg]  (;W[gc];B[ee])(;W[aa])", "B:C3 W:G7 B:E5"),
    ("';' lost", b"(GM[1]SZ[9]PB[x];B[cg](;W[gc];B[ee])(;W[aa]))", "B:C3 W:G7 B:E5"),
    ("'(;' lost", b"GM[1]SZ[9]PB[x];B[cg](;W[gc];B[ee])(;W[aa])", "B:C3 W:G7 B:E5"),
    ("escaped brackets", b"(;SZ[9];B[cg]C[a \\] b \\\\];W[gc]C[\\[x\\]])", "B:C3 W:G7"),
    ("an unescaped [", b"(;SZ[9]GC[3 points (=6 [points)];B[cg];W[gc])", "B:C3 W:G7"),
    ("a face in a comment", b"(;SZ[9];B[cg]C[;-]];W[gc])", "B:C3 W:G7"),
    ("brackets in a comment", b"(;SZ[9];B[cg]C[see [this] one];W[gc])", "B:C3 W:G7"),
    ("a move in brackets in a comment", b"(;SZ[9];B[cg]C[see [B] W[dd] is bad];W[gc])", "B:C3 W:G7"),
    ("parentheses after a bracket in a comment", b"(;SZ[9];B[cg]C[a] (b) c];W[gc])", "B:C3 W:G7"),
    ("a semicolon after a bracket in a comment", b"(;SZ[9];B[cg]C[a];b];W[gc])", "B:C3 W:G7"),
    ("a ] too many after a move", b"(;SZ[9];B[cg]];W[gc])", "B:C3 W:G7"),
    ("a ] missing after a move", b"(;SZ[9];B[cg\n;W[gc];B[ee])", "B:C3 W:G7 B:E5"),
    ("a ] missing after a comment", b"(;SZ[9];B[cg]C[nice\n;W[gc];B[ee])", "B:C3 W:G7 B:E5"),
    ("a ] missing in the root", b"(;SZ[9]PB[Ann\n;B[cg];W[gc])", "B:C3 W:G7"),
    ("signs between nodes", b"(;SZ[9];B[cg]. ;W[gc],;B[ee])", "B:C3 W:G7 B:E5"),
    ("markup and time", b"(;SZ[9];B[cg]BL[12.5]OB[3]TR[cg][gc];W[gc]LB[cg:1][gc:2]VW[aa:cc];TW[aa]B[ee]TB[bb:cc])", "B:C3 W:G7 B:E5"),
    ("an empty node", b"(;SZ[9];;B[cg];C[only words];W[gc];)", "B:C3 W:G7"),
    ("PL in the middle", b"(;SZ[9];B[cg];PL[W];W[gc])", "B:C3 W:G7"),
    ("captured stones as AE", b"(;SZ[9];B[ab];W[aa];B[ba]AE[aa];W[ee])", "B:A8 W:A9 B:B9 W:E5"),
    ("PB and DT twice", b"(;SZ[9]PB[Ann]DT[2001]PB[Bea]DT[2002];B[cg];W[gc])", "B:C3 W:G7"),
    ("a property nobody knows", b"(;SZ[9]MULTIGOGM[1]JD[Koka 3-9-21];B[cg];W[gc])", "B:C3 W:G7"),
    ("a property nobody knows with a point, in the root", b"(;SZ[9]XX[ee];B[cg];W[gc])", "B:C3 W:G7"),
    ("a property nobody knows with a point, and the game goes on in turn", b"(;SZ[9];B[cg];XX[ee];W[gc])", "B:C3 W:G7"),
    ("a move in brackets that ends a comment", b"(;SZ[9];B[cg]C[see [B] W[dd]];W[gc])", "B:C3 W:G7"),
]


@pytest.mark.parametrize(("data", "moves"), [case[1:] for case in MOVES], ids=[case[0] for case in MOVES])
def test_moves(data: bytes, moves: str) -> None:
    record = read_sgf(data)
    assert shown(record) == moves
    assert record.setup == ()
    assert shown(read_sgf(data, illegal="cut")) == moves
    assert [shown(game) for game in read_collection(data) if isinstance(game, GameRecord)] == [moves]


# name, file, kind of the refusal, moves that "cut" keeps (None: refused all the same)
REFUSED = [
    ("empty", b"", "not-sgf", None),
    ("blanks", b" \r\n\t", "not-sgf", None),
    ("NULs", bytes(1000), "not-sgf", None),
    ("plain text", b"this is not an .sgf file", "not-sgf", None),
    ("text with a semicolon", b"a (small) text; with (some) marks", "not-sgf", None),
    ("a program", b'int main(int argc, char *argv[]) { puts("(;"); int a[3]; return a[1]; }', "not-sgf", None),
    (
        "GIB of Tygem",
        b"\\HS\r\n\\[GIBOKIND=Korea\\]\r\n\\[GAMETIME=3;30\\]\r\n\\HE\r\n\\GS\r\n2 1 0\r\nSTO 0 2 1 15 3\r\n\\GE\r\n",
        "not-sgf",
        None,
    ),
    (
        "NGF of WBaduk",
        b"Rating game\r\n19\r\nann    7D\r\nbea    7D\r\nwww\r\n0\r\n0\r\n6\r\n2\r\nPMABBREER\r\nPMACWEEEE\r\n",
        "not-sgf",
        None,
    ),
    (
        "UGF of PandaNet",
        b"[Header]\nVer=UGF3,200\nPtime=N;0;0;0,N;0;0;0,0,0\n[Data]\nQP,B1,1,0\nDP,W1,2,0\n[ReviewNode]\nNODE,1,0\n",
        "not-sgf",
        None,
    ),
    ("JSON", b'{"moves": [["B", "Q16"]], "note": "(;"}', "not-sgf", None),
    ("another game", b"(;GM[2]SZ[8];B[d3];W[c5])", "not-go", None),
    ("a game of number 19", b"(;FF[4]GM[19];B[Move value])", "not-go", None),
    ("not square", b"(;GM[1]SZ[19:13];B[dd])", "size", None),
    ("too large", b"(;GM[1]SZ[26];B[dd])", "size", None),
    ("too small", b"(;GM[1]SZ[1];B[aa])", "size", None),
    ("a size that is none", b"(;GM[1]SZ[large];B[aa])", "size", None),
    ("an empty size", b"(;GM[1]SZ[];B[aa])", "size", None),
    ("two sizes", b"(;GM[1]SZ[9]SZ[19];B[aa])", "size", None),
    ("a point outside", b"(;SZ[9];B[cg];W[ee];B[rs];W[cb])", "bad-point", "B:C3 W:E5"),
    ("one letter", b"(;SZ[9];B[cg];W[n];B[ee])", "bad-point", "B:C3"),
    ("capital letters", b"(;SZ[9];B[CG];W[ee])", "bad-point", None),
    ("tt beyond 19x19 but off the board", b"(;SZ[9];B[cg];W[jj])", "bad-point", "B:C3"),
    ("words for a move", b"(;SZ[9];B[cg];W[pass])", "bad-point", "B:C3"),
    ("handicap stone outside", b"(;SZ[9]AB[cg][zz];W[ee])", "bad-point", None),
    ("handicap stone tt", b"(;SZ[19]AB[tt];W[ee])", "bad-point", None),
    ("occupied", b"(;SZ[9];B[cg];W[cg];B[ee])", "illegal-move", "B:C3"),
    ("suicide", b"(;SZ[9];B[ab];W[];B[ba];W[aa])", "illegal-move", "B:A8 W:pass B:B9"),
    (
        "ko retaken",
        b"(;SZ[9]AB[ba][ab][bc]AW[ca][db][cc];B[cb];W[bb];B[cb])",
        "illegal-move",
        "B:C8 W:B8",
    ),
    ("occupied by the setup", b"(;SZ[9]AB[cg];W[cg])", "illegal-move", None),
    ("stones set up later", b"(;SZ[9];B[aa];AB[bb];W[cc])", "late-setup", "B:A9"),
    ("stones taken off later", b"(;SZ[9];B[aa];W[cc];AE[cc];B[ee])", "late-setup", "B:A9 W:C7"),
    ("stones set up with a move", b"(;SZ[9];B[aa];W[cc]AB[ee][ef];B[gg])", "late-setup", "B:A9 W:C7"),
    ("a rectangle of three corners", b"(;SZ[9]AB[aa:bb:cc];W[ee])", "bad-point", None),
    ("setup without liberties", b"(;SZ[9]AB[aa]AW[ab][ba];B[ee])", "bad-setup", None),
    ("one point in two colours", b"(;SZ[9]AB[aa]AW[aa];B[ee])", "bad-setup", None),
    ("HA without stones", b"(;SZ[19]HA[2];W[dd];B[pp])", "handicap-without-stones", None),
    ("HA without stones, black first", b"(;SZ[19]HA[2];B[dd];W[pp])", "handicap-without-stones", None),
    ("HA without stones, on KGS", b"(;SZ[19]HA[4]PC[The KGS Go Server];W[qf];B[pp])", "handicap-without-stones", None),
    ("HA with too few stones", b"(;SZ[19]HA[3]AB[pd][dp];W[dd];B[pp])", "handicap-without-stones", None),
    ("HA, a stone and a pass", b"(;SZ[9]HA[2];B[cg];B[];W[ee])", "handicap-without-stones", None),
    ("HA without stones or moves", b"(;SZ[19]HA[2])", "handicap-without-stones", None),
    ("a variation before its main line", b"(;SZ[9];B[cg](;W[aa];B[bb]);W[gc];B[ee])", "malformed", None),
    ("moves after the last ')'", b"(;SZ[9];B[cg]);W[gc];B[ee])", "malformed", None),
    ("a ')' lost between variations", b"(;SZ[9];B[cg](;W[gc];B[ee](;W[cc];B[aa]))", "malformed", None),
    ("a value without a name", b"(;SZ[9];B[cg];[gc];B[ee])", "malformed", None),
    ("a bracket that eats a move", b"(;SZ[9];B[cg];W[gc]C[nice;W[dd];B[ee])", "malformed", None),
    ("two moves of a colour in a node", b"(;SZ[9];B[cg]B[gc];W[ee])", "malformed", None),
    ("one property, two moves", b"(;SZ[9];B[cg][gc];W[ee])", "malformed", None),
    ("a move with a damaged name", b"(;SZ[9];B[cg];WB[gc];B[ee])", "malformed", None),
    ("a damaged move behind a comment", b"(;SZ[9];B[cg]C[good];W]gc];B[ee])", "malformed", None),
    ("the beginning lost", b"ell]SZ[9]PW[Bob]\n;B[cg](;W[gc])(;W[aa]))", "malformed", None),
    ("a small board without SZ", b"(;" + b"".join(b";B[%c%c]" % (97 + i % 9, 97 + 2 * (i // 9)) for i in range(36)) + b")", "size", None),
    ("too many moves", b"(;SZ[9]" + b";B[];W[]" * 6000 + b")", "too-long", None),
]


@pytest.mark.parametrize(("data", "kind", "cut"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refusals(data: bytes, kind: str, cut: str | None) -> None:
    assert refusal(data) == kind
    if cut is None:
        assert refusal(data, illegal="cut") == kind
    else:
        assert shown(read_sgf(data, illegal="cut")) == cut
    games = list(read_collection(data))
    assert isinstance(games[0], SgfError)
    assert games[0].kind == kind


def test_a_game_without_sz_is_taken_for_19_lines_unless_it_plainly_is_not() -> None:
    corner = b"".join(b";B[%c%c]" % (97 + 2 * (i % 7), 97 + 2 * (i // 7)) for i in range(30))
    assert refusal(b"(;" + corner + b")") == "size"
    assert refusal(b"(;" + corner + b";W[])") == "size"
    for more in (b"(;" + corner[:-6] + b")", b"(;" + corner + b";W[na])", b"(;" + corner + b";W[an])"):
        assert (read_sgf(more).size, len(read_sgf(more).moves)) == (19, more.count(b";") - 1)


def test_refusals_name_move_and_reason() -> None:
    with pytest.raises(SgfError, match=r"^game\.sgf: .*white C3.*move 2.*occupied"):
        read_sgf(b"(;SZ[9];B[cg];W[cg])", name="game.sgf")
    with pytest.raises(SgfError, match=r"^game\.sgf: move 2, W\[n\], is no point"):
        read_sgf(b"(;SZ[9];B[cg];W[n])", name="game.sgf")


# name, file, setup, who plays first, first moves
SETUPS = [
    ("root", b"(;SZ[9]AB[cg][gc]AW[ee];W[aa])", "B:G7 W:E5 B:C3", WHITE, "W:A9"),
    ("node after the root", b"(;GM[1]  SZ[9]HA[2]  ;AB[cg][gc];W[ee];B[aa])", "B:G7 B:C3", WHITE, "W:E5 B:A9"),
    ("several nodes", b"(;SZ[9];AB[cg];AB[gc]AW[ee];C[now];W[aa])", "B:G7 W:E5 B:C3", WHITE, "W:A9"),
    ("repeated property", b"(;SZ[9]AB[cg]AB[gc];W[aa])", "B:G7 B:C3", WHITE, "W:A9"),
    ("twice the same", b"(;SZ[9]AB[cg][cg];AB[cg]AB[];W[aa])", "B:C3", WHITE, "W:A9"),
    ("rectangle", b"(;SZ[9]AB[bb:cc];W[aa])", "B:B8 B:C8 B:B7 B:C7", WHITE, "W:A9"),
    ("rectangle from the other corner", b"(;SZ[9]AB[cb:bc];W[aa])", "B:B8 B:C8 B:B7 B:C7", WHITE, "W:A9"),
    (
        "rectangles from below",
        b"(;SZ[9]AB[cd:bb]AW[hi:ff];W[aa])",
        "B:B8 B:C8 B:B7 B:C7 B:B6 B:C6 W:F4 W:G4 W:H4 W:F3 W:G3 W:H3 W:F2 W:G2 W:H2 W:F1 W:G1 W:H1",
        WHITE,
        "W:A9",
    ),
    ("AE", b"(;SZ[9]AB[bb:cc];AE[bb][cc];W[aa])", "B:C8 B:B7", WHITE, "W:A9"),
    ("overwritten", b"(;SZ[9]AB[cg];AW[cg];B[aa])", "W:C3", BLACK, "B:A9"),
    ("with a move in the same node", b"(;SZ[9]AB[cg]W[ee];B[aa])", "B:C3", WHITE, "W:E5 B:A9"),
    ("PL", b"(;SZ[9]AB[cg]PL[W])", "B:C3", WHITE, ""),
    ("PL in words", b"(;SZ[9]PL[white])", "", WHITE, ""),
    ("PL against the first move", b"(;SZ[9]AB[cg]PL[W];B[ee])", "B:C3", BLACK, "B:E5"),
    ("handicap and no moves", b"(;SZ[9]HA[2]AB[cg][gc])", "B:G7 B:C3", WHITE, ""),
    ("HA[1] and no moves", b"(;SZ[9]HA[1])", "", BLACK, ""),
    ("black stones and no moves", b"(;SZ[9]AB[cg][gc])", "B:G7 B:C3", BLACK, ""),
    ("PL twice", b"(;SZ[9]PL[W];AB[cg]PL[B])", "B:C3", BLACK, ""),
    ("PL and an empty one", b"(;SZ[9]PL[W];AB[cg]PL[])", "B:C3", WHITE, ""),
    ("handicap as moves", b"(;SZ[9]HA[2];B[cg];B[gc];W[ee])", "", BLACK, "B:C3 B:G7 W:E5"),
    ("handicap as moves, white passing", b"(;SZ[9]HA[2];B[cg];W[];B[gc];W[ee])", "", BLACK, "B:C3 W:pass B:G7 W:E5"),
    ("HA[1]", b"(;SZ[9]HA[1];B[cg];W[gc])", "", BLACK, "B:C3 W:G7"),
    ("HA[0]", b"(;SZ[9]HA[0];B[cg];W[gc])", "", BLACK, "B:C3 W:G7"),
    ("nothing", b"(;)", "", BLACK, ""),
]


@pytest.mark.parametrize(("data", "setup", "to_play", "moves"), [case[1:] for case in SETUPS], ids=[case[0] for case in SETUPS])
def test_setup(data: bytes, setup: str, to_play: int, moves: str) -> None:
    record = read_sgf(data)
    assert (stones(record), record.to_play, shown(record)) == (setup, to_play, moves)


FOX = (
    "(;GM[1]FF[4]  SZ[19]  GN[]  PB[a]PW[b]BR[9段]WR[P9段]KM[0]HA[{}]RU[Japanese]AP[GNU Go:3.8]RE[W+R]TM[60]TC[3]TT[30]{}"
    "  ;W[{}];B[qn];W[nc];B[nq])"
)


@pytest.mark.parametrize(
    ("count", "mark", "white", "points"),
    [
        (2, "AP[foxwq]", "dd", "Q16 D4"),
        (3, "AP[foxwq]", "pp", "D16 Q16 D4"),
        (4, "", "cf", "D16 Q16 D4 Q4"),
        (5, "", "cf", "D16 Q16 K10 D4 Q4"),
        (6, "AP[foxwq]", "cn", "D16 Q16 D10 Q10 D4 Q4"),
        (6, "", "pj", "D16 K16 Q16 D4 K4 Q4"),
        (7, "", "dj", "D16 K16 Q16 K10 D4 K4 Q4"),
        (8, "AP[foxwq]", "cn", "D16 K16 Q16 D10 Q10 D4 K4 Q4"),
        (9, "AP[foxwq]", "cn", "D16 K16 Q16 D10 K10 Q10 D4 K4 Q4"),
    ],
)
def test_fox_leaves_its_handicap_stones_out(count: int, mark: str, white: str, points: str) -> None:
    """The points are those of Fox's own files that do have the stones, and of the moves of those that have not."""
    record = read_sgf(FOX.format(count, mark, white))
    assert stones(record) == " ".join(f"B:{point}" for point in points.split())
    assert (record.handicap, record.to_play, record.server, len(record.moves)) == (count, WHITE, "Fox", 4)


def test_fox_handicap_out_of_turn_is_refused() -> None:
    assert refusal(FOX.format(2, "AP[foxwq]", "dd").replace(";W[nc]", ";B[nc]")) == "handicap-without-stones"
    assert refusal(FOX.format(2, "AP[foxwq]", "dd").replace(";B[qn]", ";W[qn]")) == "handicap-without-stones"
    assert refusal(FOX.format(2, "AP[foxwq]", "pd")) == "illegal-move"


def test_fox_handicap_is_known_on_19_lines_and_where_no_stone_is_told() -> None:
    small = (
        FOX.format(2, "AP[foxwq]", "cc").replace("SZ[19]", "SZ[13]").replace("[qn]", "[jj]").replace("[nc]", "[jc]").replace("[nq]", "[cj]")
    )
    assert refusal(small) == "handicap-without-stones"
    with pytest.raises(SgfError, match=r"HA\[3\], but only 1 handicap stone: nothing"):
        read_sgf(FOX.format(3, "AP[foxwq]AB[pd]", "dd"))
    assert refusal(FOX.format(10, "AP[foxwq]", "dd")) == "handicap-without-stones"


# ---------------------------------------------------------------------------------------------------------- encodings

NAMES = {
    "gb18030": ("GB2312", "古力", "柯洁"),
    "gbk": ("GBK", "古力", "劉昌赫"),  # 赫 and 劉 lie outside GB2312
    "big5": ("Big5", "林海峰", "許皓鋐"),  # 許 is B3 5C: a backslash
    "shift_jis": ("Shift_JIS", "武宮正樹", "ソ表能"),  # each of ソ表能 ends in 5C
    "cp932": ("MS_KANJI", "加藤正夫", "高尾紳路"),
    "euc_kr": ("EUC-KR", "이창호", "박정환"),
    "euc_jp": ("EUC-JP", "武宮正樹", "小林光一"),
    "iso2022_jp": ("ISO-2022-JP", "武宮正樹", "小林光一"),
    "hz": ("HZ-GB-2312", "古力", "柯洁"),
    "cp1252": ("Windows-1252", "Müller", "Gérard €"),
    "iso8859_2": ("ISO-8859-2", "Łukasz", "Dvořák"),
    "koi8_r": ("KOI8-R", "Дима", "Илья"),
    "mac_roman": ("macintosh", "Müller", "José"),
    "utf-8": ("UTF-8", "이세돌", "柯洁"),
}


@pytest.mark.parametrize("codec", NAMES)
def test_declared_encodings(codec: str) -> None:
    charset, black, white = NAMES[codec]
    data = f"(;GM[1]SZ[9]CA[{charset}]PB[{black}]PW[{white}]C[{white}];B[cg]C[{white}{black}];W[gc])".encode(codec)
    record = read_sgf(data)
    assert (record.players, shown(record)) == ((black, white), "B:C3 W:G7")


def test_multibyte_names_are_read_where_their_bytes_look_like_sgf() -> None:
    # 0x5C and 0x5D as second bytes: the plain bytes would lose moves, or end the value early.
    for codec, charset in (("big5", "Big5"), ("shift_jis", "SJIS"), ("gb18030", "GB18030")):
        nasty = [bytes([lead, trail]) for lead in range(0x81, 0xFE) for trail in (0x5B, 0x5C, 0x5D)]
        texts = [pair.decode(codec) for pair in nasty if _decodes(pair, codec)]
        assert len(texts) > 100
        for text in texts[::7]:
            data = f"(;SZ[9]CA[{charset}]PB[{text}]PW[x{text}];B[cg]C[{text}];W[gc]C[{text}];B[ee])".encode(codec)
            record = read_sgf(data)
            assert (record.players, shown(record)) == ((text, f"x{text}"), "B:C3 W:G7 B:E5"), (charset, text)


def _decodes(data: bytes, codec: str) -> bool:
    try:
        return len(data.decode(codec)) == 1
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize(
    ("codec", "black", "white", "comment"),
    [
        ("gb18030", "古力", "柯洁", "黑中盘胜，这盘棋白棋输在官子"),
        ("big5", "林海峰", "張栩", "黑中盤勝"),
        ("shift_jis", "武宮正樹", "小林光一", "この碁は黒の勝ち"),
        ("euc_kr", "이창호", "조훈현", "흑 불계승"),
        ("latin-1", "Müller", "André", "une belle partie jouée à Zürich"),
    ],
)
@pytest.mark.parametrize("charset", ["", "CA[UTF-8]", "CA[nonsense]"])
def test_guessed_encodings(codec: str, black: str, white: str, comment: str, charset: str) -> None:
    data = f"(;GM[1]SZ[9]{charset}PB[{black}]PW[{white}];B[cg]C[{comment}];W[gc])".encode(codec)
    record = read_sgf(data)
    assert (record.players, shown(record)) == ((black, white), "B:C3 W:G7")


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_encodings(codec: str) -> None:
    data = "(;GM[1]FF[4]SZ[9]PB[이세돌]PW[Sedol];B[cg];W[gc])".encode(codec)
    record = read_sgf(data)
    assert (record.players, shown(record)) == (("이세돌", "Sedol"), "B:C3 W:G7")


@pytest.mark.parametrize(
    "charset", ["GB2312", "Big5", "Shift_JIS", "EUC-KR", "ISO-8859-1", "UTF-16", "UTF-7", "unicode_escape", "zlib", ""]
)
def test_a_wrong_charset_costs_nothing(charset: str) -> None:
    data = f"(;GM[1]SZ[9]CA[{charset}]PB[柯洁]PW[조훈현];B[cg]C[\\[好\\]];W[gc])".encode()
    record = read_sgf(data)
    assert (record.players, shown(record)) == (("柯洁", "조훈현"), "B:C3 W:G7")
    assert shown(read_sgf(f"(;GM[1]SZ[9]CA[{charset}]PB[Ann];B[cg];W[gc])".encode())) == "B:C3 W:G7"


def test_broken_names_cost_nothing() -> None:
    whole = "(;GM[1]SZ[9]PB[연구생이세돌]PW[绿艺指导B]BR[9段];B[cg];W[gc])".encode()
    first, last = whole.index(b"PB[") + 3, whole.index(b"]BR[")
    for index in range(first, last):
        if whole[index] > 127:
            for damaged in (
                whole[:index] + whole[index + 1 :],
                whole[:index] + b"?" + whole[index + 1 :],
                whole[:index] + b"\xff" + whole[index + 1 :],
            ):
                record = read_sgf(damaged)
                assert (shown(record), record.ranks[0]) == ("B:C3 W:G7", "9d")
    for name in (b"Andr\xe9", b"\xb9", b"\x81", b"M\xfcller\xfc", b"\xe5\x8f", b"\xb3", b"\x83"):  # lead bytes before "]"
        for charset in (b"", b"CA[GB2312]", b"CA[Big5]", b"CA[SJIS]", b"CA[EUC-KR]", b"CA[UTF-8]"):
            record = read_sgf(b"(;GM[1]SZ[9]" + charset + b"PB[" + name + b"]PW[Bob];B[cg];W[gc])")
            assert (shown(record), record.players[1]) == ("B:C3 W:G7", "Bob"), (name, charset)


@pytest.mark.parametrize("name", ["Иванов", "Παπαδόπουλος", "שלמה", "Günther", "이세돌"])
def test_a_lost_byte_costs_the_other_name_nothing(name: str) -> None:
    for charset in (b"", b"CA[UTF-8]"):
        whole = b"(;GM[1]SZ[9]" + charset + f"PB[{name}]PW[{name}{name}];B[cg];W[gc])".encode()
        assert read_sgf(whole.replace(b"];B", b"];B", 1)).players[0] == name
        end = whole.index(b"];B")
        assert read_sgf(whole[: end - 1] + whole[end:]).players[0] == name


@pytest.mark.parametrize(("encoding", "black", "white"), [("gbk", "柯洁", "时越"), ("gbk", "柯洁", "檀啸"), ("euc_kr", "이창호", "허영호")])
def test_short_files_whose_names_are_nearly_utf8(encoding: str, black: str, white: str) -> None:
    record = read_sgf(f"(;GM[1]SZ[19]PB[{black}]BR[9p]PW[{white}]WR[9p]RE[B+R];B[pd];W[dp])".encode(encoding))
    assert record.players == (black, white)


def test_what_becomes_of_illegal_moves_is_said_in_one_of_two_words() -> None:
    for read in (read_sgf, lambda text, illegal: next(read_collection(text, illegal=illegal))):
        with pytest.raises(UsageError, match="illegal is 'keep', expected one of refuse, cut"):
            read("(;SZ[9];B[cc];W[cc])", illegal="keep")  # type: ignore[call-arg]


def test_games_of_one_file_in_several_encodings() -> None:
    first = "(;GM[1]SZ[9]CA[Big5]PB[許皓鋐]PW[a];B[cg]C[許])".encode("big5")
    second = "(;GM[1]SZ[9]CA[UTF-8]PB[이세돌]PW[b];B[gc])".encode()
    games = list(read_collection(first + b"\n" + second))
    assert [(game.players[0], shown(game)) for game in games if isinstance(game, GameRecord)] == [("許皓鋐", "B:C3"), ("이세돌", "B:G7")]


# --------------------------------------------------------------------------------------------------------- collections


def test_collection() -> None:
    data = b"junk (;GM[1]SZ[9]PB[a];B[cg])\n(;GM[1]SZ[9];B[cg];W[cg])(;GM[1]SZ[13](;B[dd])(;B[ee])) text (;GM[2]) (;GM[1]SZ[9];W[gc])"
    games = list(read_collection(data, name="many.sgf"))
    assert [game.kind if isinstance(game, SgfError) else shown(game) for game in games] == [
        "B:C3",
        "illegal-move",
        "B:D10",
        "not-go",
        "W:G7",
    ]
    assert games[0].name == "many.sgf"
    assert games[4].name == "many.sgf#5"
    assert "many.sgf#2" in str(games[1])


def test_collections_with_lost_parentheses() -> None:
    one, two = b"(;GM[1]SZ[9];B[cg];W[gc]", b"(;GM[1]SZ[9];B[ee];W[ef]"
    for data in (one + b"\n" + two + b")", one + b")" + two, one + b"\n\n" + two):
        assert [shown(game) for game in read_collection(data) if isinstance(game, GameRecord)] == ["B:C3 W:G7", "B:E5 W:E4"]
    # A ")" lost behind the main line: the next game must not be taken for a variation.
    data = b"(;GM[1]SZ[9];B[cg](;W[gc])(;W[aa])\n" + two + b")"
    assert [shown(game) for game in read_collection(data) if isinstance(game, GameRecord)] == ["B:C3 W:G7", "B:E5 W:E4"]


def test_a_stray_variation_is_no_game() -> None:
    games = list(read_collection(b"(;GM[1]SZ[9];B[cg](;W[gc]))(;W[aa];B[bb]))"))
    assert [game.kind if isinstance(game, SgfError) else shown(game) for game in games] == ["B:C3 W:G7", "malformed"]


def test_one_malformed_game_does_not_cost_the_others() -> None:
    bad = b"(;GM[1]SZ[9];B[cg];W]gc];B[ee])"
    games = list(read_collection(b"(;GM[1]SZ[9];B[cg])" + bad + b"(;GM[1]SZ[9];W[gc])"))
    assert [game.kind if isinstance(game, SgfError) else shown(game) for game in games] == ["B:C3", "malformed", "W:G7"]


def test_a_page_of_the_web_is_no_game() -> None:
    """As a server sends it in place of a game: a loop of its script was taken for a game without moves."""
    page = b"<!DOCTYPE html><html><script>for(;;){if(a[0])break}</script><body>404 Not Found</body></html>"
    assert refusal(page) == "not-sgf"
    assert refusal(page.replace(b"{if(a[0])break}", b";")) == "not-sgf"
    assert shown(read_sgf(page + b"(;SZ[9];B[cg];W[gc])")) == "B:C3 W:G7"


def test_very_deep_trees() -> None:
    moves = [f"(;{'BW'[i % 2]}[]" for i in range(8000)]
    data = ("(;SZ[9]" + "".join(moves) + ")" * 8001 + "(;GM[1]SZ[9];B[cg])").encode()
    assert [len(game.moves) for game in read_collection(data) if isinstance(game, GameRecord)] == [8000, 1]
    assert len(read_sgf(b"(;" * 100_000 + b"B[aa]").moves) == 1
    assert len(read_sgf(b"(" * 50_000 + b"(;SZ[9];B[cg])" + b")" * 50_000).moves) == 1


# -------------------------------------------------------------------------------------------------------------- facts


def fact(properties: str) -> GameRecord:
    return read_sgf(f"(;GM[1]FF[4]SZ[19]{properties};B[pd])")


@pytest.mark.parametrize(
    ("properties", "komi"),
    [
        ("KM[6.5]", 6.5),
        ("KM[0]", 0),
        ("KM[-0]", 0),
        ("KM[-100.00]", -100),
        ("KM[100.00]", 100),
        ("KM[100]", 100),
        ("KM[400.0]", 400),
        ("KM[400.5]", math.nan),
        ("KM[7,5]", 7.5),
        ("KM[5½]", 5.5),
        ("KM[8 points]", 8),
        ("KM[650]", 6.5),
        ("KM[650]RU[Chinese]", 6.5),
        ("KM[350]RU[Japanese]", 3.5),
        ("KM[750]", 7.5),
        ("KM[375]RU[Chinese]", 7.5),
        ("KM[325]RU[Chinese]", 6.5),
        ("KM[350]RU[Chinese]", 7),
        ("KM[375]", 7.5),  # a quarter of a point does not exist
        ("KM[3.75]RU[Chinese]", 7.5),
        ("KM[2.75]RU[chinese]", 5.5),
        ("KM[-3.75]RU[Chinese]", -7.5),
        ("KM[3.75]", 3.75),
        ("KM[6.25]RU[Chinese]", 6.25),
        ("KM[1/2]", 0.5),
        ("KM[½]", 0.5),
        ("KM[-1/2]", -0.5),
        ("KM[+]", math.nan),
        ("KM[.]", math.nan),
        ("KM[3 3/4]", 7.5),
        ("KM[3¾]", 7.5),
        ("KM[黑贴3又3/4子]", 7.5),
        ("KM[黒5目半]", 5.5),
        ("KM[3又3/4子]", 7.5),
        ("KM[3.75子]", 7.5),
        ("KM[375子]", 7.5),
        ("KM[2子半]", 5),
        ("KM[3.5目子]", 3.5),
        ("KM[6目半]", 6.5),
        ("KM[半目]", 0.5),
        ("KM[7目]", 7),
        ("KM[-5.5]", -5.5),
        ("KM[-0.5]", -0.5),
        ("KM[6.]", 6),
        ("KM[50]AP[foxwq]", 0.5),
        ("KM[25]AP[foxwq]", 0.5),  # in stones
        ("KM[50]", 50),
        ("KM[]", math.nan),
        ("KM[none]", math.nan),
        ("KM[99999]", math.nan),
        ("", math.nan),
    ],
)
def test_komi(properties: str, komi: float) -> None:
    assert fact(properties).komi == pytest.approx(komi, nan_ok=True)
    assert not str(fact(properties).komi).startswith("-0.0"), "there is no negative zero of points"


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        *[
            ("9d", "9d"),
            ("9D", "9d"),
            ("9 Dan", "9d"),
            ("9dan", "9d"),
            ("9段", "9d"),
            ("九段", "9d"),
            ("初段", "1d"),
            ("5단", "5d"),
            ("7d?", "7d"),
        ],
        *[
            ("9p", "9p"),
            ("P9段", "9p"),
            ("职业9段", "9p"),
            ("非职业9段", "9d"),
            ("semi-professional 5 dan", "5d"),
            ("職業九段", "9p"),
            ("Professional 6 dan", "6p"),
            ("9p, Honinbo", "9p"),
            ("9 dan Pro", "9p"),
            ("12k provisional", "12k"),
            ("3d IGS provisional", "3d"),
            ("9段 職業pro", "9p"),
            ("9 dan pro", "9p"),
            ("Pro 5 dan", "5p"),
            ("8d ama", "8d"),
            ("ama 6d", "6d"),
        ],
        *[("5k", "5k"), ("15级", "15k"), ("十八级", "18k"), ("二十五級", "25k"), ("3 kyu", "3k"), ("12급", "12k"), ("30k*", "30k")],
        *[("", ""), ("-", ""), ("insei", ""), ("25th Honinbo", ""), ("Meijin", "")],
    ],
)
def test_ranks(text: str, rank: str) -> None:
    assert fact(f"BR[{text}]WR[1d]").ranks == (rank, "1d")


@pytest.mark.parametrize(
    ("text", "date"),
    [
        *[
            ("2001-12-20", "2001-12-20"),
            ("2001-12-20,2001-12-26", "2001-12-20"),
            ("1963-08-04,05", "1963-08-04"),
            ("1915-03-09~11", "1915-03-09"),
        ],
        *[
            ("2012/3/4", "2012-03-04"),
            ("20120304", "2012-03-04"),
            ("2012年11月22日", "2012-11-22"),
            ("1998-03", "1998-03"),
            ("1955", "1955"),
            ("1974-00-00", "1974"),
            ("1974-13-01", "1974"),
            ("1974-10-31", "1974-10-31"),
            ("1974-10-32", "1974-10"),
        ],
        *[
            ("196", "0196"),
            ("0196-00-00", "0196"),
            ("ca. 1690", "1690"),
            ("Summer 1857", "1857"),
            ("1848-08-23 (Kaei 1 VII 25)", "1848-08-23"),
        ],
        *[
            ("23.12.2001", "2001"),
            ("0000-00-00", ""),
            ("0000-05-12", ""),
            ("0000, 1998-03-04", "1998-03-04"),
            ("?", ""),
            ("", ""),
            ("unknown", ""),
        ],
    ],
)
def test_dates(text: str, date: str) -> None:
    assert fact(f"DT[{text}]").date == date


@pytest.mark.parametrize(
    ("text", "result"),
    [
        *[
            ("B+R", "B+R"),
            ("W+Resign", "W+R"),
            ("b+res", "B+R"),
            ("B+Time", "B+T"),
            ("W+T", "W+T"),
            ("B+Forfeit", "B+F"),
            ("W+Offline", "W+F"),
        ],
        *[
            ("B+3.5", "B+3.5"),
            ("W+4.50", "W+4.5"),
            ("W+0.50", "W+0.5"),
            ("B+2", "B+2"),
            ("W+.5", "W+0.5"),
            ("B+", "B+"),
            ("B+0.25", "B+0.5"),  # in stones, as Fox counts: a quarter of a point does not exist
            ("W+2.75", "W+5.5"),
            ("B+7.25 points", "B+7.25"),
            ("W+1/2", "W+0.5"),
            ("W+3 1/2", "W+3.5"),
            ("B+½", "B+0.5"),
            ("B+12½ points", "B+12.5"),
        ],
        *[
            ("0", "0"),
            ("Draw", "0"),
            ("draw", "0"),
            ("Jigo", "0"),
            ("Void", "Void"),
            ("?", "?"),
            ("Unfinished", "?"),
            ("? (No more known)", "?"),
            ("Game suspended", "?"),
            ("No Result", "Void"),
            ("白超时胜", "W+T"),
        ],
        *[("黑中盘胜", "B+R"), ("白中盤勝", "W+R"), ("Black wins by 3.5 points", "B+3.5"), ("White wins by resignation", "W+R")],
        *[
            ("白中押し勝ち", "W+R"),
            ("黒中押し勝ち", "B+R"),
            ("黒番1目半勝", "B+"),
            ("黑中盘负", "W+R"),
            ("白2目負け", "B+"),
            ("黒投了", "W+R"),
            ("白认输", "B+R"),
            ("白投子认负", "B+R"),
            ("白番中押し勝", "W+R"),
            ("Black+R", "B+R"),
            ("White+3.5", "W+3.5"),
        ],
        *[
            ("B+3¾", "B+"),
            ("W+3 ¼", "W+"),
            ("B+3½", "B+3.5"),
            ("B+3 3/4", "B+"),
            ("W+13 3/4", "W+"),
            ("B+3/4", "B+"),
            ("B+13 1/2", "B+13.5"),
        ],
        *[("", ""), ("X+", ""), ("a good game", ""), ("Both lost", "Void")],
    ],
)
def test_results(text: str, result: str) -> None:
    assert fact(f"RE[{text}]").result == result


@pytest.mark.parametrize(
    ("properties", "server"),
    [
        ("PC[The KGS Go Server at http://www.gokgs.com/]AP[CGoban:3]", "KGS"),
        ("PC[The Kiseido Go Server (KGS) at http://kgs.kiseido.com/]", "KGS"),
        ("AP[CGoban:3]", ""),
        ("AP[GNU Go:3.8]AP[foxwq]", "Fox"),
        ("AP[GNU Go:3.8]TM[60]TC[3]TT[30]", "Fox"),
        ("AP[GNU Go:3.8]", ""),
        ("AP[GNU Go:3.8]TM[60]TC[3]", ""),
        ("AP[GNU Go:3.8]TM[60]TT[30]", ""),
        ("SO[Tygem]", "Tygem"),
        ("PC[OGS: https://online-go.com/game/1]", "OGS"),
        ("AP[PANDA-glGo]", "IGS"),
        ("PC[CyberORO]", "Oro"),
        ("PC[WBaduk]", "Oro"),
        ("PC[Dragon Go Server: http://www.dragongoserver.net]", "DGS"),
        ("PC[No Name Go Server]", "NNGS"),
        *[(f"PC[{server} server]", server) for server in ("Fox", "KGS", "OGS", "Tygem", "IGS", "Oro", "DGS", "NNGS")],  # as it is written
        ("PC[Rigs, Oregon]US[GoGoD95]", ""),
        ("", ""),
    ],
)
def test_servers(properties: str, server: str) -> None:
    assert fact(properties).server == server


def test_a_game_of_as_many_moves_as_are_read() -> None:
    assert len(read_sgf(b"(;SZ[9]" + b";B[];W[]" * (sgf.MAX_MOVES // 2) + b")").moves) == sgf.MAX_MOVES


def test_a_fact_longer_than_any_name_is_cut() -> None:
    assert fact(f"PB[{'x' * 3 * sgf.MAX_FACT}]").players[0] == "x" * sgf.MAX_FACT


def test_names_are_unescaped_and_the_first_counts() -> None:
    for end in ("\n", "\r\n", "\r", "\n\r"):
        record = fact(f"PB[Ann \\[9d\\]\\{end}B]PB[Other]PW[ Bob{end}C ]")
        assert record.players == ("Ann [9d]B", "Bob C")
        assert fact(f"PW[Bob{end}C]").players[1] == "Bob C"


# How CyberORO, Sina and the Nihon Ki-in write: no first ";", and names of their own for date, komi, handicap and size. A pass is "``".
ORO = (
    "(\r\nTE[A cup, final]\r\nRD[2019-11-25 ]\r\nPC[Busan]\r\nTM[1]\r\nLT[60]\r\nLC[1]\r\nKO[6.5]\r\nRE[W+R]\r\nPB[신진서 ]\r\nBR[9단]\r\n"
    "PW[柯洁]\r\n{}WR[九段]\r\nGK[1]\r\nTC[]\r\n\r\n;B[cd];W[dc];B[dj];W[jd];B[``];W[cf])\r\n"
)


def test_the_dialect_of_oro() -> None:
    record = read_sgf(ORO.format("HD[0]\r\n"))
    assert (record.date, record.komi, record.handicap, record.size, record.result) == ("2019-11-25", 6.5, 0, 19, "W+R")
    assert (record.players, record.ranks) == (("신진서", "柯洁"), ("9d", "9d"))
    assert shown(record) == "B:C16 W:D17 B:D10 W:K16 B:pass W:C14"
    assert read_sgf(ORO.format("LN[13]\r\n")).size == 13
    assert read_sgf(ORO.format("").replace("KO[6.5]", "KO[黒6目半]")).komi == 6.5
    assert refusal(ORO.format("HD[2]\r\n").replace(";B[cd]", "")) == "handicap-without-stones"


@pytest.mark.parametrize("text", ["让二子", "twee", "x"])
def test_a_handicap_in_words(text: str) -> None:
    """It may be none, as 对子 or 分先 says; where White begins on an empty board, it was one."""
    assert shown(fact(f"HA[{text}]")) == "B:Q16"
    assert len(read_sgf(f"(;GM[1]HA[{text}]AB[dp][pd];W[dd])").setup) == 2
    assert refusal(f"(;GM[1]HA[{text}];W[dd];B[pp])") == "handicap-without-stones"
    assert shown(read_sgf("(;GM[1]HA[];W[dd];B[pp])")) == "W:D16 B:Q4"


def test_names_of_oro_mean_something_else_behind_the_root() -> None:
    """KO marks a ko there, and LN a line; the names of the standard come first."""
    record = read_sgf("(;GM[1]KM[7.5]DT[2001]KO[0]RD[1999];B[cd]KO[1]LN[aa:bb];W[dc]HD[3]RD[2002])")
    assert (record.komi, record.date, record.handicap, record.size) == (7.5, "2001", 0, 19)
    assert math.isnan(read_sgf("(;GM[1]LN[aa:bb];B[cd]KO[1])").komi)


def test_games_in_the_dialect_of_oro_one_after_the_other() -> None:
    data = ORO.format("") + ORO.format("").replace("[cd]", "[dd]") + "(;GM[1]SZ[9];B[cg])" + ORO.format("").replace("[cd]", "[ed]")
    games = list(read_collection(data))
    assert [shown(game)[:5] for game in games if isinstance(game, GameRecord)] == ["B:C16", "B:D16", "B:C3", "B:E16"]


@pytest.mark.parametrize("after", [";B[pp];W[qq])", ")"])
@pytest.mark.parametrize("before", ["B[cd]", "W[cf]"])
def test_reference_diagrams_of_oro_are_no_moves(before: str, after: str) -> None:
    """One begins with RN among the moves, and ends with a ")" that nothing opened."""
    data = ORO.format("").partition(before)[0] + before + "RN[so it would go on]PT[2];W[dd];B[pd])" + after
    assert refusal(data) == "malformed"


def test_facts_of_later_nodes() -> None:
    record = read_sgf(b"(;GM[1]SZ[9];B[cg]PB[Ann];W[gc]RE[B+R]C[x])")
    assert (record.players, record.result) == (("Ann", ""), "B+R")


# ------------------------------------------------------------------------------------------------- sources and writing


def test_sources(tmp_path: Path) -> None:
    text = "(;GM[1]SZ[9]PB[柯洁];B[cg];W[gc])"
    path = tmp_path / "game.sgf"
    path.write_bytes(text.encode())
    by_path = read_sgf(path)
    assert by_path.name == str(path)
    assert by_path.players[0] == "柯洁"
    assert read_sgf(str(path)) == by_path
    assert read_sgf(text, name=str(path)) == by_path
    assert read_sgf(text.encode(), name=str(path)) == by_path
    assert list(read_collection(path)) == [by_path]
    assert shown(read_sgf(path, name="x")) == "B:C3 W:G7"
    (tmp_path / "game (2).sgf").write_bytes(text.encode())
    assert read_sgf(str(tmp_path / "game (2).sgf")).moves == by_path.moves
    assert read_sgf(text.replace("柯洁", "a\udcffb")).players[0] == "a?b", "as a name that no encoding can say"
    for missing in (tmp_path / "no.sgf", tmp_path, "a\0b", ""):
        with pytest.raises(SgfError, match="cannot be read") as caught:
            read_sgf(missing)
        assert caught.value.kind == "no-file"


def random_record(seed: int) -> GameRecord:
    """A legal random game with setup, passes, captures and a colour that plays twice."""
    rng = random.Random(seed)
    size = rng.choice([2, 5, 9, 13, 19, 21, 25])
    board = Board(size, superko=False)
    setup = (
        tuple((rng.choice((BLACK, WHITE)), point) for point in sorted(rng.sample(range(size * size), rng.randrange(size))))
        if size > 2
        else ()
    )
    board.set_up(setup)
    moves = []
    colour = rng.choice((BLACK, WHITE))
    for _ in range(rng.randrange(4 * size)):
        legal = np.flatnonzero(board.legal_mask(colour))
        point = PASS if not len(legal) or rng.random() < 0.03 else int(rng.choice(list(legal)))
        board.play(point, colour)
        moves.append((colour, point))
        colour = colour if rng.random() < 0.03 else -colour
    return GameRecord(
        size=size,
        komi=rng.choice([0.0, 6.5, -3.5, 150.0, math.nan]),
        players=(rng.choice(["", "Ann", "柯洁 [9d]", "a\\b]"]), "이세돌"),
        ranks=(rng.choice(["", "9p", "5k"]), "1d"),
        result=rng.choice(["", "B+R", "W+3.5", "0", "Void", "?", "B+"]),
        date=rng.choice(["", "2016-03-09", "0196", "1998-03"]),
        setup=setup,
        to_play=moves[0][0] if moves else rng.choice((BLACK, WHITE)),
        moves=tuple(moves),
        server=rng.choice(["", "KGS", "Fox", "Tygem", "OGS", "IGS"]),
        rules=rng.choice(["", "Chinese", "Japanese", "AGA"]),
    )


RANDOM_GAMES = [random_record(seed) for seed in range(120)]


@pytest.mark.parametrize("record", RANDOM_GAMES[::2])
def test_what_is_written_is_read_back(record: GameRecord) -> None:
    text = write_sgf(record)
    assert read_sgf(text) == record
    assert read_sgf(text.encode()) == record


def test_what_is_written_says_what_it_is() -> None:
    """sgfmill, as other programs, takes names for Latin-1 where CA does not say UTF-8."""
    record = GameRecord(size=9, komi=6.5, handicap=1, players=("Müller", "柯洁"), moves=((BLACK, 20), (WHITE, PASS)))
    game = sgfmill_sgf.Sgf_game.from_bytes(write_sgf(record).encode())
    root = game.get_root()
    assert [root.get(ident) for ident in ("GM", "FF", "SZ", "KM", "HA")] == [1, 4, 9, 6.5, 1]
    assert (game.get_charset(), game.get_player_name("b"), game.get_player_name("w")) == ("UTF-8", *record.players)
    assert read_sgf(write_sgf(record)) == record


@pytest.mark.parametrize("to_play", [BLACK, WHITE])
def test_who_plays_after_handicap_stones_is_kept(to_play: int) -> None:
    record = GameRecord(size=9, handicap=2, setup=((BLACK, 20), (BLACK, 60)), to_play=to_play, komi=0.5)
    assert read_sgf(write_sgf(record)) == record


@pytest.mark.parametrize("record", RANDOM_GAMES)
def test_plain_and_full_reading_agree(record: GameRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_sgf(record).encode()
    plain = sgf._plain_game(data, 0)
    with monkeypatch.context() as patch:
        patch.setattr(sgf, "_plain_game", lambda data, start: None)
        full = next(sgf._games(data))
    assert sgf._record(full, "", "refuse") == record
    if record.moves and "[" not in record.players[0]:
        assert plain is not None
        assert sgf._record(plain, "", "refuse") == record
    # What the plain reading leaves to the other one, and what both must skip.
    marked = data.replace(b"];", b"]C[a\\]b (;B[aa\\])];", 1).replace(b";W[", b";WL[30.5]W[")
    assert sgf._record(next(sgf._games(marked)), "", "refuse") == record


def test_plain_and_full_reading_of_many_games_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a byte between or in them is another one than it was."""
    rng = random.Random(1)
    files = [write_sgf(record).encode() for record in RANDOM_GAMES if record.moves]
    collections = [b"\n".join(files)]
    for _ in range(300):
        data = bytearray(b"".join(rng.sample(files, 3)))
        for _ in range(rng.randint(1, 3)):
            del data[rng.randrange(len(data))]
            data.insert(rng.randrange(len(data)), rng.choice(b"();[]BWabF\\ "))
        collections.append(bytes(data))
    collections += [b"((;GM[1];B[aa])(;GM[1];B[bb])", b"(;GM[1];B[a(b])(;GM[1];B[a(b])", b"(;GM[1];B[aa])(;B[bb])(;GM[1];B[cc])"]

    def told(data: bytes) -> list[object]:
        return [game if isinstance(game, GameRecord) else "refused" for game in sgf.read_collection(data, name="x")]

    plain = list(map(told, collections))
    monkeypatch.setattr(sgf, "_plain_game", lambda data, start: None)
    assert plain == list(map(told, collections))
    assert [len(games) for games in (plain[0], *plain[-3:])] == [len(files), 2, 2, 3]


@pytest.mark.parametrize("game", ["(;GM[1]SZ[9]AB[cc])\n", "(;GM[1]SZ[9];B[cg];W[gc]\n", "(;GM[1]SZ[9];B[cg];W[gc]C[x])\n"])
def test_no_game_of_a_file_is_looked_at_to_the_end_of_the_file(game: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not where games have no moves, or are not closed: it would take hours."""
    looked_at = []

    class Bytes(bytes):
        def __getitem__(self, index):  # type: ignore[no-untyped-def]
            part = super().__getitem__(index)
            looked_at.append(len(part) if isinstance(part, bytes) else 1)
            return part

    read, branched = [], []
    plain, is_branched = sgf._plain_game, sgf._is_branched
    monkeypatch.setattr(sgf, "_plain_game", lambda data, start: read.append(start) or plain(Bytes(data), start))
    monkeypatch.setattr(sgf, "_is_branched", lambda *told: branched.append(told[1]) or is_branched(*told))
    data = (game * 2000 + ")").encode()
    assert sum(1 for _ in read_collection(data)) == 2000
    assert len(read) >= 2000
    assert max(looked_at, default=0) < len(data) / 2
    assert len(branched) <= 1


@pytest.mark.parametrize("record", [record for record in RANDOM_GAMES if record.size >= 5][::3])
def test_boards_are_those_of_sgfmill(record: GameRecord) -> None:
    data = write_sgf(record).encode()
    board, plays = sgfmill_moves.get_setup_and_moves(sgfmill_sgf.Sgf_game.from_bytes(data))
    replayed = list(record.replay())
    assert len(replayed) == len(plays)
    for (ours, point), (colour, place) in zip(record.replay(), plays, strict=True):
        expected = [
            [{"b": 1, "w": -1, None: 0}[board.get(row, column)] for column in range(record.size)] for row in reversed(range(record.size))
        ]
        assert ours.stones().tolist() == expected
        assert ours.to_play == (BLACK if colour == "b" else WHITE)
        if place is None:
            assert point == PASS
        else:
            row, column = place
            assert point == (record.size - 1 - row) * record.size + column
            board.play(row, column, colour)


# -------------------------------------------------------------------------------------------------- nothing goes wrong

WHOLE = [
    b"(;GM[1]FF[4]SZ[9]CA[UTF-8]PB[Ann (x)]PW[Bob [9d\\]]KM[6.5]AB[cc][gg]HA[2];W[ee]C[good :) move];B[ce];W[ec]N[a;b];B[eg]"
    b"(;W[ge];B[dd](;W[de])(;W[fd];B[df]))(;W[bb];B[aa]))",
    b"(;GM[1]SZ[9];B[ee];W[ec];B[eg];W[ge];B[ce];W[cc];B[gg])",
    b"(;GM[1]SZ[9];B[ee](;W[ec](;B[eg](;W[ge](;B[ce])))(;B[bb]))(;W[aa];B[bb]))",
    b"(;GM[1]SZ[9]KM[6.5]PB[A]PW[B];B[ee]C[first [1] move];W[ec]BL[30];B[eg]LB[aa:1][bb:2];W[ge]C[last \\] one])",
    "(;GM[1]SZ[9]CA[GB2312]PB[古力]PW[柯洁];B[ee]C[好];W[ec];B[eg])".encode("gb18030"),
]


@pytest.mark.parametrize("data", WHOLE)
def test_a_file_that_is_cut_off_yields_a_beginning_of_its_game(data: bytes) -> None:
    whole = read_sgf(data)
    kept = set()
    for length in range(len(data)):
        for illegal in ("refuse", "cut"):
            try:
                record = read_sgf(data[:length], illegal=illegal)
            except SgfError:
                continue
            assert record.moves == whole.moves[: len(record.moves)]
            assert not record.moves or (record.setup, record.size) == (whole.setup, whole.size)
            kept.add(len(record.moves))
    assert kept == set(range(len(whole.moves) + 1))


@pytest.mark.parametrize("data", WHOLE)
@pytest.mark.parametrize("sign", ["", "(", ")", "[", "]", ";", "\\"])
def test_a_lost_or_added_sign_never_yields_another_game(data: bytes, sign: str) -> None:
    """One byte lost, or one sign of the grammar added anywhere: the same moves, fewer, or a refusal."""
    whole = read_sgf(data)
    head = data.index(b"SZ[") + 5  # a damaged SZ is one that is missing: no reader could know
    for index in range(head, len(data)):
        damaged = data[:index] + sign.encode() + data[index + (not sign) :]
        for illegal in ("refuse", "cut"):
            try:
                record = read_sgf(damaged, illegal=illegal)
            except SgfError:
                continue
            assert record.moves == whole.moves[: len(record.moves)], damaged
            assert not record.moves or (record.setup, record.size) == (whole.setup, whole.size), damaged


def test_any_bytes_give_a_record_or_an_sgf_error() -> None:
    rng = random.Random(7)
    signs = b"()[];\\:BWABCSZ19aatt \n\xff\xb9\x5c\x00\x1b$~{"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(4000):
        data = bytearray(rng.choice(WHOLE))
        for _ in range(rng.randrange(1, 8)):
            at = rng.randrange(len(data))
            kind = rng.random()
            if kind < 0.4:
                data[at] = rng.choice(signs) if kind < 0.3 else rng.randrange(256)
            elif kind < 0.7:
                del data[at : at + rng.randrange(1, 4)]
            else:
                data[at:at] = bytes(rng.choice(signs) for _ in range(rng.randrange(1, 4)))
        for game in read_collection(bytes(data), illegal=rng.choice(["refuse", "cut"])):
            if isinstance(game, GameRecord):
                outcomes["read"] += 1
                assert sum(1 for _ in game.replay()) == len(game.moves)  # raises if a move were illegal
            else:
                outcomes["refused"] += 1
                assert str(game)
    for _ in range(300):
        data = bytes(rng.choice(signs) for _ in range(rng.randrange(200)))
        for game in read_collection(data):
            outcomes["refused" if isinstance(game, SgfError) else "read"] += 1
    assert min(outcomes.values()) > 500


def test_hostile_texts_take_no_time() -> None:
    """Each of these takes hours where a pattern goes back over what it has read."""
    blanks = b" " * 300_000
    for data in (
        b"(;SZ[1" + blanks + b"9];B[aa])",
        b"(;SZ[9]BR[9" + blanks + b"x]RE[B" + blanks + b"]DT[1999" + blanks + b"x]KM[6" + blanks + b"];B[aa])",
        b"(;SZ[9]C[[" + blanks + b"x];B[aa])",
        b"(;SZ[9];B[aa]" + b"(" * 100_000 + b"]",
        b"(;" * 200_000,
        b";B[" * 100_000,
        b"(;C[](;GM[" * 5_000,
        b"(;SZ[9]" + b"C[a]b]" * 3_000 + b";B[aa])",
        b"(;SZ[9]" + b";B[aa;W[bb" * 20_000 + b")",
        b"(;GM[1]x];B[aa])" * 2_000,
    ):
        for game in read_collection(data):
            assert isinstance(game, SgfError) or len(game.moves) <= 2


def test_replay_shows_the_board_before_each_move() -> None:
    record = read_sgf(b"(;SZ[9]AB[cg];W[ee];W[gc];B[aa])")
    seen = [
        (board.move_number, board.to_play, int(np.abs(board.stones()).sum()), point_to_sgf(point, 9)) for board, point in record.replay()
    ]
    assert seen == [(0, WHITE, 1, "ee"), (1, WHITE, 2, "gc"), (2, BLACK, 3, "aa")]
    for number in (0, 5):
        with pytest.raises(GoPolicyError, match=f"is {number}, expected a whole number, 1 to 4"):
            record.position(number)
    assert read_sgf("(;SZ[9]PL[W])").position(1).to_play == WHITE
    positions = [record.position(number) for number in range(1, 5)]
    stood = [(board.move_number, board.to_play, int(np.abs(board.stones()).sum())) for board in positions]
    assert stood == [(0, WHITE, 1), (1, WHITE, 2), (2, BLACK, 3), (3, WHITE, 4)]


def test_a_game_that_repeats_a_position_is_played_to_its_end() -> None:
    """Black takes three stones with the last move, which makes the board of the first one again: no ko, but superko."""
    record = read_sgf("(;SZ[2];B[ab];W[ba];B[aa];W[bb];B[ab];W[aa];B[ab])")
    first, end = record.position(2), record.position(8)
    assert np.array_equal(end.stones(), first.stones())
    assert end.captures == {BLACK: 3, WHITE: 2 + 1}


@pytest.mark.parametrize("padding", [b"\0\0\0", b"\x1a", b"\0\0\x1a", b"\r\n\x1a\0"])
def test_a_file_that_is_cut_off_and_filled_up_is_read(padding: bytes) -> None:
    """As file systems fill the last block, and DOS ends a text."""
    assert read_sgf(b"(;SZ[9];B[aa];W[bb]" + padding).moves == read_sgf("(;SZ[9];B[aa];W[bb])").moves


def test_many_faults_are_mended() -> None:
    """Each comment has lost its closing bracket."""
    sound = "(;SZ[9]" + "".join(f";{'BW'[k % 2]}[{letter}{letter}]C[x]" for k, letter in enumerate("abcdefgh")) + ")"
    assert read_sgf(sound.replace("C[x]", "C[x")).moves == read_sgf(sound).moves


def test_a_fault_behind_the_position_that_is_wanted_does_not_matter() -> None:
    game = b"(;SZ[9];B[cg];W[gc];B[cg];W[ee])"
    for move in (1, 3):
        assert shown(read_until(game, move)) == "B:C3 W:G7"
    for move in (4, None):
        with pytest.raises(SgfError, match="move 3"):
            read_until(game, move)


def test_an_archive_is_no_game(tmp_path: Path) -> None:
    """In a zip or tar a game may stand as it is, and was read for one; the start of one may stand in packed bytes by chance."""
    text = "(;SZ[19];B[dd])"
    with zipfile.ZipFile(tmp_path / "games.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.sgf", text)
    (tmp_path / "a.sgf").write_text(text)
    with tarfile.open(tmp_path / "games.tar", "w") as archive_:
        archive_.add(tmp_path / "a.sgf", "a.sgf")
    for kind, packed in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        (tmp_path / f"a.sgf{kind}").write_bytes(packed(text.encode()))
    with py7zr.SevenZipFile(tmp_path / "games.7z", "w") as archive7:
        archive7.write(tmp_path / "a.sgf", "a.sgf")
    for name in ("games.zip", "games.tar", "games.7z", "a.sgf.gz", "a.sgf.bz2", "a.sgf.xz"):
        with pytest.raises(SgfError, match=f"{name} is an archive"):
            read_sgf(tmp_path / name)


def test_games_that_tell_the_same_are_equal() -> None:
    """Also where they tell no komi: nan is not equal to itself, and a dataclass asks it from Python 3.13 on."""
    one, same = (read_sgf("(;SZ[19];B[dd];W[pp])") for _ in range(2))
    assert one == same
    assert one == dataclasses.replace(one, komi=float("nan"))
    assert len({one, same, dataclasses.replace(one, komi=float("nan"))}) == 1
    for field in dataclasses.fields(GameRecord):
        assert one != dataclasses.replace(
            one, **{field.name: {"size": 9, "komi": 0.0, "moves": (), "setup": ((BLACK, 0),)}.get(field.name, 8)}
        )
    assert one != (one.size, one.komi)


@pytest.mark.parametrize("text", ["1e400", "1e1", "6.5e0", " -1E+2"])
def test_a_komi_in_powers_of_ten_is_not_guessed(text: str) -> None:
    assert math.isnan(read_sgf(f"(;SZ[19]KM[{text}];B[dd])").komi)


@pytest.mark.parametrize("piece", [b"(;C[", rb"(;C[\\", b"(;GM[1]C["])
def test_brackets_that_are_never_closed(piece: bytes) -> None:
    """In a time that grows with the length: with its square, this would take minutes."""
    assert all(isinstance(record, SgfError) or not record.moves for record in read_collection((piece * 300_000)[:300_000]))


@pytest.mark.parametrize("game", [b"(;GM[1]SZ[19];B[aa];W[%c%c]", b"(;gm[1]sz[19];b[aa];w[%c%c])"])
def test_games_that_are_not_closed_or_have_small_letters_are_read_one_by_one(game: bytes) -> None:
    """In such a time as well."""
    data = b"".join(game % (97 + number % 19, 98 + number % 18) for number in range(8_000))
    records = list(read_collection(data))
    assert len(records) == 8_000
    for number, record in enumerate(records):
        assert [point for _, point in record.moves] == [0, (1 + number % 18) * 19 + number % 19]
