"""A server that answers and refuses: health, doctor and the job name the true cause."""

import pytest
import redis

from analytics_kit.backends.redis.backend import RedisBackend
from analytics_kit.backends.redis.server_errors import cause_of, message_of
from analytics_kit.cli.doctor import examine
from analytics_kit.client import Client
from analytics_kit.errors import BrokerUnavailableError, JobNotFoundError
from analytics_kit.model import JobStatus
from analytics_kit.settings import Settings
from tests.processes import until

CODE = "tests.backends.sample_steps"
NAMESPACE = "diagnosis"


@pytest.fixture(scope="module")
def server(redis_server):
    with redis_server() as server:
        yield server


@pytest.fixture
def admin(server):
    """A connection that changes how the server is set up; afterwards it is as before."""
    with redis.Redis.from_url(server.url) as admin:
        before = {
            name: admin.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy", "maxclients", "save")
        }
        yield admin
        admin.replicaof("NO", "ONE")
        admin.config_set("min-replicas-to-write", 0)
        for name, value in before.items():
            admin.config_set(name, value)
        if (server.folder / "dump.rdb").is_dir():
            (server.folder / "dump.rdb").rmdir()


@pytest.fixture
def backend(server):
    backend = RedisBackend(server.url, Settings.of(namespace=NAMESPACE), CODE)
    yield backend
    backend.close()


def full(admin, server):
    admin.config_set("maxmemory", 1)


def replica(admin, server):
    admin.replicaof("127.0.0.1", 1)


def without_replicas(admin, server):
    admin.config_set("min-replicas-to-write", 1)


def unable_to_save(admin, server):
    (server.folder / "dump.rdb").mkdir()
    admin.config_set("save", "3600 1000000")
    admin.set("to-save", b"")
    admin.bgsave()
    until(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", "saving has failed")


STATES = {
    full: ("is full", "maxmemory"),
    replica: ("is a replica, which takes no writes", "primary"),
    without_replicas: ("fewer replicas", "min-replicas-to-write"),
    unable_to_save: ("can't save to its disk", "Free space"),
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_server_that_takes_no_writes_is_named_and_what_is_there_can_be_read(
    server, admin, backend, make_request, monkeypatch, state
):
    job_id = backend.submit(make_request("echo", key=f"before-{state.__name__}")).job_id
    text, advice = STATES[state]
    state(admin, server)
    health = backend.health()
    assert (health["status"], health["ready"]) == ("down", False)
    assert text in health["reason"]
    assert advice in health["reason"]
    with pytest.raises(BrokerUnavailableError, match=text) as caught:
        backend.submit(make_request("echo"))
    assert advice in caught.value.hint
    assert "HSET" not in str(caught.value), "the command, whose arguments may hold secrets, is not shown"
    backend._recovered_at = 0.0
    info = backend.get(job_id)
    assert info.status is JobStatus.QUEUED
    assert text in info.notice
    assert job_id in {info.job_id for info in backend.list()}
    for name, value in {"REDIS_URL": server.url, "ANALYTICS_KIT_BACKEND": "redis"}.items():
        monkeypatch.setenv(name, value)
    findings = {finding.what: finding for finding in examine()}
    assert not findings["broker"].ok
    assert text in findings["broker"].found
    with Client(server.url, namespace=NAMESPACE) as client:
        assert text in client.health()["reason"]


@pytest.mark.parametrize("password", ["wrong", ""])
def test_wrong_password_is_reported_by_health_and_not_raised(server, password):
    user_info = server.url.split("//")[1].split("@")[0]
    url = server.url.replace(f"{user_info}@", f":{password}@" if password else "")
    with Client(url) as client:
        health = client.health()
    assert (health["status"], health["ready"]) == ("down", False)
    assert "password" in health["reason"]
    assert "REDIS_PASSWORD" in health["reason"]


def as_user(server, admin, name, *rules):
    admin.execute_command("ACL", "SETUSER", name, "reset", "on", ">pw", *rules)
    return server.url.replace(server.url.split("//")[1].split("@")[0], f"{name}:pw")


def test_user_who_may_not_run_info_has_jobs_all_the_same(server, admin, workers, make_request):
    url = as_user(server, admin, "plain", "~*", "&*", "+@all", "-info", "-config", "-client")
    backend = RedisBackend(url, Settings.of(namespace=NAMESPACE), CODE)
    assert backend.health()["broker"]["version"] == "unknown"
    assert backend.health()["status"] == "degraded"
    assert "No worker" in backend.health()["reason"]
    assert backend.submit(make_request("echo")).status is JobStatus.QUEUED
    backend.close()


def test_rights_that_the_hint_names_are_enough(server, admin, workers, make_request):
    hint = cause_of(redis.ResponseError("NOPERM x"), "ak").hint
    url = as_user(server, admin, "advised", *hint.partition("<user> ")[2].split())
    backend = RedisBackend(url, Settings.of(namespace=NAMESPACE), CODE)
    with workers(url):
        job_id = backend.submit(make_request("echo")).job_id
        assert until(lambda: (info := backend.get(job_id)).status.final and info, "it ends").result
        assert backend.health()["status"] == "ok"
    backend.close()


@pytest.mark.parametrize("rules", [("~*", "&*", "+@read", "+ping"), ("~other:*", "&*", "+@all")])
def test_user_who_may_not_write_our_keys_is_named(server, admin, make_request, rules):
    backend = RedisBackend(as_user(server, admin, "weak", *rules), Settings.of(namespace=NAMESPACE), CODE)
    health = backend.health()
    assert health["status"] == "down"
    assert "does not let this user" in health["reason"]
    assert "ACL SETUSER <user> ~ak:* ~rq:* &ak:*" in health["reason"]
    with pytest.raises(BrokerUnavailableError, match="does not let this user"):
        backend.submit(make_request("echo"))
    backend.close()


def test_too_many_clients_are_named(server, admin):
    admin.config_set("maxclients", 1)
    backend = RedisBackend(server.url, Settings.of(namespace=NAMESPACE), CODE)
    health = backend.health()
    assert "maxclients" in health["reason"]
    assert health["status"] == "down"
    backend.close()


@pytest.mark.parametrize(
    ("policy", "what"), [("allkeys-lru", "any keys"), ("volatile-ttl", "keys of workers"), ("noeviction", "")]
)
def test_policy_that_removes_keys_is_named(server, admin, policy, what):
    admin.config_set("maxmemory", "1gb")
    admin.config_set("maxmemory-policy", policy)
    backend = RedisBackend(server.url, Settings.of(namespace=NAMESPACE), CODE)
    texts = [text for text, _ in backend.warnings()]
    assert any(what and what in text and policy in text for text in texts) == bool(what)
    with pytest.raises(JobNotFoundError) as caught:
        backend.get("evicted")
    assert (policy in caught.value.hint) == bool(what)
    backend.close()


def test_replies_as_text_that_the_url_asks_for_are_bytes_all_the_same(server, workers, make_request):
    url = f"{server.url}?decode_responses=True&encoding=latin-1"
    backend = RedisBackend(url, Settings.of(namespace=NAMESPACE), CODE)
    job_id = backend.submit(make_request("echo", key="text", x="é")).job_id
    with workers(url):
        info = until(lambda: (info := backend.get(job_id)).status.final and info, "it ends")
    assert info.result == {"arguments": {"x": "é"}}
    backend.close()


def test_worker_outlives_a_server_that_is_full_for_a_while(server, admin, backend, workers, make_request):
    with workers(server.url):
        (worker,) = backend._jobs.connection.smembers("rq:workers:analytics")
        job_id = backend.submit(make_request("echo")).job_id
        until(lambda: backend.get(job_id).status.final, "it ends")
        admin.config_set("maxmemory", 1)
        refused = _refusals(admin)
        until(lambda: _refusals(admin) > refused + 3, "its heartbeats and recovery are refused")
        admin.config_set("maxmemory", 0)
        job_id = backend.submit(make_request("echo")).job_id
        until(lambda: backend.get(job_id).status.final, "it ends")
        assert backend._jobs.connection.smembers("rq:workers:analytics") == {worker}, "it is the same worker"


def _refusals(admin):
    """Return how many commands the server has refused because it is full."""
    return admin.info("errorstats").get("errorstat_OOM", {}).get("count", 0)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("LOADING Redis is loading the dataset in memory", "still loading"),
        ("MOVED 3999 127.0.0.1:6381", "Redis Cluster"),
        ("CLUSTERDOWN Hash slot not served", "Redis Cluster"),
        ("MASTERDOWN Link with MASTER is down", "lost its primary"),
        ("BUSY Redis is busy running a script.", "busy with a script"),
        ("ERR unknown command 'EVALSHA'", "lacks a command"),
        ("ERR DB index is out of range", "no database of this number"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "can't save to its disk"),
    ],
)
def test_answer_of_a_server_has_a_cause_and_advice(answer, text):
    cause = cause_of(redis.ResponseError(answer), "ak")
    assert text in cause.text
    assert cause.hint


def test_message_leaves_out_the_command():
    error = redis.ResponseError("Command # 1 (HSET key source s3://user:secret@x) of pipeline caused error: ERR odd.")
    assert message_of(error) == "ERR odd"
    assert cause_of(error, "ak") is None
