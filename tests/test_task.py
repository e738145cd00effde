"""Tasks: their properties, and that they are written as plain strings on every Python."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from rr_models.judgement.task import Task

NAMES = {Task.T2I: "t2i", Task.EDIT: "edit", Task.T2I_PAIR: "t2i-pair", Task.EDIT_PAIR: "edit-pair"}


@pytest.mark.parametrize(("task", "name"), NAMES.items())
def test_a_task_is_its_plain_string(task: Task, name: str):
    assert task == name and hash(task) == hash(name) and {name: 1}[task] == 1
    assert str(task) == f"{task}" == "{}".format(task) == "%s" % task == "".join([task]) == name  # noqa: UP031, UP032
    assert f"{task:>12}" == f"{name:>12}"
    assert type(str(task)) is str and type(f"{task}") is str
    assert json.dumps({task: task}) == f'{{"{name}": "{name}"}}'
    assert pickle.loads(pickle.dumps(task)) is copy.deepcopy(task) is Task.parse(name) is Task.parse(task)


def test_every_task_has_its_counterparts():
    assert [task.is_pair for task in NAMES] == [False, False, True, True]
    assert [task.has_source for task in NAMES] == [False, True, False, True]
    for task in Task:
        assert not task.single.is_pair and task.pair.is_pair
        assert task.single.has_source == task.has_source == task.pair.has_source
        assert task in (task.single, task.pair)
        assert Task.of(sources=task.has_source, pair=task.is_pair) is task


@pytest.mark.parametrize("name", ["video", "", "T2I", None, [], 3])
def test_an_unknown_task_is_refused_with_the_names(name):
    with pytest.raises(ValueError, match="task must be one of t2i, edit, t2i-pair, edit-pair, not") as error:
        Task.parse(name)
    assert repr(name) in str(error.value)
