"""The packed set: what goes in comes out, the same whatever the order of work, and damage is noticed."""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gopolicy import atomic, cli, games, symmetry
from gopolicy.archives import Member
from gopolicy.coords import BLACK, PASS, WHITE
from gopolicy.errors import GamesError, UsageError, cores, quoted
from gopolicy.games import Filter, PackedGames, pack
from gopolicy.sgf import GameRecord, read_collection, write_sgf

ARCHIVE = Path(__file__).parents[1] / "data" / "gnugo-selfplay.tar.gz"


def record(seed: int = 0, moves: int = 60, **facts: object) -> GameRecord:
    """A game of distinct points, so that nothing is captured by chance alone; legal whatever the seed."""
    rng = random.Random(seed)
    points = rng.sample([row * 19 + column for row in range(0, 19, 2) for column in range(19)], moves)
    played = tuple((BLACK if i % 2 == 0 else WHITE, point) for i, point in enumerate(points))
    return GameRecord(**{"moves": played, "players": ("a", "b"), "ranks": ("7d", "6d"), "date": "2017-03-04", "komi": 6.5, **facts})  # type: ignore[arg-type]


def write(folder: Path, records: list[GameRecord]) -> Path:
    folder.mkdir(exist_ok=True)
    for i, one in enumerate(records):
        (folder / f"{i:03d}.sgf").write_text(write_sgf(one), encoding="utf-8")
    return folder


def turned(one: GameRecord, k: int) -> GameRecord:
    """The game under a symmetry."""

    def move(stones: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        return tuple((colour, symmetry.point(point, k, one.size)) for colour, point in stones)

    return replace(one, moves=move(one.moves), setup=tuple(sorted(move(one.setup), key=lambda s: s[1])))


def test_games_come_back_as_they_were_read(tmp_path: Path) -> None:
    report = pack([ARCHIVE], tmp_path / "g.gpk", chosen=Filter(keep_duplicates=True))
    packed = PackedGames.open(tmp_path / "g.gpk")
    assert report.read == report.kept == len(packed) > 100
    from gopolicy.archives import Member, members

    originals = [
        one for member in members([ARCHIVE]) if isinstance(member, Member) for one in read_collection(member.data, name=member.name)
    ]
    for i in range(0, len(packed), 17):
        original, kept = originals[i], packed.record(i)
        assert isinstance(original, GameRecord)
        for fact in ("size", "komi", "handicap", "players", "ranks", "setup", "to_play", "moves", "result"):
            assert getattr(kept, fact) == getattr(original, fact), fact
        assert kept.name == f"{ARCHIVE.name} #{i}"
    assert len(packed.moves) == sum(len(one.moves) for one in originals if isinstance(one, GameRecord))


def test_facts_that_are_not_known_come_back_as_not_known(tmp_path: Path) -> None:
    odd = record(1, komi=math.nan, date="0196", ranks=("", "9p"), result="W+R", handicap=2, setup=((BLACK, 19), (BLACK, 60)), to_play=WHITE)
    odd = replace(odd, moves=((WHITE, 40), (BLACK, PASS), (BLACK, 41)))
    pack([write(tmp_path / "in", [odd, record(2, komi=6.3)])], tmp_path / "g.gpk")
    kept = PackedGames.open(tmp_path / "g.gpk").record(0)
    assert PackedGames.open(tmp_path / "g.gpk").record(1).komi == 6.3
    assert math.isnan(kept.komi)
    assert (kept.date, kept.ranks, kept.result[:2], kept.handicap) == ("0196", ("", "9p"), "W+", 2)
    assert (kept.setup, kept.to_play, kept.moves) == (odd.setup, WHITE, odd.moves)


def test_every_game_keeps_its_own_facts(tmp_path: Path) -> None:
    """Two archives, whose games have other players and come from other servers."""
    told = {
        "one": record(1, players=("Ann", "Bob"), server="KGS", date="2017-03-04", result="W+3.5"),
        "two": record(2, players=("Bob", "Cem"), server="", date="1998-12", result="Void"),
        "three": record(3, players=("", "柯洁"), server="OGS", date="", result="0"),
    }
    pack([write(tmp_path / name, [one]) for name, one in told.items()], tmp_path / "g.gpk")
    packed = PackedGames.open(tmp_path / "g.gpk")
    for number, (name, one) in enumerate(told.items()):
        kept = packed.record(number)
        assert kept.name == f"{name} #{number}"
        for fact in ("players", "server", "date", "moves"):
            assert getattr(kept, fact) == getattr(one, fact), fact
    assert [packed.record(number).result for number in range(3)] == ["W+3.5", "", "0"]
    assert packed.summary()["servers"] == {"KGS": 1, "OGS": 1, "unknown": 1}
    assert (packed.summary()["games"], packed.summary()["moves"]) == (3, 180)
    with pytest.raises(GamesError, match=r"^'tset' is no split: there are train, validation, test and all$"):
        packed.indices("tset")
    by_split = [packed.indices(split).tolist() for split in games.SPLITS]
    assert packed.summary()["splits"] == {split: len(found) for split, found in zip(games.SPLITS, by_split, strict=True)}
    assert by_split == [[i for i in range(3) if packed.facts["split"][i] == split] for split in range(3)]
    assert packed.indices().tolist() == [0, 1, 2]


def test_a_board_full_of_handicap_stones_stops_no_packing(tmp_path: Path) -> None:
    full = GameRecord(handicap=300, setup=tuple((BLACK, point) for point in range(300)), to_play=WHITE, moves=((WHITE, 360),))
    pack([write(tmp_path / "in", [full])], tmp_path / "g.gpk")
    kept = PackedGames.open(tmp_path / "g.gpk").record(0)
    assert (kept.setup, kept.handicap) == (full.setup, 255)


def test_a_set_of_another_version_is_refused(tmp_path: Path) -> None:
    pack([write(tmp_path / "in", [record(1)])], tmp_path / "g.gpk")
    packed = PackedGames.open(tmp_path / "g.gpk")
    older = np.dtype([item for item in games.FACTS.descr if item[0] != "margin"])
    names = ("moves", "move_start", "setup", "setup_start")
    sections = {name: getattr(packed, name) for name in names} | {"facts": np.zeros(1, older), "players": np.zeros(2, "u1")}
    about = {"sources": ["in"], "servers": [""]}
    games.write_sections(tmp_path / "old.gpk", sections | {"player_start": np.arange(3)}, about)
    newer = (tmp_path / "g.gpk").read_bytes().replace(b"gopolicy games 1\n", b"gopolicy games 2\n", 1)
    (tmp_path / "new.gpk").write_bytes(newer)
    for name in ("old.gpk", "new.gpk"):
        with pytest.raises(GamesError, match="another version of this program: pack the games again"):
            PackedGames.open(tmp_path / name)
        assert games.is_packed(tmp_path / name), "no archive, and may be packed again in its place"


def test_the_same_input_gives_the_same_bytes_with_any_number_of_processes(tmp_path: Path) -> None:
    pack([ARCHIVE], tmp_path / "one.gpk", processes=1)
    pack([ARCHIVE], tmp_path / "two.gpk", processes=2)
    assert (tmp_path / "one.gpk").read_bytes() == (tmp_path / "two.gpk").read_bytes()


@pytest.mark.parametrize("processes", [1, 2])
def test_games_of_more_than_a_megabyte_stay_in_order(tmp_path: Path, processes: int) -> None:
    """Nine, each a list of its own for the processes, and more than are read ahead; then two in one list."""
    folder = write(tmp_path / "in", [record(seed) for seed in range(11)])
    for path in sorted(folder.iterdir())[:9]:
        path.write_text(path.read_text(encoding="utf-8").replace("(;", f"(;C[{'x' * (1 << 20)}]", 1), encoding="utf-8")
    assert pack([folder], tmp_path / "g.gpk", processes=processes).left_out == {}
    packed = PackedGames.open(tmp_path / "g.gpk")
    assert [packed.record(number).moves for number in range(len(packed))] == [record(seed).moves for seed in range(11)]


def test_games_are_read_in_lists_of_a_megabyte_or_500(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for length, lists in ((600_000, [2, 2, 1]), (10, [5]), (0, [5])):
        monkeypatch.setattr("gopolicy.archives.members", lambda _, n=length: (Member(str(i), b" " * n) for i in range(5)))
        assert [len(chunk) for chunk in games._chunks([tmp_path], [])] == lists
    monkeypatch.setattr("gopolicy.archives.members", lambda _: (Member(str(i), b"") for i in range(1001)))
    assert [len(chunk) for chunk in games._chunks([tmp_path], [])] == [500, 500, 1]


def test_about_two_bytes_a_move(tmp_path: Path) -> None:
    report = pack([ARCHIVE], tmp_path / "g.gpk")
    assert (tmp_path / "g.gpk").stat().st_size < 2.6 * report.moves


def test_hashes_are_the_same_under_all_symmetries_and_only_then() -> None:
    one = record(5, setup=((BLACK, 1 * 19 + 3), (WHITE, 3 * 19 + 7)))
    other = replace(one, moves=(*one.moves[:-1], (one.moves[-1][0], 17 * 19 + 1)))
    swapped = replace(one, moves=tuple((-colour, point) for colour, point in one.moves))
    recoloured = replace(one, setup=tuple((-colour, point) for colour, point in one.setup))
    passed = replace(one, moves=(*one.moves[:2], (BLACK, PASS), (WHITE, PASS), *one.moves[2:], (BLACK, PASS)))

    def hashes(game: GameRecord) -> tuple[int, int]:
        return games.pack_record(game, 0)[-1][:2]

    assert {hashes(turned(one, k)) for k in range(8)} == {hashes(one)}
    assert hashes(other)[0] != hashes(one)[0]
    assert hashes(other)[1] == hashes(one)[1], "the last of 60 moves is not part of the opening"
    assert hashes(swapped)[0] != hashes(one)[0]
    assert hashes(recoloured)[0] != hashes(one)[0], "a stone of the other colour was set up"
    assert hashes(passed) == hashes(one), "passes are no stones"


def test_mirrored_and_repeated_games_are_left_out_and_shortened_ones_stay_on_their_side(tmp_path: Path) -> None:
    originals = [record(seed) for seed in range(20)]
    again = [turned(one, 1 + i % 7) for i, one in enumerate(originals)]
    short = [replace(one, moves=one.moves[:50]) for one in originals]
    report = pack([write(tmp_path / "in", originals + again + short)], tmp_path / "g.gpk")
    packed = PackedGames.open(tmp_path / "g.gpk")
    assert report.left_out == {"duplicate": 20}
    assert np.array_equal(packed.facts["split"][:20], packed.facts["split"][20:])
    assert np.array_equal(packed.facts["opening"][:20], packed.facts["opening"][20:])
    assert pack([tmp_path / "in"], tmp_path / "all.gpk", chosen=Filter(keep_duplicates=True)).kept == 60


def test_a_mistyped_archive_is_noticed_before_anything_is_read(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = write(tmp_path / "in", [record(seed) for seed in range(3)])
    with pytest.raises(GamesError, match=r"no file or folder .*typo"):
        pack([folder, tmp_path / "typo.zip"], tmp_path / "g.gpk", progress=lambda *counts: seen.append(counts))
    assert not seen


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are UTF-8 there")
def test_an_archive_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", [record(1)])
    folder.rename(os.fsdecode(os.fsencode(tmp_path) + b"/d\xff"))
    pack([os.fsdecode(os.fsencode(tmp_path) + b"/d\xff")], tmp_path / "g.gpk")
    assert len(PackedGames.open(tmp_path / "g.gpk")) == 1


def test_splits_have_their_share(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 2**63, size=20_000)
    share = np.bincount([games.split_of(int(key)) for key in keys], minlength=3) / len(keys)
    for name, part in games.SPLIT_PER_MILLE.items():
        assert abs(share[games.SPLITS.index(name)] - part / 1000) < 0.006
    edges = [games.SPLITS[games.split_of(key)] for key in (29, 30, 59, 60, 1029)]
    assert edges == ["test", "validation", "validation", "train", "test"]


def test_a_game_stays_in_the_split_it_was_in(tmp_path: Path) -> None:
    """What these hash to must never change: the weights of the package were trained on one split and are measured on another, and
    sets packed by a version that divides games in another way would have games in their test split that the weights have learnt."""
    pack([ARCHIVE], tmp_path / "g.gpk")
    facts = PackedGames.open(tmp_path / "g.gpk").facts
    assert {name: hashlib.sha256(facts[name].tobytes()).hexdigest() for name in ("opening", "split")} == {
        "opening": "0209e1d1b23b3b325dd1589795e521fe6987c39e4498d077fd98497233c7591d",
        "split": "761f05f7418712ce5c344cdff8f28941b0dee5b84ddea58a970d0cad0457241b",
    }
    small = GameRecord(size=13, setup=((BLACK, 20), (WHITE, 50)), moves=((BLACK, 40), (WHITE, PASS), (BLACK, 41)))
    assert games.pack_record(small, 0)[-1][:2] == (488414421855405073, 488414421855405073)  # as a plain computation in Python gives it


@pytest.mark.parametrize(
    ("chosen", "facts", "reason"),
    [
        (Filter(), {"size": 13, "moves": ((BLACK, 1),)}, "another board size"),
        (Filter(sizes=(13,)), {"size": 13, "moves": ((BLACK, 1),)}, ""),
        (Filter(min_moves=20), {"moves": 19}, "too few moves"),
        (Filter(), {"moves": ((BLACK, PASS), (WHITE, PASS))}, "too few moves"),
        (Filter(max_moves=20), {"moves": 21}, "too many moves"),
        (Filter(min_moves=20, max_moves=20), {"moves": 20}, ""),
        (Filter(min_rank="6d"), {"ranks": ("7d", "5d")}, "rank too low or not known"),
        (Filter(min_rank="6d"), {"ranks": ("5d", "7d")}, "rank too low or not known"),
        (Filter(min_rank="6d"), {"ranks": ("7d", "")}, "rank too low or not known"),
        (Filter(min_rank="6d"), {"ranks": ("1p", "6d")}, ""),
        (Filter(min_rank="10k"), {"ranks": ("", "5k")}, "rank too low or not known"),
        (Filter(min_rank="10k"), {"ranks": ("10k", "1d")}, ""),
        (Filter(max_handicap=0), {"handicap": 2}, "handicap"),
        (Filter(max_handicap=0), {"setup": ((BLACK, 19),)}, "handicap"),
        (Filter(max_handicap=2), {"handicap": 2, "setup": ((BLACK, 19), (BLACK, 60))}, ""),
        (Filter(since="2017-03"), {"date": "2017-02-28"}, "date"),
        (Filter(since="2017-03"), {"date": "2017-03-01"}, ""),
        (Filter(until="2016"), {"date": "2017-03-01"}, "date"),
        (Filter(until="2017"), {"date": "2017-12-31"}, ""),
        (Filter(until="2017"), {"date": ""}, "date"),
        (Filter(since="2017"), {"date": ""}, "date"),
        # Of a game whose date tells the year or the month alone, all days that it may be are asked for.
        (Filter(until="2016-07-15"), {"date": "2016"}, "date"),
        (Filter(until="2016-07-15"), {"date": "2016-07"}, "date"),
        (Filter(until="2016-07-15"), {"date": "2016-06"}, ""),
        (Filter(until="2016-12-31"), {"date": "2016"}, ""),
        (Filter(until="2016-02-29"), {"date": "2016-02"}, ""),
        (Filter(until="2016-02"), {"date": "2016-02-30"}, ""),
        (Filter(since="2016-02"), {"date": "2016-13"}, ""),
        (Filter(since="2016-07"), {"date": "2016"}, "date"),
        (Filter(since="2016-01-01"), {"date": "2016"}, ""),
        (Filter(exclude_players=("^zen",)), {"players": ("x", "Zen19")}, "player excluded"),
        (Filter(exclude_players=("^zen",)), {"players": ("Zen19", "x")}, "player excluded"),
        (Filter(exclude_players=("^zen",)), {"players": ("x", "notzen")}, ""),
        (Filter(only_players=("shusaku",)), {"players": ("x", "y")}, "player not asked for"),
        (Filter(only_players=("shusaku",)), {"players": ("x", "Shusaku")}, ""),
        (Filter(only_players=("shusaku",)), {"players": ("Shusaku", "x")}, ""),
    ],
)
def test_filters(chosen: Filter, facts: dict[str, object], reason: str) -> None:
    moves = facts.pop("moves", 60)
    one = record(2, moves) if isinstance(moves, int) else record(2)
    if not isinstance(moves, int):
        facts["moves"] = moves
    assert chosen.reason_against(replace(one, **facts)) == reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_rank": "strong"},
        {"since": "2019", "until": "2016-05"},
        {"min_moves": 300, "max_moves": 20},
        {"min_moves": 0, "max_moves": 0},
        {"exclude_players": "petgo3"},  # whose names have one of its letters
        {"only_players": "Zen"},
        {"sizes": 19},
        {"since": 2016},
        {"min_rank": 6},
        {"exclude_players": (1,)},
        {"only_players": (b"Zen",)},
    ],
)
def test_filters_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    Filter(since="2016-05", until="2016")  # from May on
    Filter(min_moves=0, max_moves=1)
    with pytest.raises(UsageError):
        Filter(**wrong)  # type: ignore[arg-type]


def test_refused_games_are_counted_and_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", [record(1)])
    (folder / "occupied.sgf").write_text("(;SZ[19];B[aa];W[aa])")
    (folder / "words.sgf").write_text("no game at all")
    (folder / "same.sgf").write_text(write_sgf(record(1)))
    (folder / "small.sgf").write_text("(;SZ[9];B[aa])")
    told: list[tuple[int, int]] = []
    report = pack([folder], tmp_path / "g.gpk", progress=lambda *counts: told.append(counts))
    assert (report.read, report.kept) == told[-1] == (5, 1)
    assert report.left_out == {"illegal-move": 1, "not-sgf": 1, "duplicate": 1, "another board size": 1}
    named = {Path(name).name: kind for name, kind, _ in report.refused}
    assert named == {
        "occupied.sgf": "illegal-move",
        "words.sgf": "not-sgf",
        "same.sgf": "duplicate",
        "small.sgf": "another board size",
    }, "every one"
    (sentence,) = (sentence for name, _, sentence in report.refused if Path(name).name == "occupied.sgf")
    assert "2" in sentence
    assert "occupied.sgf" not in sentence, "the name is told beside it"
    about = PackedGames.open(tmp_path / "g.gpk").about
    assert (about["read"], about["left_out"]) == (5, report.left_out)
    cut = pack([folder], tmp_path / "g.gpk", illegal="cut")
    assert cut.kept == 2


def test_every_altered_byte_and_every_cut_is_noticed(tmp_path: Path) -> None:
    pack([write(tmp_path / "in", [record(seed) for seed in range(3)])], tmp_path / "g.gpk")
    whole = (tmp_path / "g.gpk").read_bytes()
    damaged = tmp_path / "d.gpk"
    for at in range(0, len(whole), 7):
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(GamesError):
            PackedGames.open(damaged)
    for length in range(0, len(whole), 31):
        damaged.write_bytes(whole[:length])
        with pytest.raises(GamesError):
            PackedGames.open(damaged)
    damaged.write_bytes(whole + b"more")
    with pytest.raises(GamesError):
        PackedGames.open(damaged)


def test_a_failed_packing_leaves_the_old_file(tmp_path: Path) -> None:
    pack([write(tmp_path / "in", [record(1)])], tmp_path / "g.gpk")
    before = (tmp_path / "g.gpk").read_bytes()
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "in").mkdir()
    with pytest.raises(GamesError, match="there is no SGF game in"):
        pack([tmp_path / "in"], tmp_path / "g.gpk")
    (tmp_path / "in" / "words.sgf").write_text("no game at all")
    (tmp_path / "in" / "small.sgf").write_text("(;SZ[9];B[cc])")
    (tmp_path / "in" / "words-too.sgf").write_text("no game either")
    with pytest.raises(GamesError, match=r"^no game was kept of 3 read: 2 not-sgf, 1 another board size; the first .*words-too\.sgf: .*$"):
        pack([tmp_path / "in"], tmp_path / "g.gpk")
    with pytest.raises(GamesError):
        pack([tmp_path / "nowhere"], tmp_path / "g.gpk")
    assert (tmp_path / "g.gpk").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.gpk", "in"]


def test_a_stop_while_the_file_is_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: int) -> None:
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["in"]
        raise KeyboardInterrupt

    source = write(tmp_path / "in", [record(1)])
    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        pack([source], tmp_path / "g.gpk")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.skipif(os.name != "posix", reason="links as on POSIX")
def test_what_cannot_be_written_is_said_before_a_game_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "in", [record(1)])
    (tmp_path / "g.gpk").symlink_to("nowhere/g.gpk")
    monkeypatch.setattr(games, "_read_chunk", None)
    with pytest.raises(GamesError, match=r"g\.gpk cannot be written: No such file or directory"):
        pack([source], tmp_path / "g.gpk")


@pytest.mark.skipif(os.name != "posix", reason="links as on POSIX")
def test_a_link_that_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "g.gpk").symlink_to("g.gpk")
    with pytest.raises(GamesError, match=r"g\.gpk cannot be written: .*link"):
        pack([write(tmp_path / "in", [record(1)])], tmp_path / "g.gpk")


@pytest.mark.parametrize(("rank", "number"), [("30k", -30), ("1k", -1), ("1d", 1), ("10d", 10), ("1p", 11), ("9p", 19)])
def test_ranks_as_numbers(rank: str, number: int) -> None:
    assert games.rank_number(rank) == number
    assert games.rank_text(number) == rank


@pytest.mark.parametrize(("rank", "number"), [("35k", -30), ("11d", 10), ("10p", 19)])
def test_no_rank_is_beyond_its_kind(rank: str, number: int) -> None:
    assert games.rank_number(rank) == number


@pytest.mark.parametrize("rank", ["0p", "0d", "0k", "", "5", "d", "-1d"])
def test_what_is_no_rank_has_no_number(rank: str) -> None:
    assert games.rank_number(rank) == 0


def test_two_may_write_the_same_set_at_once(tmp_path: Path) -> None:
    source, nothing = write(tmp_path / "in", [record(1)]), tmp_path / "nothing"
    nothing.mkdir()
    with atomic.beside(tmp_path / "g.gpk") as part:
        with pytest.raises(GamesError, match="there is no SGF game"):
            pack([nothing], tmp_path / "g.gpk")
        assert part.exists()
        assert pack([source], tmp_path / "g.gpk").kept == 1
        assert part.exists()


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_processes_that_read_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    """However it was ended: nobody would ever end them."""
    write(tmp_path / "in", [record(1)])
    code = f"""
import multiprocessing, os, signal
from gopolicy import games
def killed(roots, sources):
    yield from chunks_of(roots, sources)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
chunks_of, games._chunks = games._chunks, killed
games.pack([{str(tmp_path / "in")!r}], {str(tmp_path / "g.gpk")!r}, processes=2)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        children = [int(word) for word in process.stdout.readline().split()]
        assert children
        try:  # the children hold the pipe for as long as they live
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            for child in children:
                os.kill(child, signal.SIGKILL)
            raise
    assert process.returncode == -signal.SIGTERM


def test_games_are_numbered_from_nought(tmp_path: Path) -> None:
    pack([write(tmp_path / "in", [record(1), record(2)])], tmp_path / "g.gpk")
    packed = PackedGames.open(tmp_path / "g.gpk")
    assert [packed.record(number).moves for number in (0, np.int64(1))] == [record(1).moves, record(2).moves]
    for wrong in (-1, 2, "0", 0.0):
        with pytest.raises(UsageError, match=r"the number of a game is .*, expected a whole number, 0 to 1"):
            packed.record(wrong)  # type: ignore[arg-type]


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_process_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(games, "_read_chunk", killed)
    with pytest.raises(GamesError, match=r"ended before its time.*--processes 1.*`if __name__"):
        pack([write(tmp_path / "in", [record(1)])], tmp_path / "g.gpk", processes=2)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_file_that_is_no_packed_set_is_not_overwritten(tmp_path: Path) -> None:
    (source,) = write(tmp_path / "in", [record(1)]).iterdir()
    before = source.read_bytes()
    with pytest.raises(GamesError, match="not to lose it"):
        pack([source], source)
    assert source.read_bytes() == before
    with pytest.raises(GamesError, match="it is a folder"):
        pack([source], tmp_path)
    os.mkfifo(tmp_path / "pipe.gpk")
    with pytest.raises(GamesError, match="it is no ordinary file"):
        pack([source], tmp_path / "pipe.gpk")
    assert (tmp_path / "pipe.gpk").is_fifo()
    (tmp_path / "link.gpk").symlink_to(tmp_path / "elsewhere.gpk")
    assert pack([source], tmp_path / "link.gpk").kept == 1
    assert (tmp_path / "link.gpk").is_symlink()
    assert len(PackedGames.open(tmp_path / "elsewhere.gpk")) == 1
    with pytest.raises(GamesError, match=r"elsewhere.gpk is a packed set of games already"):
        pack([source, tmp_path / "elsewhere.gpk"], tmp_path / "g.gpk")
    (tmp_path / "my games").mkdir()
    with pytest.raises(GamesError, match=re.escape(f"`gopolicy pack {quoted(str(tmp_path / 'my games'))} --out games.gpk`")):
        PackedGames.open(tmp_path / "my games")
    (tmp_path / "empty.gpk").touch()
    for _ in range(2):  # the second time over what the first wrote
        assert pack([source], tmp_path / "empty.gpk").kept == 1


def test_an_archive_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in", [record(1)])
    (tmp_path / "words.zip").write_text("no zip file")
    (tmp_path / "more.zip").write_text("no zip file")
    both = [str(tmp_path / name) for name in ("words.zip", "more.zip")]
    assert cli.main(["pack", str(source), *both, "--out", str(tmp_path / "g.gpk"), "--processes", "1"]) == 0
    said = capsys.readouterr().err
    assert all(f"{path}: it " in said for path in both)
    assert cli.main(["pack", str(tmp_path / "words.zip"), "--out", str(tmp_path / "h.gpk"), "--processes", "1"]) == 1
    assert f"{tmp_path / 'words.zip'}: it " in capsys.readouterr().err
    assert not (tmp_path / "h.gpk").exists()


def test_the_command_line_has_every_filter(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    games.add_arguments(parser)
    start = ["in", "--out", "g.gpk"]
    assert games.filter_from(parser.parse_args(start)) == Filter()
    assert parser.parse_args(start).processes == cores()
    words = "--size 9 --size 13 --min-moves 20 --max-moves 300 --min-rank 6d --max-handicap 2 --since 2016 --until 2017-03"
    more = "--exclude-player ^zen --only-player shusaku --only-player go.*seigen --keep-duplicates"
    assert games.filter_from(parser.parse_args([*start, *words.split(), *more.split()])) == Filter(
        (9, 13), 20, 300, "6d", 2, "2016", "2017-03", ("^zen",), ("shusaku", "go.*seigen"), True
    )


def test_what_the_command_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused games on standard output, the numbers on standard error; one that is cut at its illegal move is kept."""
    chunks = games._chunks
    monkeypatch.setattr(games, "_chunks", lambda *arguments: ([member] for chunk in chunks(*arguments) for member in chunk))
    folder = write(tmp_path / "in", [record(1), record(1), record(1), record(2)])
    (folder / "occupied.sgf").write_text("(;SZ[19];B[aa];W[bb];B[aa])")
    command = ["pack", str(folder), "--out", str(tmp_path / "g.gpk"), "--processes", "1", "--min-moves", "2"]
    for more, kept, moves, refused in (
        ([], 2, 120, ["duplicate", "duplicate", "illegal-move"]),
        (["--illegal", "cut"], 3, 122, ["duplicate", "duplicate"]),
    ):
        assert cli.main([*command, "--list-refused", *more]) == 0
        told = capsys.readouterr()
        rows = [line.split("\t") for line in told.out.splitlines()]
        assert [(row[0], Path(row[1]).name) for row in rows] == list(zip(refused, ("001.sgf", "002.sgf", "occupied.sgf"), strict=False))
        assert f"5 games read, {kept} kept ({moves} moves), {5 - kept} left out\n         2  duplicate\n" in told.err
        assert not told.out.endswith("\t\n")
        counts = [f"{len(PackedGames.open(tmp_path / 'g.gpk').indices(split))} {split}" for split in games.SPLITS]
        assert f"g.gpk: {kept} games ({', '.join(counts)}), 0.0 MB\n" in told.err
        assert re.search(rf"packing: 5 games .*{kept} kept", told.err)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_progress_bar_does_not_fill_a_log(terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import tqdm.std

    now = 0.0
    monkeypatch.setattr(tqdm.std, "time", lambda: now)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with games.bar(unit=" games", total=6000) as bar:
        for _ in range(6000):  # in a minute
            now += 0.01
            bar.update()
    states = capsys.readouterr().err.count("\r")
    assert states > 60 if terminal else states < 10


def test_a_game_of_a_collection_is_refused_by_its_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two.sgf").write_text("(;SZ[19];B[aa])(;SZ[9];B[aa])")
    report = pack([tmp_path / "two.sgf"], tmp_path / "g.gpk")
    (one, other) = (game.name for game in read_collection((tmp_path / "two.sgf").read_bytes(), name=str(tmp_path / "two.sgf")))
    assert one != other
    assert report.refused == [(other, "another board size", "")]
    (tmp_path / "two.sgf").write_text("(;SZ[19];B[aa])(;SZ[19];B[aa];W[aa])")
    report = pack([tmp_path / "two.sgf"], tmp_path / "g.gpk")
    assert report.refused == [(other, "illegal-move", "white A19 is illegal at move 2: the point is occupied")]
    with pytest.raises(SystemExit):
        cli.main(["pack", "", "--out", str(tmp_path / "g.gpk")])
    assert "'': expected the name of a file or folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["pack", str(tmp_path / "two.sgf"), "--out", ""])
    assert "argument --out: '': expected the name of a file or folder" in capsys.readouterr().err


def test_the_folder_at_hand_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "mine", [record(1)]))
    for place in (".", "../mine"):
        pack([place], tmp_path / "g.gpk")
        packed = PackedGames.open(tmp_path / "g.gpk")
        assert (packed.sources, packed.record(0).name) == (["mine"], "mine #0")


@pytest.mark.parametrize(
    "option",
    [
        "--min-moves=-3",
        "--max-moves=0",
        "--max-handicap=-1",
        "--size=26",
        "--since=2016-13-45",
        "--until=2016-02-30",
        "--processes=0",
        "--min-rank=99x",
        "--exclude-player=(",
        "--only-player=(",
        "--since=yesterday",
    ],
)
def test_options_that_mean_nothing_are_wrong_use(tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "in", [record(1)])
    assert cli.main(["pack", str(folder), "--out", str(tmp_path / "g.gpk"), option]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("gopolicy pack: ")
    assert not (tmp_path / "g.gpk").exists()
