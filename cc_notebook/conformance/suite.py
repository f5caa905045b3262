"""The tests: `Lines` asks a transport alone, `Hosts` what runs over it. Both take a fixture `machine`."""

import time
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryFile

import pytest

from cc_notebook.conformance.machine import Machine, claimed, ended, lasting, start, watch
from cc_notebook.errors import UnavailableError
from cc_notebook.hosts import travel
from cc_notebook.model import Job

BYTES = bytes(range(256)) * 20_000


class Lines:
    """What every transport does."""

    def test_text_comes_back_with_the_exit_code(self, machine: Machine) -> None:
        """Output, errors and exit code arrive; no character of a script means anything on the way."""
        done = machine.line.run("""echo 'a  "ü" $HOME \\ %PATH% `x`'; echo no >&2; exit 3\n""", 30)
        assert done.out.endswith('a  "ü" $HOME \\ %PATH% `x`\n')
        assert done.err.endswith("no\n") and done.code == 3

    def test_a_script_may_be_long(self, machine: Machine) -> None:
        """A script is longer than any argument may be."""
        assert machine.sh(f"x='{'y' * 3_000_000}'; echo ${{#x}}") == "3000000\n"

    def test_bytes_go_and_come(self, machine: Machine) -> None:
        """A file goes there by put, and comes back by get, byte for byte; a script keeps its quotes."""
        path = f"""{machine.home}/"a 'b' \\$c" """
        with TemporaryFile() as there, TemporaryFile() as back:
            there.write(BYTES)
            there.seek(0)
            done = machine.line.put(f"cat > {path}; echo 'it is \"%s\"'; exit 4\n", there, 30)
            assert done.code == 4 and done.out.endswith('it is "%s"\n')
            machine.line.get(f"cat {path}\n", back, 30)
            back.seek(0)
            assert back.read().endswith(BYTES)

    def test_a_failed_get_is_an_error(self, machine: Machine) -> None:
        """A script that fails gives no file."""
        with TemporaryFile() as back, pytest.raises(UnavailableError):
            machine.line.get("cat /no/such/file\n", back, 30)

    def test_no_answer_in_time(self, machine: Machine) -> None:
        """A script that takes too long is given up, soon, and the next one runs."""
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="no answer within 1 s"):
            machine.line.run("sleep 60\n", 1)
        assert time.monotonic() - began < 20
        assert machine.sh("echo next") == "next\n"

    def test_several_at_a_time(self, machine: Machine) -> None:
        """Threads share a line, and each gets its own answer."""
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda number: machine.sh(f"sleep 0.2; echo {number}"), range(8)))
        assert told == [f"{number}\n" for number in range(8)]

    def test_what_was_started_outlives_the_line(self, machine: Machine) -> None:
        """A script returns while what it started goes on, also when the line is closed; a closed line opens again."""
        began = "(trap '' HUP; sleep 60) < /dev/null > /dev/null 2>&1 & echo $!"
        pid = machine.sh(began).strip()
        machine.line.close()
        machine.line.close()
        assert machine.sh(f"kill -0 {pid} && echo lives; kill {pid}") == "lives\n"

    def test_parts_of_files(self, machine: Machine) -> None:
        """A piece of a file is read, also counted from its end; one that is not there is empty."""
        machine.sh(f"printf '0123456789' > {machine.home}/digits")
        assert travel.read(machine.line, f"{machine.home}/digits", 2, 3).endswith(b"234")
        assert travel.read(machine.line, f"{machine.home}/digits", -2, 9).endswith(b"89")
        assert b"0" not in travel.read(machine.line, f"{machine.home}/none", 0, 9)


class Hosts:
    """What every host does, whatever its transport and its queue."""

    @pytest.fixture(autouse=True)
    def short_grace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One second between TERM and KILL is enough for a test."""
        monkeypatch.setattr("cc_notebook.hosts.local.GRACE", 1.0)
        monkeypatch.setattr("cc_notebook.hosts.remote.GRACE", 1.0)

    def test_exit_codes_times_and_outputs(self, machine: Machine) -> None:
        """A success, an exit code, a signal and a time limit are told with claim, times and the last outputs."""
        host = machine.client()
        jobs = [
            Job(name="good", exec="echo '# cloudmesh progress=40 x=1'; echo '# cloudmesh progress=60 x=2 y=\"z\"'"),
            Job(name="bad name ü", exec="exit 7"),
            Job(name="shot", exec="kill -9 $$"),
            Job(name="slow", exec="sleep 60 & sleep 60", timeout=1),
        ]
        start(host, *map(machine.launch, jobs))
        seen = watch(host, ended(4))
        last = {item.job: item for item in seen if item.ending}
        told = {name: (item.ending, item.code) for name, item in last.items()}
        assert told == {
            "good": ("exit", 0),
            "bad name ü": ("exit", 7),
            "shot": ("signal", 9),
            "slow": ("timeout", None),
        }
        assert last["good"].report.outputs == {"x": 2, "y": "z"}
        now = float(machine.sh("date +%s"))
        for name, item in last.items():
            claim = item.claim or next(other.claim for other in seen if other.job == name and other.claim)
            assert claim.pid > 1 and item.ended and item.started
            assert now + 1 >= item.ended >= item.started > now - 100

    def test_progress_is_seen_while_it_runs(self, machine: Machine) -> None:
        """Progress and outputs come before the end, from the log alone."""
        host = machine.client()
        start(host, machine.launch(Job(name="p", exec="echo '# cloudmesh progress=30 k=5'; sleep 2")))
        seen = watch(host, lambda seen: any(item.report.progress == 30 for item in seen))
        assert not any(item.ending for item in seen)
        watch(host, ended())

    def test_started_twice_runs_once(self, machine: Machine) -> None:
        """Two clients that both start an attempt, and one that starts it again: the ledger has one line."""
        item = machine.launch(Job(name="once", exec='echo ran >> "$CC_RUN_DIR/ledger"; sleep 0.3'))
        first, second = machine.client(), machine.client()
        start(first, item)
        start(second, item)
        watch(first, ended())
        watch(second, ended())
        third = machine.client()
        start(third, item)
        assert watch(third, ended())[-1].ending == "exit"
        assert machine.sh(f"cat {machine.run}/ledger") == "ran\n"

    def test_taken_over_by_another_client(self, machine: Machine) -> None:
        """A client goes away while the attempt runs; the next one sees its end."""
        first = machine.client()
        item = machine.launch(Job(name="over", exec="sleep 1; exit 4"))
        start(first, item)
        watch(first, claimed)
        first.close()
        second = machine.client()
        second.watch([item.attempt])
        assert watch(second, ended())[-1].code == 4

    def test_cancel_ends_the_tree(self, machine: Machine) -> None:
        """Everything of the attempt is gone when `cancelled` is told: also what left the session and ignores TERM."""
        up = f"{machine.home}/up"
        text = f"setsid sh -c 'trap \"\" TERM; touch {up}; while :; do sleep 1; done' & sleep 100 & sleep 100"
        host = machine.client()
        item = machine.launch(Job(name="tree", exec=text))
        start(host, item)
        watch(host, lambda seen: claimed(seen) and machine.has(up))
        host.cancel([item.attempt])
        assert watch(host, ended())[-1].ending == "cancelled"
        assert machine.sh(f"grep -lF CC_ATTEMPT={item.attempt.token} /proc/[0-9]*/environ 2> /dev/null; :") == ""

    def test_cancelled_before_the_claim_never_runs(self, machine: Machine) -> None:
        """Cancelled before any wrapper claimed it, an attempt ends and its code never runs."""
        host = machine.client()
        item = machine.launch(Job(name="never", exec='touch "$CC_RUN_DIR/ran"'))
        machine.made(item)
        host.watch([item.attempt])
        host.cancel([item.attempt])
        assert watch(host, ended())[-1].ending == "cancelled"
        assert not machine.has(f"{machine.run}/ran")

    def test_wrapper_killed_is_lost_only_when_its_payload_is_gone(self, machine: Machine) -> None:
        """SIGKILL of the wrapper: not lost while the payload lives, lost afterwards, never done."""
        host, go = machine.client(), f"{machine.home}/go"
        text = f"touch {machine.home}/up; while [ ! -e {go} ]; do sleep 0.1; done"
        start(host, machine.launch(Job(name="orphan", exec=text)))
        seen = watch(host, lambda seen: claimed(seen) and machine.has(f"{machine.home}/up"))
        machine.sh(f"kill -KILL {next(item.claim.pid for item in seen if item.claim)}")
        assert not any(item.ending for item in watch(host, lasting(1.5)))
        machine.sh(f"touch {go}")
        assert watch(host, ended())[-1].ending == "lost"

    def test_stopped_process_is_not_a_failure(self, machine: Machine) -> None:
        """A wrapper that is stopped for a while is neither lost nor failed; continued, it ends as usual."""
        host, go = machine.client(), f"{machine.home}/go"
        start(host, machine.launch(Job(name="stopped", exec=f"while [ ! -e {go} ]; do sleep 0.05; done")))
        pid = next(item.claim.pid for item in watch(host, claimed) if item.claim)
        machine.sh(f"kill -STOP {pid}; touch {go}")
        assert not any(item.ending for item in watch(host, lasting(1.5)))
        machine.sh(f"kill -CONT {pid}")
        assert watch(host, ended())[-1].code == 0

    def test_another_process_with_the_same_pid_is_not_the_job(self, machine: Machine) -> None:
        """A claim whose pid now belongs to somebody else is lost, and the somebody is never signalled."""
        bystander = machine.sh("setsid sleep 60 < /dev/null > /dev/null 2>&1 & echo $!").strip()
        item = machine.launch(Job(name="reused", exec="true"))
        claim = f"{bystander} $(cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/hostname)"
        machine.sh(f'cd {machine.made(item)} && set -- {claim} && echo "$*" > claim')
        host = machine.client()
        host.watch([item.attempt])
        assert watch(host, ended())[-1].ending == "lost"
        other = machine.client()
        other.watch([item.attempt])
        other.cancel([item.attempt])
        watch(other, ended())
        assert machine.sh(f"kill -0 {bystander} && echo lives; kill {bystander}") == "lives\n"

    def test_host_restarted(self, machine: Machine) -> None:
        """A claim of an earlier boot without a record is told as `restarted`; one with its record as that says."""
        jobs = [machine.launch(Job(name=name, exec="true")) for name in ("cut", "finished")]
        for item in jobs:
            machine.sh(f'cd {machine.made(item)} && echo "77 before $(cat /proc/sys/kernel/hostname)" > claim')
        machine.sh(f"touch {machine.run}/{jobs[1].attempt.folder}/state.exit.3")
        host = machine.client()
        host.watch([item.attempt for item in jobs])
        told = {item.job: item for item in watch(host, ended(2)) if item.ending}
        assert told["cut"].ending == "restarted" and "was restarted" in told["cut"].reason
        assert (told["finished"].ending, told["finished"].code) == ("exit", 3)

    def test_job_that_removes_its_own_folder_runs_once(self, machine: Machine) -> None:
        """An attempt's folder is never made again: what removed its own is told as lost, and ran one time."""
        host = machine.client()
        text = f'echo ran >> {machine.home}/ran; rm -rf "$CC_JOB_DIR"'
        start(host, machine.launch(Job(name="gone", exec=text)))
        assert watch(host, ended())[-1].ending == "lost"
        assert machine.sh(f"cat {machine.home}/ran") == "ran\n"
