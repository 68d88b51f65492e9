"""The stages of an attempt: which program runs next.

* A stage's programs are started in the order of its instances, `parallel` at once. One that fails is tried again
  `retries` times. The stage has succeeded when `at_least` of them have, and `verify` passes; what has to be made up
  for a failed `verify` is all of them.
* A critical stage that fails ends the attempt; any other is gone past.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from supervisor_tree.core.backoff import delay
from supervisor_tree.core.jobs import attempts
from supervisor_tree.core.jobs import effects as fx
from supervisor_tree.core.jobs.job import Job
from supervisor_tree.core.jobs.run import Active, Phase, Stage, Task
from supervisor_tree.core.jobs.spec import JobSpec, StageSpec, program_name

if TYPE_CHECKING:
    from supervisor_tree.core.jobs.jobs import Jobs


def pairs(active: Active) -> Iterator[tuple[Stage, StageSpec]]:
    """The stages of the present attempt and what each is to be; none before the first."""
    if active.run.begun:
        yield from zip(active.run.stages, active.spec.stages, strict=True)


def laid_out(spec: JobSpec, before: list[Stage]) -> list[Stage]:
    """The stages of an attempt. What an earlier one has done is kept."""
    old = {stage.name: stage for stage in before}
    stages = []
    for one in spec.stages:
        done = old.get(one.name)
        if done is not None and one.name and (done.state == "succeeded" or (done.over and not one.critical)):
            done.kept = True
            stages.append(done)
            continue
        tasks = []
        for instance in (None,) if one.instances is None else one.instances:
            name = program_name(spec.name, one.name, instance)
            kept = [] if done is None or one.instances is None else [task for task in done.tasks if task.name == name]
            if kept and kept[0].state == "done" and not one.verify:
                tasks.append(kept[0])
            else:
                tasks.append(Task(name=name, instance=instance))
        stages.append(Stage(name=one.name, tasks=tasks))
    return stages


def go_on(jobs: Jobs, job: Job, active: Active) -> None:
    """Whatever can be begun now is."""
    run, spec = active.run, active.spec
    while run.stage < len(run.stages):
        stage, of = run.stages[run.stage], spec.stages[run.stage]
        if not stage.over:
            if not _stage_ended(jobs, job, active, stage, of):
                jobs.moved(job, active)
                return
            if run.phase is not Phase.RUNNING:
                return
        run.stage += 1
    if spec.verify:
        run.phase = Phase.VERIFYING
        jobs.do(fx.Verify(job.name, run.id, ""))
        jobs.moved(job, active)
    else:
        attempts.succeeded(jobs, job, active)


def _stage_ended(jobs: Jobs, job: Job, active: Active, stage: Stage, of: StageSpec) -> bool:
    """Start what may be started. True: the stage is over, or the run is."""
    run, now = active.run, jobs.now
    if stage.state == "waiting":
        stage.state, stage.started = "running", now.wall
        if active.spec.staged:
            jobs.note("stage_started", job, {"run": run.id, "stage": stage.name, "attempt": run.attempt})
    alive = 0
    for task in stage.tasks:
        if task.state == "again" and task.at is not None and task.at <= now.mono:
            task.state, task.at = "todo", None
        alive += task.state == "alive"
    for task in stage.tasks:
        if task.state == "todo" and alive < of.parallel:
            _start(jobs, job, active, stage, of, task)
            alive += 1
    if any(task.state in ("alive", "again", "todo") for task in stage.tasks):
        return False
    done = sum(task.state == "done" for task in stage.tasks)
    if done < (len(stage.tasks) if of.at_least is None else min(of.at_least, len(stage.tasks))):
        failed(jobs, job, active, None)
        return True
    if of.verify:
        run.phase = Phase.VERIFYING
        jobs.do(fx.Verify(job.name, run.id, stage.name))
        jobs.moved(job, active)
        return True
    succeeded(jobs, job, active)
    return True


def _start(jobs: Jobs, job: Job, active: Active, stage: Stage, of: StageSpec, task: Task) -> None:
    job.state.starts += 1
    jobs.touch("job/" + job.name)
    task.state, task.start, task.running = "alive", job.state.starts, False
    task.tries += 1
    task.started, task.ended, task.exit, task.signal = jobs.now.wall, None, None, None
    task.timed_out, task.reason = False, None
    start_task(jobs, job, active, stage, of, task)


def start_task(jobs: Jobs, job: Job, active: Active, stage: Stage, of: StageSpec, task: Task) -> None:
    run = active.run
    jobs.do(
        fx.StartTask(
            job=job.name,
            run=run.id,
            name=task.name,
            start=task.start,
            stage=stage.name,
            instance=task.instance,
            attempt=run.attempt,
            tries=task.tries,
            timeout=of.timeout,
            args=run.args,
        )
    )


def task_failed(jobs: Jobs, job: Job, of: StageSpec, task: Task) -> None:
    """A program has failed, or what it did was not verified: it is tried again, if it may."""
    if task.tries <= of.retries:
        task.state = "again"
        task.at = jobs.now.mono + delay(of.backoff, task.tries, f"{job.name}/{task.name}", jobs.head.seed)
    else:
        task.state = "failed"


def succeeded(jobs: Jobs, job: Job, active: Active) -> None:
    run = active.run
    stage = run.stages[run.stage]
    stage.state, stage.ended, stage.reason = "succeeded", jobs.now.wall, None
    note_ended(jobs, job, active, stage)


def failed(jobs: Jobs, job: Job, active: Active, reason: str | None) -> None:
    """``reason`` None: its programs say it. If it is critical the attempt is over."""
    run = active.run
    stage, of = run.stages[run.stage], active.spec.stages[run.stage]
    lost = [task for task in stage.tasks if task.state == "failed"]
    timed_out = bool(lost) and all(task.timed_out for task in lost)
    stage.state, stage.ended = "timed_out" if timed_out else "failed", jobs.now.wall
    stage.reason = reason or _why(stage, lost)
    note_ended(jobs, job, active, stage)
    if of.critical:
        words = f"stage {stage.name}: {stage.reason}" if stage.name else stage.reason
        attempts.over(jobs, job, active, "timed_out" if timed_out else "failed", words)


def _why(stage: Stage, lost: list[Task]) -> str:
    if len(stage.tasks) == 1:
        return lost[0].reason or "failed"
    words = ", ".join(f"{task.instance}: {task.reason}" for task in lost[:3])
    more = ", …" if len(lost) > 3 else ""
    return f"{len(lost)} of {len(stage.tasks)} failed ({words}{more})"


def note_ended(jobs: Jobs, job: Job, active: Active, stage: Stage) -> None:
    if active.spec.staged:
        fields = {"run": active.run.id, "stage": stage.name, "state": stage.state, "reason": stage.reason}
        jobs.note("stage_ended", job, fields)
