import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cleanplate.domain.geometry import Point
from cleanplate.domain.image import Size
from cleanplate.engines.embeddings import ImageIdentity
from cleanplate.engines.protocols import Segmentation
from cleanplate.pipeline.conversation import Click, ConversationKey, Memory, Question, follow
from cleanplate.pipeline.turns import Conversations

WAIT_S = 10
SIZE = Size(width=40, height=40)
ONE = frozenset({"a"})


def key(task_id: int = 1, *, project_id: int = 1, label: str = "Face") -> ConversationKey:
    image = ImageIdentity(label_studio_url="http://ls", project_id=project_id, task_id=task_id, url="/data/a.png")
    return ConversationKey(image=image, to_name="image", label=label)


def memory_of(prompt_id: str = "a", *, extra_clicks: int = 0) -> Memory:
    """A memory of one object, whose logits need 1600 bytes and whose mask needs one."""
    clicks = tuple(Click(f"{prompt_id}{number or ''}", Point(5, 5)) for number in range(extra_clicks + 1))
    plan = follow(key(), Memory(), Question(clicks, (), SIZE, 0.0), tuple)
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[5, 5] = True
    answer = Segmentation(mask, 0.5, np.eye(20, dtype=np.float32))
    return plan.memory.answered(plan.region_ids[0], answer)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def say(conversations: Conversations, about: ConversationKey, memory: Memory) -> None:
    with conversations.turn(about, ONE) as turn:
        turn.keep(memory)


def remembered(conversations: Conversations, about: ConversationKey) -> Memory:
    with conversations.turn(about, ONE) as turn:
        return turn.memory


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"


def queued(conversations: Conversations, about: ConversationKey) -> int:
    return len(conversations._conversations[about].turns)


def test_what_a_turn_keeps_is_there_in_the_next() -> None:
    conversations = Conversations()
    memory = memory_of()

    say(conversations, key(), memory)

    assert remembered(conversations, key()) is memory
    assert remembered(conversations, key(label="Plate")).targets == ()
    assert remembered(conversations, key(2)).targets == ()


def test_a_turn_that_fails_changes_nothing_and_lets_the_next_one_in() -> None:
    conversations = Conversations()
    memory = memory_of()
    say(conversations, key(), memory)

    def fail() -> None:
        with conversations.turn(key(), ONE):
            raise ValueError("the segmenter failed")

    with pytest.raises(ValueError, match="the segmenter failed"):
        fail()

    assert remembered(conversations, key()) is memory


def test_turns_of_one_conversation_come_in_the_order_of_their_requests() -> None:
    conversations, spoken = Conversations(), []

    def speak(name: str) -> None:
        with conversations.turn(key(), frozenset({name})):
            spoken.append(name)

    names = [f"request {number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool, conversations.turn(key(), ONE):
        for place, name in enumerate(names, start=2):
            pool.submit(speak, name)
            wait_until(lambda place=place: queued(conversations, key()) == place)
        assert spoken == []

    assert spoken == names


def test_conversations_about_different_things_do_not_wait_for_each_other() -> None:
    conversations = Conversations()

    with conversations.turn(key(), ONE), ThreadPoolExecutor(1) as pool:
        others = [key(2), key(label="Plate")]
        answers = [pool.submit(remembered, conversations, about).result(WAIT_S) for about in others]

    assert [answer.targets for answer in answers] == [(), ()]


@pytest.mark.parametrize(
    ("earlier", "later", "superseded"),
    [
        ({"a"}, {"a", "b"}, True),
        ({"a"}, {"a"}, True),
        ({"a", "b"}, {"a"}, False),
        ({"a"}, {"b"}, False),
    ],
    ids=["one more prompt", "the same again", "one was deleted", "another annotator"],
)
def test_a_request_is_superseded_by_a_waiting_one_that_has_all_its_prompts(earlier, later, superseded) -> None:
    conversations = Conversations()

    def wait_behind() -> None:
        with conversations.turn(key(), frozenset(later)) as turn:
            assert not turn.is_superseded

    with ThreadPoolExecutor(1) as pool:
        with conversations.turn(key(), frozenset(earlier)) as turn:
            assert not turn.is_superseded
            last = pool.submit(wait_behind)
            wait_until(lambda: queued(conversations, key()) == 2)
            assert turn.is_superseded is superseded
        last.result(WAIT_S)


def test_a_request_never_supersedes_a_later_one() -> None:
    conversations = Conversations()
    seen = []

    def wait_behind() -> None:
        with conversations.turn(key(), ONE) as turn:
            seen.append(turn.is_superseded)

    with ThreadPoolExecutor(1) as pool, conversations.turn(key(), frozenset({"a", "b"})):
        pool.submit(wait_behind)
        wait_until(lambda: queued(conversations, key()) == 2)

    assert seen == [False]


def test_the_conversations_not_used_for_longest_are_forgotten_when_there_are_too_many() -> None:
    conversations = Conversations(max_count=2)
    for task_id in (1, 2):
        say(conversations, key(task_id), memory_of())
    remembered(conversations, key(1))

    say(conversations, key(3), memory_of())

    assert [key(task_id) in conversations._conversations for task_id in (1, 2, 3)] == [True, False, True]


def test_the_conversations_not_used_for_longest_are_forgotten_when_they_are_too_large() -> None:
    conversations = Conversations(max_bytes=2 * 1601)
    for task_id in (1, 2):
        say(conversations, key(task_id), memory_of())
    say(conversations, key(1), memory_of("b"))
    say(conversations, key(2), memory_of("b"))
    assert conversations.stats == (2, 2 * 1601)

    say(conversations, key(3), memory_of())

    assert [key(task_id) in conversations._conversations for task_id in (1, 2, 3)] == [False, True, True]
    assert conversations.stats == (2, 2 * 1601)


def test_a_conversation_that_is_too_large_all_by_itself_is_remembered() -> None:
    conversations = Conversations(max_bytes=100)

    say(conversations, key(1), memory_of())
    assert len(remembered(conversations, key(1)).targets) == 1
    say(conversations, key(2), memory_of())

    assert [key(task_id) in conversations._conversations for task_id in (1, 2)] == [False, True]


def test_conversations_are_forgotten_after_a_while() -> None:
    clock = Clock()
    conversations = Conversations(max_idle_s=100, clock=clock)
    say(conversations, key(1), memory_of())
    clock.now = 60
    say(conversations, key(2), memory_of())

    clock.now = 120
    say(conversations, key(3), memory_of())

    assert [key(task_id) in conversations._conversations for task_id in (1, 2, 3)] == [False, True, True]


def test_a_conversation_in_which_somebody_speaks_is_not_forgotten() -> None:
    conversations = Conversations(max_count=1)

    with conversations.turn(key(1), ONE) as turn:
        say(conversations, key(2), memory_of())
        turn.keep(memory_of())

    assert conversations.stats.conversations == 1
    assert len(remembered(conversations, key(1)).targets) == 1


def test_purging_a_task_forgets_what_was_said_about_it() -> None:
    conversations = Conversations()
    keys = [key(1), key(1, label="Plate"), key(2), key(1, project_id=2)]
    for each in keys:
        say(conversations, each, memory_of())

    assert conversations.purge(project_id=1, task_id=1) == 2
    assert [len(remembered(conversations, each).targets) for each in keys] == [0, 0, 1, 1]
    assert conversations.purge(project_id=1) == 3


def test_what_is_said_while_a_task_is_purged_is_not_kept() -> None:
    conversations = Conversations()

    with conversations.turn(key(), ONE) as turn:
        conversations.purge(project_id=1, task_id=1)
        turn.keep(memory_of())

    assert remembered(conversations, key()).targets == ()


def test_many_threads_in_many_conversations_lose_no_turn() -> None:
    conversations = Conversations()
    counts = dict.fromkeys(range(5), 0)
    barrier = threading.Barrier(8)

    def speak(seed: int) -> None:
        barrier.wait(WAIT_S)
        for number in range(100):
            task_id = (seed + number) % 5
            with conversations.turn(key(task_id + 1), frozenset({f"{seed}-{number}"})):
                before = counts[task_id]
                time.sleep(0)
                counts[task_id] = before + 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(speak, range(8)))

    assert sum(counts.values()) == 800
