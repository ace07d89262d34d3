"""print(1) in llm-sandbox's pool of containers, for bench/sandbox.py, which runs this in a venv that has it.

python llm_sandbox_pool.py DOCKER_HOST IMAGE ROUNDS        milliseconds, one a line
"""

from __future__ import annotations

import sys
import time

import docker
from llm_sandbox import SandboxSession
from llm_sandbox.pool import PoolConfig, create_pool_manager

docker_host, image, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = docker.DockerClient(base_url=docker_host)
pool = create_pool_manager(
    client=client,
    config=PoolConfig(max_pool_size=2, min_pool_size=2),
    image=image,
    skip_environment_setup=True,
)
try:
    for number in range(rounds + 1):
        began = time.perf_counter()
        with SandboxSession(pool=pool, lang="python") as session:
            answer = session.run("print(1)")
        assert answer.stdout.strip() == "1", answer
        if number:
            print((time.perf_counter() - began) * 1000, flush=True)
finally:
    pool.close()
