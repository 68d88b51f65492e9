"""What of a recovery rule can never come to pass is said when the file is read; the recipe of `guard` is that of the
document."""

from __future__ import annotations

from pathlib import Path

import msgspec

from supervisor_tree import config
from supervisor_tree.config import recovering

HEAD = """
[workers.w]
command = "sleep 1"
"""


def warnings(text: str, tmp_path: Path) -> list[str]:
    file = tmp_path / "tree.toml"
    file.write_text(HEAD + text)
    plan = config.load([str(file)], {"HOME": str(tmp_path), "PATH": "/bin"})
    return [f"{each.key}: {each.message}" for each in plan.warnings]


JOB = '[jobs.j]\ncommand = "true"\nrecover = "r"\n'


def test_a_word_of_when_that_is_no_outcome(tmp_path: Path) -> None:
    text = JOB + 'outcome = { 2 = "unhealthy" }\n[recover.r]\nwhen = ["unhelthy", "unhealthy"]\nsteps = { wait = 1 }\n'
    (warning,) = warnings(text, tmp_path)
    assert warning.startswith('recover.r.when: "unhelthy" is no outcome of those who have this rule')
    assert 'did you mean "unhealthy"?' in warning


def test_a_rule_without_when_needs_an_outcome_that_names_a_failure(tmp_path: Path) -> None:
    rule = "[recover.r]\nsteps = { wait = 1 }\n"
    assert warnings(JOB + 'outcome = { 2 = "bad" }\n' + rule, tmp_path) == []
    for outcome in ("", 'outcome = { 0 = "good", other = "odd" }\n'):
        (warning,) = warnings(JOB + outcome + rule, tmp_path)
        assert warning.startswith("recover.r: never fires for j, whose `outcome` names no failure")


def test_a_rule_on_a_job_that_names_what_befalls_workers_only(tmp_path: Path) -> None:
    rule = '[recover.r]\nwhen = ["failed", "exit"]\nsteps = { wait = 1 }\n'
    (warning,) = warnings(JOB + rule, tmp_path)
    assert warning.startswith('recover.r.when: never fires for j: "failed" and "exit" befall workers only')
    assert warnings(JOB + 'outcome = { 1 = "failed" }\n' + rule, tmp_path) == []
    assert warnings('recover = "r"\n' + rule, tmp_path) == []


def test_a_worker_has_no_run_to_repeat(tmp_path: Path) -> None:
    text = 'recover = "r"\n[recover.r]\nwhen = "exit"\nsteps = { rerun = true }\n'
    assert warnings(text, tmp_path) == ["recover.r.steps: `rerun` is for jobs: a worker has no run to repeat"]


def test_a_rule_that_only_guard_uses_may_name_what_guard_calls_results(tmp_path: Path) -> None:
    assert warnings('[recover.r]\nwhen = ["degraded", "unexpected"]\nsteps = { wait = 1 }\n', tmp_path) == []


def test_the_built_in_recipe_is_that_of_the_document(tmp_path: Path) -> None:
    from tests.unit.config.examples import LANGUAGE

    file = tmp_path / "tree.toml"
    file.write_text(LANGUAGE)
    (tmp_path / ".env").touch()
    plan = config.load([str(file)], {"HOME": str(tmp_path), "PATH": "/bin"})
    documented = recovering.rule("guardian", plan.recover["guardian"])
    built_in = recovering.rule("guardian", recovering.guardian(plan.dir))
    match = {**documented.match, "sip": tuple(each.replace("sip_", "sip[_ ]") for each in documented.match["sip"])}
    assert built_in == msgspec.structs.replace(documented, match=match)
