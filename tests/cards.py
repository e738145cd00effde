"""Synthetic model cards: functions in the published shape and in others, with sentences of our own."""

from __future__ import annotations

import re

from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.prompting import rubric

HEADINGS = "# Findings\n{}\n# Summary: [ in short ]\n# User Request Refinement:\n## Refined Request: [ anew ]"
FORM = "{}. {}:\n## Justification: [ why {{}} % ]\n## Score: [ a number ]"


def rubric_of(task: str) -> str:
    names = [aspect.name for aspect in RATIONAL_REWARDS.aspects(task)]
    return HEADINGS.format("\n".join(FORM.format(number, name) for number, name in enumerate(names, 1)))


T2I, EDIT = rubric_of("t2i"), rubric_of("edit")
PLAIN = T2I.replace("{}", "").replace("%", "per cent")

PUBLISHED = f'''
import base64
import requests

def build_t2i_messages(prompt, image_bytes):
    system_prompt = (
        "You look at pictures "
        "and say how good they are."
    )
    image_b64 = base64.b64encode(image_bytes).decode()
    user_instruction = f"""Wanted: {{prompt}}
One picture is there:
1. The picture <image>

{PLAIN}"""
    parts = user_instruction.split("<image>")
    content = [
        {{"type": "text", "text": parts[0]}},
        {{"type": "image_url", "image_url": {{"url": f"data:image/png;base64,{{image_b64}}"}}}},
    ]
    if len(parts) > 1:
        content.append({{"type": "text", "text": parts[1]}})
    return [
        {{"role": "system", "content": system_prompt}},
        {{"role": "user", "content": content}},
    ]

with open("/there/is/no/such.png", "rb") as f:
    image_bytes = f.read()
messages = build_t2i_messages("A barn", image_bytes)
print(requests.post("http://localhost", json={{"messages": messages}}).json())
'''
PUBLISHED_EDIT = f'''
import base64

def build_i2i_messages(prompt, source_image_bytes, edited_image_bytes):
    task = """Wanted: {{request}}
1. Before <image>
2. After <image>

Go by the rules. """
    rules = {EDIT!r}
    text = "{{}}\\n\\n{{}}".format(
        task.format(request=prompt),
        rules,
    )
    source_b64 = base64.b64encode(source_image_bytes).decode()
    edited_b64 = base64.b64encode(edited_image_bytes).decode()
    parts = text.split("<image>")
    content = [
        {{"type": "text", "text": parts[0]}},
        {{"type": "image_url", "image_url": {{"url": f"data:image/png;base64,{{source_b64}}"}}}},
        {{"type": "text", "text": parts[1]}},
        {{"type": "image_url", "image_url": {{"url": f"data:image/png;base64,{{edited_b64}}"}}}},
    ]
    if len(parts) > 2:
        content.append({{"type": "text", "text": parts[2]}})
    return [{{"role": "system", "content": "Judge edits."}}, {{"role": "user", "content": content}}]
'''
HEAD = f"RULES = {T2I!r}\n"
EDIT_HEAD = f"RULES = {EDIT!r}\n"
ONE = "return [{'role': 'user', 'content': content}]"

LAYOUTS = {
    "published": PUBLISHED,
    "module constants": HEAD
    + """
OPENING = "Wanted: "
CLOSING = OPENING.replace("Wanted", "Rules") + "\\n"
CLOSING += RULES
def build_t2i_messages(instruction: str, image_path: str = "x.png", *, system_prompt=OPENING + "judge"):
    '''What to send.'''
    content = [dict(type="text", text=OPENING + instruction + "\\n")]
    content += [{"type": "image", "image": image_path, "max_pixels": 802816}]
    content.extend([{"type": "text", "text": CLOSING}])
    return [{"role": "system", "content": system_prompt}, *[{"role": "user", "content": content}]]
""",
    "percent": HEAD
    + f"""
def build_t2i_messages(image, prompt):
    text = "For 100%% %s, %(n)s" if False else "For 100%% %s: picture %d<image>%s" % (prompt, 1, RULES)
    before, after = text.split("<image>")
    content = [{{"type": "text", "text": before}}, {{"type": "image"}}, {{"type": "text", "text": after}}]
    {ONE}
""",
    "a loop over pieces": HEAD
    + f"""
def build_t2i_messages(request, images):
    text = "\\n".join(["Wanted: {{}}, {{request!s}}".format(request, request=request), "<image>", RULES])
    parts, content = text.split("<image>"), []
    for i, piece in enumerate(parts):
        if piece.strip():
            content.append({{"type": "text", "text": piece}})
        if i < len(parts) - 1:
            content.append({{"type": "image", "image": images[i]}})
    {ONE}
""",
    "helpers": HEAD
    + f"""
import base64, io
def encode(path):
    if isinstance(path, bytes):
        return base64.b64encode(path).decode("utf-8")
    try:
        with open(path, "rb") as file:
            return base64.b64encode(file.read()).decode("utf-8")
    except OSError:
        raise
def as_url(path, kind="png"):
    return "data:image/" + kind + ";base64," + encode(path)
def wanted(prompt, times=1):
    return f"Wanted: {{prompt}}" * times
def build_t2i_messages(prompt: str, image_path) -> list:
    if not prompt:
        print("nothing is asked for")
    if image_path is None:
        raise ValueError("no picture")
    content = [{{"type": "image_url", "image_url": {{"url": as_url(image_path)}}}}]
    content.insert(0, {{"type": "text", "text": wanted(prompt)}})
    content.append({{"type": "text", "text": RULES}})
    {ONE}
""",
    "dedent and strip": HEAD
    + f"""
import inspect, textwrap as tw
from textwrap import dedent
def build_t2i_messages(user_prompt, image):
    text = dedent('''
        Wanted: %s
          as a picture: <image>
        ''' % user_prompt.strip()).lstrip() + tw.dedent("  \\n" + RULES).rstrip()
    text = inspect.cleandoc(text.replace("<image>", "<image>\\n", 1))
    pieces = text.partition("<image>")
    content = [{{"type": "text", "text": p}} if p != "<image>" else {{"type": "image"}} for p in pieces]
    {ONE}
""",
    "while, re and copies": HEAD
    + """
import copy
import re
SKELETON = [{"role": "user", "content": []}]
def build_t2i_messages(prompt, generated):
    messages = copy.deepcopy(SKELETON)
    queue, left, i = re.split("(<image>)", f"{prompt} {1 + 1:>3}<image>" + RULES), iter([generated]), 0
    while i < len(queue):
        if queue[i] == "<image>":
            messages[0]["content"].append({"type": "image", "image": next(left)})
        elif queue[i]:
            messages[0]["content"].append({"type": "text", "text": queue[i]})
        i += 1
    messages[-1]["role"] = "user" if len(queue) > 1 else "system"
    return messages
""",
    "a skeleton with a place": HEAD
    + f"""
SKELETON = "Wanted: {{prompt}}\\nSee <image>\\n" + RULES.replace("[ a number ]", "[ 1.0 to 4.0 ]")
def build_t2i_messages(prompt, image):
    before, after = SKELETON.replace("{{prompt}}", prompt).split("<image>", 1)
    content = [{{"type": "text", "text": before}}, {{"type": "image", "image": image}}]
    content.append({{"type": "text", "text": after[0:]}})
    {ONE}
""",
    "try, walrus and a resized picture": HEAD
    + f"""
def small(image):
    return image if isinstance(image, bytes) else image.resize((32 * 2, 64))
def build_t2i_messages(prompt, image):
    try:
        text = "{{w}}: {{p}}".format_map({{"w": "Wanted", "p": prompt}})
    except ValueError:
        text = ""
    finally:
        rest = RULES
    if (count := len(rest)) > 10:
        def part(words): return {{"type": "text", "text": words}}
        content = [part(text), {{"type": "image", "image": small(image)}}, part(f"{{count:d}} signs" + rest)]
    {ONE}
""",
    "rules made in a loop": f"""
NAMES = {[a.name for a in RATIONAL_REWARDS.t2i]!r}
def build_t2i_messages(prompt, image):
    form = "{{}}. {{}}:\\n## Justification: [ ]\\n## Score: [ ]"
    rules = "\\n".join(form.format(n, name) for n, name in enumerate(NAMES, 1))
    user = {{"role": "user", "content": []}}
    user["content"] += [{{"type": "text", "text": "Wanted: %s" % prompt}}, {{"type": "image"}}]
    user["content"].append({{"type": "text", "text": rules + "\\n# Summary: [ ]\\n## Refined Request: [ ]"}})
    return [{{"role": "system", "content": "Judge."}}, user]
""",
    "pictures in front": HEAD
    + """
def build_t2i_messages(prompt, image):
    user = {"role": "user"}
    user["content"] = [{"type": "image", "image": image}, {"type": "text", "text": f"{prompt}\\n{RULES}"}]
    return [{"role": "system", "content": [{"type": "text", "text": "Judge."}]}] + [user]
""",
}
EDITS = {
    "published": PUBLISHED_EDIT,
    "keywords": EDIT_HEAD
    + f"""
def build_i2i_messages(*, edited, source, instruction):
    texts = [f"Wanted: {{instruction}}", "After:", RULES]
    content = []
    for text, image in zip(texts, [source, edited, None]):
        content.append({{"type": "text", "text": text}})
        content += [{{"type": "image", "image": image}}] if image is not None else []
    {ONE}
""",
}
LISTS = {
    "sources and one": EDIT_HEAD
    + f"""
def build_i2i_messages(prompt, source_images, edited_image):
    content = [{{"type": "text", "text": f"Wanted: {{prompt}}"}}]
    for n, image in enumerate(source_images, start=1):
        content.append({{"type": "text", "text": f"Source {{n}} of {{len(source_images)}}"}})
        content.append({{"type": "image", "image": image}})
    content += [{{"type": "text", "text": "After"}}, {{"type": "image", "image": edited_image}}]
    content.append({{"type": "text", "text": RULES}})
    {ONE}
""",
    "all in one": EDIT_HEAD
    + f"""
def build_i2i_messages(prompt, images: list[bytes]):
    *sources, edited = images
    content = [{{"type": "image", "image": image}} for image in sources if image is not None]
    content = [*content, {{"type": "image", "image": edited}}, {{"type": "text", "text": prompt + RULES}}]
    {ONE}
""",
}
SHORT = (
    HEAD
    + "def build_t2i_messages(prompt, image):\n"
    + "    content = [{'type': 'image'}, {'type': 'text', 'text': prompt + RULES}]\n    "
    + ONE
)


def built(code: str, name: str, **arguments) -> list[dict]:
    """What the function of a card of our own really returns, with its pictures reduced to their places."""
    names: dict = {}
    exec(code.split('\nwith open("/there')[0].replace("import requests", ""), names)  # noqa: S102
    messages = names[name](**arguments)
    for message in messages:
        if isinstance(message["content"], list):
            message["content"] = [p if p["type"] == "text" else {"type": "image"} for p in message["content"]]
    return messages


def arguments(code: str, name: str, request: str, sources: int = 1) -> dict:
    """Values for the parameters of a function of a card of our own."""
    given: dict = {}
    parameters = re.sub(r"[:=][^,)]*", "", re.search(rf"{name}\((.*)\)", code)[1])
    for parameter in re.findall(r"\w+", parameters):
        if parameter in ("prompt", "request", "instruction", "user_prompt"):
            given[parameter] = request
        elif parameter in ("source_images", "images"):
            given[parameter] = [b"x"] * (sources + (parameter == "images" and "i2i" in code))
        elif parameter != "system_prompt":
            given[parameter] = b"y"
    return given


def pictures(messages: list[dict]) -> int:
    return sum(part["type"] == "image" for message in messages for part in rubric.parts(message))
