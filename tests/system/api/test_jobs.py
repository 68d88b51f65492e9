"""Jobs whose programs are functions of the program that describes the tree."""

from __future__ import annotations

from tests.system.api.conftest import MakeProgram
from tests.system.jobs.looking import ended, job, runs, wait_job


def test_what_a_function_returns_is_the_exit_status_and_arguments_are_checked(program: MakeProgram) -> None:
    tree = program(
        """
        import os, sys
        import msgspec
        from supervisor_tree import Job, Supervisor

        class Args(msgspec.Struct):
            status: int = 0

        def work(status: int) -> int:
            print("status", status, "as", os.environ["SUPERVISOR_TREE_NAME"])
            return status

        async def later() -> int:
            return 4

        jobs = [Job("work", run=work, args=Args(3), success=[0, 3]), Job("later", run=later, instances=["a", "b"])]
        sys.exit(Supervisor(jobs=jobs).run())
        """
    )
    tree.ctl("run", "work", "--wait", status=3)
    tree.ctl("run", "work", "--wait", "--", "status=7", status=7)
    assert ended(tree, "work", 2)[1]["output_tail"] == ["status 7 as work"]
    tree.ctl("run", "later@b", "--wait", status=4)
    assert job(tree, "later@a")["last"] is None
    tree.ctl("run", "work", "--wait", "--", "status=many", status=2)
    assert ended(tree, "work", 3)[2]["output_tail"] == ["args.status: Expected `int`, got `str`"]
    assert [run["state"] for run in runs(tree, "work")] == ["succeeded", "failed", "failed"]
    assert tree.stop() == 0


def test_each_stage_has_its_own_function_and_a_new_root_knows_them(program: MakeProgram) -> None:
    tree = program(
        """
        import os, sys, time
        from supervisor_tree import Job, Stage, Supervisor

        times = 2

        def first():
            print("first", flush=True)
            while not os.path.exists("go"):
                time.sleep(0.02)

        def second(word):
            print(word * times)

        stages = [
            Stage("a", run=first),
            Stage("b", run=lambda: print("lambda")),
            Stage("c", run=second, args={"word": "${self.instance}"}, instances=["x", "y"]),
        ]
        sys.exit(Supervisor(jobs=[Job("line", stages=stages)]).run())
        """
    )
    tree.ctl("run", "line")
    wait_job(tree, "line", lambda one: one["state"] == "running", "runs")
    old = tree.root_pid()
    tree.kill(old)
    tree.wait_new_root(old)
    (tree.dir / "go").touch()
    (end,) = ended(tree, "line", 1)
    assert (end["run"]["state"], end["output_tail"]) == ("succeeded", ["first", "lambda", "xx", "yy"])
    assert tree.stop() == 0
