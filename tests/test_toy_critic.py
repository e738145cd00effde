"""A critic of thirty lines works with everything: cache, comparisons, loops, folders, command line, nodes."""

from __future__ import annotations

import argparse
import json

import pytest
import torch
from PIL import Image
from rr_tests import toy
from rr_tests.loops import CANDIDATES, loop, node

from rr_models import LoopSettings, best_of, refine
from rr_models.cli import judge, main, rank
from rr_models.critics.cached import CACHED, CachedCritic
from rr_models.critics.disk_cache import DiskCache
from rr_models.critics.judging import compare, critique
from rr_models.critics.pairwise import PairwiseJudge, break_ties
from rr_models.judgement import aspects as aspects_module
from rr_models.judgement import critique as critique_module
from rr_models.judgement import verdict as verdict_module
from rr_models.judgement.ranking import RankBy
from rr_models.rank_folder import rank_folder


@pytest.fixture
def critic():
    return toy.make(critique_module, verdict_module, aspects_module)


def grey(*shades: float) -> list[torch.Tensor]:
    return [torch.full((8, 8, 3), shade) for shade in shades]


def paint(prompt: str, seed: int) -> torch.Tensor:
    return grey(min(1.0, 0.4 + 0.2 * prompt.count("brighter")))[0]


def test_critiques_comparisons_and_the_best(critic):
    dark, light = critique(critic, grey(0.2, 0.8), "a lamp")
    assert (dark.overall, light.overall) == pytest.approx(
        (1.6, 3.4)
    ) and light.refined_request == "a lamp, brighter"
    verdict = compare(critic, *grey(0.2, 0.8), "a lamp", tie_margin=0.1)
    assert verdict.winner == "B" and verdict.position_bias == 0
    alone = compare(critic, *grey(0.2, 0.8), "a lamp", comparison="independent")
    assert (alone.overall_a, alone.overall_b) == pytest.approx((1.6, 3.4))
    edit = critique(critic, grey(0.5), "brighter", sources=grey(0.1), detail="best")[0]
    assert edit.task == "edit" and len(edit.aspects) == 4


def test_the_cache(critic, tmp_path):
    cached = CachedCritic(critic, DiskCache(tmp_path))
    first = critique(cached, grey(0.2, 0.8), "a lamp")
    again = critique(cached, grey(0.2, 0.8), "a lamp", weights={"text_rendering": 0.0})
    assert critic.asked == 2 and cached.cache_hits == 2
    assert [c.overall for c in again] == pytest.approx([c.overall for c in first])
    assert again[0].source[CACHED]
    for _ in range(2):
        compare(cached, *grey(0.2, 0.8), "a lamp")
    assert critic.asked == 4 and cached.cache_hits == 4


def test_the_loop_and_best_of(critic):
    state = refine(paint, critic, "a lamp", settings=LoopSettings(rounds=4, threshold=2.5))
    assert state.done and [round(past.critique.overall, 1) for past in state.history] == [2.2, 2.8]
    assert best_of(paint, critic, "a lamp", 2).done


def test_a_tournament_and_ties(critic):
    order, lines = PairwiseJudge(critic, "a lamp").rank(grey(0.1, 0.9, 0.5), 3, "round robin")
    assert order == (1, 2, 0) and len(lines) == 3
    images = grey(0.5, 0.51, 0.2)  # the first two differ by less than a tenth of a point
    judged = critique(critic, images, "a lamp")
    assert judged[0].overall == judged[1].overall
    ranking, notes = break_ties(critic, images, judged, (0, 1, 2), 1, RankBy())
    assert ranking == (0, 1, 2) and "Images 1, 2 have equal scores" in notes[0]


def files(folder) -> None:
    for name, shade in (("dark", 30), ("light", 220), ("middle", 120)):
        Image.new("RGB", (8, 8), (shade,) * 3).save(folder / f"{name}.png")


def test_a_folder(critic, tmp_path):
    files(tmp_path)
    ranked = rank_folder(tmp_path, critic, tmp_path / "out", "a lamp")
    assert [image.file for image in ranked.images] == ["light.png", "middle.png", "dark.png"]


def parsed(*arguments: str) -> argparse.Namespace:
    return main._parser().parse_args(arguments)


def test_the_command_line(critic, tmp_path, capsys):
    files(tmp_path)
    paths = [str(tmp_path / f"{name}.png") for name in ("dark", "light")]
    options = parsed("critique", *paths, "--request", "a lamp", "--json")
    assert judge.run_critique(options, critic) == 0
    assert json.loads(capsys.readouterr().out)["ranking"] == paths[::-1]
    assert judge.run_compare(parsed("compare", *paths, "--request", "a lamp"), critic) == 0
    assert "B" in capsys.readouterr().out
    assert rank.run(parsed("rank", str(tmp_path), "--request", "a lamp"), critic) == 0
    assert "3 " in capsys.readouterr().out


CRITIC = {
    "critic": node("RRTestToyCritic"),
    "paint": node("RRTestPaint", prompt="a", seed=0, batch_size=3, fail_on=""),
}
IMAGE, ONE = ["paint", 0], ["one", 0]
SAMPLING = {"temperature": 0.0, "seed": 0, "max_new_tokens": 2048}


def graph(**nodes: dict) -> dict:
    return {**CRITIC, "one": node("ImageFromBatch", image=IMAGE, batch_index=0, length=1), **nodes}


def judged(**inputs) -> dict:
    return node(
        "RationalRewardsCritique",
        critic=["critic", 0],
        **{"image": IMAGE, "request": "a", **SAMPLING, "task": "auto", **inputs},
    )


NODES = {
    "critique": (graph(test=judged()), "test", 0),
    "compare": (
        graph(
            test=node(
                "RationalRewardsCompare",
                critic=["critic", 0],
                image_a=ONE,
                image_b=ONE,
                request="a",
                **SAMPLING,
                comparison="auto",
                tie_margin=0.0,
            )
        ),
        "test",
        1,
    ),
    "tournament": (
        graph(
            test=node(
                "RationalRewardsTournament",
                critic=["critic", 0],
                image=IMAGE,
                request="a",
                count=1,
                format="knockout",
            )
        ),
        "test",
        0,
    ),
    "pick best": (
        graph(
            judge=judged(),
            test=node(
                "RationalRewardsPickBest",
                candidates=["judge", 0],
                count=1,
                rank_by="overall",
                tie_break="comparison",
                critic=["critic", 0],
            ),
        ),
        "test",
        0,
    ),
}


@pytest.mark.parametrize("name", NODES)
def test_every_node_that_takes_a_critic(core, name):
    prompt, shown, slot = NODES[name]
    run = core.run({**prompt, "show": node("PreviewAny", source=[shown, slot])})
    assert run.success, run.complaint


def test_rank_folder_node(core, tmp_path):
    files(tmp_path)
    ranking = {"request": "a", "rank_by": "overall", "count": 3, "best_files": "none"}
    rank = node("RationalRewardsRankFolder", critic=["critic", 0], folder=str(tmp_path), **ranking)
    run = core.run({**CRITIC, "rank": rank, "show": node("PreviewAny", source=["rank", 4])})
    assert run.success, run.complaint
    assert "light.png" in run.value("rank", 4)


def test_the_refine_loop(core):
    prompt = loop(threshold=2.0)
    prompt["critic"] = node("RRTestToyCritic")
    prompt["judge"] = judged(request=["start", 4])
    run = core.run({**prompt, "show": node("PreviewImage", images=["end", 0])})
    assert run.success, run.complaint
    assert run.value("end", CANDIDATES)[0].prompt == "grey, brighter"
