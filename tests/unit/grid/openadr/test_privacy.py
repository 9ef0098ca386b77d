"""Who sees what, as one rule for lists, single objects, call-backs and the broker."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from grid.core.openadr.privacy import Ownership, Reader, shown_targets
from grid.core.openadr.text import as_sent, storable
from grid.core.openadr.topics import branch, operation_topics, topics_of_change

targets = st.frozensets(st.sampled_from("abcd"), max_size=4)
OPERATOR, NODE = Reader("op", True), Reader("node", False)


@given(own=targets, requested=targets, granted=targets)
def test_a_node_never_learns_a_target_that_it_was_not_granted(
    own: frozenset[str], requested: frozenset[str], granted: frozenset[str]
) -> None:
    shown = shown_targets(Ownership(frozenset(["op"]), None, own), NODE, requested=requested, granted=granted)
    if shown is None:
        assert not own & requested & granted
    else:
        assert shown == own & requested & granted
        assert shown or not own


@given(own=targets, requested=targets)
def test_an_operator_sees_its_own_with_all_that_it_asks_for(own: frozenset[str], requested: frozenset[str]) -> None:
    mine, anothers = (Ownership(frozenset([name]), None, own) for name in ("op", "other"))
    assert shown_targets(mine, OPERATOR, requested=requested, granted=frozenset()) == (
        own if requested <= own else None
    )
    assert shown_targets(anothers, OPERATOR, requested=requested, granted=frozenset()) is None


def test_what_nodes_made_is_theirs_alone() -> None:
    owned = Ownership(None, frozenset(["node"]), frozenset())
    assert shown_targets(owned, NODE, requested=None, granted=frozenset()) == frozenset()
    assert shown_targets(owned, Reader("else", False), requested=None, granted=frozenset()) is None
    assert shown_targets(owned, OPERATOR, requested=None, granted=frozenset()) == frozenset()


@given(st.text(st.characters(), max_size=8), st.text(st.characters(), max_size=8))
def test_storable_text_keeps_texts_apart(one: str, other: str) -> None:
    assert (storable(one) == storable(other)) == (one == other)
    assert "\x00" not in storable(one)
    storable(one).encode()
    assert as_sent(storable(one)) == one


def test_every_topic_of_a_change_is_one_that_was_told() -> None:
    told = {
        topic
        for path, single in (("events", False), ("programs/p/events", False), ("vens/v/events", False))
        for topic in operation_topics("me", path, of_one_object=single).values()
    }
    sent = topics_of_change("me", "EVENT", "UPDATE", {"id": "e", "program": "p"}, ("v",))
    assert set(sent) <= told and len(sent) == 3 and all(topic.startswith(branch("me")) for topic in sent)
    program = topics_of_change("me", "PROGRAM", "CREATE", {"id": "p"}, ())
    assert program == ["openadr/3.1.0/me/programs/create"]
