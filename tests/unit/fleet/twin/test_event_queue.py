"""What has to be told waits in order, and leaves only when its delivery is certain."""

from dataclasses import replace

from fleet.twin.transactions import EventQueue
from tests.unit.fleet.twin.test_charger import CAR, Played


def test_a_long_queue_loses_readings_but_no_beginning_and_no_end() -> None:
    played = Played(replace(CAR, unplug_s=300.0))
    played.station.queue = EventQueue(max_samples=20)
    played.charging()
    played.go(302)
    events = played.events()
    assert [events[0].kind, events[-1].kind] == ["started", "ended"]
    assert played.station.queue.dropped > 100
    samples = [event for event in events if event.is_sample]
    assert len(samples) <= 21
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_an_event_leaves_the_queue_only_when_it_is_delivered() -> None:
    played = Played()
    played.charging()
    head = played.station.queue.head()
    assert head is not None
    assert played.station.queue.head() is head
    played.station.queue.delivered(replace(head))
    assert played.station.queue.head() is head
    played.station.queue.delivered(head)
    assert played.station.queue.head() is not head
