"""The process of a model: what ends it, hangs it or fills it is one clear error, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from phloem.nodes.services.models.local import process as process_module
from phloem.nodes.services.models.local import shelf as shelf_module
from phloem.nodes.services.models.local.process import ModelProcess
from phloem.nodes.services.models.local.service import LocalModels
from phloem.runtime import run
from phloem.runtime.errors import ConfigError, InputError, LimitReached, NodeError, ServiceError, SettingError
from phloem.runtime.events import Event, NodeChunk, NodeFinished
from phloem.runtime.home import Home
from phloem.runtime.services import Ending, Request, Sampling
from support.meters import Spending
from support.model_files import DEMO, MINILM, talkative

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="signals and /proc"),
]

PRICE = "Context:\nThe price of Bolan is 12 euros.\n\nQuestion: What is the price of Bolan?"


@pytest.fixture
def models(home: Home) -> Iterator[LocalModels]:
    service = LocalModels(home)
    yield service
    pids = [pid_of(one) for one in processes(service)]
    asyncio.run(service.close())
    assert not [pid for pid in pids if exists(pid)], "a process stayed behind"


@pytest.fixture
def talker(tmp_path: Path) -> str:
    return f"local:{talkative(tmp_path / 'talkative.gguf')}"


def processes(service: LocalModels) -> list[ModelProcess]:
    return list(service._shelf._processes.values())


def pid_of(process: ModelProcess) -> int:
    return process.pid or 0


def exists(pid: int) -> bool:
    """Whether there is such a process, be it only as a zombie."""
    return pid > 0 and Path(f"/proc/{pid}").exists()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def until(holds: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


async def text_of(service: LocalModels, asked: str, model: str = "local:demo", **sampling: Any) -> str:
    request = Request(asked=asked, sampling=Sampling(**sampling))
    return "".join([piece async for piece in service.answer(model, request, Spending()) if isinstance(piece, str)])


async def begun(service: LocalModels, model: str, **sampling: Any) -> tuple[Any, str]:
    """An answer that has begun, and its first piece."""
    wanted = Sampling(max_tokens=3900, temperature=1.0, seed=1, **sampling)
    stream = service.answer(model, Request(asked="Hello", sampling=wanted), Spending())
    first = await anext(stream)
    assert isinstance(first, str)
    return stream, first


async def rest(stream: Any) -> list[Any]:
    return [piece async for piece in stream]


def error_of(work: Coroutine[Any, Any, Any]) -> NodeError:
    with pytest.raises(NodeError) as caught:
        asyncio.run(work)
    return caught.value


# Killed


@pytest.mark.parametrize(
    ("number", "says", "retryable"),
    [(signal.SIGKILL, "was killed while it ran (SIGKILL)", True), (signal.SIGSEGV, "(SIGSEGV)", False)],
)
def test_a_process_that_dies_in_the_middle_of_an_answer_is_one_error_and_the_next_request_works(
    models: LocalModels, talker: str, number: signal.Signals, says: str, retryable: bool
) -> None:
    async def kill_meanwhile() -> ServiceError:
        stream, _ = await begun(models, talker)
        os.kill(pid_of(processes(models)[0]), number)
        with pytest.raises(ServiceError) as caught:
            await rest(stream)
        return caught.value

    error = asyncio.run(kill_meanwhile())
    assert says in error.message
    assert talker in error.message
    assert error.retryable is retryable
    assert error.hint
    assert ("memory" in error.hint) is (number == signal.SIGKILL)
    assert asyncio.run(text_of(models, "Hello", talker, max_tokens=3))


def test_everyone_who_waits_is_told_once_and_other_models_go_on(models: LocalModels, talker: str) -> None:
    async def kill_meanwhile() -> None:
        other = asyncio.ensure_future(models.embed("local:minilm", ["A text about rivers. " * 20] * 40, Spending()))
        streams = [(await begun(models, talker))[0] for _ in range(5)]
        killed = next(one for one in processes(models) if one.name == talker)
        os.kill(pid_of(killed), signal.SIGKILL)
        errors = await asyncio.gather(*(rest(stream) for stream in streams), return_exceptions=True)
        assert [type(error) for error in errors] == [ServiceError] * 5
        assert len({id(error) for error in errors}) == 5
        assert len(await other) == 40

    asyncio.run(kill_meanwhile())


def test_a_process_killed_while_it_was_idle_is_replaced(models: LocalModels) -> None:
    assert asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros"
    (process,) = processes(models)
    os.kill(pid_of(process), signal.SIGKILL)
    assert until(lambda: process.ended)
    assert asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros"


def test_a_process_that_dies_at_every_start_is_not_started_again_by_the_same_request(
    models: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def command() -> list[str]:
        started.append(1)
        return [sys.executable, "-c", "import os, sys; print('no luck', file=sys.stderr); os.abort()"]

    monkeypatch.setattr(process_module, "_command", command)
    for turn in range(3):
        error = error_of(text_of(models, "x"))
        assert "while it was loaded (SIGABRT): no luck" in error.message
        assert len(started) == turn + 1


def test_a_process_that_cannot_be_started_is_an_error(models: LocalModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_command", lambda: ["/none/python"])
    assert "cannot be run" in error_of(text_of(models, "x")).message


def test_a_process_that_talks_nonsense_is_an_error(models: LocalModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_command", lambda: [sys.executable, "-c", "print('Hello!' * 99)"])
    assert "makes no sense" in error_of(text_of(models, "x")).message


def test_a_process_that_hangs_is_ended_and_replaced(
    models: LocalModels, talker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "SILENCE", 2.0)

    async def halt_meanwhile() -> ServiceError:
        stream, _ = await begun(models, talker)
        os.kill(pid_of(processes(models)[0]), signal.SIGSTOP)
        with pytest.raises(ServiceError) as caught:
            await rest(stream)
        return caught.value

    error = asyncio.run(halt_meanwhile())
    assert "said nothing for 2 seconds" in error.message
    assert error.retryable
    assert asyncio.run(text_of(models, "Hello", talker, max_tokens=3))


def test_a_process_that_does_not_stop_what_was_cancelled_is_ended(
    models: LocalModels, talker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "CANCEL", 1.0)

    async def cancel_one() -> int:
        stream, _ = await begun(models, talker)
        pid = pid_of(processes(models)[0])
        os.kill(pid, signal.SIGSTOP)
        await stream.aclose()
        return pid

    pid = asyncio.run(cancel_one())
    assert until(lambda: not exists(pid))
    assert asyncio.run(text_of(models, "Hello", talker, max_tokens=3))


def test_a_program_that_stood_still_itself_ends_no_process(
    models: LocalModels, talker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does between Ctrl-Z and `fg`, while nobody looked and nobody listened."""
    monkeypatch.setattr(shelf_module.Shelf, "_watch", lambda shelf: None)
    monkeypatch.setattr(process_module, "SILENCE", 0.5)
    monkeypatch.setattr(process_module, "HALTED", 0.6)

    async def stand_still() -> None:
        stream, _ = await begun(models, talker)
        (process,) = processes(models)
        os.kill(pid_of(process), signal.SIGSTOP)
        time.sleep(1)
        process.watch()
        os.kill(pid_of(process), signal.SIGCONT)
        for _ in range(20):
            assert await anext(stream)
        await stream.aclose()

    asyncio.run(stand_still())


def test_who_leaves_while_a_model_is_loaded_does_not_end_it_for_others(
    models: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "CANCEL", 0.5)
    slowly = "import time, phloem.nodes.services.models.local.worker as worker; start = worker._Server._start;"
    slowly += "worker._Server._start = lambda *all: (time.sleep(3), start(*all))[1];"
    *command, code = process_module._command()
    set_path, _, main = code.rpartition("; from ")
    monkeypatch.setattr(process_module, "_command", lambda: [*command, f"{set_path}; {slowly} from {main}"])

    async def leave() -> str:
        going, staying = (asyncio.ensure_future(text_of(models, PRICE, max_tokens=16)) for _ in range(2))
        await asyncio.sleep(0.2)
        going.cancel()
        return await staying

    assert asyncio.run(leave()) == "12 euros"


def test_a_process_that_is_sent_nonsense_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        process_module._command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None and worker.stderr is not None
        worker.stdin.write(b"\xc1 is no message")
        worker.stdin.flush()
        try:
            assert worker.wait(20) == 1
        finally:
            worker.kill()
        assert b"what came is no message" in worker.stderr.read()


def test_a_request_that_cannot_be_sent_leaves_nobody_waiting(models: LocalModels) -> None:
    asyncio.run(text_of(models, "Hello", max_tokens=1))
    (process,) = processes(models)

    class Nobody:
        def put(self, message: list[Any]) -> None: ...
        def fail(self, error: NodeError) -> None: ...

    with pytest.raises(TypeError):
        process.ask("write", [object()], Nobody())
    assert process.idle


FLOW = """\
phloem: 1
nodes:
  ask:
    kind: llm.generate@1
    set: {prompt: Hello, model: "local:PATH", max_tokens: 3900, temperature: 1.0, seed: 1}
  other:
    kind: llm.generate@1
    set: {prompt: "Context:\\nThe price of Bolan is 12 euros.\\n\\nQuestion: What is the price of Bolan?"}
outputs:
  answer: ask.text
  price: other.text
"""


def test_a_killed_process_is_one_node_error_of_the_workflow(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the engine: the node fails with the reason, the node beside it does not, and no process stays."""
    monkeypatch.setenv("PHLOEM_HOME", str(home.path))
    model = talkative(tmp_path / "talkative.gguf")
    flow = tmp_path / "ask.flow.yaml"
    flow.write_text(FLOW.replace("PATH", str(model)))
    killed: list[int] = []
    finished: list[str] = []

    def kill(event: Event) -> None:
        """In the middle of the answer of the first node, its process dies."""
        if isinstance(event, NodeChunk) and event.node == "ask" and not killed:
            killed.extend(child for child in worker_children() if maps(child, model))
            for child in killed:
                os.kill(child, signal.SIGKILL)
        if isinstance(event, NodeFinished):
            finished.append(event.node)

    with pytest.raises(ServiceError, match=r"was killed while it ran \(SIGKILL\)") as caught:
        run(flow, listener=kill)
    assert str(model) in caught.value.message
    assert len(killed) == 1
    assert finished == ["other"]
    assert until(lambda: not worker_children())


def maps(pid: int, path: Path) -> bool:
    """Whether a process has a file in its memory."""
    return str(path) in Path(f"/proc/{pid}/maps").read_text()


def worker_children() -> list[int]:
    """The processes of models that this process has started."""
    own = os.getpid()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                status, words = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == own and b"local.worker" in words:
                found.append(int(folder.name))
    return found


# Files


def test_a_truncated_file_is_one_error(models: LocalModels, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    for length in (0, 3, 100, 50_000, DEMO.stat().st_size - 1):
        path.write_bytes(DEMO.read_bytes()[:length])
        error = error_of(text_of(models, "x", f"local:{path}"))
        assert isinstance(error, ServiceError)
        assert "cannot be used as a model" in error.message or "cannot read" in error.message


def test_a_file_that_vanishes_is_an_error_for_new_requests_and_none_for_those_under_way(
    models: LocalModels, talker: str
) -> None:
    path = Path(talker.removeprefix("local:"))

    async def remove_meanwhile() -> None:
        stream, _ = await begun(models, talker, stop=["zzzz"])
        path.unlink()
        assert isinstance((await rest(stream))[-1], Ending)

    asyncio.run(remove_meanwhile())
    assert "there is no model file" in error_of(text_of(models, "x", talker)).message


def test_a_file_cut_short_under_a_running_model_is_an_error_and_not_the_end(models: LocalModels, talker: str) -> None:
    """The weights are mapped from the file: reading what is gone kills the process, and only that."""
    path = Path(talker.removeprefix("local:"))

    async def cut_meanwhile() -> list[Any]:
        stream, _ = await begun(models, talker)
        os.truncate(path, 4096)
        return await asyncio.gather(rest(stream), return_exceptions=True)

    (outcome,) = asyncio.run(cut_meanwhile())
    assert isinstance(outcome, ServiceError)
    assert "SIGBUS" in outcome.message
    assert asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros"


# Requests that are too much


def test_a_prompt_of_200_000_tokens_is_refused_with_both_numbers(models: LocalModels) -> None:
    error = error_of(text_of(models, "The river is long. " * 40_000))
    assert isinstance(error, InputError)
    assert "reads at most 1,023" in error.message
    count = int(error.message.partition(" tokens")[0].rpartition(" ")[2].replace(",", ""))
    assert count >= 200_000
    assert asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros"


def test_a_text_that_is_larger_than_any_context_is_not_even_sent(models: LocalModels) -> None:
    assert "too long" in error_of(text_of(models, "x" * 11_000_000)).message
    assert processes(models) == []


@pytest.mark.parametrize("grammar", ['root ::= "a', "root ::= nothing", 'root ::= root "a" | "b"', "root ::= [a", ""])
def test_a_hostile_grammar_is_refused_before_a_model_sees_it(models: LocalModels, grammar: str) -> None:
    request = Request(asked="x", form={"grammar": grammar})
    assert isinstance(error_of(models.structured("local:demo", request, Spending())), SettingError)
    assert processes(models) == []


def test_a_limit_that_is_reached_frees_what_was_under_way(models: LocalModels, talker: str) -> None:
    class Poor(Spending):
        def spend(self, **spent: Any) -> None:
            super().spend(**spent)
            if self.written > 20:
                raise LimitReached("the node stopped at its limit")

    async def ask() -> None:
        request = Request(asked="Hello", sampling=Sampling(max_tokens=3000, temperature=1.0, seed=1))
        async for _ in models.answer(talker, request, Poor()):
            pass

    with pytest.raises(LimitReached):
        asyncio.run(ask())
    assert until(lambda: all(one.idle for one in processes(models)))


# Many at once


def test_fifty_that_are_cancelled_at_once_leave_nothing(models: LocalModels, talker: str) -> None:
    async def fifty() -> None:
        await text_of(models, "Hello", talker, max_tokens=1)
        prompts = ["The river is long. " * 100 + str(number) for number in range(50)]
        tasks = [
            asyncio.ensure_future(text_of(models, one, talker, max_tokens=3000, temperature=1.0)) for one in prompts
        ]
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)

    asyncio.run(fifty())
    (process,) = processes(models)
    assert until(lambda: process.idle)
    assert not process.ended
    assert asyncio.run(text_of(models, "Hello", talker, max_tokens=3))


def test_a_slow_reader_gets_everything_in_fewer_pieces(models: LocalModels, talker: str) -> None:
    async def slowly() -> tuple[int, str]:
        stream, text = await begun(models, talker)
        time.sleep(0.5)
        pieces = [piece for piece in await rest(stream) if isinstance(piece, str)]
        return len(pieces), text + "".join(pieces)

    pieces, text = asyncio.run(slowly())
    assert pieces < 3800
    assert text == asyncio.run(text_of(models, "Hello", talker, max_tokens=3900, temperature=1.0, seed=1))


def test_two_hundred_requests_leave_no_open_files_and_no_threads(models: LocalModels) -> None:
    async def ask(count: int) -> None:
        for number in range(count):
            await text_of(models, f"Number {number}", max_tokens=2)

    asyncio.run(ask(3))
    before = open_files(), threading.active_count()
    asyncio.run(ask(200))
    assert open_files() <= before[0] + 2
    assert threading.active_count() <= before[1] + 1


def test_closing_leaves_no_process_thread_or_open_file(home: Home) -> None:
    before, threads = open_files(), threading.active_count()
    for _ in range(3):
        service = LocalModels(home)
        asyncio.run(text_of(service, "Hello", max_tokens=2))
        pids = [pid_of(one) for one in processes(service)]
        asyncio.run(service.close())
        assert pids
        assert not any(exists(pid) for pid in pids)
    assert open_files() <= before + 2
    assert until(lambda: threading.active_count() <= threads)


# The program's end


@pytest.mark.parametrize("how", ["kill", "exit", "interrupt"])
def test_no_process_outlives_the_program(tmp_path: Path, how: str) -> None:
    path = talkative(tmp_path / "talkative.gguf")
    code = f"""
import asyncio, os, signal, sys
from pathlib import Path
from phloem.nodes.services.models.local.service import LocalModels
from phloem.runtime.home import Home
from phloem.runtime.services import Request
class Meter:
    def spend(self, **spent): pass
    def sent(self, model, text): pass
async def main():
    service = LocalModels(Home(Path({str(tmp_path)!r})))
    request = Request(asked="Hello", sampling={{"max_tokens": 3900, "temperature": 1.0}})
    async for piece in service.answer("local:" + {str(path)!r}, request, Meter()):
        (process,) = service._shelf._processes.values()
        print(process.pid, flush=True)
        {{"kill": lambda: os.kill(os.getpid(), 9), "exit": lambda: os._exit(3),
          "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT)}}[{how!r}]()
        await asyncio.sleep(0.1)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout.split()[0])
    assert done.returncode == {"kill": -9, "exit": 3, "interrupt": 130}[how]
    assert until(lambda: not exists(pid))


def test_what_lies_in_the_folder_of_the_user_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Home
) -> None:
    for name in ("msgpack", "queue", "llama_cpp", "jinja2"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.chdir(tmp_path)
    service = LocalModels(home)
    assert asyncio.run(text_of(service, PRICE, max_tokens=16)) == "12 euros"
    asyncio.run(service.close())


def test_keys_are_kept_from_the_process(models: LocalModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("SOME_TOKEN", "t-secret")
    asyncio.run(text_of(models, "Hello", max_tokens=1))
    (process,) = processes(models)
    environment = Path(f"/proc/{pid_of(process)}/environ").read_bytes()
    assert b"secret" not in environment
    assert b"GGML_NO_BACKTRACE=1" in environment


# A fork


def test_a_fork_starts_processes_of_its_own(models: LocalModels) -> None:
    assert asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros"
    (process,) = processes(models)
    code = 0
    child = os.fork()
    if child == 0:
        try:
            code = 0 if asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros" else 1
            asyncio.run(models.close())
        except BaseException:
            code = 2
        shelf_module._leave()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not process.ended
    assert asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros"


# Memory


def settings(home: Home, text: str) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    (home.path / "settings.yaml").write_text(text)


def test_idle_models_make_room_for_another(home: Home, models: LocalModels, tmp_path: Path) -> None:
    settings(home, "models: {memory: 300MB}")
    for number in range(4):
        path = tmp_path / f"model{number}.gguf"
        path.write_bytes(DEMO.read_bytes())
        assert asyncio.run(text_of(models, PRICE, f"local:{path}", max_tokens=16)) == "12 euros"
        assert sum(one.need for one in processes(models)) <= 300_000_000
    names = [one.name for one in processes(models)]
    assert f"local:{tmp_path / 'model0.gguf'}" not in names
    assert f"local:{tmp_path / 'model3.gguf'}" in names
    infos = {number: asyncio.run(models.about(f"local:{tmp_path / f'model{number}.gguf'}")) for number in (0, 3)}
    assert [infos[0].loaded, infos[3].loaded] == [False, True]


def test_a_model_waits_for_room_until_others_are_idle(home: Home, models: LocalModels, talker: str) -> None:
    settings(home, "models: {memory: 150MB}")

    async def both() -> None:
        stream, _ = await begun(models, talker)
        second = asyncio.ensure_future(text_of(models, PRICE, max_tokens=16))
        await asyncio.sleep(0.3)
        assert not second.done()
        await stream.aclose()
        assert await second == "12 euros"

    asyncio.run(both())
    assert [one.name for one in processes(models)] == ["local:demo"]


def test_a_model_that_never_fits_is_an_error_that_names_the_setting(home: Home, models: LocalModels) -> None:
    settings(home, "models: {memory: 10MB}")
    error = error_of(models.embed("local:minilm", ["x"], Spending()))
    assert "needs" in error.message and "10.0 MB" in error.message
    assert error.hint is not None and "models.memory" in error.hint


def test_settings_say_how_much_context_and_how_many_at_once(home: Home, models: LocalModels) -> None:
    settings(home, "models: {context: 256, parallel: 2, threads: 1}")
    assert "reads at most 255" in error_of(text_of(models, "The river is long. " * 200)).message
    (process,) = processes(models)
    assert process.ready is not None
    assert process.ready[1:] == [2, 256]
    assert asyncio.run(models.about("local:demo")).context == 256


def test_a_model_that_nobody_asks_leaves(models: LocalModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "IDLE", 0.5)
    asyncio.run(text_of(models, "Hello", max_tokens=1))
    (process,) = processes(models)
    pid = pid_of(process)
    assert until(lambda: not exists(pid))
    assert until(lambda: processes(models) == [])


def test_a_model_that_leaves_just_now_is_never_the_one_that_is_asked(
    models: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between being found and being asked a process may not be unloaded."""
    asyncio.run(text_of(models, "Hello", max_tokens=1))
    (process,) = processes(models)
    ask, close, asked = process.ask, process.close, threading.Event()

    def slowly(*all: Any) -> int:
        time.sleep(2.5)  # Longer than it takes until the next look.
        key = ask(*all)
        asked.set()
        return key

    def leave() -> None:
        asked.wait(10)
        process.kill()
        close()

    monkeypatch.setattr(process, "ask", slowly)
    monkeypatch.setattr(process, "close", leave)
    monkeypatch.setattr(shelf_module, "IDLE", 0.0)
    assert asyncio.run(text_of(models, PRICE, max_tokens=16)) == "12 euros"


def test_settings_that_break_while_a_model_is_loaded_are_named(
    models: LocalModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> int:
        raise ConfigError("settings.yaml:1: not YAML", hint="Mend it.")

    monkeypatch.setattr(models._shelf, "_memory", broken)
    error = error_of(text_of(models, "Hello"))
    assert (error.message, error.hint) == ("settings.yaml:1: not YAML", "Mend it.")


def test_the_file_of_an_embedding_model_is_counted_and_told(models: LocalModels) -> None:
    info = asyncio.run(models.about("local:minilm"))
    assert (info.makes, info.context, info.size) == ("vectors", 512, MINILM.stat().st_size)
    assert info.parameters == 22_565_376
    assert info.details["quantisation"] == "Q8_0"
    assert [one.name for one in asyncio.run(models.list())] == ["local:demo", "local:minilm"]
