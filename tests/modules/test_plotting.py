"""Things that are set apart."""

from __future__ import annotations

from tfx_fusion.modules.plotting import spread


def test_what_has_room_stays_where_it_is() -> None:
    assert spread([0.0, 10.0, 30.0], [10.0, 10.0, 10.0]) == [0.0, 10.0, 30.0]
    assert spread([], []) == []


def test_what_would_overlap_is_set_apart_around_its_middle() -> None:
    assert spread([5.0, 5.0], [10.0, 10.0]) == [0.0, 10.0]
    # The lower one wants to stand above: they keep their order.
    assert spread([8.0, 2.0, 50.0], [10.0, 10.0, 10.0]) == [0.0, 10.0, 50.0]
