"""Keys are read without being said, and without any only this machine is served."""

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.serve.keys import check_open, keys_from


@pytest.mark.parametrize(
    "text",
    [
        "shop",
        "shop:predict",
        "shop:predict:short",
        "shop:all:long-enough-to-be-one",
        "s p:predict:long-enough-to-be-one",
    ],
)
def test_a_key_that_is_written_wrongly_is_refused_without_being_said(text: str) -> None:
    with pytest.raises(Refusal, match="entry 1: write name:scope") as refused:
        keys_from(text)
    assert "long-enough" not in str(refused.value)


def test_without_keys_only_this_machine_is_served() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_open([], host)
    check_open(keys_from("shop:predict:long-enough-to-be-one"), "0.0.0.0")
    with pytest.raises(Refusal, match="Without keys the API serves this machine only, not 0"):
        check_open([], "0.0.0.0")
