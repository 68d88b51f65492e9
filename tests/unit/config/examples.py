"""The three tree files that the specification of the language shows, with a user that every machine has."""

from __future__ import annotations

LANGUAGE = r"""
# tree.toml: one tree. Where a list is expected, one value counts as a list of one.
[tree]                                # the tree and its root supervisor
name = "stock-bot"                    # default: name of the folder
dir = "."                             # base of every relative path here and default cwd; default: this file's folder
state_dir = ".supervisor-tree"
env_file = [".env", "?.env.local"]    # later wins; "?": may be missing
include = ["?tree.local.toml"]        # read after this file; tables merge, any other value replaces
make_dirs = ["logs", "state", "data"]
strategy = "one_for_one"
# intensity = 10                      # default here: none, backoff slows for ever; other supervisors: 5 in "1m"
# period = "10m"
# on_give_up = "hold"                 # with an intensity here: "hold" (default) | "exit" (OTP's; status 1) | a duration: hold, then try once
# children = ["market", "browser"]    # default: all that no supervisor names, in the order of their headers
# auto_shutdown = "any_significant"   # `start` then exits with that worker's exit status
# keep_awake = true                   # while the tree runs; on a job: while it runs
max_runs = 4                          # runs of jobs at once

[defaults]                            # for each worker and job that may have the key and does not set it
shutdown = "10s"
timezone = "America/New_York"
backoff = { first = "0s", initial = "1s", factor = 2.0, max = "5m", jitter = 0.1, reset = "5m" }

[supervisors.market]
strategy = "rest_for_one"             # a later child starts when the one before it is ready
children = ["uw-daemon", "trading-bot"]
# restart, shutdown = "infinity", significant, auto_shutdown, intensity, period: as in OTP

[workers.uw-daemon]
command = "venv/bin/python uw_flow_daemon.py"     # exactly one of command, run, use
env_file = "?/root/.alpaca_env"                   # read at each start
env = { UW_LOG = "info", UW_API_KEY = { file = "/run/secrets/uw_api_key" } }
require = [{ env = ["UW_API_KEY"] }, { disk_free = "1GB", path = "data" }]      # else held
ready = { file = "data/uw_flow_cache.json", fresh = "2m" }
start_timeout = "60s"                             # ready by then, else the start has failed
health = [{ file = "logs/uw_daemon.jsonl", fresh = "20m", every = "30s", failures = 3 }]
backoff = "10s"                                   # a duration: constant
shutdown = "15s"
log = { file = "logs/uw-daemon-pc.log", max_size = "50MB", keep = 5 }
recover = ["uw-errors"]

[workers.trading-bot]
command = ["venv/bin/python", "-u", "main.py"]
env = { API_PORT = 8081 }
needs = { uw-daemon = "ready" }                   # started | ready | healthy | completed
ready = { http = "http://127.0.0.1:8081/health" }
health = [
  { http = "http://127.0.0.1:8081/health", every = "60s", timeout = "10s" },
  { file = "state/bot_heartbeat.json", key = "iter_count", changes = "180s" },
  { file = "state/pre_market_freeze.flag", exists = false, then = "alert" },     # restart | hold | alert
]
memory_max = "1500MB"
log = { file = "logs/trading-bot-pc.log" }

[workers.ticker]
run = "jarvis.daemon:Ticker"
args = { tick_interval = 60 }
preload = ["pandas"]
health = { heartbeat = "90s" }

[workers.browser]
use = "chrome-cdp"                                # brings its own ready and health
args = { port = 9222, profile_dir = ".runner-profile" }
user = "root"                                     # HOME, USER, LOGNAME and groups of that user
log = { file = ".runner-profile/daemon.log", stderr = ".runner-profile/daemon-error.log" }

[workers.web]
instances = [8001, 8002]                          # web@8001, web@8002; "web" means both; 2 means ["1", "2"]
command = "venv/bin/gunicorn app:app --bind 127.0.0.1:${self.instance}"
env_file = "env/web-${self.instance}.env"
ready = { tcp = "127.0.0.1:${self.instance}" }
stop_to = "leader"                                # TERM to the first process only; KILL is always to the group
reload_signal = "HUP"                             # sent by `ctl reload web`

[workers.cache]
command = "redis-server --port 6390"
stop_command = "redis-cli -p 6390 shutdown"       # instead of stop_signal; `shutdown` still bounds it

[workers.migrate]
command = "venv/bin/python migrate.py"
restart = "temporary"                             # one-shot: exit 0 = completed, else failed

[workers.server]
command = "venv/bin/python prepare.py && exec venv/bin/python server.py"        # a step before every start
shell = true
needs = { migrate = "completed", cache = "ready" }

[jobs.pre-market]
schedule = "15 9 * * mon-fri"                     # cron or a list; or every = "5m"; or at = 2026-12-24T09:00:00
calendar = "XNYS"
command = "venv/bin/python pre_market_health_check.py"
outcome = { 0 = "healthy", 1 = "degraded", 2 = "unhealthy", other = "unexpected" }
success = [0]                                     # the default; the whole list of what is no failure (workers too)
recover = ["guardian"]
log = { file = "logs/pre_market.log" }            # appended; default: jobs/JOB/RUN.log

[jobs.schedule-once]
every = "${DAEMON_SLEEP_SECONDS:-60}s"
command = "pnpm run runner:schedule-once"
timeout = "10m"
overlap = "skip"                                  # skip | queue | kill
needs = { browser = "healthy" }                   # else the run waits; skipped when the next falls due
require = [
  { http = "http://127.0.0.1:9222/json/version", key = "webSocketDebuggerUrl", status = "CDP_DOWN" },
  { command = "pnpm run runner:session", timeout = "45s", status = "SESSION_INVALID" },
]
backoff = { first = "60s", initial = "60s", factor = 2.0, max = "${DAEMON_MAX_SLEEP:-300}s", jitter = 0.2 }
record = { event_type = "RUNNER_DAEMON_HEARTBEAT", job_name = "runner_daemon" } # names in the SQL view

[jobs.nightly]
schedule = ["0 0 * * *"]
timezone = "America/Chicago"
catch_up = "last"                                 # none | last | all
missed_after = "26h"                              # no run started for so long
alert_after = 2                                   # failures in a row
keep_awake = true
wake = "1m"                                       # so long before; set by `service install --wake`
retries = 2
backoff = "1h"
timeout = "4h"
verify = [{ file = "predictions/latest.parquet", fresh = "6h" }, { output = "COMPLETED SUCCESSFULLY" }]
log = { file = "Logs/nightly/nightly_pipeline_${run.time}.log" }
stages = [                                        # critical = true unless said otherwise
  { name = "export",  command = "python scripts/export.py", timeout = "30m", retries = 1, backoff = "5s" },
  { name = "audit",   command = "python scripts/audit.py" },
  { name = "train",   command = "python scripts/train.py --horizon ${self.instance}", instances = ["1w", "1m", "3m", "6m", "12m"], at_least = 1, timeout = "1h" },
  { name = "predict", command = "python scripts/predict.py" },
  { name = "upload",  command = "python scripts/upload.py" },
  { name = "evaluate", command = "python scripts/evaluate.py", critical = false },
]

[jobs.login]                                      # no schedule: by hand, `ctl run login`
command = "pnpm run runner:login"

[recover.guardian]                                # named, so that jobs, workers and `guard` share it
when = ["degraded", "unhealthy"]                  # outcomes; of a worker: "output", "unhealthy", "exit", "failed"
ignore_case = true
match = { uw = ["connection_error", "timeout", "UW.*fail", "socket.*fail"], sip = ["SIP.*delay", "sip_feed.*error", "sip_feed.*no_data"] }
cooldown = "10m"
max = 5
per = "24h"
steps = [                                         # in this order; one verb each; a failed step does not end it
  { clear_locks = "state/*.lock" },               # only locks that no living process holds
  { restart = "uw-daemon", if = "uw" },           # and wait until ready
  { alert = "critical", if = "sip", file = "logs/alpaca_sip_alert_${run.time}.txt" },
  { restart = "trading-bot", if = "sip" },
  { wait = "5s" },
  { rerun = true },                               # recorded apart; the first exit status stands
]
log = { file = "logs/guardian.log", tail = 50 }

[recover.uw-errors]
when = "output"
match = { errors = "connection_error|timeout" }
count = 20                                        # lines …
within = "15m"
steps = [{ alert = "warning" }, { restart = "uw-daemon" }]

[activity.posts]                                  # alert when nothing useful has happened for too long
any = [{ of = "schedule-once", activity = "POST_SUCCESS" }, { sql = "SELECT max(last_updated) FROM growth_execution", url = "${DATABASE_URL:-sqlite:///xbot.db}" }]
within = "${NO_ACTIVITY_ALERT_HOURS:-6}h"
repeat = "6h"
event_type = "ALERT_NO_ACTIVITY"

[retention.models]
files = "models/*.bin"
max_age = "7d"
keep = 3                                          # the newest 3 stay, however old

[checks.bigquery]                                 # a line of `doctor`
command = "bq show"
level = "warn"

[store]
# url = "postgresql://localhost/bot"   # default: SQLite, `events.db` in state_dir; a relative SQLite path is under tree.dir
max_age = "90d"

[logs]                                            # defaults of every `log`
max_size = "50MB"                                 # 0: never rotated
keep = 5

[alerts]
urls = ["mailto://…", "json://…"]
command = "python scripts/notify.py"              # event as JSON on stdin
file = "logs/${self.name}_alert_${run.time}.txt"    # self: whom it is about; run.time: of the alert
level = "warning"                                 # from this severity on: info | warning | error | critical
repeat = "6h"                                     # the same alert at most so often
"""

CONTAINER = r"""
[tree]
name = "pod"
auto_shutdown = "any_significant"
intensity = 5
on_give_up = "exit"
[workers.app]
command = "app"
restart = "temporary"
significant = true
[workers.proxy]
command = "proxy"
"""

RUN_TIME = r"""
[jobs.reminder]
at = 2026-12-24T09:00:00
timezone = "America/Chicago"
command = "bin/remind"
[supervisors.fetchers]
strategy = "simple_one_for_one"
children = ["fetch"]
[workers.fetch]
command = "python fetch.py ${self.instance}"
"""
