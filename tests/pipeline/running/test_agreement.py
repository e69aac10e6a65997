"""Differences between the processes of a training are named before its first step."""

import os
import socket
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch.distributed import HashStore, PrefixStore

from pipeline.errors import UserError
from pipeline.params import validate
from pipeline.paths import data_dir
from pipeline.running.agreement import PROCESSORS, in_all, require_agreement
from pipeline.running.peers import Peers
from pipeline.stages.prepare import prepare
from pipeline.training.processes import Processes
from pipeline.training.sharding import Sharded


class Pair(Processes):
    """This process, and another one that has sent `theirs`."""

    def __init__(self, theirs: Any):
        store = HashStore()
        PrefixStore("peers", store).set("place/1", "there 5")
        super().__init__(0, 2, Peers(0, 2, store, timedelta(seconds=1)))
        self.theirs = theirs

    def gathered(self, value: Any) -> list[Any]:
        return [value, self.theirs(value)]


@pytest.mark.parametrize("key", ["parameters", "code", "files in data/gpt", "versions of torch"])
def test_what_differs_is_named(small, key):
    prepare(small, "gpt")

    def theirs(ours: Any) -> Any:
        _, inputs = ours
        assert key in inputs
        return "there, /home", inputs | {key: "other"}

    here = f"{socket.gethostname()}, {os.getcwd()}"
    with pytest.raises(UserError) as caught:
        require_agreement(Pair(theirs), small, "gpt", 0, data_dir("gpt"))
    assert str(caught.value) == (
        f"process 1 (there, /home) and process 0 ({here}) have different {key}: all processes need "
        "the same"
    )
    require_agreement(Pair(lambda ours: ours), small, "gpt", 0, data_dir("gpt"))


@pytest.mark.parametrize(
    ("changes", "any_processor"),
    [({}, True), ({"precision": "bf16"}, False), ({"compile": True}, False)],
)
def test_processors_of_several_kinds_compute_in_fp32_uncompiled(small, changes, any_processor):
    content = small.content()
    content["gpt"]["train"] |= changes
    sent = []

    def theirs(ours: Any) -> Any:
        sent.append(ours[1])
        return ours

    require_agreement(Pair(theirs), validate(content), "gpt", 0)
    assert (sent[0][PROCESSORS] == []) == any_processor


def test_an_error_of_one_process_is_one_of_all():
    other = Pair(lambda ours: ("there, /home", "no GPU"))
    with pytest.raises(UserError, match=r"^process 1 \(there, /home\): no GPU$"):
        in_all(other, lambda: 1)

    def fails() -> None:
        raise UserError("no compiler")

    with pytest.raises(UserError, match=r"^no compiler$"):
        in_all(Pair(lambda ours: ours), fails)
    assert in_all(Pair(lambda ours: ours), lambda: 1) == 1


def test_weights_that_differ_stop_the_training():
    weights = [torch.ones(2, 3), torch.tensor(1.0)]
    Pair(lambda ours: ours).require_equal(weights, 5)
    with pytest.raises(
        UserError, match=r"after step 5 the weights of process 1 of 2 \(there, id 5\) differ"
    ):
        Pair(lambda ours: "other").require_equal(weights, 5)


def test_a_gpu_beside_a_cpu_is_an_error_of_all():
    with pytest.raises(UserError, match=r"same kind of device \(.*: cpu; .*: cuda\): set `device`"):
        Pair(lambda ours: ("cuda", "there", 0)).use(torch.device("cpu"))
    Pair(lambda ours: ours).use(torch.device("cpu"))


def test_a_divided_model_needs_a_gpu_for_each_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    processes = Sharded(Pair(lambda ours: ours))
    monkeypatch.setattr(processes, "gathered", lambda value: [value] * 2)  # both on the first GPU
    with pytest.raises(UserError, match=r"train\.fully_shard needs a GPU for each process"):
        processes.use(torch.device("cuda"))
