from __future__ import annotations

import pytest

from kumoi.base.process import ProcessFailed, run


def test_what_a_program_prints_is_given_back() -> None:
    done = run(["printf", "%s", "a b;c"])
    assert (done.status, done.out, done.err) == (0, "a b;c", "")


def test_a_failing_program_raises_with_its_status_and_what_it_said() -> None:
    with pytest.raises(ProcessFailed, match="no such thing") as failed:
        run(["python3", "-c", "import sys; sys.exit('no such thing')"])
    assert failed.value.status == 1


def test_a_failing_program_is_an_answer_where_the_caller_says_so() -> None:
    assert run(["false"], check=False).status == 1


def test_a_program_that_does_not_end_is_stopped() -> None:
    with pytest.raises(ProcessFailed, match=r"within 0\.1 s"):
        run(["sleep", "30"], timeout_s=0.1)


def test_a_program_is_killed_when_whoever_started_it_gives_up() -> None:
    answers = iter([False, False, True])
    with pytest.raises(ProcessFailed, match="gave the program up"):
        run(["sleep", "30"], give_up=lambda: next(answers))


def test_a_program_that_nobody_gives_up_ends_as_any_other() -> None:
    done = run(["cat"], stdin="x" * 200_000, give_up=lambda: False)
    assert len(done.out) == 200_000
    with pytest.raises(ProcessFailed, match=r"within 0\.1 s"):
        run(["sleep", "30"], timeout_s=0.1, give_up=lambda: False)


def test_a_program_that_is_not_there_raises() -> None:
    with pytest.raises(ProcessFailed, match="could not be started"):
        run(["kumoi-no-such-program"])


def test_input_reaches_the_program() -> None:
    assert run(["cat"], stdin="hello").out == "hello"


def test_no_input_is_an_end_of_file_and_not_our_terminal() -> None:
    assert run(["cat"]).out == ""
