"""Synthetic model cards: functions in the published shape, with sentences of our own."""

from __future__ import annotations

import ast
import base64

from rr_models.judgement.aspects import RATIONAL_REWARDS
from rr_models.prompting import rubric

HEADINGS = (
    "# Findings\n{}\n# Summary: [ brief ]\n# User Request Refinement:\n## Refined Request: [ rewritten ]"
)
FORM = "{}. {}:\n## Justification: [ why, at 100 % ]\n## Score: [ a number ]"


def rubric_of(task: str) -> str:
    names = [aspect.name for aspect in RATIONAL_REWARDS.aspects(task)]
    return HEADINGS.format("\n".join(FORM.format(number, name) for number, name in enumerate(names, 1)))


PUBLISHED = f'''
import base64
import requests

def build_t2i_messages(prompt, image_bytes):
    system_prompt = (
        "You look at images "
        "and say how good they are."
    )
    image_b64 = base64.b64encode(image_bytes).decode()
    user_instruction = f"""Wanted: {{prompt}}
One image is there:
1. The image <image>

{rubric_of("t2i")}"""
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
    rules = {rubric_of("edit") + " {} {{braces}}"!r}
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
RUBRIC = rubric_of("t2i")
INSTRUCTION = f'f"""Wanted: {{prompt}}\nOne image is there:\n1. The image <image>\n\n{RUBRIC}"""'
assert INSTRUCTION in PUBLISHED
FILLED_IN = "{{}} {wanted}: <image>" + RUBRIC


def instruction(code: str) -> str:
    """The published card with another expression for the text of the user message."""
    return PUBLISHED.replace(INSTRUCTION, code)


LAYOUTS = {
    "published": PUBLISHED,
    "joined texts": instruction(f"'Wanted: ' + prompt + '\\n1. <im' + 'age>' + {RUBRIC!r}"),
    "named texts": instruction(
        f'''"1. <image>"
    rules = {RUBRIC!r}
    user_instruction = f"{{prompt}}: {{user_instruction}}{{rules}}{{{{}}}}"'''
    ),
    "a template that is filled in": instruction(f"{FILLED_IN!r}.format('unused', wanted=prompt)"),
    "the request behind the image": instruction(f"'<image>' + prompt + {RUBRIC!r}"),
    "nothing behind the image": instruction(f"prompt + {RUBRIC!r} + '<image>'").replace("> 1:", "> 2:"),
    "other names and a docstring": PUBLISHED.replace("user_instruction", "text")
    .replace("prompt, image_bytes):", 'request, image):\n    """Messages for one image."""')
    .replace("{prompt}", "{request}")
    .replace("encode(image_bytes)", "encode(image)"),
}


def built(code: str, task: str, request: str) -> list[dict]:
    """What the function in a code block really returns, with its images reduced to their places. Only the
    function itself is executed, so a block may hold anything else; its defaults and decorators run too."""
    name = {"t2i": "build_t2i_messages", "edit": "build_i2i_messages"}[task]
    functions = [n for n in ast.parse(code).body if isinstance(n, ast.FunctionDef) and n.name == name]
    names: dict = {"base64": base64}
    exec(compile(ast.Module(functions, []), "card", "exec"), names)  # noqa: S102
    images = (b"image",) if task == "t2i" else (b"source", b"edited")
    messages = names[name](request, *images)
    for message in messages:
        if isinstance(message["content"], list):
            message["content"] = [p if p["type"] == "text" else {"type": "image"} for p in message["content"]]
    return messages


def count_images(messages: list[dict]) -> int:
    return sum(part["type"] == "image" for message in messages for part in rubric.parts(message))
