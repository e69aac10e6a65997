"""Random streams are repeatable and independent."""

import torch

from pipeline.training.randomness import derive, generator


def test_the_same_place_in_a_stream_gives_the_same_draws():
    first, again = (torch.rand(5, generator=generator(0, "masking", 7)) for _ in range(2))
    assert torch.equal(first, again)


def test_seeds_streams_and_counters_all_matter():
    seeds = [derive(0, "a"), derive(1, "a"), derive(0, "b"), derive(0, "a", 1), derive(0, "a", 2)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_global_generator_plays_no_part():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    generator(0, "masking").initial_seed()
    torch.rand(3, generator=generator(0, "masking"))
    assert torch.equal(torch.get_rng_state(), state)
