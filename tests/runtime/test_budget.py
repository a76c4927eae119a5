"""Budgets: sums that go up the chain, limits that hold whoever spends, and the words for them."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from phloem.runtime.budget import Budget, dollars, limit_words, spent_words, tokens_in
from phloem.runtime.errors import LimitReached
from phloem.runtime.workflow import Limit

SPENT = st.tuples(st.integers(0, 50), st.integers(0, 50), st.sampled_from([0.0, 0.1, 0.25, 3.0]))


@for_all(st.lists(SPENT, max_size=20), st.integers(1, 300), st.integers(1, 300))
def test_spending_stops_exactly_where_a_sum_passes_a_limit(amounts, most, most_of_all):
    run = Budget(Limit(tokens=most_of_all), whose="the run")
    node = Budget(Limit(tokens=most), run)
    call = Budget(parent=node)
    total = 0
    for read, written, money in amounts:
        total += read + written
        passed = most_of_all if total > most_of_all else most if total > most else None
        if passed is None:
            call.spend(read, written, money)
        else:
            with pytest.raises(LimitReached) as reached:
                call.spend(read, written, money)
            assert f"{total:,} of {passed:,} tokens" in reached.value.message
            assert reached.value.budget is (run if passed is most_of_all and total > most_of_all else node)
        assert call.tokens == node.tokens == run.tokens == total
        assert call.left() == max(min(most, most_of_all) - total, 0)


@pytest.mark.parametrize(
    ("limit", "spent", "message"),
    [
        (Limit(tokens=10), (6, 4, 9.0), None),
        (Limit(tokens=10), (6, 5, 0.0), "the node stopped at its limit: 11 of 10 tokens"),
        (Limit(tokens=5000), (5000, 12, 0.0), "the node stopped at its limit: 5,012 of 5,000 tokens"),
        (Limit(money=0.5), (9, 9, 0.5), None),
        (Limit(money=0.5), (0, 0, 0.5012), "the node stopped at its limit: $0.5012 of $0.50"),
        (Limit(money=100), (0, 0, 100.001), "the node stopped at its limit: just over $100.00 of $100.00"),
        (Limit(), (10**9, 10**9, 10.0**9), None),
    ],
)
def test_a_limit_is_what_may_be_spent_not_one_more(limit, spent, message):
    budget = Budget(limit)
    if message is None:
        budget.spend(*spent)
        assert budget.over() is None
        return
    with pytest.raises(LimitReached) as reached:
        budget.spend(*spent)
    assert reached.value.message == message
    assert "limit" in str(reached.value.hint)
    assert not reached.value.retryable


def test_ten_dimes_are_a_dollar():
    budget = Budget(Limit(money=1.0))
    for _ in range(10):
        budget.spend(money=0.1)
    with pytest.raises(LimitReached):
        budget.spend(money=0.0001)


@pytest.mark.parametrize("amount", [(-1, 0, 0.0), (0, -1, 0.0), (0, 0, -0.01), (0, 0, math.nan), (0, 0, math.inf)])
def test_nothing_can_be_got_back(amount):
    run = Budget(Limit(tokens=10))
    with pytest.raises(ValueError, match="0 or more"):
        Budget(parent=run).spend(*amount)
    assert (run.read, run.written, run.money) == (0, 0, 0.0)


def test_whoever_listens_is_told_once_of_the_outermost():
    heard: list[LimitReached] = []
    run = Budget(Limit(tokens=5), whose="the run")
    node = Budget(Limit(tokens=3), run)
    run.on_passed = heard.append
    with pytest.raises(LimitReached, match="the node"):
        node.spend(4)
    assert heard == []
    for _ in range(3):
        with pytest.raises(LimitReached, match="the run"):
            node.spend(4)
    assert len(heard) == 1


def test_many_threads_pass_a_limit_by_no_more_than_what_each_has_under_way():
    run = Budget(Limit(tokens=10_000))
    nodes = [Budget(parent=run) for _ in range(8)]
    stopped = []

    def work(node: Budget) -> None:
        try:
            while True:
                node.spend(written=3)
        except LimitReached as error:
            stopped.append(error)

    threads = [threading.Thread(target=work, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stopped) == 8
    assert run.tokens == sum(node.tokens for node in nodes), "no token is lost between threads"
    assert 10_000 < run.tokens <= 10_000 + 8 * 3


@pytest.mark.parametrize(
    ("limit", "read", "money", "message"),
    [
        (Limit(tokens=100), 60, None, None),
        (Limit(tokens=100), 61, 0.0, "the run stopped before its limit: the prompt has 61 tokens, and 60 of 100 are left"),
        (Limit(money=1.0), 10, 0.75, None),
        (Limit(money=1.0), 10, 0.8, "the run stopped before its limit: to read the prompt costs $0.80, and $0.75 of $1.00 are left"),
        (Limit(money=1.0), 10, None, "nobody knows what the model costs, so the run could not keep its limit of $1.00"),
    ],
)  # fmt: skip
def test_a_prompt_that_cannot_be_afforded_is_refused_before_it_is_sent(limit, read, money, message):
    run = Budget(limit, whose="the run")
    call = Budget(parent=run)
    call.spend(30, 10, 0.25)
    if message is None:
        call.afford(read, money)
    else:
        with pytest.raises(LimitReached) as refused:
            call.afford(read, money)
        assert refused.value.message == message
        assert refused.value.hint
    assert run.tokens == 40


def test_what_is_left_is_known_only_where_tokens_are_limited():
    assert Budget(Limit(money=1.0, seconds=1)).left() is None
    assert not Budget(Limit(seconds=1)).bounded
    assert Budget(parent=Budget(Limit(money=1.0))).bounded
    assert Budget(Limit(seconds=90)).out_of_time().message == "the node stopped at its limit: 90 s"


def test_a_budget_is_under_itself_and_those_above():
    run = Budget()
    node = Budget(parent=run)
    assert node.under(node)
    assert node.under(run)
    assert not run.under(node)
    assert not run.under(None)


@pytest.mark.parametrize(
    ("one", "other", "stricter"),
    [
        (Limit(), Limit(), Limit()),
        (Limit(tokens=5), Limit(tokens=3, money=2.0), Limit(tokens=3, money=2.0)),
        (Limit(1, 1.0, 1.0), Limit(2, 2.0, 2.0), Limit(1, 1.0, 1.0)),
    ],
)
def test_of_two_limits_the_stricter_holds_word_by_word(one, other, stricter):
    assert one.stricter(other) == other.stricter(one) == stricter


@pytest.mark.parametrize(
    ("money", "words"),
    [
        (0, "$0.00"), (12.5, "$12.50"), (1234.567, "$1,234.57"), (1, "$1.00"), (0.5012, "$0.5012"), (0.5, "$0.50"),
        (0.1, "$0.10"), (0.00123456, "$0.001235"), (1e-9, "$0.000000001"), (9.99999, "$10.00"), (0.25, "$0.25"),
    ],
)  # fmt: skip
def test_dollars_in_words(money, words):
    assert dollars(money) == words


def test_limits_and_sums_in_words():
    assert limit_words(Limit(5000, 0.5, 60)) == "5,000 tokens, $0.50, 60 s"
    assert limit_words(Limit()) == spent_words(0, 0, 0) == ""
    assert spent_words(1200, 56, 0.0012) == "1,200 tokens read and 56 written, $0.0012"
    assert spent_words(0, 0, 0.5) == "$0.50"


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("x" * 35, 10), ("x" * 36, 11), ("機織り", 3), ("\ud800", 1)]
)
def test_tokens_are_estimated_from_the_bytes_of_a_text(text, tokens):
    assert tokens_in(text) == tokens
