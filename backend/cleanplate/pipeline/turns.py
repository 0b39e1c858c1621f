"""Keeps conversations, and lets those who speak in the same one speak one after the other."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from cleanplate.errors import BusyError
from cleanplate.pipeline.conversation import ConversationKey, Memory

_COME_AGAIN_S: Final = 1.0


class _Conversation:
    """A conversation, and the turns that wait in it; the first of them is the one that has the word."""

    def __init__(self, lock: threading.Lock) -> None:
        self.changed = threading.Condition(lock)
        self.turns: deque[Turn] = deque()
        self.memory = Memory()
        self.size_bytes = 0
        self.left_at = 0.0


class Turn:
    """One request's turn in a conversation. What it does not `keep` never happened."""

    def __init__(self, conversation: _Conversation, prompt_ids: frozenset[str]) -> None:
        self._conversation = conversation
        self.prompt_ids = prompt_ids
        self._was_superseded = False

    @property
    def memory(self) -> Memory:
        """What was said and answered before."""
        return self._conversation.memory

    @property
    def is_superseded(self) -> bool:
        """Whether a later request that waits has all of this one's prompts, so that nobody will see this answer.

        Prompt ids are random: whoever sends the same ones is the same annotator. Another annotator's request never
        supersedes this one. And once it is superseded it stays so, whatever becomes of the later one.
        """
        with self._conversation.changed:
            return self.look_around()

    @property
    def has_the_word(self) -> bool:
        """Whether all who asked before are done. Called with the lock held."""
        return self._conversation.turns[0] is self

    def look_around(self) -> bool:
        """What `is_superseded` tells. Called with the lock held."""
        turns = tuple(self._conversation.turns)
        later = turns[turns.index(self) + 1 :]
        if any(turn.prompt_ids >= self.prompt_ids for turn in later):
            self._was_superseded = True
        return self._was_superseded

    def keep(self, memory: Memory) -> None:
        """Remember what this turn came to."""
        self._conversation.memory = memory


class ConversationStats(NamedTuple):
    """How many conversations are remembered, and about how much memory they hold."""

    conversations: int
    size_bytes: int


class Conversations:
    """What was said about every image of late. Safe from many threads.

    Forgotten, the oldest first, is what was not used for *max_idle_s*, and what is beyond *max_count* or *max_bytes*.
    """

    def __init__(
        self,
        *,
        max_count: int = 1000,
        max_bytes: int = 128 * 2**20,
        max_idle_s: float = 2 * 60 * 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._max_idle_s = max_idle_s
        self._clock = clock
        self._lock = threading.Lock()
        self._conversations: OrderedDict[ConversationKey, _Conversation] = OrderedDict()
        self._size_bytes = 0

    @contextmanager
    def turn(
        self, key: ConversationKey, prompt_ids: frozenset[str], *, patience_s: float | None = None
    ) -> Iterator[Turn]:
        """Wait until all who asked before in this conversation are done; the next one waits until this block ends.

        One that is superseded while it waits goes on at once, and must not do anything but go.

        Args:
            key: whose conversation.
            prompt_ids: of all that is asked.
            patience_s: how long to wait; None: as long as it takes.

        Raises:
            BusyError: It took longer than *patience_s*.
        """
        conversation, turn = self._enter(key, prompt_ids)
        try:
            with conversation.changed:
                if not conversation.changed.wait_for(lambda: turn.has_the_word or turn.look_around(), patience_s):
                    raise BusyError("the clicks before this one are still being answered", retry_after_s=_COME_AGAIN_S)
            yield turn
        finally:
            self._leave(key, conversation, turn)

    def purge(self, *, project_id: int, task_id: int | None = None) -> int:
        """Forget what was said about a task, or about a whole project; how many conversations that were."""
        with self._lock:
            gone = [key for key in self._conversations if key.image.belongs_to(project_id=project_id, task_id=task_id)]
            for key in gone:
                self._forget(key)
            return len(gone)

    @property
    def stats(self) -> ConversationStats:
        with self._lock:
            return ConversationStats(len(self._conversations), self._size_bytes)

    def _enter(self, key: ConversationKey, prompt_ids: frozenset[str]) -> tuple[_Conversation, Turn]:
        with self._lock:
            conversation = self._conversations.setdefault(key, _Conversation(self._lock))
            turn = Turn(conversation, prompt_ids)
            conversation.turns.append(turn)
            conversation.changed.notify_all()
            return conversation, turn

    def _leave(self, key: ConversationKey, conversation: _Conversation, turn: Turn) -> None:
        with self._lock:
            conversation.turns.remove(turn)
            conversation.left_at = self._clock()
            conversation.changed.notify_all()
            if self._conversations.get(key) is conversation:
                self._conversations.move_to_end(key)
                self._size_bytes -= conversation.size_bytes
                conversation.size_bytes = conversation.memory.size_bytes
                self._size_bytes += conversation.size_bytes
            self._tidy()

    def _tidy(self) -> None:
        while (oldest := self._oldest_silent()) is not None and self._must_go(self._conversations[oldest]):
            self._forget(oldest)

    def _oldest_silent(self) -> ConversationKey | None:
        return next((key for key, conversation in self._conversations.items() if not conversation.turns), None)

    def _must_go(self, oldest: _Conversation) -> bool:
        is_old = self._clock() - oldest.left_at > self._max_idle_s
        # One that is too large all by itself stays, or its annotator would begin anew at every click.
        is_too_large = self._size_bytes > self._max_bytes and len(self._conversations) > 1
        return is_old or is_too_large or len(self._conversations) > self._max_count

    def _forget(self, key: ConversationKey) -> None:
        self._size_bytes -= self._conversations.pop(key).size_bytes
