// What our nodes show on themselves: scores and justifications after a run, which images were selected, the
// critic's progress during one. The data comes from nodes/common/display.py. Only DOM widgets, which both of
// ComfyUI's renderings draw; nothing is saved with the workflow, and no node depends on this file. A model's text
// only ever becomes text nodes, never markup.

import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const KEY = "rational_rewards";
const HEIGHTS = {
  RationalRewardsCritique: 150,
  RationalRewardsCompare: 150,
  RationalRewardsRefineEnd: 190,
  RationalRewardsPickBest: 110,
  RationalRewardsGate: 110,
};
const EMPTY = 34;

const WORDS = {
  en: {
    empty: "Scores appear here after a run.",
    text_faithfulness: "Text Faithfulness",
    image_faithfulness: "Image Faithfulness",
    physical_quality: "Physical and Visual Quality",
    text_rendering: "Text Rendering",
    overall: "Overall",
    image: "Image",
    not_applicable: "N/A",
    missing: "missing",
    incomplete: "incomplete",
    truncated: "cut off",
    refused: "refused",
    refined: "Refined request",
    round: "Round {}",
    pass: "{} of {} pass",
    selected: "{} of {} selected",
    limit: "Round {} of {}",
    seed: "seed",
    best: "best",
    accepted: "{} of {} accepted",
    candidates: "{} candidates",
    reading: "reading the image",
    writing: "writing",
    tokens: "{} tokens/s",
    left: "at most {} s left",
    done: "{} of {} judged",
    A: "A is better",
    B: "B is better",
    tie: "a tie",
    none: "undecided",
    bias: "Points gained by being shown first",
  },
  zh: {
    empty: "运行后在此显示评分。",
    text_faithfulness: "文本忠实度",
    image_faithfulness: "图像忠实度",
    physical_quality: "物理与视觉质量",
    text_rendering: "文字渲染",
    overall: "总分",
    image: "图像",
    not_applicable: "不适用",
    missing: "缺失",
    incomplete: "不完整",
    truncated: "被截断",
    refused: "拒绝评判",
    refined: "改进后的要求",
    round: "第 {} 轮",
    pass: "{} / {} 张通过",
    selected: "选中 {} / {} 张",
    limit: "第 {} 轮，共 {} 轮",
    seed: "种子",
    best: "最佳",
    accepted: "{} / {} 张合格",
    candidates: "{} 张候选",
    reading: "正在看图",
    writing: "正在书写",
    tokens: "{} 词元/秒",
    left: "最多还需 {} 秒",
    done: "已评判 {} / {}",
    A: "A 更好",
    B: "B 更好",
    tie: "平局",
    none: "无法判断",
    bias: "排在前面多得的分",
  },
};

// Stop reasons of rr_models/loop/stop_reason.py, with their parameters in braces.
const STOP_ZH = {
  thresholds_reached: "第 {round} 轮达到门槛：{thresholds}。",
  target_count_reached: "所需的 {target_count} 张图片已全部合格。",
  rounds_used: "{rounds} 轮已全部用完。",
  time_limit: "{time_limit_seconds} 秒已用去 {seconds} 秒，再来一轮至少需要 {quickest_round} 秒。",
  no_gain: "连续 {rounds} 轮的提升不到 {min_gain}。",
  critique_failed: "第 {round} 轮的评语状态为“{status}”。",
  no_new_prompt: "评审模型在第 {round} 轮没有提出新的提示词。",
  same_image: "提出的提示词已用这个种子试过，只会得到同一张图片。",
  stopped: "在第 {round} 轮被停止。",
  round_failed: "第 {round} 轮失败。",
};

const STYLE = `
.rr-face { position: relative; width: 100%; height: 100%; }
.rr-scroll { position: absolute; inset: 0; overflow: auto; box-sizing: border-box; padding: 6px 8px;
  border-radius: 6px; background: var(--comfy-input-bg, #222); color: var(--input-text, #ddd);
  font: 11px/1.45 Inter, Arial, sans-serif; user-select: text; overflow-wrap: anywhere; }
.rr-scroll:focus { outline: 1px solid var(--border-color, #666); }
.rr-quiet { opacity: 0.82; }
.rr-entry + .rr-entry { margin-top: 8px; padding-top: 6px; border-top: 1px solid var(--border-color, #555); }
.rr-row { display: grid; grid-template-columns: minmax(0, 1fr) 28% 5.2em; gap: 6px; align-items: center; }
.rr-row > :last-child { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.rr-row > :first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.rr-head { font-weight: 600; margin-bottom: 2px; }
.rr-bar { position: relative; height: 6px; border-radius: 3px; background: var(--border-color, #555); }
.rr-bar > i { display: block; height: 100%; border-radius: 3px; background: #4a8fd6; }
.rr-bar > b { position: absolute; top: -2px; bottom: -2px; width: 1.5px; background: var(--input-text, #ddd); }
.rr-face summary { cursor: pointer; list-style: none; }
.rr-name::before { content: "▸ "; opacity: 0.5; }
details[open] > summary .rr-name::before { content: "▾ "; }
.rr-face summary::-webkit-details-marker { display: none; }
.rr-face details > div { margin: 2px 0 6px 8px; padding-left: 6px; border-left: 2px solid var(--border-color, #555);
  white-space: pre-wrap; }
.rr-text { margin-top: 4px; white-space: pre-wrap; }
.rr-best { font-weight: 600; }
.rr-chip { margin-bottom: 4px; padding-left: 8px; border-left: 4px solid #3aa55d; font-weight: 600; }
.rr-chip.rr-bad { border-left-color: #d0803c; }
.rr-text.rr-bad { padding-left: 8px; border-left: 4px solid #d0803c; }
`;

const inChinese = () => (app.extensionManager?.setting?.get("Comfy.Locale") ?? "en").startsWith("zh");

function word(key, ...values) {
  const words = (inChinese() ? WORDS.zh : WORDS.en)[key];
  return values.reduce((text, value) => text.replace("{}", value), words);
}

function el(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child || child === 0));
  return element;
}

const number = (value, digits = 1) => (typeof value === "number" ? value.toFixed(digits) : "–");

// Nothing where there is no score: an empty bar would look like a zero. The tick is the threshold.
function bar(value, [worst, best], threshold) {
  if (typeof value !== "number") return null;
  const place = (score) => `${100 * Math.max(0, Math.min(1, (score - worst) / (best - worst)))}%`;
  const fill = el("i");
  fill.style.width = place(value);
  if (typeof threshold !== "number") return el("div", "rr-bar", fill);
  const tick = el("b");
  tick.style.left = place(threshold);
  return el("div", "rr-bar", fill, tick);
}

function row(name, middle, value, className = "") {
  return el("div", `rr-row ${className}`, el("span", "", name), middle ?? el("span"), el("span", "", value));
}

function fold(line, text) {
  if (!text) return line;
  line.firstElementChild.className = "rr-name";
  return el("details", "", el("summary", "", line), el("div", "", text));
}

// Core's own aspects are named in the user's language; those that somebody added keep their name.
const named = (aspect) => word(aspect.key) ?? aspect.name;
const valued = (aspect) => {
  if (aspect.status !== "scored") return word(aspect.status);
  // how sure the critic was: 0 would say no more than the score
  return aspect.std >= 0.05 ? `${number(aspect.score)} ±${number(aspect.std)}` : number(aspect.score);
};

// What the user reads first: how it ended, in words and with a colour beside them.
const chip = (text, good) => el("div", good ? "rr-chip" : "rr-chip rr-bad", text);

function drawCritique(face, threshold) {
  const round = face.round && word("round", face.round);
  const name = face.image ? `${word("image")} ${face.image}` : word("overall");
  const title = [round, name].filter(Boolean).join(" · ");
  const complete = face.status === "complete";
  const overall = complete ? `${number(face.overall, 2)} / ${face.scale[1]}` : word(face.status);
  return el(
    "div",
    "rr-entry",
    row(title, bar(face.overall, face.scale), overall, complete ? "rr-head" : "rr-head rr-bad"),
    ...face.aspects.map((aspect) =>
      fold(row(named(aspect), bar(aspect.score, face.scale, threshold), valued(aspect)), aspect.text),
    ),
    ...face.notes.map((note) => el("div", "rr-text rr-bad", note)),
    face.summary && el("div", "rr-text", face.summary),
    face.refined && fold(row(word("refined"), null, "", "rr-quiet"), face.refined),
  );
}

function drawVerdict(face) {
  const pair = (a, b) => `${number(a)} : ${number(b)}`;
  const winner = face.winner ?? "none";
  return el(
    "div",
    "rr-entry",
    row(word(winner), null, pair(...face.overall), face.winner ? "rr-head" : "rr-head rr-bad"),
    ...face.aspects.map((aspect) => {
      const scored = aspect.status === "scored";
      const middle = el("span", "rr-quiet", scored && aspect.winner !== "tie" ? aspect.winner : "");
      const value = scored ? pair(...aspect.scores) : word(aspect.status);
      return fold(row(named(aspect), middle, value), aspect.text);
    }),
    typeof face.bias === "number" && el("div", "rr-quiet rr-text", `${word("bias")}: ${number(face.bias, 2)}`),
    ...face.notes.map((note) => el("div", "rr-text rr-bad", note)),
    face.summary && el("div", "rr-text", face.summary),
  );
}

// Why a loop stopped, in the user's language; in English as the library says it.
function stopText({ code, parameters, details, text }) {
  const template = inChinese() && STOP_ZH[code];
  if (!template) return text;
  const value = (name) => {
    if (name === "status") return word(parameters.status) ?? "";
    // "3, text_faithfulness=2.5, overall=3.2"
    if (name === "thresholds") return parameters.thresholds.replace(/\w+(?==)/g, (key) => word(key) ?? key);
    return parameters[name] ?? "";
  };
  const sentence = template.replace(/\{(\w+)\}/g, (_, name) => value(name));
  return details ? `${sentence.slice(0, -1)}：${details}` : sentence;
}

const GOOD_STOPS = ["thresholds_reached", "target_count_reached"];

function drawLoop(face) {
  const rounds = face.rounds.map((round) => {
    const best = round.number === face.best;
    const value = round.status === "complete" ? number(round.overall, 2) : word(round.status);
    const several = round.candidates > 1 && word("candidates", round.candidates);
    const name = [word("round", round.number), best && word("best"), several].filter(Boolean).join(" · ");
    const line = row(name, bar(round.overall, face.scale), value, best ? "rr-best" : "");
    return fold(line, `${word("seed")} ${round.seed}\n${round.prompt}`);
  });
  return el(
    "div",
    "rr-entry",
    face.stop && chip(stopText(face.stop), GOOD_STOPS.includes(face.stop.code)),
    ...rounds,
    face.target > 1 && el("div", "rr-text", word("accepted", face.accepted, face.target)),
    face.stop && face.critique && drawCritique(face.critique, face.threshold),
  );
}

function drawSelection(face) {
  const lines = face.lines.map((line) => el("div", "", line));
  const title = word(face.passing ? "pass" : "selected", ...face.counts);
  return el("div", "rr-entry", chip(title, face.counts[0] > 0), ...lines);
}

const DRAW = { critique: (face) => drawCritique(face), verdict: drawVerdict, loop: drawLoop, selection: drawSelection };

function drawLive(live) {
  const doing = [
    live.tokens ? word("writing") : word("reading"),
    live.per_second && word("tokens", live.per_second.toFixed(0)),
    live.answers > 1 && word("done", live.done, live.answers),
    typeof live.left === "number" && word("left", Math.ceil(live.left)),
  ];
  return el(
    "div",
    "rr-entry rr-live",
    el("div", "rr-head", doing.filter(Boolean).join(" · ")),
    ...live.aspects.map((aspect) => {
      const scores = live.scores[aspect.key];
      const value = scores?.map((score) => (score === null ? word("not_applicable") : number(score))).join(" : ");
      return row(named(aspect), null, value ?? "…", value ? "" : "rr-quiet");
    }),
  );
}

function drawRound(round) {
  const text = `${word("limit", round.number, round.limit)} · ${word("seed")} ${round.seed} …`;
  return el("div", "rr-entry rr-live rr-quiet", text);
}

// What a node shows: `faces` of its last run, and during a run `live` above (critics) or `round` below (loops).
class Face {
  constructor(node, height) {
    this.node = node;
    this.full = height;
    this.faces = [];
    this.live = this.round = null;
    this.scroll = el("div", "rr-scroll");
    this.scroll.tabIndex = 0;
    this.scroll.dataset.captureWheel = "true";
    this.element = el("div", "rr-face", this.scroll);
    const options = { serialize: false, hideOnZoom: false, getMinHeight: () => this.height + 4 };
    const widget = node.addDOMWidget(KEY, "rational_rewards_face", this.element, options);
    widget.serialize = false;
    this.draw();
  }

  get height() {
    return this.faces.length || this.live || this.round ? this.full : EMPTY;
  }

  draw() {
    const isLoop = this.faces[0]?.kind === "loop";
    const parts = this.live && !isLoop ? [] : this.faces.map((face) => DRAW[face.kind]?.(face));
    if (this.live) parts.push(drawLive(this.live));
    if (this.round) parts.push(drawRound(this.round));
    if (!parts.length) parts.push(el("div", "rr-quiet", word("empty")));
    this.scroll.replaceChildren(...parts.filter(Boolean));
    this.element.style.minHeight = `${this.height}px`;
    if (this.round || (this.live && isLoop)) this.scroll.scrollTop = this.scroll.scrollHeight;
    this.node.setDirtyCanvas?.(true, true);
  }

  show(output) {
    const faces = output?.[KEY]?.flat?.() ?? [];
    if (!faces.length) return;
    this.faces = faces;
    this.live = this.round = null;
    this.draw();
  }

  rest() {
    if (!this.live && !this.round) return;
    this.live = this.round = null;
    this.draw();
  }
}

// The node of an execution id such as 5, or 12:5 for node 5 inside subgraph node 12.
function findNode(id) {
  let graph = app.rootGraph ?? app.graph;
  const path = String(id).split(":");
  for (const step of path.slice(0, -1)) graph = graph?.getNodeById(step)?.subgraph;
  return graph?.getNodeById(path.at(-1));
}

function allGraphs() {
  const root = app.rootGraph ?? app.graph;
  return root ? [root, ...(root.subgraphs?.values() ?? [])] : [];
}

let fromCache = new Set();
let ran = new Set();
const SELECTING = ["RationalRewardsPickBest", "RationalRewardsGate"];

// Nodes behind a selection without images did not run; images of an earlier run there would look new.
function clearStaleImages() {
  for (const graph of allGraphs()) {
    const waiting = graph.nodes.filter((node) => SELECTING.includes(node.comfyClass) && ran.has(String(node.id)));
    const seen = new Set(waiting);
    while (waiting.length) {
      const node = waiting.pop();
      for (const slot of (node.outputs ?? []).keys()) {
        for (const user of node.getOutputNodes(slot) ?? []) {
          if (seen.has(user) || ran.has(String(user.id))) continue;
          seen.add(user);
          waiting.push(user);
          if (!user.imgs?.length && !app.nodeOutputs[user.id]?.images?.length) continue;
          user.imgs = undefined;
          const output = { images: [] };
          api.dispatchCustomEvent("executed", { node: String(user.id), display_node: String(user.id), output });
        }
      }
    }
  }
}

app.registerExtension({
  name: "RationalRewards.Face",

  setup() {
    document.head.append(el("style", "", STYLE));
    api.addEventListener("execution_cached", ({ detail }) => {
      fromCache = new Set(detail.nodes.map(String));
      for (const id of fromCache) ran.add(id);
    });
    api.addEventListener("execution_start", () => (ran = new Set()));
    api.addEventListener("executed", ({ detail }) => ran.add(String(detail.display_node ?? detail.node)));
    api.addEventListener("execution_success", clearStaleImages);
    api.addEventListener(`${KEY}.live`, ({ detail }) => {
      const face = findNode(detail.node)?.rationalRewardsFace;
      if (!face) return;
      face.live = detail;
      face.draw();
    });
    api.addEventListener(`${KEY}.round`, ({ detail }) => {
      for (const end of findNode(detail.node)?.getOutputNodes(0) ?? []) {
        const face = end.rationalRewardsFace;
        if (!face) continue;
        if (detail.number === 1) face.faces = [];
        face.round = detail;
        face.draw();
      }
    });
    for (const end of ["execution_success", "execution_error", "execution_interrupted"]) {
      api.addEventListener(end, () => {
        for (const graph of allGraphs()) for (const node of graph.nodes) node.rationalRewardsFace?.rest();
      });
    }
  },

  nodeCreated(node) {
    const height = HEIGHTS[node.comfyClass];
    if (!height) return;
    const face = new Face(node, height);
    node.rationalRewardsFace = face;
    const before = node.onExecuted;
    node.onExecuted = function (output) {
      before?.apply(this, arguments);
      // In a loop the cache holds the first round's critique; what is shown already is newer.
      if (!(fromCache.has(String(node.id)) && face.faces.length)) face.show(output);
    };
  },

  // A run opened from the history, or another tab: outputs by node id, inside subgraphs by subgraph:node.
  onNodeOutputsUpdated(outputs) {
    for (const graph of allGraphs()) {
      for (const node of graph.nodes) {
        const id = graph.isRootGraph === false ? `${graph.id}:${node.id}` : String(node.id);
        node.rationalRewardsFace?.show(outputs[id]);
      }
    }
  },
});
