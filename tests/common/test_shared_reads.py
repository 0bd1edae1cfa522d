"""One read for everybody who wants the same at the same moment."""

import asyncio

import pytest

from phoenix_site.common.shared_reads import SharedReads


class Source:
    """Counts how often it is read; a read ends when the gate opens."""

    def __init__(self) -> None:
        self.count = 0
        self.gate = asyncio.Event()

    async def read(self) -> int:
        self.count += 1
        number = self.count
        await self.gate.wait()
        return number


async def test_readers_of_one_moment_share_a_read() -> None:
    reads, source = SharedReads[str, int](), Source()
    readers = [asyncio.create_task(reads.share("board", source.read)) for _ in range(5)]
    await asyncio.sleep(0)

    source.gate.set()

    assert await asyncio.gather(*readers) == [1] * 5
    assert await reads.share("board", source.read) == 2


async def test_readers_of_different_things_do_not() -> None:
    reads, source = SharedReads[str, int](), Source()
    source.gate.set()

    answers = await asyncio.gather(*(reads.share(name, source.read) for name in ("one", "two")))

    assert sorted(answers) == [1, 2]


async def test_a_reader_that_leaves_does_not_end_the_read_of_the_others() -> None:
    reads, source = SharedReads[str, int](), Source()
    leaving, staying = (asyncio.create_task(reads.share("board", source.read)) for _ in range(2))
    await asyncio.sleep(0)

    leaving.cancel()
    await asyncio.sleep(0)
    source.gate.set()

    assert await staying == 1


async def test_a_failed_read_fails_for_all_who_waited_and_is_tried_again() -> None:
    reads, source = SharedReads[str, int](), Source()
    source.gate.set()

    async def fail() -> int:
        raise LookupError("away")

    answers = await asyncio.gather(
        *(reads.share("board", fail) for _ in range(2)), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [LookupError] * 2
    assert await reads.share("board", source.read) == 1


def test_a_read_of_a_loop_that_is_gone_is_not_waited_for() -> None:
    reads = SharedReads[str, int]()

    async def begin() -> None:
        source = Source()
        reader = asyncio.create_task(reads.share("board", source.read))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reader.cancel()

    async def read() -> int:
        async def answer() -> int:
            return 7

        return await reads.share("board", answer)

    asyncio.run(begin())

    assert asyncio.run(read()) == 7


@pytest.mark.parametrize("count", [1, 3])
async def test_nothing_is_kept_afterwards(count: int) -> None:
    reads, source = SharedReads[str, int](), Source()
    source.gate.set()

    for _ in range(count):
        await reads.share("board", source.read)

    assert reads._pending == {}
