"""The speed of a large product."""

import torch

from pipeline.running import peak


def test_both_libraries_compute_the_product():
    ones = torch.full((peak.ORDER, peak.ORDER), float(peak.ORDER))
    for product in peak.products().values():
        assert torch.equal(product(), ones)


def test_the_fastest_product_counts(monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 11.0, 20.0, 23.0])  # beginning and end of each
    monkeypatch.setattr(peak, "TIMES", 3)
    monkeypatch.setattr(peak, "products", lambda: {"a library": lambda: None})
    monkeypatch.setattr(peak.time, "perf_counter", lambda: next(clock))
    assert peak.peak() == 2 * 2048**3 / 1.0


def test_it_draws_no_random_numbers():
    state = torch.get_rng_state()
    peak.peak()
    assert torch.equal(torch.get_rng_state(), state)
