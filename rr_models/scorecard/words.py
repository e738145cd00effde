"""What the scorecards say by themselves, in English and in Chinese. What the critic wrote stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..judgement.critique import COMPLETE, INCOMPLETE, MISSING, REFUSED, TRUNCATED, Judgement
from ..judgement.thresholds import Thresholds
from ..loop.state import State
from ..loop.stop_reason import StopReason


@dataclass(frozen=True)
class Words:
    """All phrases of one language. Braces hold what is filled in."""

    critique: str
    edit: str
    comparison: str
    candidates: str
    rounds: str
    one_round: str
    accepted: str
    request: str
    refined_request: str
    summary: str
    notes: str
    source: str
    edited: str
    no_image: str
    of_best: str
    passed: str
    below: str
    best: str
    tied: str
    image: str
    seed: str
    new_seed: str
    candidate: str
    missing: str
    not_applicable: str
    more: str
    comma: str
    between: str
    nothing_applies: str
    no_aspect: str
    every_aspect: str
    an_aspect: str
    overall: str
    scale: str
    notch: str
    judged_by: str
    saved: str
    some_passed: str
    unjudged: str
    best_shown: str
    wins: str
    wins_barely: str
    tie: str
    undecided: str
    one_wins: str
    orders_agree: str
    orders_disagree: str
    chart: str
    round: str
    round_best: str
    prompt: str
    prompt_changes: str
    same_prompt: str
    goes_on: str
    rounds_shown: str
    statuses: Mapping[str, str]
    """The status of a judgement without an overall score, as a headline."""
    no_score: Mapping[str, str]
    """Why a critique has no overall score, by its status; `{aspects}` are those without a score."""
    stops: Mapping[StopReason, str] = field(default_factory=dict)
    """Why a loop stopped; what is not here is said in English."""
    aspects: Mapping[str, str] = field(default_factory=dict)
    """Names of aspects by key, where they differ from the critic's."""

    def aspect(self, key: str, name: str) -> str:
        return self.aspects.get(key, name)

    def why_no_score(self, judgement: Judgement) -> str:
        """Why there is no overall score, in a sentence."""
        if judgement.status == COMPLETE:
            return self.no_aspect
        missing = [self.aspect(a.key, a.name) for a in judgement.aspects if a.status == MISSING]
        if judgement.status == TRUNCATED:
            missing = missing[:1]  # those behind it are missing for the same reason
        sentence = self.no_score[judgement.status]
        if "{aspects}" in sentence and not missing:
            return self.statuses[judgement.status]
        return sentence.format(aspects=self.comma.join(missing))

    def rule(self, thresholds: Thresholds, aspects: Iterable) -> str:
        """What an image must reach: "every aspect ≥ 3, overall ≥ 3.2"."""
        parts = [self.every_aspect.format(threshold=_number(thresholds.threshold))]
        for aspect in aspects:
            if aspect.key in thresholds.aspect_thresholds:
                value = _number(thresholds.aspect_thresholds[aspect.key])
                parts.append(
                    self.an_aspect.format(name=self.aspect(aspect.key, aspect.name), threshold=value)
                )
        if thresholds.min_overall:
            parts.append(self.an_aspect.format(name=self.overall, threshold=_number(thresholds.min_overall)))
        return self.comma.join(parts)

    def why_stopped(self, state: State) -> str:
        """Why the loop stopped, in a sentence."""
        if state.stop is None:
            return self.goes_on
        sentence = self.stops.get(state.stop.reason)
        if sentence is None:
            return str(state.stop)
        details = f" {state.stop.details}" if state.stop.details else ""
        return sentence.format(**state.stop.parameters) + details


def _number(score: float) -> str:
    return f"{score:.3g}"


ENGLISH = Words(
    critique="Critique",
    edit="Critique of an edit",
    comparison="Comparison",
    candidates="{count} candidates, best first",
    rounds="Refine loop, {count} rounds",
    one_round="Refine loop, 1 round",
    accepted="{count} of {target} wanted images passed",
    request="Request",
    refined_request="Refined request",
    summary="Summary",
    notes="Notes",
    source="Source",
    edited="Edited",
    no_image="no image",
    of_best="of {best:g}",
    passed="passed",
    below="below threshold",
    best="best",
    tied="tied for best",
    image="image {number}",
    seed="seed {seed:,}",
    new_seed="new seed {seed:,}",
    candidate="candidate {number} of {count}",
    missing="missing",
    not_applicable="N/A",
    more=" (+{count:,} characters)",
    comma=", ",
    between=" ",
    nothing_applies="No score",
    no_aspect="No score: no aspect applies",
    every_aspect="every aspect ≥ {threshold}",
    an_aspect="{name} ≥ {threshold}",
    overall="overall",
    scale="Scores from {worst:g} (worst) to {best:g} (best).",
    notch="The notch is the threshold: {rule}.",
    judged_by="Judged by {critic}.",
    saved="Saved {date}.",
    some_passed="{passed} of {count} passed.",
    unjudged="{count} could not be judged completely.",
    best_shown="The best {shown} of {count} are shown.",
    wins="{winner} wins (+{margin:.2f})",
    wins_barely="{winner} wins, barely (+{margin:.2f})",
    tie="Tie",
    undecided="No winner",
    one_wins="{name} wins",
    orders_agree="Shown in both orders: both agree, position bias {bias:+.2f}.",
    orders_disagree="Shown in both orders: they disagree, position bias {bias:+.2f}.",
    chart="Overall score by round",
    round="Round {number}",
    round_best="Round {number}, best",
    prompt="Prompt",
    prompt_changes="Prompt: what is new",
    same_prompt="Prompt as before",
    goes_on="The loop goes on.",
    rounds_shown="{shown} of {count} rounds are shown as images: the first, the best, the last, those that "
    "set a new best or passed, and others in between. The chart shows all.",
    statuses={TRUNCATED: "Cut off", INCOMPLETE: "Incomplete", REFUSED: "Refused"},
    no_score={
        TRUNCATED: "No score: the critique was cut off before {aspects}",
        INCOMPLETE: "No score: the critique has none for {aspects}",
        REFUSED: "No score: the critic declined to judge",
    },
)

CHINESE = Words(
    critique="评语",
    edit="编辑的评语",
    comparison="比较结果",
    candidates="{count} 张候选，最好的在前",
    rounds="改进循环，{count} 轮",
    one_round="改进循环，1 轮",
    accepted="所需 {target} 张中 {count} 张合格",
    request="要求",
    refined_request="改进后的要求",
    summary="总结",
    notes="备注",
    source="原图",
    edited="编辑后",
    no_image="没有图像",
    of_best="满分 {best:g}",
    passed="合格",
    below="低于门槛",
    best="最佳",
    tied="并列最佳",
    image="图像 {number}",
    seed="种子 {seed:,}",
    new_seed="新种子 {seed:,}",
    candidate="第 {number} 张，共 {count} 张候选",
    missing="缺失",
    not_applicable="不适用",
    more="（另有 {count:,} 字）",
    comma="，",
    between="",
    nothing_applies="没有总分",
    no_aspect="没有总分：没有适用的方面",
    every_aspect="每个方面 ≥ {threshold}",
    an_aspect="{name} ≥ {threshold}",
    overall="总分",
    scale="分数从 {worst:g}（最差）到 {best:g}（最好）。",
    notch="刻痕是门槛：{rule}。",
    judged_by="评审模型：{critic}。",
    saved="保存于 {date}。",
    some_passed="{count} 张中 {passed} 张合格。",
    unjudged="{count} 张无法完整评判。",
    best_shown="只显示 {count} 张中最好的 {shown} 张。",
    wins="{winner} 胜出（+{margin:.2f}）",
    wins_barely="{winner} 险胜（+{margin:.2f}）",
    tie="平局",
    undecided="没有胜者",
    one_wins="{name} 胜出",
    orders_agree="两种顺序都展示过：结果一致，位置偏差 {bias:+.2f}。",
    orders_disagree="两种顺序都展示过：结果不一致，位置偏差 {bias:+.2f}。",
    chart="各轮总分",
    round="第 {number} 轮",
    round_best="第 {number} 轮，最佳",
    prompt="提示词",
    prompt_changes="提示词：新增内容",
    same_prompt="提示词同上一轮",
    goes_on="循环还在继续。",
    rounds_shown="{count} 轮中有 {shown} 轮显示图像：第一轮、最佳一轮、最后一轮、刷新最高分或合格的各轮，"
    "以及其间的几轮。图表包含全部。",
    statuses={TRUNCATED: "被截断", INCOMPLETE: "不完整", REFUSED: "拒绝评判"},
    no_score={
        TRUNCATED: "没有总分：评语在“{aspects}”之前被截断",
        INCOMPLETE: "没有总分：评语缺少“{aspects}”的分数",
        REFUSED: "没有总分：评审模型拒绝评判",
    },
    stops={
        StopReason.THRESHOLDS_REACHED: "第 {round} 轮达到门槛：{thresholds}。",
        StopReason.TARGET_COUNT_REACHED: "所需的 {target_count} 张图片已全部合格。",
        StopReason.ROUNDS_USED: "{rounds} 轮已全部用完。",
        StopReason.TIME_LIMIT: "{time_limit_seconds} 秒已用去 {seconds} 秒，"
        "再来一轮至少需要 {quickest_round} 秒。",
        StopReason.NO_GAIN: "连续 {rounds} 轮的提升不到 {min_gain}。",
        StopReason.CRITIQUE_FAILED: "第 {round} 轮的评语状态为“{status}”。",
        StopReason.NO_NEW_PROMPT: "评审模型在第 {round} 轮没有提出新的提示词。",
        StopReason.SAME_IMAGE: "提出的提示词已用这个种子试过，只会得到同一张图片。",
        StopReason.STOPPED: "在第 {round} 轮被停止。",
        StopReason.ROUND_FAILED: "第 {round} 轮失败。",
    },
    aspects={
        "text_faithfulness": "文本忠实度",
        "image_faithfulness": "图像忠实度",
        "physical_quality": "物理与视觉质量",
        "text_rendering": "文字渲染",
    },
)

LANGUAGES = {"en": ENGLISH, "zh": CHINESE}
AUTO = "auto"
"""The language of the request."""

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA_OR_HANGUL = re.compile("[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")
_ALPHABETIC_WORD = re.compile(r"[^\W\d_\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


def language_of(request: str) -> str:
    """ "zh" for a request with more Chinese characters than words of other scripts, and no Japanese or
    Korean; else "en"."""
    if _KANA_OR_HANGUL.search(request):
        return "en"
    return "zh" if len(_HAN.findall(request)) > len(_ALPHABETIC_WORD.findall(request)) else "en"
